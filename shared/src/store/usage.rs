//! When instances were used last.

use std::time::Duration;

use super::{Record, Store, StoreError};
use crate::clock::Millis;
use crate::model::InstanceId;
use crate::redis::scripts::TOUCH;
use crate::redis::{Command, RedisError, Repeat, Reply};

/// A time of use is taken to be at most so far ahead, so that none keeps an instance for ever.
pub const MAX_AHEAD: Duration = Duration::from_secs(24 * 3600);

impl Store {
    /// Notes that an instance was used, at this time or now; an earlier time than what is known changes
    /// nothing. Tells when it was used last, or `None` when there is no such instance.
    pub async fn touch(
        &self,
        id: &InstanceId,
        used: Option<Millis>,
    ) -> Result<Option<Millis>, StoreError> {
        let keys = [self.keys.spec(), self.keys.last_used()];
        let args = [
            id.to_string(),
            used.map_or_else(String::new, |used| used.0.to_string()),
            MAX_AHEAD.as_millis().to_string(),
            self.keys.changes_channel(),
        ];
        let reply = self
            .redis
            .script(&TOUCH, &keys, &args, Repeat::Harmless)
            .await?;
        Ok(u64::try_from(reply.int()?).ok().map(Millis))
    }

    /// Redis's clock.
    pub async fn time(&self) -> Result<Millis, StoreError> {
        let reply = self
            .redis
            .run(Command::new("TIME"), Repeat::Harmless)
            .await?;
        let mut parts = reply.array()?.into_iter().map(Reply::int);
        match (parts.next().transpose()?, parts.next().transpose()?) {
            (Some(seconds), Some(micros)) => Ok(Millis((seconds * 1000 + micros / 1000) as u64)),
            _ => Err(RedisError::Protocol("a time without its two parts".into()).into()),
        }
    }

    /// When an instance was used last.
    pub async fn last_used(&self, id: &InstanceId) -> Result<Option<Millis>, StoreError> {
        let command = Command::new("HGET")
            .arg(self.keys.last_used())
            .arg(id.as_str());
        let reply = self.redis.run(command, Repeat::Harmless).await?;
        Ok(time(reply)?)
    }

    /// When each of these was used last, in their order.
    pub async fn last_used_of(
        &self,
        records: &[Record],
    ) -> Result<Vec<Option<Millis>>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let ids = records.iter().map(|record| record.spec.id.as_str());
        let command = Command::new("HMGET").arg(self.keys.last_used()).args(ids);
        let replies = self.redis.run(command, Repeat::Harmless).await?.array()?;
        let times: Result<_, RedisError> = replies.into_iter().map(time).collect();
        Ok(times?)
    }
}

/// A stored time.
pub(super) fn time(reply: Reply) -> Result<Option<Millis>, RedisError> {
    let text = reply.optional_text()?;
    Ok(text.and_then(|text| text.parse().ok()).map(Millis))
}
