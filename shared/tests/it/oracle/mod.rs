//! The queue as it ought to behave, in memory, told what Redis's clock says.

mod at;
mod compare;
mod exchange;
mod reserve;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) use at::At;
pub(crate) use exchange::{Asked, Grant, Listed, Outcome};
pub(crate) use snapshot::Snapshot;

/// Further away than every time: jobs of paused kinds wait at times of their own behind it.
const FAR: f64 = 9e15;
/// So many timers are looked at in one call.
const LOOKED_AT: usize = 64;
/// So many sleepers are woken at once.
const WOKEN_AT_ONCE: usize = 4;
/// So many more are tried in place of those that are gone.
const WOKEN_INSTEAD: usize = 16;

fn kind_of(id: &str) -> &str {
    id.split(':').next().unwrap()
}

/// Where the jobs of a paused kind wait.
fn parked_at(kind: &str) -> f64 {
    FAR + match kind {
        "instance" => 1.0,
        "webhook" => 2.0,
        _ => 3.0,
    }
}

/// By how much later than its time a job counts, and the digit that says so.
fn priority(id: &str) -> (f64, &'static str) {
    match kind_of(id) {
        "instance" => (10_000.0, "1"),
        "webhook" => (60_000.0, "2"),
        _ => (600_000.0, "3"),
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_millis() as f64
}

/// What decides on the place in line, besides the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    Fresh,
    /// It got on, or was given back.
    GoesOn,
    /// Its holder vanished.
    Recovered,
}

impl Rank {
    fn offset(self, id: &str) -> f64 {
        match self {
            Self::Fresh => priority(id).0,
            Self::GoesOn => 0.5,
            Self::Recovered => -600_000.0,
        }
    }
}

/// Where an unfinished job is: there and nowhere else.
#[derive(Debug, Clone, Copy)]
enum Place {
    Ready { since: At, rank: Rank },
    Delayed { due: At },
    Leased { until: At },
    Dead { at: At },
}

#[derive(Debug, Clone, Default)]
struct Lease {
    attempt: u32,
    crashes: u32,
    errors: u32,
    /// It is wanted again, from then on.
    again: Option<At>,
    /// The token of who has it, or had it when the lease ended.
    holder: Option<String>,
}

#[derive(Debug, Clone)]
struct Job {
    place: Place,
    lease: Option<Lease>,
}

impl Job {
    /// One that begins anew, at this time if it is not now.
    fn fresh(now: At, later: Option<At>) -> Self {
        let place = match later {
            None => Place::Ready {
                since: now,
                rank: Rank::Fresh,
            },
            Some(due) => Place::Delayed { due },
        };
        Self { place, lease: None }
    }

    fn holder(&self) -> Option<&str> {
        self.lease.as_ref()?.holder.as_deref()
    }
}

/// What the queue holds, and what became of every lease.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    jobs: BTreeMap<String, Job>,
    paused: BTreeSet<String>,
    resuming: BTreeSet<String>,
    /// Since when a session sleeps.
    idle: BTreeMap<String, f64>,
    listening: BTreeSet<String>,
    woken: Vec<String>,
    /// Number and verdicts of the last settle of each session.
    replies: BTreeMap<String, (u64, Vec<bool>)>,
    /// The number of each lease, in the order they were given.
    leases: BTreeMap<(String, String), usize>,
    /// The last lease of each job that was settled.
    settled: BTreeMap<String, usize>,
    /// The event of each applied settlement, in order.
    pub(crate) events: Vec<u64>,
}

impl Oracle {
    /// These jobs are wanted, now or after a delay.
    pub(crate) fn enqueue(&mut self, ids: &[String], delay: Duration, now: At) {
        let runnable = self.want(ids, delay, now);
        self.wake(runnable);
    }

    /// Those of these jobs are wanted that do not exist, or are dead.
    pub(crate) fn ensure(&mut self, ids: &[String], now: At) {
        let mut absent = ids.to_vec();
        absent.retain(|id| match self.jobs.get(id) {
            None => true,
            Some(job) => matches!(job.place, Place::Dead { .. }),
        });
        self.enqueue(&absent, Duration::ZERO, now);
    }

    /// How many are runnable now.
    fn want(&mut self, ids: &[String], delay: Duration, now: At) -> usize {
        let later = (!delay.is_zero()).then(|| now.plus(ms(delay)));
        let ids: BTreeSet<_> = ids.iter().collect();
        ids.into_iter()
            .filter(|id| self.want_one(id, later, now))
            .count()
    }

