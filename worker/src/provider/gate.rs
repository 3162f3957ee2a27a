//! Admission to the provider: breaker, hold, token. A call waits a little for a token; for the others it
//! is told how long to wait, so that its worker can do something else, such as delete.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::RngExt;
use shared::pace::{Grant, Lane, Pace, REPORTS, Report};
use tokio::sync::Mutex as Queue;
use tokio::time::{Instant, sleep, timeout_at};

use super::health::{Passage, ProviderHealth, locked};
use super::hold::Hold;
use super::lot::Lot;
use super::spare::Spare;
use crate::metrics;
use crate::novita::{Held, HeldBy};

/// A call waits this long for its turn, and not longer: its job has a lease and a permit.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long Redis may take when money is to be saved, and when a 429 is to be told.
const HASTE: Duration = Duration::from_secs(1);
/// Before Redis is asked again that did not answer, or that had no token: a busy process then takes a
/// whole lot at a time. Calls that save money ask at the very moment at which there is a token.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Bounds of what a call that was held back is told to wait.
const WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(300));

/// Leave to send one call. Whoever sends it says how that went; dropping it says it was not sent.
pub(super) struct Pass(Passage);

impl Pass {
    /// The call came to an end, with an answer of whatever kind, or without one that says anything.
    pub(super) fn conclude(self, is_answered: bool) {
        self.0.conclude(is_answered);
    }
}

/// What one lane has in this process.
struct Turnstile {
    lot: Queue<Lot>,
    waiting: AtomicUsize,
}

/// Lets calls out at the pace that all replicas share.
pub(super) struct Gate {
    pace: Pace,
    health: ProviderHealth,
    save: Turnstile,
    create: Turnstile,
    observe: Turnstile,
    hold: Mutex<Hold>,
    spare: Mutex<Spare>,
    /// 429s that Redis has not been told of yet.
    reports: Mutex<Vec<Report>>,
}

impl Gate {
    pub(super) fn new(pace: Pace, health: ProviderHealth) -> Self {
        let turnstile = || Turnstile {
            lot: Queue::new(Lot::new()),
            waiting: AtomicUsize::new(0),
        };
        Self {
            spare: Mutex::new(Spare::new(pace.limit())),
            pace,
            health,
            save: turnstile(),
            create: turnstile(),
            observe: turnstile(),
            hold: Mutex::default(),
            reports: Mutex::default(),
        }
    }

    /// Waits for a call's turn, for [`PATIENCE`] at most.
    pub(super) async fn admit(&self, lane: Lane) -> Result<Pass, Held> {
        let began = Instant::now();
        let deadline = began + PATIENCE;
        let admitted = match self.health.enter(lane) {
            Ok(passage) => self
                .take_token(lane, deadline)
                .await
                .map(|()| Pass(passage)),
            Err(wait) => Err(held(wait, HeldBy::Breaker)),
        };
        metrics::provider_waited(lane, began.elapsed());
        if let Err(Held { by, .. }) = &admitted {
            metrics::provider_held(lane, by.as_str());
        }
        admitted
    }

    /// The provider answered 429: nothing more goes out of here, and the others are told.
    pub(super) async fn limited(&self, retry_after: Option<Duration>) {
        locked(&self.hold).limited(retry_after, Instant::now());
        metrics::provider_hold(true);
        {
            let mut reports = locked(&self.reports);
            reports.truncate(REPORTS - 1);
            reports.insert(0, Report::new(retry_after));
        }
        let told = self.ask(Lane::Observe, 0, Instant::now() + HASTE).await;
        if told.is_none() {
            tracing::warn!("the other replicas do not know yet that the provider limits the rate");
        }
    }

