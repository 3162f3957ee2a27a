//! What callers may ask within a window, shared by all processes.

use std::time::Duration;

use crate::redis::scripts::RATE;
use crate::redis::{Keys, Redis, RedisError, Repeat};

/// How often callers may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatePolicy {
    /// Requests of one caller within a window, at all processes together.
    pub limit: u32,
    /// How long a window is; it begins with the first request in it.
    pub window: Duration,
}

/// A part of a caller's requests that this process may let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// So many.
    pub granted: u32,
    /// How many nobody has taken yet.
    pub left: u32,
    /// Until the window ends and all begins anew.
    pub resets_in: Duration,
}

/// The requests that processes have taken.
#[derive(Debug, Clone)]
pub struct Rates {
    redis: Redis,
    keys: Keys,
    policy: RatePolicy,
}

impl Rates {
    /// The requests that are counted under these keys.
    #[must_use]
    pub fn new(redis: &Redis, keys: Keys, policy: RatePolicy) -> Self {
        Self {
            // A caller is waiting, and a repetition would take twice.
            redis: redis.without_retries(),
            keys,
            policy,
        }
    }

    /// How often callers may ask.
    #[must_use]
    pub fn policy(&self) -> RatePolicy {
        self.policy
    }

    /// Takes up to `wanted` requests of `who`, whose name is fit for a key. What is taken and not used is
    /// lost to this caller until the window ends.
    pub async fn take(&self, who: &str, wanted: u32) -> Result<Share, RedisError> {
        let RatePolicy { limit, window } = self.policy;
        let args = [
            wanted.to_string(),
            limit.to_string(),
            window.as_millis().to_string(),
        ];
        let keys = [self.keys.rate(who)];
        let reply = self
            .redis
            .script(&RATE, &keys, &args, Repeat::Never)
            .await?;
        let mut numbers = reply.array()?.into_iter();
        let mut next = || match numbers.next() {
            Some(number) => number.int(),
            None => Err(RedisError::Protocol("expected three numbers".into())),
        };
        Ok(Share {
            granted: u32::try_from(next()?).unwrap_or_default(),
            left: u32::try_from(next()?).unwrap_or_default(),
            resets_in: Duration::from_millis(u64::try_from(next()?).unwrap_or_default()),
        })
    }
}
