//! What this process may call on its own, to save money, while Redis cannot be asked.

use std::time::Duration;

use tokio::time::Instant;

/// A replica's own share of the limit, as a divisor: the fifth that no other lane may use.
const SHARE: u32 = 5;
/// Calls at once are what that share gives in this time, at least one.
const BURST: Duration = Duration::from_secs(10);

/// A token bucket in memory.
#[derive(Debug)]
pub(super) struct Spare {
    /// Between two calls in the long run.
    gap: Duration,
    /// When the bucket would be empty but for the time that passed since: it fills by one per gap.
    empty_at: Option<Instant>,
}

impl Spare {
    /// A full bucket, for a limit in calls per minute.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            gap: Duration::from_secs(60) * SHARE / limit.max(1),
            empty_at: None,
        }
    }

    /// Uses a token, or tells how long to wait for one.
    pub(super) fn spend(&mut self, now: Instant) -> Result<(), Duration> {
        // Full at most: so far in the past has it been empty.
        let full = BURST.max(self.gap);
        let oldest = now.checked_sub(full).unwrap_or(now);
        let empty_at = self.empty_at.unwrap_or(oldest).max(oldest) + self.gap;
        if empty_at > now {
            return Err(empty_at - now);
        }
        self.empty_at = Some(empty_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_a_fifth_of_the_limit() {
        let (mut spare, began) = (Spare::new(60), Instant::now() + Duration::from_secs(3600));
        for _ in 0..2 {
            spare.spend(began).unwrap();
        }
        assert_eq!(spare.spend(began), Err(Duration::from_secs(5)));
        let mut calls = 0;
        for second in 1..=60 {
            calls += u32::from(spare.spend(began + Duration::from_secs(second)).is_ok());
        }
        assert_eq!(calls, 12);
    }

    #[test]
    fn the_smallest_limit_gives_a_call_at_once() {
        let (mut spare, began) = (Spare::new(1), Instant::now() + Duration::from_secs(3600));
        spare.spend(began).unwrap();
        assert_eq!(spare.spend(began), Err(Duration::from_secs(300)));
    }
}
