//! Noticing that the record store was lost, and when everything lost is back.

use std::collections::BTreeSet;

use shared::clock::Millis;
use shared::model::{InstanceId, Recovery};

use super::input::{Known, Pass};
use super::outcome::Alarm;
use super::ownership::Fleet;
use super::suspects::PASS_GAP;

/// Complete passes in a row that must leave nothing to rebuild.
const CLEAN_PASSES: u32 = 2;

/// Instances that are older than the record store.
pub(super) struct Loss {
    /// Ids without a record.
    lost: u64,
    /// Ids whose record could not be read.
    unread: u64,
}

impl Loss {
    pub(super) fn of(fleet: &Fleet<'_>, pass: &Pass<'_>) -> Self {
        let old: BTreeSet<&InstanceId> = fleet
            .loose()
            .filter(|ours| ours.is_older_than(pass.store_birth))
            .map(|ours| &ours.instance)
            .collect();
        let of = |known: Option<&Known>| {
            old.iter()
                .filter(|id| pass.records.get(**id) == known)
                .count() as u64
        };
        Self {
            lost: of(Some(&Known::Missing)),
            unread: of(None),
        }
    }
}

/// The state after a pass whose list is believed, and what is to be told about the change.
pub(super) fn next(before: Recovery, loss: &Loss, now: Millis) -> (Recovery, Vec<Alarm>) {
    match before {
        Recovery::Ended { .. } => (before, Vec::new()),
        Recovery::Off if loss.lost == 0 => (before, Vec::new()),
        Recovery::Off => {
            let entered = Alarm::RecoveryEntered { lost: loss.lost };
            (on(now, 0, None), vec![entered])
        }
        Recovery::On { since, .. } if loss.lost + loss.unread > 0 => {
            (on(since, 0, None), Vec::new())
        }
        Recovery::On {
            last_clean: Some(last),
            ..
        } if now.since(last) < PASS_GAP => (before, Vec::new()),
        Recovery::On { clean, .. } if clean + 1 >= CLEAN_PASSES => {
            (Recovery::Off, vec![Alarm::RecoveryCompleted])
        }
        Recovery::On { since, clean, .. } => (on(since, clean + 1, Some(now)), Vec::new()),
    }
}

fn on(since: Millis, clean: u32, last_clean: Option<Millis>) -> Recovery {
    Recovery::On {
        since,
        clean,
        last_clean,
    }
}
