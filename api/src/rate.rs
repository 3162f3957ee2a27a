//! Rate limits: how often one caller may ask, at all processes together.
//!
//! A process takes a caller's requests out of the shared window in portions and counts them here, so that
//! most requests cost Redis nothing. A portion is at most what this process has let through already in this
//! window, and at most a quarter of what nobody has taken: so never more than the limit gets through, and
//! what one process holds and does not use keeps little from the others.

mod table;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use shared::rate::{Rates, Share};
use tokio::time::{Instant, timeout};

use crate::auth::Caller;
use crate::metrics;
use table::Table;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The first portion of a window, and the largest of all.
const PORTIONS: (u32, u32) = (8, 256);
/// Longest wait for a portion.
const REDIS_BUDGET: Duration = Duration::from_millis(250);
/// Without Redis a portion of this size is let through per time, by each process for itself.
const ALONE: (u32, Duration) = (64, Duration::from_secs(1));
/// Wrong keys from one address, and the time in which they are counted.
const WRONG_KEYS: (u32, Duration) = (20, Duration::from_secs(60));

/// How a caller stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    limit: u32,
    window: Duration,
    /// Requests that it may still ask.
    left: u32,
    resets_in: Duration,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Key(Arc<str>),
    Address(IpAddr),
    /// Whoever came after too many others.
    Others,
}

/// The limits of one process.
#[derive(Debug)]
pub(crate) struct RateLimits {
    shared: Option<Rates>,
    callers: Table<Subject, Arc<tokio::sync::Mutex<Portion>>>,
    wrong_keys: Table<IpAddr, WrongKeys>,
}

/// The wrong keys that came from one address.
#[derive(Debug, Default)]
struct WrongKeys {
    since: Option<Instant>,
    count: u32,
}

impl RateLimits {
    /// Without `shared` only wrong keys are counted.
    pub(crate) fn new(shared: Option<Rates>) -> Self {
        Self {
            shared,
            callers: Table::default(),
            wrong_keys: Table::default(),
        }
    }

    /// Counts a request: `Err` if it is one too many, `None` where nobody is limited.
    pub(crate) async fn count(
        &self,
        caller: &Caller,
        peer: IpAddr,
    ) -> Option<Result<Standing, Standing>> {
        let shared = self.shared.as_ref()?;
        let subject = match &caller.name {
            Some(name) => Subject::Key(Arc::clone(name)),
            None => Subject::Address(network(peer)),
        };
        let (subject, portion) = self.portion(subject);
        // A caller's requests come one after the other here, so that one takes a portion for all.
        let mut portion = portion.lock().await;
        Some(portion.spend(shared, &subject).await)
    }

    fn portion(&self, subject: Subject) -> (Subject, Arc<tokio::sync::Mutex<Portion>>) {
        let is_over = |portion: &Arc<tokio::sync::Mutex<Portion>>| {
            let portion = portion.try_lock();
            portion.is_ok_and(|portion| portion.ends <= Instant::now())
        };
        self.callers
            .with(subject, Subject::Others, is_over, |portion| {
                Arc::clone(portion)
            })
    }

    /// Counts a wrong key. `Some` if it is one too many: when to come again.
    pub(crate) fn count_wrong_key(&self, peer: IpAddr) -> Option<Duration> {
        let (most, window) = WRONG_KEYS;
        let now = Instant::now();
        let is_over = |keys: &WrongKeys| keys.since.is_none_or(|since| now >= since + window);
        // No address of any network: the count of all that came after too many others.
        let others = IpAddr::from([0, 0, 0, 0]);
        let (_, left) = self
            .wrong_keys
            .with(network(peer), others, is_over, |keys| {
                if is_over(keys) {
                    *keys = WrongKeys::default();
                }
                keys.count = keys.count.saturating_add(1);
                let since = *keys.since.get_or_insert(now);
                (keys.count > most).then(|| (since + window).duration_since(now))
            });
        left
    }
}

