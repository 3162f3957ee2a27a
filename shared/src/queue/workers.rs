//! Who works: the heartbeats of the worker processes. Nothing is decided by them.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::redis::{Command, Keys, Redis, RedisError, Repeat};
use crate::store::to_json;

/// Heartbeats of workers that died without a farewell are removed after this long.
const FORGET_AFTER_MS: u64 = 60 * 60_000;

/// Whether calls to the provider are made, from best to worst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They are.
    #[default]
    Closed,
    /// One is, to find out whether the others may follow.
    HalfOpen,
    /// They are not, because too many failed.
    Open,
}

impl BreakerState {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// A worker's word that it is alive, by Redis's clock as the worker reckons it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// When.
    pub at: Millis,
    /// From this one to the next, in ms: longer while there is nothing to do.
    pub interval_ms: u64,
    /// Jobs it is working on.
    pub running: usize,
    /// Jobs it works on at most at a time.
    pub permits: usize,
    /// The provider answered its last call; `None` before the first one.
    pub provider_up: Option<bool>,
    /// How long the provider's last answer took, in ms.
    pub provider_ms: u64,
    /// Its breaker of the lane to the provider that is worst off; `None` from a version without any.
    #[serde(default)]
    pub provider_breaker: Option<BreakerState>,
    /// Its version.
    pub version: String,
}

impl Heartbeat {
    /// Fewer than three heartbeats were missed since.
    #[must_use]
    pub fn is_recent(&self, now: Millis) -> bool {
        now.since(self.at) <= 3 * self.interval_ms
    }
}

/// The worker processes of a deployment, by session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workers(pub Vec<(String, Heartbeat)>);

impl Workers {
    /// Reads all that are known, alive or not.
    pub async fn read(redis: &Redis, keys: &Keys) -> Result<Self, RedisError> {
        let command = Command::new("HGETALL").arg(keys.workers());
        let pairs = redis.run(command, Repeat::Harmless).await?.pairs()?;
        let known = pairs
            .into_iter()
            .filter_map(|(session, json)| Some((session, serde_json::from_str(&json).ok()?)));
        Ok(Self(known.collect()))
    }

    /// Those that are alive at `now`, by Redis's clock.
    pub fn alive(&self, now: Millis) -> impl Iterator<Item = &(String, Heartbeat)> {
        self.0
            .iter()
            .filter(move |(_, heartbeat)| heartbeat.is_recent(now))
    }

    /// Records a heartbeat.
    pub async fn beat(
        redis: &Redis,
        keys: &Keys,
        session: &str,
        heartbeat: &Heartbeat,
    ) -> Result<(), RedisError> {
        let command = Command::new("HSET")
            .arg(keys.workers())
            .arg(session)
            .arg(to_json(heartbeat));
        redis.run(command, Repeat::Harmless).await.map(drop)
    }

    /// Removes a worker that says farewell, and what it left behind.
    pub async fn farewell(redis: &Redis, keys: &Keys, session: &str) -> Result<(), RedisError> {
        redis
            .read(&[
                Command::new("HDEL").arg(keys.workers()).arg(session),
                Command::new("HDEL").arg(keys.replies()).arg(session),
                Command::new("ZREM").arg(keys.idle()).arg(session),
            ])
            .await
            .map(drop)
    }

    /// Removes what workers left behind that died without a farewell.
    pub async fn forget_the_gone(
        redis: &Redis,
        keys: &Keys,
        now: Millis,
    ) -> Result<(), RedisError> {
        let forget_after = |heartbeat: &Heartbeat| FORGET_AFTER_MS.max(3 * heartbeat.interval_ms);
        for (session, heartbeat) in &Self::read(redis, keys).await?.0 {
            if now.since(heartbeat.at) > forget_after(heartbeat) {
                Self::farewell(redis, keys, session).await?;
            }
        }
        Ok(())
    }
}