    async fn take_token(&self, lane: Lane, deadline: Instant) -> Result<(), Held> {
        let turnstile = match lane {
            Lane::Save => &self.save,
            Lane::Create => &self.create,
            Lane::Observe => &self.observe,
        };
        self.check_hold(lane)?;
        let waiting = Waiting::at(&turnstile.waiting);
        // One asks Redis, in the order in which they came; who is behind finds what it got.
        let Ok(mut lot) = timeout_at(deadline, turnstile.lot.lock()).await else {
            let ahead = waiting.count().min(60) as u32;
            return Err(held(ASK_AGAIN * ahead, HeldBy::Limit));
        };
        loop {
            self.check_hold(lane)?;
            let now = Instant::now();
            if lot.spend(now) {
                return Ok(());
            } else if lot.dry_until > now {
                wait_or_give_up(lot.dry_until - now, HeldBy::Limit, deadline).await?;
            } else {
                let wanted = lot.wanted(waiting.count(), now);
                let until = match lane {
                    Lane::Save => deadline.min(now + HASTE),
                    Lane::Create | Lane::Observe => deadline,
                };
                match self.ask(lane, wanted, until).await {
                    Some(grant) if grant.tokens > 0 => lot.fill(grant.tokens, now),
                    Some(grant) => lot.dry_until = Instant::now() + pause(lane, grant.wait),
                    None => return self.without_redis(lane, deadline).await,
                }
            }
        }
    }

    /// Saving money does not depend on Redis; everything else does.
    async fn without_redis(&self, lane: Lane, deadline: Instant) -> Result<(), Held> {
        if lane != Lane::Save {
            return Err(held(ASK_AGAIN, HeldBy::Redis));
        }
        loop {
            let spent = locked(&self.spare).spend(Instant::now());
            match spent {
                Ok(()) => return Ok(()),
                Err(wait) => wait_or_give_up(wait, HeldBy::Redis, deadline).await?,
            }
        }
    }

    fn check_hold(&self, lane: Lane) -> Result<(), Held> {
        let (hold, now) = (locked(&self.hold), Instant::now());
        metrics::provider_hold(hold.left(Lane::Observe, now).is_some());
        hold.left(lane, now)
            .map_or(Ok(()), |wait| Err(held(wait, HeldBy::Hold)))
    }

    /// Asks Redis for tokens, tells it of 429s, and learns of those of others. `None` when it did not
    /// answer until then.
    async fn ask(&self, lane: Lane, wanted: u32, until: Instant) -> Option<Grant> {
        let reports = locked(&self.reports).clone();
        let answer = timeout_at(until, self.pace.take(lane, wanted, &reports)).await;
        let grant = match answer {
            Ok(Ok(grant)) => grant,
            Ok(Err(error)) => {
                tracing::warn!(%error, lane = lane.as_str(), "the shared pace is not known");
                return None;
            }
            Err(_) => return None,
        };
        locked(&self.reports).retain(|report| !reports.contains(report));
        locked(&self.hold).learn(&grant, Instant::now());
        metrics::provider_pace(grant.left_milli, grant.rate_milli);
        Some(grant)
    }
}

/// Counts those who wait at a turnstile.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn at(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Before Redis is asked again that had no token for a lane.
fn pause(lane: Lane, wait: Duration) -> Duration {
    match lane {
        Lane::Save => wait,
        Lane::Create | Lane::Observe => wait.max(ASK_AGAIN),
    }
}

/// Waits, unless that would take too long.
async fn wait_or_give_up(wait: Duration, by: HeldBy, deadline: Instant) -> Result<(), Held> {
    if Instant::now() + wait > deadline {
        return Err(held(wait, by));
    }
    sleep(wait).await;
    Ok(())
}

/// Tells how long to wait, not the same to everybody, so that a crowd does not come back at once.
fn held(wait: Duration, by: HeldBy) -> Held {
    let wait = wait.clamp(WAIT.0, WAIT.1);
    let spread = wait.as_millis() as u64 / 4;
    let spread = Duration::from_millis(rand::rng().random_range(0..=spread));
    Held {
        wait: wait + spread,
        by,
    }
}
