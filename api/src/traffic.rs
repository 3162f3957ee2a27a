//! The last minute of requests in three numbers, for `/health`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const SECONDS: usize = 60;

/// Counts requests by the second, for one minute.
#[derive(Debug)]
pub(crate) struct Traffic {
    since: Instant,
    slots: Mutex<[Slot; SECONDS]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    second: u64,
    requests: u64,
    failures: u64,
    micros: u64,
}

/// The last minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    /// Requests in it.
    pub(crate) requests: u64,
    /// Mean time per request in ms; 0 without requests.
    pub(crate) average_ms: f64,
    /// Share of answers with a 5xx status, 0 to 1.
    pub(crate) error_rate: f64,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        Self {
            since: Instant::now(),
            slots: Mutex::new([Slot::default(); SECONDS]),
        }
    }

    /// Counts one answered request.
    pub(crate) fn record(&self, duration: Duration, is_failure: bool) {
        let second = self.second();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut slots[second as usize % SECONDS];
        if slot.second != second {
            *slot = Slot {
                second,
                ..Slot::default()
            };
        }
        slot.requests += 1;
        slot.failures += u64::from(is_failure);
        slot.micros += duration.as_micros() as u64;
    }

    /// Sums the last minute up.
    pub(crate) fn summary(&self) -> Summary {
        let oldest = self.second().saturating_sub(SECONDS as u64 - 1);
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut requests, mut failures, mut micros) = (0, 0, 0);
        for slot in slots.iter().filter(|slot| slot.second >= oldest) {
            requests += slot.requests;
            failures += slot.failures;
            micros += slot.micros;
        }
        let per_request = |sum: f64| {
            if requests == 0 {
                0.0
            } else {
                sum / requests as f64
            }
        };
        Summary {
            requests,
            average_ms: per_request(micros as f64 / 1000.0),
            error_rate: per_request(failures as f64),
        }
    }

    fn second(&self) -> u64 {
        self.since.elapsed().as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_counts_for_a_minute() {
        let traffic = Traffic::new();
        assert_eq!(traffic.summary().requests, 0);
        traffic.record(Duration::from_millis(10), false);
        tokio::time::advance(Duration::from_secs(30)).await;
        traffic.record(Duration::from_millis(30), true);
        let summary = traffic.summary();
        assert_eq!(summary.requests, 2);
        assert!((summary.average_ms - 20.0).abs() < 1e-9);
        assert!((summary.error_rate - 0.5).abs() < 1e-9);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(traffic.summary().requests, 1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(traffic.summary().requests, 0);
    }
}
