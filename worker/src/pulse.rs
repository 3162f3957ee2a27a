//! The worker's heartbeat in Redis, from which the API tells people how the workers and the provider
//! are. Nothing is decided by it.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use shared::clock::Millis;
use shared::queue::{HEARTBEAT_INTERVAL_MS, Heartbeat, QueueStats};
use shared::redis::{Keys, Redis};
use tokio::time::Instant;

/// What the last calls to the provider were like.
#[derive(Debug, Clone, Default)]
pub struct ProviderHealth(Arc<Mutex<Option<(bool, Duration)>>>);

impl ProviderHealth {
    /// Remembers a call: whether the provider answered at all, and how long that took.
    pub(crate) fn note(&self, answered: bool, took: Duration) {
        if let Ok(mut last) = self.0.lock() {
            *last = Some((answered, took));
        }
    }

    fn last(&self) -> Option<(bool, Duration)> {
        self.0.lock().ok().and_then(|last| *last)
    }
}

/// Sends heartbeats when they are due.
#[derive(Debug)]
pub struct Pulse {
    redis: Redis,
    keys: Keys,
    session: String,
    permits: usize,
    provider: ProviderHealth,
    running: usize,
    due: Instant,
}

impl Pulse {
    /// A pulse that is due at once.
    #[must_use]
    pub fn new(
        redis: Redis,
        keys: Keys,
        session: String,
        permits: usize,
        provider: ProviderHealth,
    ) -> Self {
        Self {
            redis,
            keys,
            session,
            permits,
            provider,
            running: 0,
            due: Instant::now(),
        }
    }

    pub(crate) fn running(&mut self, jobs: usize) {
        self.running = jobs;
        metrics::gauge!("worker_jobs_running").set(jobs as f64);
    }

    /// When the next heartbeat is due.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Sends a heartbeat if one is due and Redis's clock is known.
    pub(crate) async fn beat(&mut self, clock: Option<(Millis, Instant)>) {
        let Some((told, at)) = clock else { return };
        if Instant::now() < self.due {
            return;
        }
        let last = self.provider.last();
        let heartbeat = Heartbeat {
            at: told.plus(at.elapsed().as_millis() as u64),
            running: self.running,
            permits: self.permits,
            provider_up: last.map(|(answered, _)| answered),
            provider_ms: last.map_or(0, |(_, took)| took.as_millis() as u64),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.due = Instant::now() + Duration::from_millis(HEARTBEAT_INTERVAL_MS);
        let sent = QueueStats::beat(&self.redis, &self.keys, &self.session, &heartbeat).await;
        if let Err(error) = sent {
            tracing::warn!(%error, "the heartbeat was not recorded");
        }
    }

    /// Takes this worker out of the list.
    pub(crate) async fn farewell(&self) {
        if let Err(error) = QueueStats::farewell(&self.redis, &self.keys, &self.session).await {
            tracing::warn!(%error, "could not say farewell; the heartbeat will run out");
        }
    }
}
