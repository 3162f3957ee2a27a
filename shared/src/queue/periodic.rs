//! Jobs that come round: one of each per deployment, however many workers there are.
//!
//! Such a job is an ordinary job that settles with "again at the next slot". Whichever worker starts
//! first creates it; after a pause of any length it runs once, not once per slot that went by.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// What is done every so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Periodic {
    /// Forgets workers that died without a farewell, jobs that have been dead for long, and records
    /// that were closed long ago.
    Housekeeping,
    /// Reads the provider's list of instances and tells who is concerned.
    Fleet,
    /// Looks at what is on its way at the provider.
    Watch,
}

impl Periodic {
    /// Every periodic job.
    pub const ALL: [Self; 3] = [Self::Housekeeping, Self::Fleet, Self::Watch];
}

impl fmt::Display for Periodic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Housekeeping => "housekeeping",
            Self::Fleet => "fleet",
            Self::Watch => "watch",
        })
    }
}

/// The time from `now` to the next slot: slots are the multiples of `period` (at least 1 ms) since
/// 1970, the same for every worker.
#[must_use]
pub fn until_next_slot(now: Millis, period: Duration) -> Duration {
    let period = period.as_millis().max(1) as u64;
    Duration::from_millis(period - now.0 % period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_slot_is_never_now_and_never_more_than_a_period_away() {
        let second = Duration::from_secs(1);
        for (now, wait) in [(5000, 1000), (5001, 999), (5999, 1)] {
            let expected = Duration::from_millis(wait);
            assert_eq!(until_next_slot(Millis(now), second), expected, "{now}");
        }
    }
}
