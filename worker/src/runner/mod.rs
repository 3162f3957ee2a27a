//! Permit, reserve, run, settle: until shutdown.
//!
//! One task owns the process's traffic with the queue. Finished jobs are collected for a moment and
//! settled in the same call that reserves the next ones, while others are running; one call extends every
//! lease. Handlers never outnumber the permits, but quick ones find their next job already here.

mod ahead;
mod drain;
mod exchange;
mod poison;
mod suspects;
mod watch;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use shared::backoff::Backoff;
use shared::clock::Millis;
use shared::fail_point::FailPoint;
use shared::queue::{Job, JobId, Queue, Reservation, Settlement, Verdict};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::ahead::Ahead;
use self::exchange::{BESIDE, OnTheWay};
use self::poison::{Patience, Record};
use self::suspects::Suspects;
use self::watch::{Look, Watch};
use crate::metrics;
use crate::pulse::Pulse;

/// Finished jobs wait this long for company before they are settled.
const LINGER: Duration = Duration::from_millis(3);
/// Before it is looked again whether more handlers should run side by side.
const RECONSIDER: Duration = Duration::from_millis(1);
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
    /// Jobs that always exist. A queue without any timer has lost them, and they are created anew.
    pub standing: Vec<Job>,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            permits: 10,
            grace: Duration::from_secs(25),
            step_deadline: Duration::from_secs(600),
            max_attempts: 3,
            fruitless_wait: FRUITLESS_WAIT,
            standing: Vec::new(),
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
        queues_beside: [queue.beside(), queue.beside()],
        queue,
        handler,
        options,
        pulse,
        running: JoinSet::new(),
        held: HashMap::new(),
        ahead: Ahead::default(),
        finished: Vec::new(),
        settle_at: Instant::now(),
        calls: OnTheWay::default(),
        suspects: Suspects::default(),
        extend_at: Instant::now(),
        clock: None,
        is_bare: true,
    };
    runner.work(&stop).await;
    runner.drain().await;
}

/// A job whose handler runs.
struct Held {
    record: Record,
    since: Instant,
    handler: AbortHandle,
}

