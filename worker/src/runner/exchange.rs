//! Calls to the queue, sent until they are answered, while jobs go on.
//!
//! There is one call on its way at a time. Only while half a batch more has finished, another one goes
//! beside it, and a third where Redis is far away; each under a session of its own, since each session has
//! one last request that can be repeated.

use std::pin::Pin;
use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use shared::backoff::Backoff;
use shared::fail_point::FailPoint;
use shared::queue::{BATCH, Call, Exchange, Queue, Settlement};
use shared::redis::RedisError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Handler, Runner};
use crate::metrics;

/// Waits between tries to reach Redis: short enough to go on at once when it is back, long enough to
/// cost nothing while it is away.
const AWAY: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_millis(500),
};
/// Tries to store results that Redis refuses, before they are dropped and their jobs run again.
const HOPELESS_TRIES: u32 = 5;
/// Before a job is tried again whose result could not be stored.
const UNSTORED_WAIT: Duration = Duration::from_secs(30);
/// The most changes in one call: each may be a record of some kilobytes, and REST limits requests.
const WRITES_AT_ONCE: usize = 300;

/// A call on its way.
pub(super) type Sending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What became of a call to the queue.
pub(super) enum Answer {
    /// The queue answered.
    Exchanged {
        exchange: Exchange,
        /// Jobs that were asked for.
        count: usize,
        /// How long the last try took.
        took: Duration,
        /// The queue did not answer at first.
        was_away: bool,
    },
    /// Shutdown began, and there was nothing to settle.
    GivenUp {
        /// Jobs that were asked for.
        count: usize,
    },
}

/// Calls that may be on their way beside the first.
pub(super) const BESIDE: usize = 2;

/// Calls on their way.
#[derive(Default)]
pub(super) struct OnTheWay {
    main: Option<Sending>,
    beside: [Option<Sending>; BESIDE],
    /// Jobs that they ask for.
    asked: usize,
}

impl OnTheWay {
    /// Another call may be sent.
    pub(super) fn is_free(&self) -> bool {
        self.main.is_none()
    }

    /// Where a call may be sent beside another one, if at most so many are to be.
    pub(super) fn free_beside(&self, most: usize) -> Option<usize> {
        let mut lanes = self.beside.iter().take(most);
        let free = lanes.position(Option::is_none);
        free.filter(|_| self.main.is_some())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.main.is_none() && self.beside.iter().all(Option::is_none)
    }

    /// Jobs that are asked for.
    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    /// The next answer, and whether it is that of a call beside; for ever pending when there is none.
    pub(super) async fn answer(&mut self) -> (Answer, bool) {
        let [one, other] = &mut self.beside;
        let (answer, is_beside) = tokio::select! {
            answer = of(&mut self.main) => (answer, false),
            answer = of(one) => (answer, true),
            answer = of(other) => (answer, true),
        };
        let (Answer::Exchanged { count, .. } | Answer::GivenUp { count }) = &answer;
        self.asked -= count;
        (answer, is_beside)
    }
}

async fn of(sending: &mut Option<Sending>) -> Answer {
    match sending {
        Some(call) => {
            let answer = call.await;
            *sending = None;
            answer
        }
        None => std::future::pending().await,
    }
}

impl<H: Handler> Runner<H> {
    /// Sends off what finished and asks for up to `count` jobs. There must be no other call on its way.
    /// `is_woken` tells that it is the first after a wake-up.
    pub(super) fn call(&mut self, count: usize, is_woken: bool, stop: &CancellationToken) {
        let finished = self.take_finished();
        let mut call = self.queue.call(finished, count);
        if is_woken {
            call = call.passing_on();
        }
        let sending = send(self.queue.clone(), call, count, stop.clone());
        self.calls.main = Some(Box::pin(sending));
        self.calls.asked += count;
    }

    /// The same beside calls that are on their way.
    pub(super) fn call_beside(&mut self, lane: usize, count: usize, stop: &CancellationToken) {
        let finished = self.take_finished();
        let queue = &self.queues_beside[lane];
        let call = queue.call(finished, count);
        let sending = send(queue.clone(), call, count, stop.clone());
        self.calls.beside[lane] = Some(Box::pin(sending));
        self.calls.asked += count;
    }

    /// As much of what finished as one call holds.
    fn take_finished(&mut self) -> Vec<Settlement> {
        let mut writes = 0;
        let fits = |settlement: &&Settlement| {
            writes += settlement.writes();
            writes <= WRITES_AT_ONCE
        };
        let fitting = self.finished.iter().take_while(fits).count();
        let rest = fitting.clamp(1, BATCH).min(self.finished.len());
        let rest = self.finished.split_off(rest);
        std::mem::replace(&mut self.finished, rest)
    }

    /// Takes in what a call came to.
    pub(super) fn answered(
        &mut self,
        (answer, is_beside): (Answer, bool),
        stop: &CancellationToken,
    ) {
        let Answer::Exchanged {
            exchange,
            count,
            took,
            was_away,
        } = answer
        else {
            return;
        };
        let told = Instant::now();
        if was_away {
            self.watch.listen_anew(&self.queue);
        } else {
            self.ahead.called(took);
        }
        let stale = exchange.applied.iter().filter(|applied| !**applied).count();
        if stale > 0 {
            tracing::warn!(
                stale,
                "results came too late: their leases had passed to others"
            );
            metrics::stale_tokens(stale);
        }
        self.clock = Some((exchange.now, told));
        let gave_all = exchange.jobs.len() == count && count > 0;
        if gave_all || is_beside {
            // There may be more, or this process has still to say that it sleeps.
            self.watch.look_for_more(told);
        } else {
            self.watch.sleep(exchange.now, exchange.next_timer, told);
        }
        let is_idle = exchange.jobs.is_empty() && self.in_hand() == 0;
        self.is_bare |= is_idle && count > 0 && exchange.next_timer.is_none();
        if exchange.jobs.iter().any(|job| job.is_recovered) {
            self.ahead.calm(told);
        }
        for job in exchange.jobs {
            self.take(job, exchange.now, stop);
        }
    }
}

/// Sends a call until it is answered; one that settles nothing only until shutdown begins.
async fn send(queue: Queue, mut call: Call, count: usize, stop: CancellationToken) -> Answer {
    let mut tries = 0;
    let mut rng: StdRng = StdRng::from_rng(&mut rand::rng());
    loop {
        let started = Instant::now();
        if call.settlements() > 0 {
            FailPoint::BeforeSettle.reached();
        }
        let error = match queue.exchange(&mut call).await {
            Ok(exchange) => {
                if call.settlements() > 0 {
                    FailPoint::Settled.reached();
                }
                let took = started.elapsed();
                metrics::exchanged(call.settlements() > 0, took);
                return Answer::Exchanged {
                    exchange,
                    count,
                    took,
                    was_away: tries > 0,
                };
            }
            Err(error) => error,
        };
        if tries == 0 {
            tracing::error!(%error, kind = error.kind(), "the queue does not answer");
        }
        let is_hopeless = matches!(error, RedisError::Refused(_) | RedisError::Server(_));
        if is_hopeless && !error.is_passing() && tries >= HOPELESS_TRIES {
            tracing::error!(%error, "results cannot be stored; their jobs will run again");
            call = call.without_results(UNSTORED_WAIT);
            tries = 0;
        }
        let wait = AWAY.at_least_half(tries, &mut rng);
        tries += 1;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled(), if call.settlements() == 0 => {
                // Jobs that it may have reserved are to be handed back, so its answer is asked for once.
                if tries > 1 || !call.is_unclear() {
                    return Answer::GivenUp { count };
                }
            }
        }
    }
}
