//! Simulated time: milliseconds since the Unix epoch, at any speed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The longest simulated time span accepted anywhere: a little over thirty years.
const MAX_SECONDS: f64 = 1e9;

/// The fastest clock accepted.
pub(crate) const MAX_SPEED: f64 = 1e6;

/// A span of simulated time with millisecond resolution; in JSON a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct SimDuration {
    millis: i64,
}

impl SimDuration {
    /// A whole number of simulated seconds.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        Self {
            millis: seconds as i64 * 1000,
        }
    }

    /// Seconds, fractions included.
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        self.millis as f64 / 1000.0
    }
}

impl TryFrom<f64> for SimDuration {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if (0.0..=MAX_SECONDS).contains(&seconds) {
            Ok(Self {
                millis: (seconds * 1000.0).round() as i64,
            })
        } else {
            Err(format!(
                "expected seconds between 0 and {MAX_SECONDS}, got {seconds}"
            ))
        }
    }
}

impl From<SimDuration> for f64 {
    fn from(duration: SimDuration) -> f64 {
        duration.as_seconds()
    }
}

impl std::ops::AddAssign for SimDuration {
    fn add_assign(&mut self, other: Self) {
        self.millis += other.millis;
    }
}

/// A moment of simulated time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SimTime {
    millis: i64,
}

impl SimTime {
    pub(crate) const fn from_unix_millis(millis: i64) -> Self {
        Self { millis }
    }

    /// What the machine's own clock says.
    pub(crate) fn real() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            millis: since_epoch.as_millis() as i64,
        }
    }

    pub(crate) const fn unix_millis(self) -> i64 {
        self.millis
    }

    pub(crate) const fn plus(self, span: SimDuration) -> Self {
        Self {
            millis: self.millis.saturating_add(span.millis),
        }
    }

    pub(crate) const fn minus(self, span: SimDuration) -> Self {
        Self {
            millis: self.millis.saturating_sub(span.millis),
        }
    }

    /// Zero when `earlier` is in fact later.
    pub(crate) fn since(self, earlier: Self) -> SimDuration {
        SimDuration {
            millis: (self.millis - earlier.millis).max(0),
        }
    }

    pub(crate) fn unix_seconds(self) -> f64 {
        self.millis as f64 / 1000.0
    }

    /// Whole Unix seconds as a string, the form of every time on Novita's wire.
    pub(crate) fn wire(self) -> String {
        self.millis.div_euclid(1000).to_string()
    }
}

/// Runs at `speed` simulated seconds per real second and can jump ahead, never back.
#[derive(Debug)]
pub(crate) struct SimClock {
    anchor: Mutex<Anchor>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    simulated: SimTime,
    real: Instant,
    speed: f64,
}

impl Anchor {
    fn now(self) -> SimTime {
        let elapsed: Duration = self.real.elapsed();
        let millis = (elapsed.as_secs_f64() * 1000.0 * self.speed) as i64;
        SimTime {
            millis: self.simulated.millis.saturating_add(millis),
        }
    }
}

impl SimClock {
    pub(crate) fn new(start: SimTime, speed: f64) -> Self {
        Self {
            anchor: Mutex::new(Anchor {
                simulated: start,
                real: Instant::now(),
                speed,
            }),
        }
    }

    pub(crate) fn now(&self) -> SimTime {
        self.read().now()
    }

    pub(crate) fn speed(&self) -> f64 {
        self.read().speed
    }

    pub(crate) fn set_speed(&self, speed: f64) {
        self.anchor_at(SimDuration::default(), Some(speed));
    }

    /// Begins again, as if new.
    pub(crate) fn restart(&self, start: SimTime, speed: f64) {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        *anchor = Anchor {
            simulated: start,
            real: Instant::now(),
            speed,
        };
    }

    pub(crate) fn advance(&self, span: SimDuration) {
        self.anchor_at(span, None);
    }

    fn read(&self) -> Anchor {
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn anchor_at(&self, ahead: SimDuration, speed: Option<f64>) {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        *anchor = Anchor {
            simulated: anchor.now().plus(ahead),
            real: Instant::now(),
            speed: speed.unwrap_or(anchor.speed),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_moves_only_by_jumps() {
        let start = SimTime::from_unix_millis(1_000_000);
        let clock = SimClock::new(start, 0.0);
        assert_eq!(clock.now(), start);
        clock.advance(SimDuration::seconds(3600));
        assert_eq!(clock.now(), SimTime::from_unix_millis(4_600_000));
    }

    #[test]
    fn changing_speed_does_not_jump() {
        let start = SimTime::from_unix_millis(0);
        let clock = SimClock::new(start, 0.0);
        clock.set_speed(1.0);
        assert!(clock.now().since(start) < SimDuration::seconds(60));
    }

    #[test]
    fn spans_refuse_negative_and_endless_values() {
        for bad in [-0.001, f64::NAN, f64::INFINITY, 2e9] {
            assert!(SimDuration::try_from(bad).is_err(), "{bad} was accepted");
        }
        assert_eq!(
            SimDuration::try_from(1.25).unwrap(),
            SimDuration { millis: 1250 }
        );
    }

    #[test]
    fn wire_times_are_whole_seconds() {
        assert_eq!(
            SimTime::from_unix_millis(1_790_000_000_999).wire(),
            "1790000000"
        );
    }
}
