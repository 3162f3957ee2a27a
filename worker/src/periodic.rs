//! What is done every so often, once per deployment.

use std::time::Duration;

use shared::clock::Millis;
use shared::queue::{QueueAdmin, Reservation, Settlement, Verdict, Workers, until_next_slot};
use shared::redis::{Keys, Redis};
use shared::store::{Store, StoreError};
use shared::webhooks::{DeliveryLog, Gone};
use tokio::time::Instant;

/// From one run to the next.
const PERIOD: Duration = Duration::from_secs(3600);
/// Jobs that were given up are kept this long.
const DEAD_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most jobs that one run removes; the next one goes on.
const DEAD_REMOVED: usize = 1000;
/// The most closed records that one run forgets; the next one goes on.
const RECORDS_FORGOTTEN: usize = 1000;
/// Receivers that answered 410 are left alone this long: what was meant for them is over by then.
const GONE_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Before it is tried again when Redis did not let it finish.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Forgets workers that died without a farewell, jobs that have been dead for long, what became of old
/// webhooks, and records of instances that were closed long ago.
pub(crate) struct Housekeeping {
    redis: Redis,
    keys: Keys,
    admin: QueueAdmin,
    store: Store,
    retention: Duration,
    log_retention: Duration,
}

impl Housekeeping {
    pub(crate) fn new(
        redis: Redis,
        keys: Keys,
        retention: Duration,
        log_retention: Duration,
    ) -> Self {
        Self {
            retention,
            log_retention,
            store: Store::new(redis.clone(), keys.clone()),
            admin: QueueAdmin::new(redis.clone(), keys.clone()),
            redis,
            keys,
        }
    }

    pub(crate) async fn run(&self, job: Reservation, now: Millis) -> Settlement {
        let started = Instant::now();
        if let Err(error) = self.clean(now).await {
            let error = error.to_string();
            let after = RETRY_AFTER;
            return job.settle(Verdict::Retry { after, error }, Vec::new());
        }
        let now = now.plus(started.elapsed().as_millis() as u64);
        let wait = until_next_slot(now, PERIOD);
        job.settle(Verdict::Again(wait), Vec::new())
    }

    async fn clean(&self, now: Millis) -> Result<(), StoreError> {
        Workers::forget_the_gone(&self.redis, &self.keys, now).await?;
        let ago = |span: Duration| Millis(now.0.saturating_sub(span.as_millis() as u64));
        let removed = self
            .admin
            .drop_dead_before(ago(DEAD_KEPT), DEAD_REMOVED)
            .await?;
        if removed > 0 {
            tracing::info!(removed, "removed jobs that were given up long ago");
        }
        self.forget_deliveries(&ago).await?;
        let before = ago(self.retention);
        let forgotten = self.store.prune(before, RECORDS_FORGOTTEN).await?;
        if forgotten > 0 {
            tracing::info!(forgotten, "forgot instances that were closed long ago");
        }
        Ok(())
    }

    async fn forget_deliveries(&self, ago: &impl Fn(Duration) -> Millis) -> Result<(), StoreError> {
        let log = DeliveryLog::new(self.redis.clone(), self.keys.clone());
        let lines = log.forget_before(ago(self.log_retention)).await?;
        let receivers = Gone::forget_before(&self.redis, &self.keys, ago(GONE_KEPT)).await?;
        if lines + receivers > 0 {
            tracing::info!(
                lines,
                receivers,
                "forgot old deliveries and receivers that are gone"
            );
        }
        Ok(())
    }
}
