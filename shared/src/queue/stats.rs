//! What the queue and its workers look like from outside, at constant cost.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::redis::{Command, Keys, Redis, RedisError, Repeat, Reply};
use crate::store::to_json;

/// A heartbeat older than three of these intervals belongs to a worker that is gone.
pub const HEARTBEAT_INTERVAL_MS: u64 = 30_000;
/// Heartbeats of workers that died without a farewell are removed after this long.
const FORGET_AFTER_MS: u64 = 10 * 60_000;

/// A worker's word that it is alive, by Redis's clock as the worker reckons it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// When.
    pub at: Millis,
    /// Jobs it is working on.
    pub running: usize,
    /// Jobs it works on at most at a time.
    pub permits: usize,
    /// The provider answered its last call; `None` before the first one.
    pub provider_up: Option<bool>,
    /// How long the provider's last answer took, in ms.
    pub provider_ms: u64,
    /// Its version.
    pub version: String,
}

impl Heartbeat {
    /// It was sent within the last three intervals.
    #[must_use]
    pub fn is_recent(&self, now: Millis) -> bool {
        now.since(self.at) <= 3 * HEARTBEAT_INTERVAL_MS
    }
}

/// The queue in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueStats {
    /// Redis's clock.
    pub now: Millis,
    /// Jobs that are runnable now, overdue timers included.
    pub due: u64,
    /// Jobs that wait for their time, or are being worked on.
    pub waiting: u64,
    /// Jobs that were given up.
    pub dead: u64,
    /// How long the oldest runnable job has been runnable, in ms; too low by its priority's offset.
    pub oldest_due_ms: u64,
    /// Workers by session.
    pub workers: Vec<(String, Heartbeat)>,
}

impl QueueStats {
    /// Reads the numbers: seven commands in one round trip, however much is queued.
    pub async fn read(redis: &Redis, keys: &Keys) -> Result<Self, RedisError> {
        let first = |key: String| {
            Command::new("ZRANGE")
                .arg(key)
                .args(["0", "0", "WITHSCORES"])
        };
        let replies = redis
            .read(&[
                Command::new("TIME"),
                Command::new("ZCARD").arg(keys.ready()),
                Command::new("ZCARD").arg(keys.timers()),
                first(keys.ready()),
                first(keys.timers()),
                Command::new("ZCARD").arg(keys.dead()),
                Command::new("HGETALL").arg(keys.workers()),
            ])
            .await?;
        let [time, ready, timers, first_ready, first_timer, dead, workers] = replies
            .try_into()
            .map_err(|_| RedisError::Protocol("expected seven replies".into()))?;
        let now = redis_time(time)?;
        let age = |first: Reply| -> Result<u64, RedisError> {
            // An expired lease waits with the score 0; its age is not known.
            let at = first
                .pairs()?
                .first()
                .and_then(|(_, at)| at.parse::<f64>().ok());
            Ok(at
                .filter(|at| *at > 0.0)
                .map_or(0, |at| now.since(Millis(at as u64))))
        };
        let workers = workers
            .pairs()?
            .into_iter()
            .filter_map(|(session, json)| Some((session, serde_json::from_str(&json).ok()?)))
            .collect();
        Ok(Self {
            now,
            due: ready.int()? as u64,
            waiting: timers.int()? as u64,
            dead: dead.int()? as u64,
            oldest_due_ms: age(first_ready)?.max(age(first_timer)?),
            workers,
        })
    }

    /// The workers that are alive.
    pub fn live_workers(&self) -> impl Iterator<Item = &(String, Heartbeat)> {
        self.workers
            .iter()
            .filter(|(_, heartbeat)| heartbeat.is_recent(self.now))
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
    pub async fn forget_the_dead(redis: &Redis, keys: &Keys) -> Result<(), RedisError> {
        let stats = Self::read(redis, keys).await?;
        for (session, heartbeat) in &stats.workers {
            if stats.now.since(heartbeat.at) > FORGET_AFTER_MS {
                Self::farewell(redis, keys, session).await?;
            }
        }
        Ok(())
    }
}

/// Redis's clock in milliseconds, from a `TIME` reply.
fn redis_time(reply: Reply) -> Result<Millis, RedisError> {
    let mut parts = reply.array()?.into_iter();
    match (parts.next(), parts.next()) {
        (Some(seconds), Some(micros)) => Ok(Millis(
            seconds.int()? as u64 * 1000 + micros.int()? as u64 / 1000,
        )),
        _ => Err(RedisError::Protocol("TIME without its two parts".into())),
    }
}
