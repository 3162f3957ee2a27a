//! What an instance costs, to the millisecond.

use super::catalog::Price;
use super::clock::{SimDuration, SimTime};

/// Disk included in the price, GB.
pub(crate) const FREE_DISK_GB: u32 = 60;

/// Disk beyond it, whether the instance runs or not.
const DISK_USD_PER_GB_DAY: f64 = 0.005;

const SECONDS_PER_HOUR: f64 = 3600.0;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// Time counted while it runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    total: SimDuration,
    since: Option<SimTime>,
}

impl Meter {
    /// Goes on counting if it does already.
    pub(crate) fn run(&mut self, at: SimTime) {
        self.since.get_or_insert(at);
    }

    pub(crate) fn stop(&mut self, at: SimTime) {
        if let Some(since) = self.since.take() {
            self.total += at.since(since);
        }
    }

    pub(crate) fn counted(&self, now: SimTime) -> SimDuration {
        let mut total = self.total;
        if let Some(since) = self.since {
            total += now.since(since);
        }
        total
    }
}

/// Prices as agreed at create; a later change of the catalogue does not touch them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Per GPU.
    pub(crate) hourly: Price,
    pub(crate) gpus: u32,
    /// GB.
    pub(crate) disk: u32,
    /// Paid ahead for the whole term instead of by the second.
    pub(crate) prepaid_usd: Option<f64>,
}

impl Terms {
    /// The whole cost of `compute` billed seconds and `storage` seconds of kept data.
    pub(crate) fn cost_usd(&self, compute: f64, storage: f64) -> f64 {
        let by_the_second = self.hourly.usd() * f64::from(self.gpus) * compute / SECONDS_PER_HOUR;
        let excess = f64::from(self.disk.saturating_sub(FREE_DISK_GB));
        let disk = excess * DISK_USD_PER_GB_DAY * storage / SECONDS_PER_DAY;
        self.prepaid_usd.unwrap_or(by_the_second) + disk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_counts_only_while_it_runs() {
        let at = |seconds: i64| SimTime::from_unix_millis(seconds * 1000);
        let mut meter = Meter::default();
        meter.run(at(10));
        meter.run(at(15));
        assert_eq!(meter.counted(at(20)), SimDuration::seconds(10));
        meter.stop(at(30));
        meter.stop(at(35));
        assert_eq!(meter.counted(at(1000)), SimDuration::seconds(20));
        meter.run(at(1000));
        assert_eq!(meter.counted(at(1005)), SimDuration::seconds(25));
    }

    #[test]
    fn cost_is_price_times_gpus_plus_disk_beyond_the_free_part() {
        let terms = Terms {
            hourly: Price(36_000),
            gpus: 2,
            disk: 160,
            prepaid_usd: None,
        };
        let cost = terms.cost_usd(3600.0, 86_400.0);
        assert!((cost - (0.72 + 0.5)).abs() < 1e-9, "{cost}");
    }
}
