//! The metrics of the queue, the same in every process that has one.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::state::JobState;
use super::stats::QueueStats;
use crate::model::Rate;
use crate::redis::{Keys, Redis};
use crate::store::{Store, StoreError};

/// How old the gauges may be while there is work.
const FRESH: Duration = Duration::from_secs(10);
/// How old they may be when nothing was to be done at the last look: every command is billed.
const FRESH_WHEN_IDLE: Duration = Duration::from_secs(600);
/// A scrape does not wait longer for Redis.
const BUDGET: Duration = Duration::from_secs(2);

/// Gives every metric of the queue its help text and unit.
pub fn describe() {
    describe_gauge!(
        "queue_jobs",
        "Jobs by state: due, leased, delayed, paused, dead; the same from every process"
    );
    describe_gauge!(
        "queue_oldest_due_seconds",
        Unit::Seconds,
        "How long the first runnable job in line has been runnable"
    );
    describe_histogram!(
        "queue_exchange_duration_seconds",
        Unit::Seconds,
        "Calls that reserve, or settle and reserve, by call"
    );
    describe_histogram!(
        "queue_job_wait_seconds",
        Unit::Seconds,
        "From when a job was runnable to when a worker took it, by kind"
    );
    describe_histogram!(
        "queue_job_duration_seconds",
        Unit::Seconds,
        "From when a worker took a job to its result, by kind"
    );
    describe_counter!(
        "queue_attempts_total",
        "Jobs handed to this worker, by kind"
    );
    describe_counter!(
        "queue_results_total",
        "What jobs came to, by kind and verdict: done, at, retry, dead, release"
    );
    describe_counter!(
        "queue_lease_expiries_total",
        "Jobs taken over from a worker that vanished, by kind"
    );
    describe_counter!(
        "queue_stale_tokens_total",
        "Results and extensions that came after their lease had passed to another worker"
    );
    describe_counter!(
        "queue_wakeups_total",
        "Looks at the queue, by what asked for them: message, timer, fallback"
    );
}

/// The gauges of the queue, read from Redis when somebody looks at them and they are old.
#[derive(Debug, Clone)]
pub struct Gauges {
    redis: Redis,
    keys: Keys,
    /// The most that all instances together may cost per hour, where that is to be shown.
    budget: Option<Rate>,
    last: Arc<Mutex<Option<Look>>>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    was_idle: bool,
    /// What this process had done with Redis by then.
    activity: u64,
}

impl Gauges {
    /// The gauges of the deployment with these keys.
    #[must_use]
    pub fn new(redis: &Redis, keys: Keys) -> Self {
        Self {
            redis: redis.without_retries(),
            keys,
            budget: None,
            last: Arc::default(),
        }
    }

    /// The same, and the budget beside what is reserved of it, if there is one.
    #[must_use]
    pub fn with_budget(self, budget: Option<Rate>) -> Self {
        Self { budget, ..self }
    }

    /// Brings the gauges up to date. While nothing is to be done, and this process does nothing that
    /// would change that, they are left as they are for ten minutes.
    pub async fn refresh(&self) {
        let mut last = self.last.lock().await;
        let activity = self.redis.scripts_run();
        let is_fresh = last.is_some_and(|look| {
            let is_quiet = look.was_idle && look.activity == activity;
            look.at.elapsed() < if is_quiet { FRESH_WHEN_IDLE } else { FRESH }
        });
        if is_fresh {
            return;
        }
        match timeout(BUDGET, self.look()).await {
            Ok(Ok(stats)) => {
                show(&stats);
                *last = Some(Look {
                    at: Instant::now(),
                    was_idle: stats.is_idle(),
                    activity: self.redis.scripts_run(),
                });
            }
            Ok(Err(error)) => tracing::debug!(%error, "the queue's gauges are old"),
            Err(_) => tracing::debug!("the queue's gauges are old: Redis is slow"),
        }
    }

    async fn look(&self) -> Result<QueueStats, StoreError> {
        if let Some(limit) = self.budget {
            let store = Store::new(self.redis.clone(), self.keys.clone());
            let reserved = store.reserved().await?;
            gauge!("budget_hourly_usd").set(limit.approximate_dollars());
            gauge!("budget_reserved_hourly_usd").set(reserved.approximate_dollars());
        }
        Ok(QueueStats::read(&self.redis, &self.keys).await?)
    }
}

fn show(stats: &QueueStats) {
    for (state, jobs) in [
        (JobState::Due, stats.due),
        (JobState::Leased, stats.leased),
        (JobState::Delayed, stats.delayed),
        (JobState::Paused, stats.paused),
        (JobState::Dead, stats.dead),
    ] {
        gauge!("queue_jobs", "state" => state.as_str()).set(jobs as f64);
    }
    gauge!("queue_oldest_due_seconds").set(stats.oldest_due_ms as f64 / 1000.0);
}
