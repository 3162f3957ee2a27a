//! A delivery that the queue hands out: made, or put off, or not made at all, and settled together with
//! its line in the log.

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use shared::clock::Millis;
use shared::fail_point::FailPoint;
use shared::queue::{self, Purpose, Reservation, Settlement, Verdict, Write};
use shared::webhooks::{Entry, Fate};

use super::gone::GoneReceivers;
use super::{
    Attempt, Deliverer, Delivery, Endpoints, Failure, NotYet, Outcome, Turn, next_attempt,
};
use crate::outbound::{CallContext, FailureReason};
use crate::reconcile::Notifier;

/// A webhook older than this waits for its turn no longer.
const HELD_AT_MOST: Duration = Duration::from_secs(72 * 3600);

/// Before a proxy that does not work is tried again.
const NO_PROXY: Duration = Duration::from_secs(10);

/// Everything that deliveries need.
pub(crate) struct Webhooks {
    pub(crate) deliverer: Deliverer,
    pub(crate) endpoints: Endpoints,
    pub(crate) gone: GoneReceivers,
    pub(crate) notifier: Notifier,
}

/// What a delivery came to this time.
struct Ending {
    verdict: Verdict,
    fate: Fate,
    /// What else is to be written.
    writes: Vec<Write>,
}

/// Why a delivery is not attempted now, and when to look again.
#[derive(Debug, Clone, Copy)]
struct Hold {
    reason: &'static str,
    wait: Duration,
}

impl Hold {
    /// The proxy does not work.
    const NO_PROXY: Self = Self {
        reason: "proxy",
        wait: NO_PROXY,
    };
}

impl Webhooks {
    /// Makes the attempt that is due, if it may be made.
    pub(crate) async fn deliver(
        &self,
        job: Reservation,
        delivery: queue::Delivery,
        now: Millis,
    ) -> Settlement {
        if delivery.asked.is_none() && self.gone.has(&delivery.url).await {
            let entry = Entry {
                reason: Some("gone".to_owned()),
                ..entry(&job, delivery, now, Fate::Skipped)
            };
            return job.settle(Verdict::Done, vec![Write::Delivery(Box::new(entry))]);
        }
        let turn = match self.turn(&delivery) {
            Ok(turn) => turn,
            Err(not_yet) => {
                let hold = Hold {
                    reason: not_yet.reason(),
                    wait: not_yet.wait(),
                };
                return held(job, delivery, now, hold);
            }
        };
        FailPoint::BeforeWebhook.reached();
        let attempt = self.attempt(&delivery).await;
        if is_no_attempt(&attempt) && !is_test(&delivery) {
            return held(job, delivery, now, Hold::NO_PROXY);
        }
        if let Some(turn) = turn {
            turn.conclude(matches!(attempt.outcome, Outcome::Delivered { .. }));
        }
        FailPoint::WebhookSent.reached();
        let ended = now.plus(attempt.duration.as_millis() as u64);
        let ending = self.ending(&job, &delivery, &attempt, ended).await;
        tracing::info!(
            event = %delivery.event_id,
            attempts = job.errors + 1,
            took_ms = attempt.duration.as_millis() as u64,
            outcome = ?ending.verdict,
            "webhook attempt"
        );
        let entry = entry(&job, delivery, ended, ending.fate);
        let entry = told(entry, &attempt, &ending.verdict);
        let mut writes = ending.writes;
        writes.push(Write::Delivery(Box::new(entry)));
        job.settle(ending.verdict, writes)
    }

