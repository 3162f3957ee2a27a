//! The worker's heartbeat in Redis, from which the API tells people how the workers and the provider
//! are. Nothing is decided by it.

use std::time::Duration;

use shared::clock::Millis;
use shared::queue::{Heartbeat, Workers};
use shared::redis::{Keys, Redis};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use crate::provider::ProviderHealth;

/// Between heartbeats while there is work.
const BUSY: Duration = Duration::from_secs(30);
/// Between heartbeats while there is none: every command is billed.
const IDLE: Duration = Duration::from_secs(120);

/// Sends heartbeats when they are due.
#[derive(Debug)]
pub struct Pulse {
    redis: Redis,
    keys: Keys,
    session: String,
    permits: usize,
    provider: ProviderHealth,
    running: usize,
    /// Something ran since the last heartbeat.
    was_busy: bool,
    /// The last heartbeat; `None` before the first.
    last: Option<Instant>,
    /// The one that is on its way.
    sending: Option<AbortOnDropHandle<()>>,
}

impl Pulse {
    /// A pulse that is due at once.
    #[must_use]
    pub fn new(
        redis: &Redis,
        keys: Keys,
        session: String,
        permits: usize,
        provider: ProviderHealth,
    ) -> Self {
        Self {
            // The next one is due soon enough.
            redis: redis.without_retries(),
            keys,
            session,
            permits,
            provider,
            running: 0,
            was_busy: false,
            last: None,
            sending: None,
        }
    }

    pub(crate) fn running(&mut self, jobs: usize) {
        self.running = jobs;
        self.was_busy |= jobs > 0;
        metrics::gauge!("worker_jobs_running").set(jobs as f64);
    }

    /// When the next heartbeat is due.
    pub(crate) fn due(&self) -> Instant {
        self.last
            .map_or_else(Instant::now, |last| last + self.interval())
    }

    fn is_due(&self) -> bool {
        self.last
            .is_none_or(|last| last.elapsed() >= self.interval())
    }

    fn interval(&self) -> Duration {
        if self.was_busy { BUSY } else { IDLE }
    }

    /// Sends a heartbeat if one is due and Redis's clock is known. Nobody waits for it: work must not.
    pub(crate) fn beat(&mut self, clock: Option<(Millis, Instant)>) {
        let Some((told, at)) = clock else { return };
        if !self.is_due() {
            return;
        }
        let last = self.provider.last();
        let heartbeat = Heartbeat {
            at: told.plus(at.elapsed().as_millis() as u64),
            interval_ms: self.interval().as_millis() as u64,
            running: self.running,
            permits: self.permits,
            provider_up: last.map(|(answered, _)| answered),
            provider_ms: last.map_or(0, |(_, took)| took.as_millis() as u64),
            provider_breaker: Some(self.provider.worst_breaker()),
            version: shared::VERSION.to_owned(),
        };
        (self.last, self.was_busy) = (Some(Instant::now()), self.running > 0);
        if self
            .sending
            .as_ref()
            .is_some_and(|sending| !sending.is_finished())
        {
            return;
        }
        let (redis, keys, session) = (self.redis.clone(), self.keys.clone(), self.session.clone());
        let sending = tokio::spawn(async move {
            if let Err(error) = Workers::beat(&redis, &keys, &session, &heartbeat).await {
                tracing::warn!(%error, "the heartbeat was not recorded");
            }
        });
        self.sending = Some(AbortOnDropHandle::new(sending));
    }

    /// Takes this worker out of the list.
    pub(crate) async fn farewell(&mut self) {
        if let Some(sending) = self.sending.take() {
            // Or it would put us in again. It gives up by itself.
            let _ = sending.await;
        }
        if let Err(error) = Workers::farewell(&self.redis, &self.keys, &self.session).await {
            tracing::warn!(%error, "could not say farewell; the heartbeat will run out");
        }
    }
}
