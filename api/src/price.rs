//! US dollars as callers write them, read without ever rounding.

use serde_json::Value;

/// Decimals of the provider's unit, 1/100 000 US dollars.
const DECIMALS: i32 = 5;
/// A million US dollars.
const MAX_UNITS: u128 = 100_000_000_000;
/// Digits of an amount in all; more would say nothing.
const MAX_DIGITS: usize = 25;
/// Beyond this no amount of so many digits is both a whole number of units and within bounds.
const MAX_EXPONENT: i32 = 30;

/// 1/100 000 US dollars: from 1 to a million dollars' worth. `None` for what is no such amount, and for
/// what has more than five decimals. A JSON number counts as the shortest decimal that stands for it.
pub(crate) fn units(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => decimal(&number.to_string()),
        Value::String(text) => decimal(text.trim()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn decimal(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
        None => (text, 0_i32),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_sane = whole.len() + fraction.len() <= MAX_DIGITS
        && (-MAX_EXPONENT..=MAX_EXPONENT).contains(&exponent);
    if !is_number(whole) || !is_number(fraction) || !is_sane {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = exponent + DECIMALS - fraction.len() as i32;
    let power = 10_u128.checked_pow(shift.unsigned_abs())?;
    let units = if shift >= 0 {
        digits.checked_mul(power)?
    } else if digits.is_multiple_of(power) {
        digits / power
    } else {
        return None;
    };
    (1..=MAX_UNITS).contains(&units).then_some(units as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_read_exactly_as_numbers_and_as_text() {
        for (value, expected) in [
            (json!(0.35), 35_000),
            (json!("0.35"), 35_000),
            (json!(" 0.35 "), 35_000),
            (json!(1), 100_000),
            (json!(0.1), 10_000),
            (json!(0.00001), 1),
            (json!(1e-5), 1),
            (json!("1e-5"), 1),
            (json!("2.5E1"), 2_500_000),
            (json!("0.350000"), 35_000),
            (json!(2.67), 267_000),
            (json!(1_000_000), 100_000_000_000),
            (json!(999_999.999_99), 99_999_999_999),
        ] {
            assert_eq!(units(&value), Some(expected), "{value}");
        }
    }

    #[test]
    fn every_price_with_five_decimals_survives_being_a_json_number() {
        for expected in (1..10_000_000_u64).step_by(997) {
            let text = format!("{}.{:05}", expected / 100_000, expected % 100_000);
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(units(&value), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for value in [
            json!(0),
            json!(-1),
            json!("-0.35"),
            json!("+1"),
            json!(0.000_001),
            json!("0.000001"),
            json!("1e-6"),
            json!(1_000_000.000_01),
            json!("1e999999999999"),
            json!("1e30"),
            json!(""),
            json!("."),
            json!("1."),
            json!(".5"),
            json!("0x1"),
            json!("1,5"),
            json!("NaN"),
            json!("9".repeat(400)),
            json!(null),
            json!([]),
            json!(true),
        ] {
            assert_eq!(units(&value), None, "{value}");
        }
    }
}
