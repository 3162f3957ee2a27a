//! Wall-clock time as the rest of the code uses it: milliseconds since 1970, and ISO 8601 text.
//!
//! Due times, leases and ages are never decided by this clock: that is Redis's `TIME`, inside the
//! scripts. A step is handed the time Redis told at its reservation, so it needs no clock at all.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
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

    /// The moment that an ISO 8601 text names: a date, or a date and a time, which is in UTC unless it
    /// says otherwise. `None` for what is none, or lies before 1970.
    #[must_use]
    pub fn parse_iso(text: &str) -> Option<Self> {
        let in_utc = |at: DateTime| TimeZone::UTC.to_timestamp(at).ok();
        let timestamp: Option<Timestamp> = text.parse().ok();
        let timestamp = timestamp.or_else(|| text.parse().ok().and_then(in_utc))?;
        u64::try_from(timestamp.as_millisecond()).ok().map(Self)
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
    fn times_are_read_in_every_iso_form_and_nothing_else_is() {
        let iso = |text| Millis::parse_iso(text).map(Millis::iso);
        for (text, time) in [
            ("2026-01-15T10:30:00.000Z", "2026-01-15T10:30:00.000Z"),
            ("2026-01-15T10:30:00+07:00", "2026-01-15T03:30:00.000Z"),
            ("2026-01-15T10:30:00.25", "2026-01-15T10:30:00.250Z"),
            ("2026-01-15", "2026-01-15T00:00:00.000Z"),
            ("2999-01-01T00:00:00Z", "2999-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso(text).as_deref(), Some(time), "{text}");
        }
        for text in [
            "yesterday",
            "",
            "1700000000",
            "2026-13-01",
            "1969-12-31",
            "10:30",
        ] {
            assert_eq!(iso(text), None, "{text}");
        }
    }

    #[test]
    fn a_clock_that_went_back_gives_no_negative_age() {
        assert_eq!(Millis(5).since(Millis(9)), 0);
    }
}
