//! The `Retry-After` header, read strictly.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// More digits than this would be over 300 years and are ignored like any other nonsense.
const MAX_DIGITS: usize = 10;

/// How long the first valid `Retry-After` of `headers` asks to wait, seen from `now`.
///
/// Accepts whole seconds of at most ten ASCII digits and the three HTTP date forms; a date in the
/// past is zero. Anything else (signs, fractions, exponents, other zones) is as good as absent.
/// The value is not capped here.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    headers
        .get_all(header::RETRY_AFTER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(|value| parse(value, now))
}

fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return (value.len() <= MAX_DIGITS)
            .then(|| value.parse().ok())
            .flatten()
            .map(Duration::from_secs);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}