struct Runner<H> {
    queue: Queue,
    queues_beside: [Queue; BESIDE],
    handler: Arc<H>,
    options: RunnerOptions,
    patience: Patience,
    pulse: Pulse,
    watch: Watch,
    running: JoinSet<Settlement>,
    held: HashMap<Id, Held>,
    /// Reserved, and waiting for a permit.
    ahead: Ahead,
    finished: Vec<Settlement>,
    /// When what finished is settled at the latest.
    settle_at: Instant,
    calls: OnTheWay,
    suspects: Suspects,
    /// When the leases of what runs are to be extended.
    extend_at: Instant,
    /// Redis's clock when it was last told, and when that was.
    clock: Option<(Millis, Instant)>,
    /// The queue may lack the jobs that always exist.
    is_bare: bool,
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
            // In this order, what is rare comes first; and a new call is on its way before anything else.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                answer = self.calls.answer() => self.answered(answer, stop),
                // A wake-up counts from the answer of the call on its way on: that tells how to sleep.
                notice = self.watch.next(), if self.calls.is_free() && !self.watch.is_deaf() => {
                    self.watch.hear(notice.as_ref(), &self.queue);
                }
                () = &mut timer => {}
                Some(result) = self.running.join_next_with_id() => {
                    self.collect(result);
                    while let Some(result) = self.running.try_join_next_with_id() {
                        self.collect(result);
                    }
                }
            }
            self.do_what_is_due(stop).await;
        }
    }

    /// When the next of them is due: a look at the queue, a settlement, an extension, a heartbeat.
    fn due(&self) -> Instant {
        let mut due = self.extend_at;
        if self.calls.is_free() {
            if self.is_worth_a_call() || self.watch.was_called() {
                due = due.min(self.watch.at());
            }
            if !self.finished.is_empty() {
                due = due.min(self.settle_at);
            }
        }
        if let Some(stale_at) = self.ahead.stale_at() {
            due = due.min(stale_at);
            if self.running.len() < self.options.permits {
                // Handlers that turn out to be slow are no reason to leave permits unused.
                due = due.min(Instant::now() + RECONSIDER);
            }
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
        if self.ahead.stale_at().is_some_and(|at| now >= at) {
            self.hand_back();
        }
        if self.is_bare {
            self.create_standing().await;
        }
        self.start_ahead();
        self.start_suspect(stop).await;
        if self.is_time_to_settle(now) {
            self.call(self.wanted(), false, stop);
        }
        if 2 * self.finished.len() >= self.ahead.batch()
            && let Some(lane) = self.calls.free_beside(self.ahead.calls_beside())
        {
            self.call_beside(lane, self.wanted(), stop);
        }
        if self.calls.is_free() && now >= self.watch.at() {
            if self.is_worth_a_call() {
                self.look(stop).await;
            } else if self.watch.was_called() {
                // Whoever is woken and has no permit left passes it on.
                self.watch.take();
                self.call(0, true, stop);
            }
        }
        self.pulse.running(self.running.len());
        self.pulse.beat(self.clock);
    }

    /// Creates the jobs that always exist, unless there are any: Redis may have been emptied.
    async fn create_standing(&mut self) {
        self.is_bare = false;
        if self.options.standing.is_empty() {
            return;
        }
        if let Err(error) = self.queue.ensure(&self.options.standing).await {
            tracing::warn!(%error, "periodic jobs were not created; the next look tries again");
        }
    }

    /// Jobs to hold at a time: one per permit, and those ahead.
    fn target(&self) -> usize {
        let now = Instant::now();
        let longest = self.longest(now);
        self.options.permits + self.ahead.depth(self.options.permits, longest, now)
    }

    /// How long the oldest handler has been running.
    fn longest(&self, now: Instant) -> Duration {
        let oldest = self.held.values().map(|held| held.since).min();
        oldest.map_or(Duration::ZERO, |since| now - since)
    }

    fn in_hand(&self) -> usize {
        self.running.len() + self.ahead.len()
    }

    /// Jobs to ask for.
    fn missing(&self) -> usize {
        if self.suspects.want_to_be_alone() {
            return 0;
        }
        let held = self.in_hand() + self.calls.asked();
        self.target().saturating_sub(held)
    }

    /// As many of them as one call should ask for.
    fn wanted(&self) -> usize {
        self.missing().min(self.ahead.batch())
    }

    /// Some permit would stay unused; or half of what may be held ahead is missing.
    fn is_worth_a_call(&self) -> bool {
        let missing = self.missing();
        let is_idle = self.in_hand() < self.options.permits;
        missing > if is_idle { 0 } else { self.in_hand() }
    }

    /// What finished waits a moment for company, unless nothing else runs or enough is together.
    fn is_time_to_settle(&self, now: Instant) -> bool {
        if self.finished.is_empty() || !self.calls.is_free() {
            return false;
        }
        let (finished, in_hand) = (self.finished.len(), self.in_hand());
        let is_half = finished > in_hand && self.target() > self.options.permits;
        in_hand == 0 || is_half || finished >= self.ahead.batch() || now >= self.settle_at
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
                    self.is_bare |= peek.next_timer.is_none();
                    self.watch.found_nothing(now, peek.next_timer);
                    return;
                }
                // Whether Redis is away shows in the call that insists.
                Ok(_) | Err(_) => {}
            }
        }
        self.call(self.wanted(), look != Look::Fallback, stop);
    }

    fn collect(&mut self, result: Result<(Id, Settlement), JoinError>) {
        let task = result.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(Held { record, since, .. }) = self.held.remove(&task) else {
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
        let took = since.elapsed();
        self.ahead.handled(took);
        metrics::finished(&settlement, took);
        self.finish(settlement);
    }

    fn finish(&mut self, settlement: Settlement) {
        if self.finished.is_empty() {
            self.settle_at = Instant::now() + LINGER;
        }
        self.finished.push(settlement);
    }

    /// Takes a job into this worker's hands.
    fn take(&mut self, job: Reservation, now: Millis, stop: &CancellationToken) {
        metrics::reserved(&job, now);
        FailPoint::JobsReserved.reached();
        if stop.is_cancelled() {
            self.finish(job.settle(Verdict::Release, Vec::new()));
        } else if let Some(verdict) = self.patience.before_start(&job) {
            self.finish(job.settle(verdict, Vec::new()));
            self.watch.look_at_once(Instant::now());
        } else if self.patience.is_suspect(&job) {
            self.suspects.push(job);
        } else {
            self.ahead.push(job, now, Instant::now());
        }
    }

    /// Starts what waits, as far as there are permits.
    fn start_ahead(&mut self) {
        let longest = self.longest(Instant::now());
        let most = self.ahead.side_by_side(self.options.permits, longest);
        while self.running.len() < most && !self.suspects.want_to_be_alone() {
            let Some((job, clock)) = self.ahead.pop() else {
                return;
            };
            self.spawn(job, clock);
        }
    }

    /// Hands back what waits: its permits did not become free as soon as was thought.
    fn hand_back(&mut self) {
        let waiting: Vec<_> = self.ahead.drain().collect();
        for job in waiting {
            self.finish(job.settle(Verdict::Release, Vec::new()));
        }
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
        let held = Held {
            record,
            since: Instant::now(),
            handler: task,
        };
        self.held.insert(held.handler.id(), held);
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
    async fn extend(&mut self) -> bool {
        let running = self
            .held
            .values()
            .map(|held| (&held.record.id, &held.record.token));
        let held: Vec<_> = running
            .chain(self.suspects.held())
            .map(|(id, token)| (id.clone(), token.clone()))
            .collect();
        if held.is_empty() {
            return true;
        }
        match self.queue.extend(&held).await {
            Ok(verdicts) => {
                let lost = held.iter().zip(verdicts).filter(|(_, is_held)| !is_held);
                let lost = lost.map(|(job, _)| self.stop_without_lease(job)).count();
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

impl<H> Runner<H> {
    /// Another worker has a job by now: the handler here stops, since nothing of it would be kept.
    fn stop_without_lease(&self, (id, token): &(JobId, String)) {
        let is_it = |held: &&Held| held.record.id == *id && held.record.token == *token;
        if let Some(held) = self.held.values().find(is_it) {
            held.handler.abort();
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
