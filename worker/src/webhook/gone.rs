//! Which receivers want nothing more, as this process knows it.

use std::time::Duration;

use shared::clock::Millis;
use shared::queue::{Hash, Write};
use shared::redis::{Keys, Redis};
use shared::webhooks::{Gone, digest};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// What others learned is known here after this long.
const FRESH: Duration = Duration::from_secs(30);

/// The receivers that want nothing more. It costs one command at a time as long as webhooks are delivered,
/// and none while there are none.
#[derive(Debug)]
pub(crate) struct GoneReceivers {
    redis: Redis,
    keys: Keys,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    gone: Gone,
    read_at: Option<Instant>,
}

impl GoneReceivers {
    pub(crate) fn new(redis: Redis, keys: Keys) -> Self {
        Self {
            redis,
            keys,
            known: Mutex::default(),
        }
    }

    /// Whether the receiver at this URL wants nothing more. When Redis does not say, what was known before
    /// counts: a delivery too many does no harm.
    pub(crate) async fn has(&self, url: &str) -> bool {
        let mut known = self.known.lock().await;
        if known.read_at.is_none_or(|at| at.elapsed() >= FRESH) {
            known.read_at = Some(Instant::now());
            match Gone::read(&self.redis, &self.keys).await {
                Ok(gone) => known.gone = gone,
                Err(error) => tracing::debug!(%error, "cannot read which receivers are gone"),
            }
        }
        known.gone.has(url)
    }

    /// It answered that it wants nothing more; what is to be written of that.
    pub(crate) async fn add(&self, url: &str, now: Millis) -> Write {
        self.known.lock().await.gone.add(url, now);
        Write::Set(Hash::Gone, digest(url), now.0.to_string())
    }

    /// It took something again, because somebody asked for it; what is to be written of that.
    pub(crate) async fn remove(&self, url: &str) -> Write {
        self.known.lock().await.gone.remove(url);
        Write::Unset(Hash::Gone, digest(url))
    }
}
