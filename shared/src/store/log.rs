//! What is read beside the records: event logs, and the sum of what is reserved.

use super::{Store, StoreError, parse};
use crate::model::{Event, InstanceId, Rate};
use crate::redis::{Command, Repeat};

/// Events that are kept of an instance: the newest, as many as `settle.lua` leaves.
pub const EVENTS_KEPT: usize = 500;

impl Store {
    /// Events of an instance from number `after` + 1 on, oldest first, `limit` at most; the log keeps
    /// the newest 500.
    pub async fn events(
        &self,
        id: &InstanceId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        // Most callers follow the end, so that is looked at first.
        let mut events = self.last_events(id, limit).await?;
        let reaches = events.first().is_none_or(|first| first.number <= after + 1);
        if !reaches && events.len() == limit {
            events = self.last_events(id, EVENTS_KEPT).await?;
        }
        let news = events.into_iter().filter(|event| event.number > after);
        Ok(news.take(limit).collect())
    }

    async fn last_events(&self, id: &InstanceId, count: usize) -> Result<Vec<Event>, StoreError> {
        let command = Command::new("LRANGE")
            .arg(self.keys.events(id))
            .args([format!("-{count}"), "-1".to_owned()]);
        let stored = self.redis.run(command, Repeat::Harmless).await?;
        let stored = stored.optional_texts()?.into_iter().flatten();
        stored
            .map(|json| parse("event", id.as_str(), &json))
            .collect()
    }

    /// What all instances together have reserved of the budget per hour.
    pub async fn reserved(&self) -> Result<Rate, StoreError> {
        let command = Command::new("HGET").arg(self.keys.budget()).arg("total");
        let total = self.redis.run(command, Repeat::Harmless).await?;
        let units = total.optional_text()?.and_then(|units| units.parse().ok());
        Ok(Rate::stored(units.unwrap_or(0)))
    }
}
