//! Permit, reserve, run, settle: until shutdown.
//!
//! One task owns the process's traffic with the queue. Finished jobs are collected for a moment and
//! settled in the same call that reserves the next ones; one call extends every lease.

mod drain;
mod poison;
mod suspects;
mod watch;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use shared::backoff::Backoff;
use shared::clock::Millis;
use shared::queue::{BATCH, Call, Exchange, Queue, Reservation, Settlement, Verdict};
use shared::redis::RedisError;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use self::poison::{Patience, Record};
use self::suspects::Suspects;
use self::watch::{Look, Watch};
use crate::metrics;
use crate::pulse::Pulse;

/// Finished jobs wait this long for company before they are settled.
const LINGER: Duration = Duration::from_millis(3);
/// Waits between tries to reach Redis: short enough to go on at once when it is back, long enough to
/// cost nothing while it is away.
const AWAY: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_millis(500),
};
/// Tries to store results that Redis refuses, before they are dropped and their jobs run again.
const HOPELESS_TRIES: u32 = 5;
/// Before a job is tried again whose result could not be stored.
const UNSTORED_WAIT: Duration = Duration::from_secs(30);
/// Before a job is tried again whose handler came to nothing.
const FRUITLESS_WAIT: Backoff = Backoff {
    base: Duration::from_secs(10),
    cap: Duration::from_secs(600),
};
/// Leases are extended this often in the time that they last; four times as often after a failure.
const EXTENDED_EVERY: u32 = 3;

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
    /// Before a job is tried again whose handler panicked or was stopped.
    pub fruitless_wait: Backoff,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            permits: 10,
            grace: Duration::from_secs(25),
            step_deadline: Duration::from_secs(600),
            max_attempts: 3,
            fruitless_wait: FRUITLESS_WAIT,
        }
    }
}

/// Runs jobs until `stop` is cancelled; then finishes what runs, for at most the grace, and hands back
/// the rest.
pub async fn run<H: Handler>(
    queue: Queue,
    handler: Arc<H>,
    options: RunnerOptions,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let mut runner = Runner {
        watch: Watch::new(&queue),
        patience: Patience {
            max_attempts: options.max_attempts,
            wait: options.fruitless_wait,
        },
        queue,
        handler,
        options,
        pulse,
        running: JoinSet::new(),
        held: HashMap::new(),
        finished: Vec::new(),
        suspects: Suspects::default(),
        extend_at: Instant::now(),
        clock: None,
    };
    runner.work(&stop).await;
    runner.drain().await;
}

/// What became of a call to the queue.
enum Sent {
    Answered(Exchange),
    /// Shutdown began, and there was nothing to settle.
    GivenUp,
    /// Redis answers, and will never take these results.
    Unsendable,
}

struct Runner<H> {
    queue: Queue,
    handler: Arc<H>,
    options: RunnerOptions,
    patience: Patience,
    pulse: Pulse,
    watch: Watch,
    running: JoinSet<Settlement>,
    held: HashMap<Id, (Record, Instant)>,
    finished: Vec<Settlement>,
    suspects: Suspects,
    /// When the leases of what runs are to be extended.
    extend_at: Instant,
    /// Redis's clock when it was last told, and when that was.
    clock: Option<(Millis, Instant)>,
}

