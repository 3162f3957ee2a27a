//! Permit, reserve, run, settle: until shutdown.
//!
//! One task owns the process's traffic with the queue. Finished jobs are collected for a moment and
//! settled in the same call that reserves the next ones; one call extends every lease.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use shared::backoff::Backoff;
use shared::clock::Millis;
use shared::queue::{BATCH, Call, Exchange, JobId, Queue, Reservation, Settlement, Verdict};
use shared::redis::{Notice, RedisError, Subscription};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::pulse::Pulse;

/// Finished jobs wait this long for company before they are settled.
const LINGER: Duration = Duration::from_millis(3);
/// The look that is taken even if no timer and no wake-up asks for one.
const FALLBACK: Duration = Duration::from_secs(60);
/// The same while wake-ups cannot arrive.
const FALLBACK_DEAF: Duration = Duration::from_secs(2);
/// Waits between tries to reach Redis.
const AWAY: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(5),
};
/// Tries to store results that Redis refuses, before they are dropped and their jobs run again.
const HOPELESS_TRIES: u32 = 5;
/// Before a job whose handler panicked or was stopped is tried again.
const LOST_WAIT: Duration = Duration::from_secs(30);

/// What a worker does with one reserved job.
pub trait Handler: Send + Sync + 'static {
    /// Works on a job; `now` is Redis's clock at the reservation. Must be safe to stop at any await.
    fn handle(&self, job: Reservation, now: Millis) -> impl Future<Output = Settlement> + Send;
}

/// How a worker goes about its jobs.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// Jobs worked on at a time.
    pub permits: usize,
    /// Time that running jobs get to finish once shutdown began.
    pub grace: Duration,
    /// A step that takes longer is stopped, and its job counts as failed.
    pub step_deadline: Duration,
    /// One-off jobs that came to nothing this often go to the dead letter.
    pub max_attempts: u32,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            permits: 10,
            grace: Duration::from_secs(25),
            step_deadline: Duration::from_secs(600),
            max_attempts: 3,
        }
    }
}

/// Runs jobs until `stop` is cancelled; then finishes what runs, for at most the grace.
pub async fn run<H: Handler>(
    queue: Queue,
    handler: Arc<H>,
    options: RunnerOptions,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let wake_ups = queue.wake_ups();
    let mut runner = Runner {
        queue,
        handler,
        options,
        pulse,
        wake_ups,
        hears: false,
        is_deaf: false,
        running: JoinSet::new(),
        held: HashMap::new(),
        finished: Vec::new(),
        look_at: Instant::now(),
        clock: None,
    };
    runner.work(&stop).await;
    runner.drain(Instant::now() + runner.options.grace).await;
}

/// What became of a call to the queue.
enum Sent {
    Answered(Exchange),
    /// Shutdown began, and there was nothing to settle.
    GivenUp,
    /// Redis answers, and will never take these results.
    Unsendable,
}

/// A job being worked on, as the queue knows it.
struct Held {
    id: JobId,
    token: String,
}

struct Runner<H> {
    queue: Queue,
    handler: Arc<H>,
    options: RunnerOptions,
    pulse: Pulse,
    wake_ups: Subscription,
    /// Wake-ups arrive at the moment.
    hears: bool,
    /// Wake-ups will never arrive again.
    is_deaf: bool,
    running: JoinSet<Settlement>,
    held: HashMap<Id, Held>,
    finished: Vec<Settlement>,
    /// When the queue is to be looked at, whatever else happens.
    look_at: Instant,
    /// Redis's clock when it was last told, and when that was.
    clock: Option<(Millis, Instant)>,
}

