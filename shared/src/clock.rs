//! Wall-clock time as the rest of the code uses it: milliseconds since 1970, and ISO 8601 text.
//!
//! Due times, leases and ages are never decided by this clock: that is Redis's `TIME`, inside the
//! scripts. A step is handed the time Redis told at its reservation, so it needs no clock at all.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A moment in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// Now, by this machine's clock: for stamps that people read, not for decisions.
    #[must_use]
    pub fn now() -> Self {
        Self(Timestamp::now().as_millisecond().max(0) as u64)
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// ISO 8601 in UTC with milliseconds, e.g. `2026-11-22T20:25:56.475Z`.
    #[must_use]
    pub fn iso(self) -> String {
        Timestamp::from_millisecond(self.0 as i64)
            .unwrap_or(Timestamp::MAX)
            .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
            .to_string()
    }

    /// Milliseconds from `earlier` to this moment; 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment plus `ms` milliseconds.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_has_milliseconds_even_when_they_are_zero() {
        assert_eq!(Millis(1_795_379_156_000).iso(), "2026-11-22T20:25:56.000Z");
        assert_eq!(Millis(1_795_379_156_475).iso(), "2026-11-22T20:25:56.475Z");
    }

    #[test]
    fn a_clock_that_went_back_gives_no_negative_age() {
        assert_eq!(Millis(5).since(Millis(9)), 0);
    }
}
