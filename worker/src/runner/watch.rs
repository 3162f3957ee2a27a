//! When to look at the queue next: at a timer, at a wake-up, or to be sure.

use std::time::Duration;

use rand::RngExt;
use shared::clock::Millis;
use shared::queue::Queue;
use shared::redis::{Notice, Subscription};
use tokio::time::Instant;

/// The look that is taken even if no timer and no wake-up asks for one.
const FALLBACK: Duration = Duration::from_secs(60);
/// The same after one that found nothing: every command is billed.
const FALLBACK_IDLE: Duration = Duration::from_secs(120);
/// The same while wake-ups cannot arrive.
const FALLBACK_DEAF: Duration = Duration::from_secs(2);

/// Why the queue is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Somebody said so.
    Message,
    /// There was more than was taken.
    More,
    /// A timer falls due.
    Timer,
    /// To be sure: a wake-up may have been lost.
    Fallback,
}

impl Look {
    /// The word for metrics.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::More => "more",
            Self::Timer => "timer",
            Self::Fallback => "fallback",
        }
    }
}

/// The next look, and the wake-ups that bring it forward.
pub(super) struct Watch {
    wake_ups: Subscription,
    /// Wake-ups arrive at the moment.
    hears: bool,
    /// Wake-ups will never arrive again.
    is_deaf: bool,
    /// The last look was a fallback and found nothing.
    is_quiet: bool,
    next: (Instant, Look),
}

impl Watch {
    /// Looks at once, then listens to the wake-ups of the queue's session.
    pub(super) fn new(queue: &Queue) -> Self {
        Self {
            wake_ups: queue.wake_ups(),
            hears: false,
            is_deaf: false,
            is_quiet: false,
            next: (Instant::now(), Look::Timer),
        }
    }

    /// The next notice; never to be asked when [`Watch::is_deaf`].
    pub(super) async fn next(&mut self) -> Option<Notice> {
        self.wake_ups.next().await
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// Redis is back: an ear that was lost does not wait until its next try, which may be a quarter of
    /// a minute away after a long absence.
    pub(super) fn listen_anew(&mut self, queue: &Queue) {
        if !self.hears {
            (self.wake_ups, self.is_deaf) = (queue.wake_ups(), false);
        }
    }

    /// When the next look is due.
    pub(super) fn at(&self) -> Instant {
        self.next.0
    }

    /// Somebody said that there is something to do, and expects that it is passed on.
    pub(super) fn was_called(&self) -> bool {
        self.next.1 == Look::Message
    }

    /// The look that is due. Without another word the next one is the fallback.
    pub(super) fn take(&mut self) -> Look {
        let (_, look) = self.next;
        self.is_quiet = false;
        self.next = (Instant::now() + self.fallback(), Look::Fallback);
        look
    }

    pub(super) fn look_at_once(&mut self, now: Instant) {
        self.next = (now, Look::Message);
    }

    /// There is more than was taken.
    pub(super) fn look_for_more(&mut self, now: Instant) {
        // Who was called has still to pass it on.
        if !self.was_called() {
            self.next = (now, Look::More);
        }
    }

    /// Sleeps until the next timer, told at `told` when Redis's clock was `now`; or until the fallback.
    pub(super) fn sleep(&mut self, now: Millis, next_timer: Option<Millis>, told: Instant) {
        // One millisecond more, so that the timer has certainly passed.
        let timer = next_timer.map(|at| Duration::from_millis(at.since(now) + 1));
        let fallback = self.fallback();
        self.next = match timer {
            Some(timer) if timer <= fallback => (told + timer, Look::Timer),
            _ => (told + fallback, Look::Fallback),
        };
    }

    /// The fallback look found nothing: sleeps as after any other look, and longer.
    pub(super) fn found_nothing(&mut self, now: Millis, next_timer: Option<Millis>) {
        self.is_quiet = true;
        self.sleep(now, next_timer, Instant::now());
    }

    fn fallback(&self) -> Duration {
        let fallback = match (self.hears, self.is_quiet) {
            (false, _) => FALLBACK_DEAF,
            (true, false) => FALLBACK,
            (true, true) => FALLBACK_IDLE,
        };
        fallback.mul_f64(rand::rng().random_range(0.8..=1.2))
    }

    pub(super) fn hear(&mut self, notice: Option<&Notice>, queue: &Queue) {
        match notice {
            // Whatever was published while nobody listened may have been missed.
            Some(Notice::Connected) => {
                self.hears = true;
                queue.woken();
                self.look_at_once(Instant::now());
            }
            Some(Notice::Message(_)) => {
                queue.woken();
                self.look_at_once(Instant::now());
            }
            Some(Notice::Lost) => {
                self.hears = false;
                let soon = Instant::now() + self.fallback();
                if soon < self.next.0 {
                    self.next = (soon, Look::Fallback);
                }
            }
            None => {
                // The subscription's task is gone for good; the fallback look remains.
                tracing::error!("wake-ups have ended");
                (self.hears, self.is_deaf) = (false, true);
            }
        }
    }
}