/// Who owns one address of the sixth version owns its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(short) => short.into(),
        IpAddr::V6(long) => {
            let [a, b, c, d, ..] = long.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

/// What this process may let through for one caller.
#[derive(Debug)]
struct Portion {
    /// So many are in hand.
    rest: u32,
    /// So many nobody has taken, when that was told last; `None` before the window began.
    left: Option<u32>,
    /// So many were taken by this process in this window.
    taken: u32,
    /// When the window ends.
    ends: Instant,
}

impl Default for Portion {
    fn default() -> Self {
        Self {
            rest: 0,
            left: None,
            taken: 0,
            ends: Instant::now(),
        }
    }
}

impl Portion {
    async fn spend(&mut self, shared: &Rates, subject: &Subject) -> Result<Standing, Standing> {
        if Instant::now() >= self.ends {
            *self = Self::default();
        }
        if self.rest == 0 && self.left != Some(0) {
            self.refill(shared, subject).await;
        }
        let Some(rest) = self.rest.checked_sub(1) else {
            return Err(self.standing(shared));
        };
        self.rest = rest;
        Ok(self.standing(shared))
    }

    async fn refill(&mut self, shared: &Rates, subject: &Subject) {
        let (first, most) = PORTIONS;
        let known = self.left.unwrap_or(shared.policy().limit);
        let wanted = self.taken.clamp(first, most).min((known / 4).max(1));
        let who = subject.key();
        let taken = timeout(REDIS_BUDGET, shared.take(&who, wanted)).await;
        let share = taken.ok().and_then(Result::ok).unwrap_or_else(|| {
            metrics::rate_unknown();
            let (granted, resets_in) = ALONE;
            Share {
                granted: granted.min(shared.policy().limit),
                left: 0,
                resets_in,
            }
        });
        self.rest = share.granted;
        self.left = Some(share.left);
        self.taken += share.granted;
        self.ends = Instant::now() + share.resets_in;
    }

    fn standing(&self, shared: &Rates) -> Standing {
        let policy = shared.policy();
        Standing {
            limit: policy.limit,
            window: policy.window,
            left: self.rest + self.left.unwrap_or_default(),
            resets_in: self.ends.saturating_duration_since(Instant::now()),
        }
    }
}

impl Subject {
    /// Its name in a key; none passes for one of another kind.
    fn key(&self) -> String {
        match self {
            Self::Key(name) => format!("key:{name}"),
            Self::Address(address) => format!("address:{address}"),
            Self::Others => "others".to_owned(),
        }
    }
}

impl Standing {
    /// Tells it.
    pub(crate) fn tell(self, headers: &mut HeaderMap) {
        let policy = format!("\"default\";q={};w={}", self.limit, seconds(self.window));
        let standing = format!("\"default\";r={};t={}", self.left, self.retry_after());
        for (name, text) in [(POLICY, policy), (LIMIT, standing)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }

    /// Seconds until more is allowed, at least one.
    pub(crate) fn retry_after(self) -> u32 {
        seconds(self.resets_in)
    }
}

/// Whole seconds, rounded up, at least one.
pub(crate) fn seconds(time: Duration) -> u32 {
    let seconds = time.as_millis().div_ceil(1000).max(1);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_the_sixth_version_counts_as_one_address() {
        let network = |text: &str| super::network(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn seconds_are_rounded_up_and_never_none() {
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::from_millis(1001)), 2);
        assert_eq!(seconds(Duration::from_secs(60)), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_keys_are_counted_per_address_and_minute() {
        let limits = RateLimits::new(None);
        let [one, two] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        for _ in 0..WRONG_KEYS.0 {
            assert_eq!(limits.count_wrong_key(one), None);
        }
        let left = limits.count_wrong_key(one).unwrap();
        assert_eq!(left, WRONG_KEYS.1);
        assert_eq!(limits.count_wrong_key(two), None);
        tokio::time::advance(WRONG_KEYS.1).await;
        assert_eq!(limits.count_wrong_key(one), None);
    }
}