impl<H: Handler> Runner<H> {
    async fn work(&mut self, stop: &CancellationToken) {
        self.extend_at = Instant::now() + self.queue.lease() / EXTENDED_EVERY;
        // One timer for all that has its time, and set anew only when something is due before it:
        // setting timers is a good part of what a short job costs.
        let mut timer = pin!(sleep_until(Instant::now()));
        while !stop.is_cancelled() {
            let due = self.due();
            if due < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Some(result) = self.running.join_next_with_id() => {
                    self.collect(result);
                    self.gather().await;
                    self.exchange(self.free(), stop).await;
                }
                () = &mut timer => {}
                notice = self.watch.next(), if !self.watch.is_deaf() => {
                    self.watch.hear(notice.as_ref(), &self.queue);
                }
            }
            self.do_what_is_due(stop).await;
        }
    }

    /// When the next of them is due: a look at the queue, an extension, a heartbeat.
    fn due(&self) -> Instant {
        let mut due = self.extend_at;
        if self.free() > 0 {
            due = due.min(self.watch.at());
        }
        if self.clock.is_some() {
            due = due.min(self.pulse.due());
        }
        due
    }

    async fn do_what_is_due(&mut self, stop: &CancellationToken) {
        let now = Instant::now();
        if now >= self.extend_at {
            self.keep_leases().await;
        }
        if now >= self.watch.at() && self.free() > 0 {
            self.look(stop).await;
        }
        self.start_suspect(stop).await;
        self.pulse.running(self.running.len());
        self.pulse.beat(self.clock).await;
    }

    fn free(&self) -> usize {
        if self.suspects.want_to_be_alone() {
            return 0;
        }
        let free = self.options.permits.saturating_sub(self.running.len());
        free.min(BATCH)
    }

    /// Redis's clock by now, if it was ever told.
    fn now(&self) -> Option<Millis> {
        let (told, at) = self.clock?;
        Some(told.plus(at.elapsed().as_millis() as u64))
    }

    /// Looks at the queue because it is time to.
    async fn look(&mut self, stop: &CancellationToken) {
        let look = self.watch.take();
        metrics::looked(look.reason());
        if let (Look::Fallback, Some(now)) = (look, self.now()) {
            match self.queue.peek(now).await {
                Ok(peek) if !peek.is_due => {
                    self.watch.found_nothing(now, peek.next_timer);
                    return;
                }
                // Whether Redis is away shows in the call that insists.
                Ok(_) | Err(_) => {}
            }
        }
        self.exchange(self.free(), stop).await;
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
        let task = result.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((record, started)) = self.held.remove(&task) else {
            return;
        };
        let settlement = match result {
            Ok((_, settlement)) => settlement,
            Err(error) if error.is_cancelled() => {
                Settlement::of_lost(record.id, record.token, Verdict::Release)
            }
            Err(error) => {
                tracing::error!(job = %record.id, %error, "a job panicked");
                let verdict = self.patience.after_failure(&record, panicked(error));
                Settlement::of_lost(record.id, record.token, verdict)
            }
        };
        if self.running.is_empty() {
            self.suspects.no_more_alone();
        }
        metrics::finished(&settlement, started.elapsed());
        self.finished.push(settlement);
    }

    /// Settles what finished and reserves up to `count` more. While Redis is away the same call is
    /// sent until it is answered; one that settles nothing only until shutdown begins.
    async fn exchange(&mut self, count: usize, stop: &CancellationToken) {
        let settlements = std::mem::take(&mut self.finished);
        let mut call = self.queue.call(settlements, count);
        let exchange = loop {
            match self.send(&mut call, stop).await {
                Sent::Answered(exchange) => break exchange,
                Sent::GivenUp => return,
                Sent::Unsendable => call = call.without_results(UNSTORED_WAIT),
            }
        };
        let stale = exchange.applied.iter().filter(|applied| !**applied).count();
        if stale > 0 {
            tracing::warn!(
                stale,
                "results came too late: their leases had passed to others"
            );
            metrics::stale_tokens(stale);
        }
        let told = Instant::now();
        self.clock = Some((exchange.now, told));
        let gave_all = exchange.jobs.len() == count && count > 0;
        if gave_all {
            // There may be more.
            self.watch.look_at_once(told);
        } else {
            self.watch.sleep(exchange.now, exchange.next_timer, told);
        }
        for job in exchange.jobs {
            self.start(job, exchange.now, stop);
        }
    }

    async fn send(&mut self, call: &mut Call, stop: &CancellationToken) -> Sent {
        let mut tries = 0;
        let mut rng: StdRng = StdRng::from_rng(&mut rand::rng());
        loop {
            let started = Instant::now();
            let error = match self.queue.exchange(call).await {
                Ok(exchange) => {
                    metrics::exchanged(call.settlements() > 0, started.elapsed());
                    if tries > 0 {
                        self.watch.listen_anew(&self.queue);
                    }
                    return Sent::Answered(exchange);
                }
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
                () = stop.cancelled(), if call.settlements() == 0 => return Sent::GivenUp,
            }
        }
    }

    fn start(&mut self, job: Reservation, now: Millis, stop: &CancellationToken) {
        metrics::reserved(&job, now);
        if stop.is_cancelled() {
            self.finished.push(job.settle(Verdict::Release, Vec::new()));
            return;
        }
        if let Some(verdict) = self.patience.before_start(&job) {
            self.finished.push(job.settle(verdict, Vec::new()));
            self.watch.look_at_once(Instant::now());
            return;
        }
        if self.patience.is_suspect(&job) {
            self.suspects.push(job);
            return;
        }
        self.spawn(job, now);
    }

    fn spawn(&mut self, job: Reservation, now: Millis) {
        let record = Record::of(&job);
        let handler = Arc::clone(&self.handler);
        let (deadline, patience) = (self.options.step_deadline, self.patience);
        let task = self.running.spawn(async move {
            let record = Record::of(&job);
            let outcome = tokio::time::timeout(deadline, handler.handle(job, now));
            outcome.await.unwrap_or_else(|_| {
                tracing::error!(job = %record.id, "a job was stopped at its deadline");
                let error = format!("no result within {} s", deadline.as_secs_f64());
                let verdict = patience.after_failure(&record, error);
                Settlement::of_lost(record.id, record.token, verdict)
            })
        });
        self.held.insert(task.id(), (record, Instant::now()));
    }

    /// Extends the leases of what runs, and sets the time of the next extension.
    async fn keep_leases(&mut self) {
        let often = if self.extend().await {
            EXTENDED_EVERY
        } else {
            4 * EXTENDED_EVERY
        };
        self.extend_at = Instant::now() + self.queue.lease() / often;
    }

    /// Extends the leases of what runs; `false` when Redis did not answer.
    async fn extend(&self) -> bool {
        let running = self.held.values().map(|(job, _)| (&job.id, &job.token));
        let held: Vec<_> = running
            .chain(self.suspects.held())
            .map(|(id, token)| (id.clone(), token.clone()))
            .collect();
        if held.is_empty() {
            return true;
        }
        match self.queue.extend(&held).await {
            Ok(verdicts) => {
                let lost = verdicts.iter().filter(|held| !**held).count();
                if lost > 0 {
                    tracing::warn!(
                        lost,
                        "leases passed to others while their jobs were running"
                    );
                    metrics::stale_tokens(lost);
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, "leases were not extended");
                false
            }
        }
    }
}

/// What a panic said, if it said anything.
fn panicked(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "its task ended without a result".to_owned();
    };
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", said.as_deref().unwrap_or("no message"))
}