    fn want_one(&mut self, id: &str, later: Option<At>, now: At) -> bool {
        let fresh = || Job::fresh(now, later);
        let job = self.jobs.entry(id.to_owned()).or_insert_with(fresh);
        if let Some(lease) = job.lease.as_mut().filter(|lease| lease.holder.is_some()) {
            let due = later.unwrap_or(At::exactly(0.0));
            lease.again = Some(lease.again.map_or(due, |earlier| earlier.or_before(due)));
            return false;
        }
        match (job.place, later) {
            (Place::Ready { .. }, _) => {}
            (Place::Dead { .. }, _) => *job = fresh(),
            (Place::Delayed { .. }, None) => job.place = fresh().place,
            (Place::Delayed { due }, Some(_)) if due.is_after(FAR) => {}
            (Place::Delayed { due }, Some(later)) => {
                job.place = Place::Delayed {
                    due: due.or_before(later),
                };
            }
            (Place::Leased { .. }, _) => panic!("{id} is leased to nobody"),
        }
        later.is_none()
    }

    /// Wakes the sessions that sleep longest, one per job that is to be had; in place of one that does
    /// not listen any more the next, so many times.
    fn wake(&mut self, count: usize) {
        let mut wanted = count.min(WOKEN_AT_ONCE);
        let mut tries = wanted + WOKEN_INSTEAD;
        while wanted > 0 && tries > 0 {
            let mut sleepers: Vec<_> = self.idle.iter().collect();
            sleepers.sort_by(|one, other| one.1.total_cmp(other.1));
            let sleepers = sleepers.into_iter().map(|(session, _)| session.clone());
            let first: Vec<_> = sleepers.take(wanted).collect();
            let are_all = first.len() < wanted;
            for session in first {
                self.idle.remove(&session);
                tries = tries.saturating_sub(1);
                if self.listening.contains(&session) {
                    wanted -= 1;
                    self.woken.push(session);
                }
            }
            if are_all {
                return;
            }
        }
    }

    /// A session hears when it is woken.
    pub(crate) fn listen(&mut self, session: &str) {
        self.listening.insert(session.to_owned());
    }

    /// A session hears nothing any more.
    pub(crate) fn gone(&mut self, session: &str) {
        self.listening.remove(session);
    }

    /// The sessions that were woken since this was asked last.
    pub(crate) fn woken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.woken)
    }

    /// Whether a holder with this token is still heard; if so, the job is its own again.
    pub(crate) fn hold_on(&mut self, id: &str, token: &str, until: At) -> bool {
        let Some(job) = self.jobs.get_mut(id) else {
            return false;
        };
        let is_holder = job.holder() == Some(token);
        if is_holder {
            job.place = Place::Leased { until };
        }
        is_holder
    }

    /// The time that a job's timer is set to becomes this; the timer, if there is one.
    pub(crate) fn pass_time(&mut self, id: &str, time: f64) -> Option<String> {
        let job = self.jobs.get_mut(id)?;
        match &mut job.place {
            Place::Delayed { due } if due.known() < FAR => {
                *due = At::exactly(time);
                Some(format!("d:{id}"))
            }
            Place::Leased { until } => {
                *until = At::exactly(time);
                Some(format!("l:{id}"))
            }
            _ => None,
        }
    }

    /// The clock jumps: all is so much longer ago, or nearer.
    pub(crate) fn jump(&mut self, by: Duration) {
        for job in self.jobs.values_mut() {
            match &mut job.place {
                Place::Delayed { due: time } if time.known() > FAR => {}
                Place::Ready { since: time, .. }
                | Place::Delayed { due: time }
                | Place::Leased { until: time } => *time = time.plus(-ms(by)),
                Place::Dead { .. } => {}
            }
        }
    }

    /// Whether this changes anything.
    pub(crate) fn pause(&mut self, scope: &str) -> bool {
        self.resuming.remove(scope);
        self.paused.insert(scope.to_owned())
    }

    /// Whether this changes anything.
    pub(crate) fn resume(&mut self, scope: &str) -> bool {
        let was_paused = self.paused.remove(scope);
        if was_paused {
            if scope != "*" {
                self.resuming.insert(scope.to_owned());
            }
            self.wake(WOKEN_AT_ONCE);
        }
        was_paused
    }

    /// The dead, those given up first before the others.
    pub(crate) fn dead(&self) -> Vec<String> {
        let dead = |(id, job): (&String, &Job)| match job.place {
            Place::Dead { at } => Some((at.known(), id.clone())),
            _ => None,
        };
        let mut dead: Vec<_> = self.jobs.iter().filter_map(dead).collect();
        dead.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(&other.1)));
        dead.into_iter().map(|(_, id)| id).collect()
    }

    /// Removes these dead jobs for good.
    pub(crate) fn drop_dead(&mut self, ids: &[String]) {
        for id in ids {
            let dead = self.jobs.remove(id).unwrap();
            assert!(matches!(dead.place, Place::Dead { .. }), "{id}: {dead:?}");
        }
    }

    pub(crate) fn knows(&self, id: &str) -> bool {
        self.jobs.contains_key(id)
    }
}
