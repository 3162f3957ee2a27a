//! What follows from a finding, once it is ripe.

use shared::clock::Millis;
use shared::model::{Finding, OrphanPolicy, Stage, Suspect};

use super::outcome::Action;
use super::ownership::Ours;
use super::suspects::Look;
use crate::novita::ProviderStatus;

/// How long an instance without a record runs on before it is stopped, in ms.
const STOP_AFTER: u64 = 15 * 60_000;
/// And how long it is kept stopped, in ms: deleted a day after it was seen first, or later if the
/// sweeper slept, which does not delete what it stopped a minute ago.
const KEPT_STOPPED: u64 = 24 * 3_600_000 - STOP_AFTER;

/// One thing to do about one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Nothing,
    Adopt,
    Rebuild,
    /// Keep it stopped.
    Quarantine {
        /// It runs.
        stop: bool,
    },
    Delete,
    Reopen,
}

impl Deed {
    pub(super) fn of(look: &Look, status: &ProviderStatus, policy: OrphanPolicy) -> Self {
        // An instance that is older than the store and unknown to it was lost with the store, whatever a
        // second look shows; making its record anew takes nothing away.
        if look.suspect.finding == Finding::Lost {
            return Self::Rebuild;
        }
        if !look.is_ripe || !look.is_counted {
            return Self::Nothing;
        }
        let deletable = is_deletable(status);
        match look.suspect.finding {
            Finding::Awaited | Finding::Unheld => Self::Adopt,
            Finding::Superseded if deletable => Self::Delete,
            Finding::Closed if deletable => Self::Reopen,
            Finding::Unrecorded => match policy {
                OrphanPolicy::Report => Self::Nothing,
                OrphanPolicy::Adopt => Self::Rebuild,
                OrphanPolicy::Quarantine => Self::in_quarantine(look, status),
            },
            Finding::Lost
            | Finding::Superseded
            | Finding::Closed
            | Finding::Rival
            | Finding::Protected
            | Finding::Stray => Self::Nothing,
        }
    }

    fn in_quarantine(look: &Look, status: &ProviderStatus) -> Self {
        let stop = *status == ProviderStatus::Running;
        let stopped = match look.suspect.stage {
            Stage::Marked if look.age < STOP_AFTER => return Self::Nothing,
            Stage::Marked => 0,
            Stage::Quarantined { since } => look.suspect.last_seen.since(since),
        };
        if stopped >= KEPT_STOPPED && is_deletable(status) {
            return Self::Delete;
        }
        Self::Quarantine { stop }
    }

    /// It takes something away.
    pub(super) fn is_destructive(self) -> bool {
        matches!(self, Self::Quarantine { .. } | Self::Delete | Self::Reopen)
    }

    /// It takes something away by a call to the provider: what the breaker counts.
    pub(super) fn is_call(self) -> bool {
        self.is_destructive() && self != Self::Quarantine { stop: false }
    }

    /// The action that it takes, if any.
    pub(super) fn action(self, ours: &Ours<'_>) -> Option<Action> {
        let (instance, provider_id) = (ours.instance.clone(), ours.listed.id.clone());
        match self {
            Self::Nothing | Self::Quarantine { stop: false } => None,
            Self::Adopt => Some(Action::Adopt {
                instance,
                provider_id,
                attempt: ours.marker.attempt,
            }),
            Self::Rebuild => Some(Action::Rebuild {
                instance,
                provider_id,
            }),
            Self::Quarantine { stop: true } => Some(Action::StopOrphan {
                instance,
                provider_id,
            }),
            Self::Delete => Some(Action::DeleteOrphan {
                instance,
                provider_id,
            }),
            Self::Reopen => Some(Action::Reopen {
                instance,
                provider_id,
            }),
        }
    }

    /// What the suspect remembers of it.
    pub(super) fn advance(self, suspect: &mut Suspect, now: Millis) {
        if matches!(self, Self::Quarantine { .. }) && suspect.stage == Stage::Marked {
            suspect.stage = Stage::Quarantined { since: now };
        }
    }
}

/// The provider lets it be deleted in this state (domain rules, state table); hands off in a state that
/// we do not know.
fn is_deletable(status: &ProviderStatus) -> bool {
    match status {
        ProviderStatus::Pending
        | ProviderStatus::ToCreate
        | ProviderStatus::Creating
        | ProviderStatus::Pulling
        | ProviderStatus::Running
        | ProviderStatus::ToStart
        | ProviderStatus::Starting
        | ProviderStatus::ToRestart
        | ProviderStatus::Restarting
        | ProviderStatus::ToReset
        | ProviderStatus::Resetting
        | ProviderStatus::Exited => true,
        ProviderStatus::ToStop
        | ProviderStatus::Stopping
        | ProviderStatus::Migrating
        | ProviderStatus::Freezing
        | ProviderStatus::ToRemove
        | ProviderStatus::Removing
        | ProviderStatus::Removed
        | ProviderStatus::Unknown(_) => false,
    }
}
