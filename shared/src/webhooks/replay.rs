//! Doing deliveries over, by hand.

use std::collections::{BTreeMap, HashSet};

use serde_json::json;

use super::entry::{Entry, Fate};
use super::log::{CHUNK, DeliveryLog};
use crate::clock::Millis;
use crate::model::EventId;
use crate::queue::{Asked, Delivery, Job, Purpose};
use crate::redis::RedisError;

/// Which deliveries are to be done over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Those whose last attempt ended at this moment or later,
    pub from: Millis,
    /// and before this one;
    pub to: Millis,
    /// also those that were delivered: for a receiver that lost what it had.
    pub with_delivered: bool,
    /// At most so many, the oldest first.
    pub limit: usize,
}

/// What a replay of a range came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// So many deliveries are due.
    pub replayed: usize,
    /// So many more are in the range.
    pub remaining: usize,
}

impl DeliveryLog {
    /// Does the delivery of a line over: with the same id and body, signed anew, due now. One that waits
    /// for its next attempt makes that now; one that is dead begins anew. `None` when there is no such
    /// line.
    pub async fn replay(&self, number: u64, now: Millis) -> Result<Option<EventId>, RedisError> {
        let Some(entry) = self.entry(number).await? else {
            return Ok(None);
        };
        let event = entry.event_id.clone();
        self.queue.enqueue(&[again(entry, now)]).await?;
        Ok(Some(event))
    }

    /// Does over what was not delivered in a range of time and was not delivered later either, each
    /// delivery once.
    pub async fn replay_range(&self, range: Range, now: Millis) -> Result<Replayed, RedisError> {
        let numbers = self.wanted(range).await?;
        let remaining = numbers.len().saturating_sub(range.limit);
        // They were found from the newest on.
        let oldest_first: Vec<u64> = numbers.into_iter().rev().take(range.limit).collect();
        let mut replayed = 0;
        for some in oldest_first.chunks(CHUNK as usize) {
            let lines = self.lines(some.iter().copied()).await?.into_iter();
            let jobs: Vec<Job> = lines.map(|(_, entry)| again(entry, now)).collect();
            self.queue.enqueue(&jobs).await?;
            replayed += jobs.len();
        }
        Ok(Replayed {
            replayed,
            remaining,
        })
    }

    /// The numbers of the last lines of those deliveries, newest first.
    async fn wanted(&self, range: Range) -> Result<Vec<u64>, RedisError> {
        let (mut known, mut numbers) = (HashSet::new(), Vec::new());
        let mut next = self.newest().await?;
        let end = next.saturating_sub(Self::KEPT);
        while next > end {
            let from = next.saturating_sub(CHUNK).max(end) + 1;
            for (number, entry) in self.lines(from..=next).await?.into_iter().rev() {
                let is_in_range = (range.from..range.to).contains(&entry.at);
                let is_had = entry.fate == Fate::Delivered && range.with_delivered;
                let is_wanted = entry.fate.is_lost() || is_had;
                let is_test = entry.purpose() == Some(Purpose::Test);
                // Only the last line of a delivery tells what became of it.
                let is_last = known.insert(entry.event_id);
                if is_last && is_in_range && is_wanted && !is_test {
                    numbers.push(number);
                }
            }
            next = from - 1;
        }
        Ok(numbers)
    }

    /// Has a test delivered to this URL, which the caller has checked; returns its event. Its line in the
    /// log tells what came of it.
    pub async fn test(&self, url: String, now: Millis) -> Result<EventId, RedisError> {
        let (event, job) = ping(url, now);
        self.queue.enqueue(&[job]).await?;
        Ok(event)
    }
}

fn again(entry: Entry, now: Millis) -> Job {
    entry.again(Asked {
        at: now,
        purpose: Purpose::Replay,
    })
}

/// An event that is none, to see whether a receiver can be reached. Its body has the members of both
/// formats.
#[must_use]
pub fn ping(url: String, now: Millis) -> (EventId, Job) {
    let event = EventId::generate();
    let body = json!({
        "id": event,
        "eventId": event,
        "type": "webhook.ping",
        "timestamp": now.iso(),
        "sequence": 0,
        "data": {},
    });
    let job = Job::Webhook(Delivery {
        event_id: event.clone(),
        url,
        body: body.to_string(),
        headers: BTreeMap::new(),
        traceparent: None,
        asked: Some(Asked {
            at: now,
            purpose: Purpose::Test,
        }),
    });
    (event, job)
}
