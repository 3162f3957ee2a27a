//! The queue as it ought to behave, in memory and without a clock.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::queue::{Exchange, Verdict};

/// Where an unfinished job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready,
    /// Waits for a time that does not come by itself.
    Delayed,
    /// Its time has come, and nobody has looked since.
    Due,
    Held,
    /// Its lease has ended, and nobody has looked since.
    Expired,
    /// Its lease has ended; it waits to be taken.
    Lapsed,
    Dead,
}

#[derive(Debug, Clone)]
struct Job {
    place: Place,
    attempt: u32,
    crashes: u32,
    errors: u32,
    token: Option<String>,
    again: bool,
}

impl Job {
    fn fresh(place: Place) -> Self {
        Self {
            place,
            attempt: 0,
            crashes: 0,
            errors: 0,
            token: None,
            again: false,
        }
    }
}

/// What the queue holds, and which settlements took effect.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    jobs: BTreeMap<String, Job>,
    /// The event of each applied settlement, in order.
    pub(crate) events: Vec<u64>,
}

impl Oracle {
    pub(crate) fn enqueue(&mut self, id: &str) {
        let new = || Job::fresh(Place::Ready);
        let job = self.jobs.entry(id.to_owned()).or_insert_with(new);
        match job.place {
            Place::Ready => {}
            Place::Dead => *job = new(),
            Place::Delayed | Place::Due => job.place = Place::Ready,
            Place::Held | Place::Expired | Place::Lapsed => job.again = true,
        }
    }

    /// The time that a job's timer is set to comes; the timer, if there is one.
    pub(crate) fn pass_time(&mut self, id: &str) -> Option<String> {
        let job = self.jobs.get_mut(id)?;
        let (next, prefix) = match job.place {
            Place::Delayed => (Place::Due, "d"),
            Place::Held => (Place::Expired, "l"),
            _ => return None,
        };
        job.place = next;
        Some(format!("{prefix}:{id}"))
    }

    /// Whether a holder with this token is still heard; if so, the job is its own again.
    pub(crate) fn hold_on(&mut self, id: &str, token: &str) -> bool {
        let Some(job) = self.holder(id, token) else {
            return false;
        };
        job.place = Place::Held;
        true
    }

    fn holder(&mut self, id: &str, token: &str) -> Option<&mut Job> {
        let job = self.jobs.get_mut(id)?;
        (job.token.as_deref() == Some(token)).then_some(job)
    }

    /// Whether the settlement takes effect; if so, it does.
    pub(crate) fn settle(&mut self, id: &str, token: &str, verdict: &Verdict, event: u64) -> bool {
        let Some(job) = self.holder(id, token) else {
            return false;
        };
        let again = std::mem::take(&mut job.again);
        job.token = None;
        let waits = |after: &Duration| {
            if after.is_zero() || again {
                Place::Ready
            } else {
                Place::Delayed
            }
        };
        match verdict {
            Verdict::Done if !again => drop(self.jobs.remove(id)),
            Verdict::Done => *job = Job::fresh(Place::Ready),
            Verdict::Again(after) => *job = Job::fresh(waits(after)),
            Verdict::Retry { after, .. } => {
                (job.errors, job.place) = (job.errors + 1, waits(after));
            }
            Verdict::Dead { .. } if again => *job = Job::fresh(Place::Ready),
            Verdict::Dead { .. } => (job.errors, job.place) = (job.errors + 1, Place::Dead),
            Verdict::Release => (job.attempt, job.place) = (job.attempt - 1, Place::Ready),
        }
        self.events.push(event);
        true
    }

    fn all(&self, places: &[Place]) -> usize {
        let jobs = self.jobs.values();
        jobs.filter(|job| places.contains(&job.place)).count()
    }

    /// Checks the answer to a reserve for up to `count` jobs, and follows it.
    pub(crate) fn reserve(&mut self, count: usize, exchange: &Exchange, is_repeated: bool) {
        for job in self.jobs.values_mut() {
            job.place = match job.place {
                Place::Due => Place::Ready,
                Place::Expired => Place::Lapsed,
                place => place,
            };
        }
        let has_timer = is_repeated || self.all(&[Place::Delayed, Place::Held]) > 0;
        assert_eq!(exchange.next_timer.is_some(), has_timer, "next timer");
        let runnable = self.all(&[Place::Ready, Place::Lapsed]);
        assert_eq!(exchange.jobs.len(), runnable.min(count), "number of jobs");
        let lapsed = self.all(&[Place::Lapsed]).min(count);
        let mut recovered = 0;
        for got in &exchange.jobs {
            let job = self.jobs.get_mut(got.id.as_str());
            let job = job.unwrap_or_else(|| panic!("{} does not exist", got.id));
            let is_free = matches!(job.place, Place::Ready | Place::Lapsed);
            assert!(is_free, "{} is {:?}", got.id, job.place);
            recovered += usize::from(job.place == Place::Lapsed);
            job.crashes += u32::from(job.token.is_some());
            job.attempt += 1;
            (job.place, job.token, job.again) = (Place::Held, Some(got.token.clone()), false);
            assert_eq!(
                (got.attempt, got.crashes, got.errors),
                (job.attempt, job.crashes, job.errors),
                "attempt, crashes and errors of {}",
                got.id
            );
        }
        assert_eq!(recovered, lapsed, "jobs of dead holders go first");
    }

    /// Forgets the dead; who they were.
    pub(crate) fn exhume(&mut self) -> Vec<String> {
        let jobs = std::mem::take(&mut self.jobs).into_iter();
        let (dead, alive): (BTreeMap<_, _>, _) =
            jobs.partition(|(_, job)| job.place == Place::Dead);
        self.jobs = alive;
        dead.into_keys().collect()
    }

    /// Every unfinished job with the one place in Redis where it must be.
    pub(crate) fn places(&self) -> Vec<(String, &'static str)> {
        let place = |job: &Job| match job.place {
            Place::Ready | Place::Lapsed => "ready",
            Place::Delayed | Place::Due => "d",
            Place::Held | Place::Expired => "l",
            Place::Dead => "dead",
        };
        let jobs = self.jobs.iter();
        jobs.map(|(id, job)| (id.clone(), place(job))).collect()
    }
}
