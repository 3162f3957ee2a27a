//! Money, exactly: whole numbers of units small enough that nothing is ever rounded but text.

use serde::{Deserialize, Serialize};

/// Disk that costs nothing extra, in GB (Novita pricing guide).
const FREE_DISK_GB: u64 = 60;
/// One more GB of disk, kept for an hour: $0.005 a day (Novita pricing guide).
const DISK_GB: Rate = Rate(125);
/// [`Rate`]s in 1/100 000 US dollars per hour, the provider's unit.
const PER_UNIT_PRICE: u64 = 6;
/// Decimals of the provider's unit.
const UNIT_DECIMALS: usize = 5;
const MS_PER_HOUR: u128 = 3_600_000;
/// [`Rate`]s in a US dollar per hour.
const PER_DOLLAR: u128 = 600_000;
const MICROS: u128 = 1_000_000;

/// What is charged per hour, in 1/600 000 US dollars: the largest unit in which both a GPU
/// (1/100 000 dollars an hour) and a GB of disk (1/200 dollars a day) cost a whole number.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Rate(u64);

/// What was charged, in 1/2 160 000 000 000 US dollars: one [`Rate`] for one millisecond. The most
/// that fits is 8.5 million dollars; more counts as that.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Amount(u64);

impl Rate {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// A price in the provider's unit, 1/100 000 US dollars per hour.
    #[must_use]
    pub const fn of_units(units: u64) -> Self {
        Self(units.saturating_mul(PER_UNIT_PRICE))
    }

    /// What these GPUs cost while they are billed; `unit_price` is that of one, in 1/100 000 US
    /// dollars per hour.
    #[must_use]
    pub fn of_gpus(gpus: u8, unit_price: u64) -> Self {
        Self::of_units(unit_price.saturating_mul(u64::from(gpus)))
    }

    /// What a root disk of so many GB costs, whether its instance runs or not.
    #[must_use]
    pub fn of_disk(gb: u32) -> Self {
        Self(u64::from(gb).saturating_sub(FREE_DISK_GB) * DISK_GB.0)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This rate for so many milliseconds.
    #[must_use]
    pub fn over(self, ms: u64) -> Amount {
        Amount(self.0.saturating_mul(ms))
    }

    /// The whole number of 1/600 000 US dollars, as scripts count it.
    #[must_use]
    pub fn units(self) -> u64 {
        self.0
    }

    /// The rate that a script counted.
    #[must_use]
    pub fn stored(units: u64) -> Self {
        Self(units)
    }

    /// A price in US dollars per hour, as people write it: digits, and up to five decimals. `None` for
    /// anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > UNIT_DECIMALS {
            return None;
        }
        let units: u64 = format!("{whole}{decimals:0<UNIT_DECIMALS$}").parse().ok()?;
        Some(Self(units.checked_mul(PER_UNIT_PRICE)?))
    }

    /// US dollars per hour as a decimal, to a millionth.
    #[must_use]
    pub fn dollars(self) -> String {
        decimal(rounded(u128::from(self.0) * MICROS, PER_DOLLAR))
    }

    /// US dollars per hour, for gauges alone.
    #[must_use]
    pub fn approximate_dollars(self) -> f64 {
        self.0 as f64 / PER_DOLLAR as f64
    }
}

impl Amount {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// US dollars as a decimal, to a millionth.
    #[must_use]
    pub fn dollars(self) -> String {
        decimal(rounded(
            u128::from(self.0) * MICROS,
            PER_DOLLAR * MS_PER_HOUR,
        ))
    }
}

/// 1/100 000 US dollars as dollars, with at least two decimals: 33000 is `0.33`.
#[must_use]
pub fn dollars(units: u64) -> String {
    decimal(u128::from(units) * 10)
}

fn rounded(dividend: u128, divisor: u128) -> u128 {
    (dividend + divisor / 2) / divisor
}

fn decimal(micros: u128) -> String {
    let (whole, parts) = (micros / MICROS, micros % MICROS);
    let decimals = format!("{parts:06}");
    let (cents, rest) = decimals.split_at(2);
    format!("{whole}.{cents}{}", rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact_decimals() {
        for (units, text) in [
            (0, "0.00"),
            (1, "0.00001"),
            (33_000, "0.33"),
            (35_500, "0.355"),
            (1_000_000, "10.00"),
            (u64::MAX, "184467440737095.51615"),
        ] {
            assert_eq!(dollars(units), text);
        }
    }

    #[test]
    fn gpus_and_disk_are_charged_by_the_hour() {
        assert_eq!(Rate::of_gpus(2, 36_000).dollars(), "0.72");
        assert_eq!(Rate::of_disk(60), Rate::ZERO);
        assert_eq!(Rate::of_disk(10), Rate::ZERO);
        // 24 GB more for an hour are one GB more for a day.
        assert_eq!(Rate::of_disk(84).dollars(), "0.005");
        assert_eq!(Rate::of_disk(61).dollars(), "0.000208");
    }

    #[test]
    fn an_hour_costs_what_the_rate_says() {
        let rate = Rate::of_gpus(1, 33_000).plus(Rate::of_disk(160));
        assert_eq!(rate.over(3_600_000).dollars(), rate.dollars());
        assert_eq!(rate.over(0).dollars(), "0.00");
        assert_eq!(
            Rate::of_units(u64::MAX).over(2),
            Amount(u64::MAX),
            "it does not wrap"
        );
    }

    #[test]
    fn a_price_is_read_exactly_or_not_at_all() {
        for (text, units) in [
            ("0", 0),
            ("12", 1_200_000),
            ("0.5", 50_000),
            ("0.00001", 1),
            ("007.10", 710_000),
        ] {
            assert_eq!(Rate::parse(text), Some(Rate::of_units(units)), "{text}");
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "0.000001",
            "1,5",
            " 1",
            "1 ",
            "NaN",
            "٣",
            "999999999999999999999",
        ] {
            assert_eq!(Rate::parse(text), None, "{text:?}");
        }
    }
}
