//! What becomes of jobs whose handler came to nothing: it panicked, never ended, or took its whole
//! process with it.
//!
//! A one-off job goes to the dead letter after some attempts. What looks after an instance never does,
//! because somebody pays for that instance: it is looked at more and more slowly, and says so.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use shared::backoff::Backoff;
use shared::queue::{JobId, Reservation, Verdict};

/// A job whose worker vanished so often that it is the likely cause waits this long before it is let
/// at another one.
const QUARANTINE: Duration = Duration::from_secs(300);

/// How often jobs may come to nothing, and how long they wait after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) max_attempts: u32,
    pub(super) wait: Backoff,
}

/// What is remembered of a job while its handler runs.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: JobId,
    pub(super) token: String,
    /// Attempts that came to nothing before this one.
    fruitless: u32,
}

impl Record {
    pub(super) fn of(job: &Reservation) -> Self {
        Self {
            id: job.id.clone(),
            token: job.token.clone(),
            fruitless: job.crashes,
        }
    }

    fn may_die(&self) -> bool {
        // A kind that this version does not know is nobody's instance.
        self.id
            .kind()
            .is_none_or(shared::queue::JobKind::is_one_off)
    }
}

impl Patience {
    /// After this attempt came to nothing because of `error`.
    pub(super) fn after_failure(&self, job: &Record, error: String) -> Verdict {
        if job.may_die() && job.fruitless + 1 >= self.max_attempts {
            return Verdict::Dead { error };
        }
        let mut rng: StdRng = StdRng::from_rng(&mut rand::rng());
        Verdict::Crash {
            after: self.wait.at_least_half(job.fruitless, &mut rng),
            error,
        }
    }

    /// One more vanished worker would be the last one: it has to be sure that this job is the cause.
    pub(super) fn is_suspect(&self, job: &Reservation) -> bool {
        job.crashes > 0 && job.crashes + 1 >= self.max_attempts
    }

    /// Before a job is started: what becomes of it instead, when it took too many workers with it.
    pub(super) fn before_start(&self, job: &Reservation) -> Option<Verdict> {
        if !job.was_alone || job.crashes < self.max_attempts {
            return None;
        }
        let error = format!("{} workers vanished while they worked on it", job.crashes);
        if Record::of(job).may_die() {
            return Some(Verdict::Dead { error });
        }
        tracing::error!(job = %job.id, crashes = job.crashes,
            "workers vanish while they work on this job; it waits");
        Some(Verdict::Retry {
            after: QUARANTINE,
            error,
        })
    }
}