    /// A test goes out whoever else has to wait: somebody wants to know how the receiver is.
    fn turn(&self, delivery: &queue::Delivery) -> Result<Option<Turn<'_>>, NotYet> {
        match self.endpoints.enter(&delivery.url) {
            Ok(turn) => Ok(Some(turn)),
            Err(_) if is_test(delivery) => Ok(None),
            Err(not_yet) => Err(not_yet),
        }
    }

    async fn attempt(&self, delivery: &queue::Delivery) -> Attempt {
        let delivery = Delivery {
            id: delivery.event_id.to_string(),
            url: delivery.url.clone(),
            body: Bytes::from(delivery.body.clone()),
            headers: delivery.headers.clone(),
            context: CallContext {
                traceparent: delivery.traceparent.clone(),
                ..CallContext::default()
            },
        };
        self.deliverer
            .deliver(&delivery, Millis::now().seconds())
            .await
    }

    async fn ending(
        &self,
        job: &Reservation,
        delivery: &queue::Delivery,
        attempt: &Attempt,
        now: Millis,
    ) -> Ending {
        let attempts = job.errors + 1;
        match &attempt.outcome {
            Outcome::Delivered { .. } => {
                let mut writes = Vec::new();
                if delivery.asked.is_some() {
                    // Whoever asked has brought it back, if it was gone.
                    writes.push(self.gone.remove(&delivery.url).await);
                }
                Ending {
                    verdict: Verdict::Done,
                    fate: Fate::Delivered,
                    writes,
                }
            }
            Outcome::Gone => self.disabled(delivery, attempts, now).await,
            Outcome::Failed(failure) => failed(delivery, attempts, failure),
        }
    }

    /// The receiver wants nothing more, which is told to whoever is told of everything.
    async fn disabled(&self, delivery: &queue::Delivery, attempts: u32, now: Millis) -> Ending {
        let is_news = !self.gone.has(&delivery.url).await;
        let mut writes = vec![self.gone.add(&delivery.url, now).await];
        let notice = is_news.then(|| self.notifier.disabled(&delivery.url, now));
        if let Some(job) = notice.flatten() {
            writes.push(Write::Enqueue(job, Duration::ZERO));
        }
        let event = delivery.event_id.as_str();
        Ending {
            verdict: dead(event, attempts, "410: the receiver wants no more"),
            fate: Fate::Gone,
            writes,
        }
    }
}

fn failed(delivery: &queue::Delivery, attempts: u32, failure: &Failure) -> Ending {
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let next = next_attempt(attempts, failure, &mut rng);
    let (verdict, fate) = match next {
        // Whoever asked for a test looks at what came of it, and asks again.
        _ if is_test(delivery) => (Verdict::Done, Fate::Exhausted),
        Some(after) => {
            let error = failure.reason.to_string();
            (Verdict::Retry { after, error }, Fate::Scheduled)
        }
        None => {
            let (event, why) = (delivery.event_id.as_str(), failure.reason.to_string());
            (dead(event, attempts, &why), Fate::Exhausted)
        }
    };
    Ending {
        verdict,
        fate,
        writes: Vec::new(),
    }
}

/// A delivery whose turn it is not keeps its attempts; that has an end, too.
fn held(job: Reservation, delivery: queue::Delivery, now: Millis, hold: Hold) -> Settlement {
    let Hold { reason, wait } = hold;
    metrics::counter!("webhook_held_total", "reason" => reason).increment(1);
    let waited = delivery.wanted_since().map_or(0, |since| now.since(since));
    if Duration::from_millis(waited) <= HELD_AT_MOST {
        return job.settle(Verdict::Hold(wait), Vec::new());
    }
    let event = delivery.event_id.as_str();
    let verdict = dead(event, job.errors, "it could not be tried for three days");
    let entry = Entry {
        reason: Some(reason.to_owned()),
        ..entry(&job, delivery, now, Fate::Expired)
    };
    job.settle(verdict, vec![Write::Delivery(Box::new(entry))])
}

/// The proxy did not work: the receiver was not asked, so it is not blamed.
fn is_no_attempt(attempt: &Attempt) -> bool {
    matches!(&attempt.outcome, Outcome::Failed(failure) if failure.reason == FailureReason::ProxyError)
}

fn is_test(delivery: &queue::Delivery) -> bool {
    delivery
        .asked
        .is_some_and(|asked| asked.purpose == Purpose::Test)
}

/// The line about this delivery, of which no attempt is told yet.
fn entry(job: &Reservation, delivery: queue::Delivery, at: Millis, fate: Fate) -> Entry {
    metrics::counter!("webhook_deliveries_total", "outcome" => fate.as_str()).increment(1);
    Entry {
        event_id: delivery.event_id,
        url: delivery.url,
        body: delivery.body,
        headers: delivery.headers,
        asked: delivery.asked,
        at,
        attempt: job.errors,
        fate,
        reason: None,
        status: None,
        took_ms: 0,
        next_at: None,
        may_repeat: job.is_recovered,
    }
}

/// With what the attempt came to.
fn told(entry: Entry, attempt: &Attempt, verdict: &Verdict) -> Entry {
    let (status, reason) = match attempt.outcome {
        Outcome::Delivered { status } => (Some(status), None),
        Outcome::Gone => (Some(410), Some("http_410".to_owned())),
        Outcome::Failed(failure) => (failure.status, Some(failure.reason.to_string())),
    };
    let next_at = match verdict {
        Verdict::Retry { after, .. } => Some(entry.at.plus(after.as_millis() as u64)),
        _ => None,
    };
    Entry {
        attempt: entry.attempt + 1,
        reason,
        status,
        took_ms: attempt.duration.as_millis() as u64,
        next_at,
        ..entry
    }
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
