//! When a failed delivery is tried again.

use std::time::Duration;

use rand::{Rng, RngExt as _};

use super::Failure;
use crate::outbound::FailureReason;

/// Waits after the 1st, 2nd … 10th attempt, in seconds: 55 h 42 m 35 s in all before jitter.
const WAITS: [u64; 10] = [
    5,
    30,
    2 * 60,
    10 * 60,
    30 * 60,
    2 * 3600,
    5 * 3600,
    10 * 3600,
    14 * 3600,
    24 * 3600,
];

/// Attempts a delivery gets in all.
pub const MAX_ATTEMPTS: u32 = WAITS.len() as u32 + 1;

const JITTER: std::ops::RangeInclusive<f64> = 0.8..=1.2;
/// The least a receiver that is overloaded or too slow is left alone.
const OVERLOAD_WAIT: Duration = Duration::from_secs(60);
/// The most a receiver may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How long to wait after the attempt number `attempts_made` (1 for the first) ended in
/// `failure`, or `None` when that was the last one.
///
/// Jitter is uniform within ±20 %. `Retry-After` can only lengthen the wait, to at most 24 h;
/// 429, 502, 503, 504 and time-outs wait at least a minute.
pub fn next_attempt(attempts_made: u32, failure: &Failure, rng: &mut impl Rng) -> Option<Duration> {
    let index = attempts_made.saturating_sub(1) as usize;
    let scheduled = Duration::from_secs(*WAITS.get(index)?);
    Some(lengthen(
        scheduled.mul_f64(rng.random_range(JITTER)),
        failure,
    ))
}

fn lengthen(scheduled: Duration, failure: &Failure) -> Duration {
    let asked = failure.retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
    let least = if is_overload(failure.reason) {
        OVERLOAD_WAIT
    } else {
        Duration::ZERO
    };
    scheduled.max(asked).max(least)
}

fn is_overload(reason: FailureReason) -> bool {
    matches!(reason, FailureReason::Http(429 | 502..=504)) || reason.is_timeout()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::outbound::retry_after;

    fn failed(reason: FailureReason) -> Failure {
        Failure {
            reason,
            status: None,
            retry_after: None,
        }
    }

    #[test]
    fn eleven_attempts_with_waits_within_a_fifth_of_the_schedule() {
        let mut rng = SmallRng::seed_from_u64(7);
        let failure = failed(FailureReason::ConnectionRefused);
        for attempt in 1..MAX_ATTEMPTS {
            let scheduled = WAITS[attempt as usize - 1] as f64;
            let waits: Vec<f64> = (0..200)
                .map(|_| {
                    next_attempt(attempt, &failure, &mut rng)
                        .unwrap()
                        .as_secs_f64()
                })
                .collect();
            assert!(
                waits.iter().all(|w| (0.8..=1.2).contains(&(w / scheduled))),
                "{attempt}"
            );
            assert!(
                waits.iter().any(|w| w / scheduled < 0.9),
                "{attempt} is spread"
            );
            assert!(
                waits.iter().any(|w| w / scheduled > 1.1),
                "{attempt} is spread"
            );
        }
        assert_eq!(MAX_ATTEMPTS, 11);
        assert_eq!(next_attempt(11, &failure, &mut rng), None);
        assert_eq!(WAITS.iter().sum::<u64>(), 55 * 3600 + 42 * 60 + 35);
    }

    #[test]
    fn an_overloaded_receiver_is_left_alone_for_a_minute() {
        let five = Duration::from_secs(5);
        for status in [429, 502, 503, 504] {
            assert_eq!(
                lengthen(five, &failed(FailureReason::Http(status))),
                OVERLOAD_WAIT
            );
        }
        assert_eq!(
            lengthen(five, &failed(FailureReason::TimeoutResponse)),
            OVERLOAD_WAIT
        );
        for status in [400, 404, 500, 501] {
            assert_eq!(lengthen(five, &failed(FailureReason::Http(status))), five);
        }
    }

    /// The published vectors: a scheduled wait of 120 s, now Wed, 21 Oct 2026 07:00:00 GMT.
    #[test]
    fn retry_after_lengthens_the_wait_and_never_shortens_it() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:00:00 GMT").unwrap();
        for (lines, wait) in [
            (&["300"][..], 300),
            (&["5"], 120),
            (&["0"], 120),
            (&["86401"], 86_400),
            (&["99999999999999999999"], 120),
            (&["-5"], 120),
            (&["+5"], 120),
            (&["120.5"], 120),
            (&["1e3"], 120),
            (&["inf"], 120),
            (&["NaN"], 120),
            (&["0x10"], 120),
            (&[""], 120),
            (&["١٢٠"], 120),
            (&["Wed, 21 Oct 2026 07:10:00 GMT"], 600),
            (&["Wednesday, 21-Oct-26 07:10:00 GMT"], 600),
            (&["Wed Oct 21 07:10:00 2026"], 600),
            (&["Wed, 21 Oct 2015 07:28:00 GMT"], 120),
            (&["Wed, 21 Oct 2026 07:10:00 +0900"], 120),
            (&["300", "600"], 300),
            (&["soon", "600"], 600),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(
                    RETRY_AFTER,
                    HeaderValue::from_bytes(line.as_bytes()).unwrap(),
                );
            }
            let retry_after = retry_after(&headers, now);
            let failure = Failure {
                retry_after,
                ..failed(FailureReason::Http(500))
            };
            let scheduled = Duration::from_secs(120);
            assert_eq!(
                lengthen(scheduled, &failure),
                Duration::from_secs(wait),
                "{lines:?}"
            );
        }
    }
}
