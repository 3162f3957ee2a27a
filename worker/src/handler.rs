//! One job to the code that does it.

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use shared::clock::Millis;
use shared::fail_point::FailPoint;
use shared::queue::{self, Job, Periodic, Reservation, Settlement, Verdict};

use crate::fleet::Fleet;
use crate::novita::Novita;
use crate::outbound::CallContext;
use crate::periodic::Housekeeping;
use crate::reconcile::Reconciler;
use crate::runner::Handler;
use crate::webhook::{Deliverer, Delivery, Endpoints, NotYet, Outcome, next_attempt};

/// Before a job is read again that could not be read.
const READ_AGAIN: Duration = Duration::from_secs(5);
/// So often: another worker may be of the version that wrote it.
const READINGS: u32 = 3;
/// A webhook older than this waits for its turn no longer.
const HELD_AT_MOST: Duration = Duration::from_secs(72 * 3600);

/// Everything this worker can do.
pub(crate) struct Work<N> {
    pub(crate) reconciler: Reconciler<N>,
    pub(crate) deliverer: Deliverer,
    pub(crate) endpoints: Endpoints,
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
            Job::Webhook(delivery) => self.deliver(job, delivery, now).await,
            Job::Periodic { name } => match name {
                Periodic::Housekeeping => self.housekeeping.run(job, now).await,
                Periodic::Fleet => self.fleet.pass(job, now).await,
                Periodic::Watch => self.fleet.look(job).await,
            },
        }
    }
}

impl<N: Novita> Work<N> {
    async fn deliver(
        &self,
        job: Reservation,
        delivery: queue::Delivery,
        now: Millis,
    ) -> Settlement {
        let made = delivery.event_id.ulid().map(|ulid| ulid.timestamp_ms());
        let age = Duration::from_millis(made.map_or(0, |made| now.since(Millis(made))));
        let delivery = Delivery {
            id: delivery.event_id.to_string(),
            url: delivery.url,
            body: Bytes::from(delivery.body),
            headers: delivery.headers,
            context: CallContext {
                traceparent: delivery.traceparent,
                ..CallContext::default()
            },
        };
        let turn = match self.endpoints.enter(&delivery.url) {
            Ok(turn) => turn,
            Err(not_yet) => return held(job, age, not_yet),
        };
        FailPoint::BeforeWebhook.reached();
        let attempt = self
            .deliverer
            .deliver(&delivery, Millis::now().seconds())
            .await;
        turn.conclude(matches!(attempt.outcome, Outcome::Delivered { .. }));
        FailPoint::WebhookSent.reached();
        let attempts = job.errors + 1;
        let verdict = match attempt.outcome {
            Outcome::Delivered { .. } => Verdict::Done,
            Outcome::Gone => dead(&delivery.id, attempts, "410: the receiver wants no more"),
            Outcome::Failed(failure) => {
                let mut rng: StdRng = StdRng::from_rng(&mut rand::rng());
                match next_attempt(attempts, &failure, &mut rng) {
                    Some(after) => Verdict::Retry {
                        after,
                        error: failure.reason.to_string(),
                    },
                    None => dead(&delivery.id, attempts, &failure.reason.to_string()),
                }
            }
        };
        tracing::info!(
            event = %delivery.id,
            attempts,
            took_ms = attempt.duration.as_millis() as u64,
            outcome = ?verdict,
            "webhook attempt"
        );
        job.settle(verdict, Vec::new())
    }
}

/// A delivery whose turn it is not keeps its attempts; that has an end, too.
fn held(job: Reservation, age: Duration, not_yet: NotYet) -> Settlement {
    let reason = not_yet.reason();
    metrics::counter!("webhook_held_total", "reason" => reason).increment(1);
    let verdict = if age > HELD_AT_MOST {
        let (id, attempts) = (job.id.to_string(), job.errors);
        dead(&id, attempts, "its receiver was failing for three days")
    } else {
        Verdict::Hold(not_yet.wait())
    };
    job.settle(verdict, Vec::new())
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

fn dead(event: &str, attempts: u32, why: &str) -> Verdict {
    tracing::error!(
        event,
        attempts,
        why,
        "webhook given up; it is kept in the dead letter"
    );
    Verdict::Dead {
        error: why.to_owned(),
    }
}