impl<H: Handler> Runner<H> {
    async fn work(&mut self, stop: &CancellationToken) {
        let mut extend_at = Instant::now() + self.queue.lease() / 3;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(extend_at) => {
                    self.extend().await;
                    extend_at = Instant::now() + self.queue.lease() / 3;
                }
                Some(result) = self.running.join_next_with_id() => {
                    self.collect(result);
                    self.gather().await;
                    self.exchange(self.free(), Some(stop)).await;
                }
                () = sleep_until(self.look_at), if self.free() > 0 => {
                    self.exchange(self.free(), Some(stop)).await;
                }
                () = sleep_until(self.pulse.due()), if self.clock.is_some() => {}
                notice = self.wake_ups.next(), if !self.is_deaf => self.hear(notice.as_ref()),
            }
            self.pulse.running(self.running.len());
            self.pulse.beat(self.clock).await;
        }
    }

    fn free(&self) -> usize {
        self.options
            .permits
            .saturating_sub(self.running.len())
            .min(BATCH)
    }

    fn hear(&mut self, notice: Option<&Notice>) {
        match notice {
            // Whatever was published while nobody listened may have been missed.
            Some(Notice::Connected) => {
                self.hears = true;
                self.look_at = Instant::now();
            }
            Some(Notice::Message(_)) => {
                metrics::counter!("worker_wakeups_total").increment(1);
                self.look_at = Instant::now();
            }
            Some(Notice::Lost) => self.hears = false,
            None => {
                // The subscription's task is gone for good; the fallback look remains.
                tracing::error!("wake-ups have ended");
                (self.hears, self.is_deaf) = (false, true);
            }
        }
    }

    /// Waits a moment for other jobs to finish too, unless a permit would stay unused for it.
    async fn gather(&mut self) {
        let until = Instant::now() + LINGER;
        while self.finished.len() < BATCH && !self.running.is_empty() {
            match timeout_at(until, self.running.join_next_with_id()).await {
                Ok(Some(result)) => self.collect(result),
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn collect(&mut self, result: Result<(Id, Settlement), JoinError>) {
        match result {
            Ok((id, settlement)) => {
                self.held.remove(&id);
                self.finished.push(settlement);
            }
            Err(error) => {
                let Some(Held { id, token }) = self.held.remove(&error.id()) else {
                    return;
                };
                tracing::error!(job = %id, %error, "a job panicked");
                metrics::counter!("worker_panics_total").increment(1);
                let verdict = lost("panicked".to_owned());
                self.finished.push(Settlement::of_lost(id, token, verdict));
            }
        }
    }

    /// Settles what finished and reserves up to `count` more. While Redis is away the same call is
    /// sent until it is answered; with `stop` given, only until shutdown begins.
    async fn exchange(&mut self, count: usize, stop: Option<&CancellationToken>) {
        let settlements = std::mem::take(&mut self.finished);
        let mut call = self.queue.call(settlements, count);
        let exchange = loop {
            match self.send(&mut call, stop).await {
                Sent::Answered(exchange) => break exchange,
                Sent::GivenUp => return,
                Sent::Unsendable => call = call.without_results(LOST_WAIT),
            }
        };
        let stale = exchange.applied.iter().filter(|applied| !**applied).count();
        if stale > 0 {
            tracing::warn!(
                stale,
                "results came too late: their leases had passed to others"
            );
            metrics::counter!("worker_stale_results_total").increment(stale as u64);
        }
        let told = Instant::now();
        self.clock = Some((exchange.now, told));
        self.look_at = self.next_look(&exchange, told);
        for job in exchange.jobs {
            self.start(job, exchange.now);
        }
    }

    async fn send(&self, call: &mut Call, stop: Option<&CancellationToken>) -> Sent {
        let mut tries = 0;
        let mut rng: StdRng = StdRng::from_rng(&mut rand::rng());
        loop {
            let error = match self.queue.exchange(call).await {
                Ok(exchange) => return Sent::Answered(exchange),
                Err(error) => error,
            };
            if tries == 0 {
                tracing::error!(%error, kind = error.kind(), "the queue does not answer");
            }
            let is_hopeless = matches!(error, RedisError::Refused(_) | RedisError::Server(_));
            if is_hopeless && !error.is_passing() && tries >= HOPELESS_TRIES {
                tracing::error!(%error, "results cannot be stored; their jobs will run again");
                return Sent::Unsendable;
            }
            let wait = AWAY.at_least_half(tries, &mut rng);
            tries += 1;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = cancelled(stop), if call.settlements() == 0 => return Sent::GivenUp,
            }
        }
    }

    fn next_look(&self, exchange: &Exchange, told: Instant) -> Instant {
        if exchange.jobs.len() == self.free() && !exchange.jobs.is_empty() {
            // It gave as much as was asked for: there may be more.
            return told;
        }
        let fallback = if self.hears { FALLBACK } else { FALLBACK_DEAF };
        let jitter = rand::rng().random_range(0.8..=1.2);
        let timer = exchange.next_timer.map_or(Duration::MAX, |at| {
            // One millisecond more, so that the timer has certainly passed.
            Duration::from_millis(at.since(exchange.now) + 1)
        });
        told + timer.min(fallback.mul_f64(jitter))
    }

    fn start(&mut self, job: Reservation, now: Millis) {
        let held = Held {
            id: job.id.clone(),
            token: job.token.clone(),
        };
        let handler = Arc::clone(&self.handler);
        let deadline = self.options.step_deadline;
        let task = self.running.spawn(async move {
            let (id, token) = (job.id.clone(), job.token.clone());
            let step = tokio::time::timeout(deadline, handler.handle(job, now));
            step.await.unwrap_or_else(|_| {
                let error = format!("no result within {} s", deadline.as_secs());
                Settlement::of_lost(id, token, lost(error))
            })
        });
        self.held.insert(task.id(), held);
    }

    async fn extend(&self) {
        let held: Vec<_> = self
            .held
            .values()
            .map(|held| (held.id.clone(), held.token.clone()))
            .collect();
        if held.is_empty() {
            return;
        }
        match self.queue.extend(&held).await {
            Ok(verdicts) => {
                let lost = verdicts.iter().filter(|held| !**held).count();
                if lost > 0 {
                    tracing::warn!(
                        lost,
                        "leases passed to others while their jobs were running"
                    );
                    metrics::counter!("worker_leases_lost_total").increment(lost as u64);
                }
            }
            // The next one is due long before the leases end.
            Err(error) => tracing::warn!(%error, "leases were not extended"),
        }
    }

    /// Lets running jobs finish and settles them; takes nothing new.
    async fn drain(&mut self, deadline: Instant) {
        while !self.running.is_empty() {
            match timeout_at(deadline, self.running.join_next_with_id()).await {
                Ok(Some(result)) => self.collect(result),
                Ok(None) => break,
                Err(_) => {
                    // Their leases end by themselves, and other workers look again.
                    tracing::warn!(jobs = self.running.len(), "stopped before these finished");
                    self.running.abort_all();
                    break;
                }
            }
        }
        if !self.finished.is_empty()
            && timeout_at(deadline + Duration::from_secs(2), self.exchange(0, None))
                .await
                .is_err()
        {
            tracing::warn!("some results could not be settled; their jobs will be looked at again");
        }
        self.pulse.farewell().await;
    }
}

/// What becomes of a job whose handler came to nothing.
fn lost(error: String) -> Verdict {
    Verdict::Retry {
        after: LOST_WAIT,
        error,
    }
}

async fn cancelled(stop: Option<&CancellationToken>) {
    match stop {
        Some(stop) => stop.cancelled().await,
        None => std::future::pending().await,
    }
}
