//! Settling and reserving.

use std::time::Duration;

use shared::queue::Verdict;

use super::{At, Oracle, Place, Rank, ms};

/// What came of a job, as it is asked to be settled.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) verdict: Verdict,
    /// The number of the event it writes.
    pub(crate) event: u64,
    pub(crate) follow_up: Option<String>,
}

/// Whether a session sleeps, as it believes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    Yes,
    No,
    Unknown,
}

/// One call, as it reaches the server.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) session: String,
    pub(crate) request: u64,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) count: usize,
    /// In ms.
    pub(crate) lease: f64,
    pub(crate) listed: Listed,
    /// It is the first after a wake-up.
    pub(crate) passes_on: bool,
    /// When it is too late for it, if it only reserves; 0 if it never is.
    pub(crate) latest: f64,
    /// It says of itself that it may have been carried out before.
    pub(crate) is_repeat: bool,
}

impl Asked {
    pub(crate) fn token(&self) -> String {
        format!("{}.{}", self.session, self.request)
    }
}

/// A job as it is handed out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) counts: (u32, u32, u32),
    pub(crate) since: f64,
    pub(crate) is_recovered: bool,
}

/// What a call is told.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) applied: Vec<bool>,
    pub(crate) next_timer: Option<f64>,
    pub(crate) is_listed: bool,
    pub(crate) jobs: Vec<Grant>,
}

impl Oracle {
    /// What a call is told that is carried out at this time; follows it.
    pub(crate) fn exchange(&mut self, asked: &Asked, now: f64) -> Told {
        if asked.outcomes.is_empty() {
            return if asked.is_repeat {
                self.reserve_again(asked, Vec::new(), now)
            } else if asked.latest > 0.0 && now > asked.latest {
                Told {
                    applied: Vec::new(),
                    next_timer: Some(now),
                    is_listed: false,
                    jobs: Vec::new(),
                }
            } else {
                self.reserve(asked, Vec::new(), 0, now)
            };
        }
        let last = self.replies.get(&asked.session);
        if let Some((_, verdicts)) = last.filter(|last| asked.is_repeat && last.0 == asked.request)
        {
            let verdicts = verdicts.clone();
            return self.reserve_again(asked, verdicts, now);
        }
        let is_late = last.is_some_and(|last| last.0 >= asked.request);
        let holds = |outcome: &Outcome| {
            let job = self.jobs.get(&outcome.id);
            job.is_some_and(|job| job.holder() == Some(&outcome.token))
        };
        let applied: Vec<_> = asked.outcomes.iter().map(holds).collect();
        if is_late && !applied.contains(&true) {
            return Told {
                applied,
                next_timer: Some(now),
                is_listed: false,
                jobs: Vec::new(),
            };
        }
        let (mut runnable, mut follow_ups) = (0, Vec::new());
        let accepted = asked.outcomes.iter().zip(&applied).filter(|(_, is)| **is);
        for (outcome, _) in accepted {
            runnable += usize::from(self.settle(outcome, now));
            follow_ups.extend(outcome.follow_up.clone());
        }
        let reply = (asked.request, applied.clone());
        self.replies.insert(asked.session.clone(), reply);
        runnable += self.want(&follow_ups, Duration::ZERO, At::exactly(now));
        self.reserve(asked, applied, runnable, now)
    }

    /// Whether the job is runnable now.
    fn settle(&mut self, outcome: &Outcome, now: f64) -> bool {
        let Outcome { id, token, .. } = outcome;
        let lease = self.leases[&(id.clone(), token.clone())];
        let before = self.settled.insert(id.clone(), lease);
        assert!(before < Some(lease), "{id} was settled out of order");
        self.events.push(outcome.event);

        let job = self.jobs.get_mut(id).unwrap();
        let mut lease = job.lease.take().unwrap();
        lease.holder = None;
        let again = lease.again.take().map(At::known);
        let after = |delay| (now + ms(delay)).min(again.unwrap_or(f64::INFINITY));
        let (due, kept) = match (&outcome.verdict, again) {
            (Verdict::Done, None) => {
                self.jobs.remove(id);
                return false;
            }
            (Verdict::Done | Verdict::Dead { .. }, Some(again)) => (again, None),
            (Verdict::Again(delay), _) => (after(*delay), None),
            (Verdict::Retry { after: delay, .. }, _) => {
                lease.errors += 1;
                (after(*delay), Some(lease))
            }
            (Verdict::Crash { after: delay, .. }, _) => {
                lease.crashes += 1;
                (after(*delay), Some(lease))
            }
            (Verdict::Dead { .. }, None) => {
                lease.errors += 1;
                job.lease = Some(lease);
                job.place = Place::Dead {
                    at: At::exactly(now),
                };
                return false;
            }
            (Verdict::Release, _) => {
                lease.attempt -= 1;
                (now, Some(lease))
            }
            (Verdict::Hold(delay), _) => {
                lease.attempt -= 1;
                (after(*delay), Some(lease))
            }
        };
        job.lease = kept;
        job.place = if due <= now {
            Place::Ready {
                since: At::exactly(now),
                rank: Rank::GoesOn,
            }
        } else {
            Place::Delayed {
                due: At::exactly(due),
            }
        };
        due <= now
    }
}
