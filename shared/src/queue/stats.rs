//! The queue in numbers, at nearly constant cost.

use crate::clock::Millis;
use crate::redis::scripts::STATS;
use crate::redis::{Keys, Redis, RedisError, Repeat};

use super::periodic::Periodic;
use super::state::Scope;

/// The queue in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStats {
    /// Redis's clock.
    pub now: Millis,
    /// Jobs that are runnable now, overdue timers and ended leases included.
    pub due: u64,
    /// Jobs that a worker holds.
    pub leased: u64,
    /// Jobs that wait for their time.
    pub delayed: u64,
    /// Jobs of paused kinds that would be due.
    pub paused: u64,
    /// Jobs that were given up.
    pub dead: u64,
    /// How long the first runnable job in line has been runnable, in ms.
    pub oldest_due_ms: u64,
    /// `leased` and `delayed` are complete; else there are more than 5000 timers, and leases that end
    /// after those count as delayed.
    pub is_complete: bool,
    /// What is paused.
    pub paused_scopes: Vec<Scope>,
}

impl QueueStats {
    /// Reads the numbers: at most nine commands in one script, however much is queued.
    pub async fn read(redis: &Redis, keys: &Keys) -> Result<Self, RedisError> {
        let reply = redis
            .script(&STATS, &keys.queue(), &[], Repeat::Harmless)
            .await?;
        let mut items = reply.array()?;
        if items.len() < 8 {
            return Err(RedisError::Protocol("expected eight numbers".into()));
        }
        let scopes = items.split_off(8);
        let mut numbers = Vec::with_capacity(8);
        for item in items {
            numbers.push(item.int()?.max(0) as u64);
        }
        let mut paused_scopes = Vec::new();
        for scope in scopes {
            paused_scopes.extend(scope.text()?.parse::<Scope>().ok());
        }
        Ok(Self {
            now: Millis(numbers[0]),
            due: numbers[1],
            leased: numbers[2],
            delayed: numbers[3],
            paused: numbers[4],
            dead: numbers[5],
            oldest_due_ms: numbers[6],
            is_complete: numbers[7] == 1,
            paused_scopes,
        })
    }

    /// Nothing is there but what comes round periodically.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let delayed_work = self.delayed.saturating_sub(Periodic::ALL.len() as u64);
        self.due + self.leased + self.paused + delayed_work == 0
    }
}
