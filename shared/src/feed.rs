//! What happened to whom: the newest events of all instances in the order in which they were written.
//!
//! `settle.lua` writes it together with the events' own logs, which are the truth; the feed is for whoever
//! follows the whole fleet, and keeps about five thousand entries.

use std::fmt;
use std::str::FromStr;

use crate::model::Event;
use crate::redis::{Command, Keys, Redis, RedisError, Repeat, Reply};

/// Entries that are read at a time, at most.
pub const FEED_PAGE: usize = 200;

/// The place of an entry; later entries have greater ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedId {
    /// Milliseconds since the Unix epoch.
    time: u64,
    /// Among those of one millisecond.
    number: u64,
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time, self.number)
    }
}

/// A text that is no place in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of an event of this feed, such as 1795379753556-0")]
pub struct NoFeedId;

impl FromStr for FeedId {
    type Err = NoFeedId;

    fn from_str(text: &str) -> Result<Self, NoFeedId> {
        let number = |part: &str| {
            let is_plain = part.bytes().all(|b| b.is_ascii_digit());
            part.parse().ok().filter(|_| is_plain).ok_or(NoFeedId)
        };
        let (time, rest) = text.split_once('-').ok_or(NoFeedId)?;
        Ok(Self {
            time: number(time)?,
            number: number(rest)?,
        })
    }
}

/// The events of one settlement.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedEntry {
    /// Its place.
    pub id: FeedId,
    /// In order; those that cannot be read are left out.
    pub events: Vec<Event>,
}

/// The feed of one deployment.
#[derive(Debug, Clone)]
pub struct Feed {
    redis: Redis,
    key: String,
}

impl Feed {
    /// The feed under these keys.
    #[must_use]
    pub fn new(redis: &Redis, keys: &Keys) -> Self {
        Self {
            redis: redis.clone(),
            key: keys.feed(),
        }
    }

    /// The place of the newest entry; before all others when there is none.
    pub async fn newest(&self) -> Result<FeedId, RedisError> {
        let command = Command::new("XREVRANGE").arg(&self.key);
        let command = command.args(["+", "-", "COUNT", "1"]);
        let entries = self.read(command).await?;
        Ok(entries.first().map(|entry| entry.id).unwrap_or_default())
    }

    /// The place of the oldest entry that is still kept; before all others when there is none.
    pub async fn oldest(&self) -> Result<FeedId, RedisError> {
        let command = Command::new("XRANGE").arg(&self.key);
        let entries = self.read(command.args(["-", "+", "COUNT", "1"])).await?;
        Ok(entries.first().map(|entry| entry.id).unwrap_or_default())
    }

    /// The entries after a place, oldest first, [`FEED_PAGE`] at most.
    pub async fn after(&self, id: FeedId) -> Result<Vec<FeedEntry>, RedisError> {
        let command = Command::new("XRANGE").arg(&self.key);
        let count = FEED_PAGE.to_string();
        let from = format!("({id}");
        self.read(command.args([&from, "+", "COUNT", &count])).await
    }

    async fn read(&self, command: Command) -> Result<Vec<FeedEntry>, RedisError> {
        let entries = self.redis.run(command, Repeat::Harmless).await?.array()?;
        entries.into_iter().map(entry).collect()
    }
}

/// `[id, [field, value, …]]`
fn entry(reply: Reply) -> Result<FeedEntry, RedisError> {
    let unexpected = || RedisError::Protocol("an entry of the feed that is none".into());
    let mut parts = reply.array()?.into_iter();
    let (Some(id), Some(fields)) = (parts.next(), parts.next()) else {
        return Err(unexpected());
    };
    let id = id.text()?.parse().map_err(|_| unexpected())?;
    let events = fields.pairs()?.into_iter().filter_map(|(_, text)| {
        serde_json::from_str(&text)
            .inspect_err(|error| tracing::warn!(%error, "an event of the feed cannot be read"))
            .ok()
    });
    Ok(FeedEntry {
        id,
        events: events.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ordered_by_time_and_then_by_number() {
        let id = |text: &str| text.parse::<FeedId>().unwrap();
        assert!(id("9-0") < id("10-0"));
        assert!(id("10-9") < id("10-10"));
        assert_eq!(id("10-9").to_string(), "10-9");
        assert!(FeedId::default() < id("0-1"));
        for text in [
            "",
            "1",
            "-",
            "1-",
            "-1",
            "+1-0",
            "1-0-0",
            "a-b",
            "1-99999999999999999999",
        ] {
            assert_eq!(text.parse::<FeedId>(), Err(NoFeedId), "{text:?}");
        }
    }
}
