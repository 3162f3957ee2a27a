//! Why a job ran more than once. Each extra run needs a reason; one without is a fault of the queue.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use shared::clock::Millis;

use crate::line::LEASE;
use crate::record::Run;

/// Between the end of a handler and the acknowledgement of what it came to: the wait for company, one
/// call, and the turn of both on a crowded machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);
/// A lease has at least two thirds left when Redis goes, and half a second may pass until a worker
/// notices that it is back: an absence as long as the rest lets leases end.
const LEASES_END_AFTER: Duration = Duration::from_millis(LEASE.as_millis() as u64 * 2 / 3 - 500);

/// Why a job ran again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// The worker was killed in the middle of it.
    KilledAtWork,
    /// The worker was killed when it had finished, before Redis had the result.
    KilledBeforeSettled,
    /// Redis was away for so long that the lease ended.
    RedisAway,
    /// Redis was killed while the job was being enqueued, so it was enqueued again; the first time
    /// had counted, and the job was over by then.
    EnqueuedTwice,
}

/// Redis was not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Absence {
    pub(crate) from: Millis,
    pub(crate) to: Millis,
}

impl Absence {
    /// How much of the time between two moments falls into it, in ms.
    fn within(self, from: Millis, to: Millis) -> u64 {
        self.to.min(to).since(self.from.max(from))
    }

    fn outlasts_leases(self) -> bool {
        self.to.since(self.from) > LEASES_END_AFTER.as_millis() as u64
    }
}

/// What happened to the processes, by which extra runs are explained.
pub(crate) struct History<'a> {
    /// When the worker of this number was killed.
    pub(crate) killed: &'a dyn Fn(usize) -> Option<Millis>,
    pub(crate) absences: Vec<Absence>,
    /// Jobs that were enqueued again because nobody knew whether they had been.
    pub(crate) enqueued_twice: HashSet<String>,
}

impl History<'_> {
    /// The extra runs by cause; `None` for those without.
    pub(crate) fn extra_runs(&self, mut runs: Vec<Run>) -> Vec<(Run, Option<Cause>)> {
        runs.sort_by_key(|run| run.started);
        let mut by_job: BTreeMap<String, Vec<Run>> = BTreeMap::new();
        for run in runs {
            by_job.entry(run.job.clone()).or_default().push(run);
        }
        let pairs = by_job.values().flat_map(|runs| runs.windows(2));
        pairs
            .map(|pair| (pair[1].clone(), self.cause(&pair[0], &pair[1])))
            .collect()
    }

    fn cause(&self, first: &Run, again: &Run) -> Option<Cause> {
        // Redis counts a crash when it hands out a job whose holder never settled: without one, the
        // job was over and somebody enqueued it anew.
        let was_unsettled = again.crashes > first.crashes;
        if was_unsettled
            && let Some(cause) = self
                .killed_with(first, again)
                .or_else(|| self.forgotten(first, again))
        {
            return Some(cause);
        }
        self.enqueued_twice
            .contains(&again.job)
            .then_some(Cause::EnqueuedTwice)
    }

    /// The first run was in flight when its worker was killed.
    fn killed_with(&self, first: &Run, again: &Run) -> Option<Cause> {
        let killed = (self.killed)(first.worker).filter(|killed| *killed <= again.started)?;
        let Some(ended) = first.ended else {
            return Some(Cause::KilledAtWork);
        };
        let away: u64 = self
            .absences
            .iter()
            .map(|absence| absence.within(ended, killed))
            .sum();
        let unsettled_ms = killed.since(ended).saturating_sub(away);
        (unsettled_ms <= SETTLED_WITHIN.as_millis() as u64).then_some(Cause::KilledBeforeSettled)
    }

    /// The first run's lease ended while Redis was away.
    fn forgotten(&self, first: &Run, again: &Run) -> Option<Cause> {
        let mut absences = self
            .absences
            .iter()
            .filter(|absence| absence.outlasts_leases());
        absences
            .any(|absence| first.started <= absence.to && absence.from <= again.started)
            .then_some(Cause::RedisAway)
    }
}
