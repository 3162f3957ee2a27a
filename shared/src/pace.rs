//! The pace of calls to the provider, kept in Redis for all replicas together.

use std::time::Duration;

use crate::redis::scripts::PACE;
use crate::redis::{Keys, Redis, RedisError, Repeat};

/// Reports that one call passes on at most.
pub const REPORTS: usize = 8;

/// What a call to the provider is for; lanes share one limit, and none can starve those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Ends what costs money: stop, delete. May use everything.
    Save,
    /// Begins what costs money: create, start, restart, migrate. Leaves a fifth of a burst.
    Create,
    /// Changes nothing. Leaves two fifths of a burst.
    Observe,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Save, Self::Create, Self::Observe];

    /// The lane's word, in scripts and in labels of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Create => "create",
            Self::Observe => "observe",
        }
    }
}

/// A 429 that the provider answered. It counts once, however often it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    id: String,
    retry_after: Option<Duration>,
    /// 0 to 1000: where in its range a hold lies that the provider did not name.
    random: u16,
}

impl Report {
    /// A new one, with what `Retry-After` asked for.
    #[must_use]
    pub fn new(retry_after: Option<Duration>) -> Self {
        Self {
            id: format!("{:016x}", rand::random::<u64>()),
            retry_after,
            random: rand::random_range(0..=1000),
        }
    }
}

/// What Redis answered: tokens, and the state of the pace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Calls that may be made now.
    pub tokens: u32,
    /// Until the lane may have a token, if it got none.
    pub wait: Duration,
    /// Left of the hold after a 429; only money-saving calls are made meanwhile.
    pub hold: Duration,
    /// Left of the time that the provider asked for: not even those.
    pub save_hold: Duration,
    /// Thousandths of tokens left in the bucket.
    pub left_milli: u64,
    /// Calls per minute that are allowed at present, in thousandths.
    pub rate_milli: u64,
}

/// The pace of one deployment.
#[derive(Debug, Clone)]
pub struct Pace {
    redis: Redis,
    key: String,
    limit: u32,
}

impl Pace {
    /// At most `limit` calls per minute by all replicas; they should agree on it.
    #[must_use]
    pub fn new(redis: &Redis, keys: &Keys, limit: u32) -> Self {
        Self {
            // Who waits for a token has patience of its own.
            redis: redis.without_retries(),
            key: keys.pace(),
            limit,
        }
    }

    /// Calls per minute, when the provider does not complain.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes up to `wanted` tokens for a lane, and passes on up to [`REPORTS`] reports before that.
    ///
    /// # Errors
    /// Redis did not answer: the tokens may be gone, and the reports may have been taken in. Repeat
    /// both as they are.
    pub async fn take(
        &self,
        lane: Lane,
        wanted: u32,
        reports: &[Report],
    ) -> Result<Grant, RedisError> {
        let mut args = vec![
            self.limit.to_string(),
            lane.as_str().to_owned(),
            wanted.to_string(),
        ];
        for report in reports.iter().take(REPORTS) {
            let retry_after = report.retry_after.map(|wait| wait.as_millis().to_string());
            args.extend([
                report.id.clone(),
                retry_after.unwrap_or_default(),
                report.random.to_string(),
            ]);
        }
        let keys = std::slice::from_ref(&self.key);
        let reply = self
            .redis
            .script(&PACE, keys, &args, Repeat::Harmless)
            .await?;
        let numbers = reply.array()?.into_iter().map(crate::redis::Reply::int);
        let numbers: Vec<u64> = numbers
            .map(|number| number.map(i64::unsigned_abs))
            .collect::<Result<_, _>>()?;
        let [tokens, wait, hold, save_hold, left_milli, rate_milli] = numbers[..] else {
            return Err(RedisError::Protocol("pace told something else".into()));
        };
        Ok(Grant {
            tokens: tokens as u32,
            wait: Duration::from_millis(wait),
            hold: Duration::from_millis(hold),
            save_hold: Duration::from_millis(save_hold),
            left_milli,
            rate_milli,
        })
    }
}
