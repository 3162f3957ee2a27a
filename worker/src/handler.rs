//! One job to the code that does it.

use std::time::Duration;

use shared::clock::Millis;
use shared::queue::{Job, Periodic, Reservation, Settlement, Verdict};

use crate::fleet::Fleet;
use crate::novita::Novita;
use crate::periodic::Housekeeping;
use crate::reconcile::Reconciler;
use crate::runner::Handler;
use crate::webhook::Webhooks;

/// Before a job is read again that could not be read.
const READ_AGAIN: Duration = Duration::from_secs(5);
/// So often: another worker may be of the version that wrote it.
const READINGS: u32 = 3;

/// Everything this worker can do.
pub(crate) struct Work<N> {
    pub(crate) reconciler: Reconciler<N>,
    pub(crate) webhooks: Webhooks,
    pub(crate) fleet: Fleet<N>,
    pub(crate) housekeeping: Housekeeping,
}

impl<N: Novita + 'static> Handler for Work<N> {
    async fn handle(&self, job: Reservation, now: Millis) -> Settlement {
        let parsed = match Job::parse(&job.id, &job.body) {
            Ok(parsed) => parsed,
            Err(error) => {
                return unreadable(job, &error.to_string());
            }
        };
        match parsed {
            Job::Reconcile { instance } => self.reconciler.reconcile(job, &instance, now).await,
            Job::Webhook(delivery) => self.webhooks.deliver(job, delivery, now).await,
            Job::Periodic { name } => match name {
                Periodic::Housekeeping => self.housekeeping.run(job, now).await,
                Periodic::Fleet => self.fleet.pass(job, now).await,
                Periodic::Watch => self.fleet.look(job).await,
            },
        }
    }
}

/// A newer version's job is left to others for a moment; what nobody can read is given up.
fn unreadable(job: Reservation, error: &str) -> Settlement {
    tracing::error!(job = %job.id, error, "the job's body cannot be read");
    let error = format!("unreadable body: {error}");
    let verdict = if job.errors + 1 < READINGS {
        let after = READ_AGAIN;
        Verdict::Retry { after, error }
    } else {
        Verdict::Dead { error }
    };
    job.settle(verdict, Vec::new())
}
