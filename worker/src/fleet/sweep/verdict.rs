//! Why nobody accounts for an instance, if nobody does.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use shared::clock::Millis;
use shared::model::{Finding, InstanceId, OrphanPolicy, Recovery};

use super::input::{Holdings, Known, Pass};
use super::ownership::{Fleet, Ours};
use crate::novita::{ProviderId, ProviderStatus};

/// What is to be thought of an instance of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A record holds it, or it is leaving.
    Accounted,
    /// Its record could not be read: nothing follows.
    Unread,
    /// Nobody accounts for it.
    Orphan(Finding),
}

/// What the instances of one pass are judged by.
pub(super) struct Scene<'a> {
    fleet: &'a Fleet<'a>,
    records: &'a BTreeMap<InstanceId, Known>,
    store_birth: Millis,
    policy: OrphanPolicy,
    is_recovering: bool,
    /// Of the instances under one id that no record holds, the one that its record may take: that of
    /// the newest attempt.
    newest: BTreeMap<&'a InstanceId, &'a Ours<'a>>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        fleet: &'a Fleet<'a>,
        pass: &Pass<'a>,
        policy: OrphanPolicy,
        recovery: Recovery,
    ) -> Self {
        let mut newest: BTreeMap<&InstanceId, &Ours<'_>> = BTreeMap::new();
        for ours in fleet.loose() {
            let best = newest.entry(&ours.instance).or_insert(ours);
            if precedence(ours) > precedence(best) {
                *best = ours;
            }
        }
        Self {
            fleet,
            records: pass.records,
            store_birth: pass.store_birth,
            policy,
            is_recovering: recovery.is_on(),
            newest,
        }
    }

    pub(super) fn judge(&self, ours: &Ours<'_>) -> Verdict {
        if ours.listed.is_leaving() || self.fleet.in_use.contains(&ours.listed.id) {
            return Verdict::Accounted;
        }
        let Some(known) = self.records.get(&ours.instance) else {
            return Verdict::Unread;
        };
        Verdict::Orphan(match known {
            Known::Missing => self.without_record(ours),
            Known::Live(holdings) => self.beside(holdings, ours),
            Known::Closed(holdings) => unless_protected(holdings, Finding::Closed),
            // It was believed to be gone and its caller never asked for that: not ours to delete.
            Known::Vanished(_) => Finding::Stray,
        })
    }

    fn without_record(&self, ours: &Ours<'_>) -> Finding {
        let is_lost = self.is_recovering && ours.is_older_than(self.store_birth);
        let is_taken = is_lost || self.policy == OrphanPolicy::Adopt;
        match () {
            () if is_taken && !self.is_newest(ours) => Finding::Rival,
            () if is_lost => Finding::Lost,
            () => Finding::Unrecorded,
        }
    }

    /// Its record is live, and holds something else or nothing.
    fn beside(&self, holdings: &Holdings, ours: &Ours<'_>) -> Finding {
        let number = ours.marker.attempt;
        let mut same = holdings.attempts.iter().filter(|a| a.number == number);
        let is_remembered = same.clone().next().is_some();
        let holds_any = holdings.attempts.iter().any(super::Held::is_in_use);
        match same.find(|attempt| attempt.is_in_use()) {
            Some(attempt) => match attempt.provider_id.as_ref() {
                None if self.is_first_of_its_attempt(ours) => Finding::Awaited,
                None => Finding::Rival,
                Some(twin) if self.is_settled(twin, ours) => {
                    unless_protected(holdings, Finding::Superseded)
                }
                // Only one of the two may be left, and this may be the one.
                Some(_) => Finding::Stray,
            },
            None if !holds_any && self.is_newest(ours) => Finding::Unheld,
            None if !holds_any => Finding::Rival,
            None if is_remembered => unless_protected(holdings, Finding::Superseded),
            // Newer than what is remembered, or older than a record that was rebuilt: nobody gave it up.
            None => Finding::Stray,
        }
    }

    fn is_newest(&self, ours: &Ours<'_>) -> bool {
        self.newest
            .get(&ours.instance)
            .is_some_and(|best| best.listed.id == ours.listed.id)
    }

    fn is_first_of_its_attempt(&self, ours: &Ours<'_>) -> bool {
        let mut same = self
            .fleet
            .loose()
            .filter(|other| other.marker == ours.marker);
        same.all(|other| precedence(other) <= precedence(ours))
    }

    /// The instance that the record has for this attempt is listed too, and is not on its way
    /// elsewhere.
    fn is_settled(&self, twin: &ProviderId, ours: &Ours<'_>) -> bool {
        self.fleet.ours.iter().any(|other| {
            let status = &other.listed.status;
            other.listed.id == *twin
                && other.marker == ours.marker
                && matches!(status, ProviderStatus::Running | ProviderStatus::Exited)
        })
    }
}

impl Ours<'_> {
    /// Its id was made before `birth`, by our own clocks.
    pub(super) fn is_older_than(&self, birth: Millis) -> bool {
        self.marker.instance.timestamp_ms() < birth.0
    }
}

/// Which of several instances under one id is taken: the newest attempt; of twins always the same one.
fn precedence<'a>(ours: &'a Ours<'_>) -> (u32, Reverse<&'a ProviderId>) {
    (ours.marker.attempt, Reverse(&ours.listed.id))
}

fn unless_protected(holdings: &Holdings, finding: Finding) -> Finding {
    if holdings.is_protected {
        Finding::Protected
    } else {
        finding
    }
}
