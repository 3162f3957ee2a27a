//! The log of deliveries: a ring in Redis, written by settlements, read by people.

use std::time::Duration;

use super::entry::{Entry, Fate};
use crate::clock::Millis;
use crate::model::EventId;
use crate::queue::Queue;
use crate::redis::{Command, Keys, Redis, RedisError, Repeat};

/// Lines that one command reads.
pub(super) const CHUNK: u64 = 200;
/// No job is taken through this handle, so no lease is.
const NO_LEASE: Duration = Duration::from_secs(60);

/// The log of deliveries of one deployment.
///
/// Line `n` is at the field `n % KEPT` of a hash, until line `n + KEPT` is written over it: so the log is
/// bounded at every moment, and a settlement appends any number of lines with two commands.
#[derive(Debug, Clone)]
pub struct DeliveryLog {
    pub(super) redis: Redis,
    pub(super) keys: Keys,
    pub(super) queue: Queue,
}

/// Which lines are wanted; the default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this event.
    pub event: Option<EventId>,
    /// With this fate.
    pub fate: Option<Fate>,
}

/// Some lines, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The lines with their numbers.
    pub entries: Vec<(u64, Entry)>,
    /// What to pass as `before` to read on; `None` at the end of the log.
    pub next: Option<u64>,
}

impl Selection {
    fn takes(&self, entry: &Entry) -> bool {
        self.event
            .as_ref()
            .is_none_or(|event| *event == entry.event_id)
            && self.fate.is_none_or(|fate| fate == entry.fate)
    }
}

impl DeliveryLog {
    /// The lines that are kept, as `settle.lua` has it.
    pub const KEPT: u64 = 10_000;
    /// The most lines of one page.
    pub const PAGE: usize = 100;
    /// The most lines that one page looks at; a page of few may be followed by more.
    const LOOKED_AT: u64 = 2_000;

    /// The log of the deployment with these keys.
    #[must_use]
    pub fn new(redis: Redis, keys: Keys) -> Self {
        Self {
            queue: Queue::new(redis.clone(), keys.clone(), NO_LEASE),
            redis,
            keys,
        }
    }

    /// Up to `limit` lines before the one with this number (without one: the newest), newest first. A
    /// line that cannot be read is left out.
    pub async fn page(
        &self,
        before: Option<u64>,
        limit: usize,
        selection: &Selection,
    ) -> Result<LogPage, RedisError> {
        let limit = limit.clamp(1, Self::PAGE);
        let newest = self.newest().await?;
        let mut next = before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
        let end = newest.saturating_sub(Self::KEPT);
        let last = next.saturating_sub(Self::LOOKED_AT).max(end);
        let mut entries = Vec::new();
        while next > last {
            let from = next.saturating_sub(CHUNK).max(last) + 1;
            for (number, entry) in self.lines(from..=next).await?.into_iter().rev() {
                if entries.len() == limit {
                    let next = entries.last().map(|(number, _)| *number);
                    return Ok(LogPage { entries, next });
                }
                if selection.takes(&entry) {
                    entries.push((number, entry));
                }
            }
            next = from - 1;
        }
        let next = (last > end).then_some(last + 1);
        Ok(LogPage { entries, next })
    }

    /// One line; `None` when there is none, or no longer.
    pub async fn entry(&self, number: u64) -> Result<Option<Entry>, RedisError> {
        let found = self.lines([number]).await?.pop();
        Ok(found.map(|(_, entry)| entry))
    }

    /// Forgets lines that were written before `time`. Returns how many. What was forgotten is not looked at
    /// again: the field `f` has the number of the newest such line.
    pub async fn forget_before(&self, time: Millis) -> Result<usize, RedisError> {
        let (newest, forgotten) = self.ends().await?;
        let mut from = forgotten.max(newest.saturating_sub(Self::KEPT)) + 1;
        let mut count = 0;
        while from <= newest {
            let to = newest.min(from + CHUNK - 1);
            let lines = self.lines(from..=to).await?;
            let kept = lines.iter().find(|(_, entry)| entry.at >= time);
            let end = kept.map_or(to, |(number, _)| number - 1);
            if end >= from {
                count += lines.iter().filter(|(number, _)| *number <= end).count();
                self.forget(from, end).await?;
            }
            if kept.is_some() {
                break;
            }
            from = to + 1;
        }
        Ok(count)
    }

    /// What is written over one of these lines meanwhile is at most a line too few.
    async fn forget(&self, from: u64, to: u64) -> Result<(), RedisError> {
        let log = self.keys.deliveries();
        let drop = Command::new("HDEL").arg(&log).args((from..=to).map(field));
        self.redis.run(drop, Repeat::Harmless).await?;
        let note = Command::new("HSET").args([log, "f".to_owned(), to.to_string()]);
        self.redis.run(note, Repeat::Harmless).await?;
        Ok(())
    }

    /// The numbers of the newest line and of the newest that was forgotten; 0 when there is none.
    async fn ends(&self) -> Result<(u64, u64), RedisError> {
        let command = Command::new("HMGET")
            .arg(self.keys.deliveries())
            .args(["n", "f"]);
        let ends = self.redis.run(command, Repeat::Harmless).await?;
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut ends = ends.optional_texts()?.into_iter().map(number);
        Ok((ends.next().unwrap_or(0), ends.next().unwrap_or(0)))
    }

    /// The number of the newest line; 0 when there is none.
    pub(super) async fn newest(&self) -> Result<u64, RedisError> {
        self.ends().await.map(|(newest, _)| newest)
    }

    /// Those of these lines that are there, in the order of their numbers.
    pub(super) async fn lines(
        &self,
        numbers: impl IntoIterator<Item = u64> + Clone,
    ) -> Result<Vec<(u64, Entry)>, RedisError> {
        let command = Command::new("HMGET")
            .arg(self.keys.deliveries())
            .args(numbers.clone().into_iter().map(field));
        let found = self.redis.run(command, Repeat::Harmless).await?;
        let found = numbers.into_iter().zip(found.optional_texts()?);
        let read = found.filter_map(|(number, line)| Some((number, parse(number, &line?)?)));
        Ok(read.collect())
    }
}

fn field(number: u64) -> String {
    (number % DeliveryLog::KEPT).to_string()
}

/// The line of this number; another may have been written over it.
fn parse(number: u64, line: &str) -> Option<Entry> {
    let (stored, entry) = line.split_once('|')?;
    (stored.parse() == Ok(number))
        .then(|| serde_json::from_str(entry).ok())
        .flatten()
}
