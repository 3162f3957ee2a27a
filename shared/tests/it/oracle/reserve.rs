//! Who is handed out next.

use super::exchange::{Asked, Grant, Listed, Told};
use super::{At, FAR, Job, LOOKED_AT, Lease, Oracle, Place, Rank, kind_of, parked_at};

/// While a kind is paused, so many are looked at together, so often.
const WINDOW: usize = 64;
const WINDOWS: usize = 16;

impl Oracle {
    /// The jobs that were leased under this token before, the youngest lease first.
    pub(super) fn reserve_again(&self, asked: &Asked, applied: Vec<bool>, now: f64) -> Told {
        let token = asked.token();
        let mut found = Vec::new();
        for (id, job) in &self.jobs {
            if let (Place::Leased { until }, Some(lease)) = (job.place, &job.lease)
                && lease.holder.as_ref() == Some(&token)
            {
                found.push((until.known(), grant(id, lease, now, false)));
            }
        }
        found.sort_by(|one, other| {
            let by_time = other.0.total_cmp(&one.0);
            by_time.then_with(|| other.1.id.cmp(&one.1.id))
        });
        Told {
            applied,
            next_timer: Some(now),
            is_listed: false,
            jobs: found.into_iter().map(|(_, grant)| grant).collect(),
        }
    }

    pub(super) fn reserve(
        &mut self,
        asked: &Asked,
        applied: Vec<bool>,
        runnable: usize,
        now: f64,
    ) -> Told {
        let mut next_timer = self.promote(now);
        let (taken, is_drained, has_more) = self.pop(asked.count);
        if has_more {
            next_timer = Some(now);
        }
        let jobs: Vec<_> = taken.iter().map(|id| self.lease(id, asked, now)).collect();
        if is_drained && asked.listed != Listed::Yes {
            self.idle.insert(asked.session.clone(), now);
        } else if !is_drained && asked.listed != Listed::No {
            self.idle.remove(&asked.session);
        }
        if asked.passes_on && !is_drained && !self.paused.contains("*") && !self.line().is_empty() {
            self.wake(1);
        }
        self.wake(runnable.saturating_sub(jobs.len()));
        Told {
            applied,
            next_timer,
            is_listed: is_drained,
            jobs,
        }
    }

    /// What fell due gets in line. The next timer.
    fn promote(&mut self, now: f64) -> Option<f64> {
        let marks = self.paused.len() + self.resuming.len();
        let mut timers = Vec::new();
        for (id, job) in &self.jobs {
            match job.place {
                Place::Delayed { due } => timers.push((due.known(), "d:", id)),
                Place::Leased { until } => timers.push((until.known(), "l:", id)),
                Place::Ready { .. } | Place::Dead { .. } => {}
            }
        }
        timers.sort_by(|one, other| {
            let by_time = one.0.total_cmp(&other.0);
            by_time.then_with(|| (one.1, one.2).cmp(&(other.1, other.2)))
        });
        timers.truncate(LOOKED_AT - marks);
        let is_full = timers.len() + marks == LOOKED_AT;
        let next = timers.iter().map(|timer| timer.0).find(|at| *at > now);
        timers.retain(|(at, ..)| *at <= now);
        let due: Vec<_> = (timers.into_iter())
            .map(|(at, tag, id)| (at, tag, id.clone()))
            .collect();
        let has_more = self.resume_parked(now);
        for (at, tag, id) in due {
            let rank = if tag == "l:" {
                Rank::Recovered
            } else {
                Rank::Fresh
            };
            self.line_up(&id, at, rank);
        }
        match next {
            _ if has_more => Some(now),
            Some(next) => (next < FAR).then_some(next),
            None => is_full.then_some(now),
        }
    }

    /// What was paused gets in line. Whether there may be more.
    fn resume_parked(&mut self, now: f64) -> bool {
        let mut has_more = false;
        let mut resumed = 0;
        for kind in self.resuming.clone() {
            let parked = self.jobs.iter().filter(|(_, job)| match job.place {
                Place::Delayed { due } => due.known().total_cmp(&parked_at(&kind)).is_eq(),
                _ => false,
            });
            let parked = parked.map(|(id, _)| id.clone());
            let parked: Vec<_> = parked.take(LOOKED_AT).collect();
            for id in &parked {
                let had_holder = self.jobs[id].holder().is_some();
                let rank = if had_holder {
                    Rank::Recovered
                } else {
                    Rank::Fresh
                };
                self.line_up(id, now, rank);
            }
            resumed += parked.len();
            if parked.len() == LOOKED_AT {
                has_more = true;
            } else {
                self.resuming.remove(&kind);
            }
        }
        self.wake(resumed);
        has_more
    }

    fn line_up(&mut self, id: &str, since: f64, rank: Rank) {
        let since = At::exactly(since);
        self.jobs.get_mut(id).unwrap().place = Place::Ready { since, rank };
    }

    /// Everybody in line; those of one time stay in the order of their ids.
    fn line(&self) -> Vec<String> {
        let mut line = Vec::new();
        for (id, job) in &self.jobs {
            if let Place::Ready { since, rank } = job.place {
                line.push((since.known() + rank.offset(id), id));
            }
        }
        line.sort_by(|one, other| one.0.total_cmp(&other.0));
        line.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// Lets those of paused kinds at the head of the line wait aside. Whether none is left there.
    fn park(&mut self) -> bool {
        for _ in 0..WINDOWS {
            let mut head = self.line();
            head.truncate(WINDOW);
            head.retain(|id| self.paused.contains(kind_of(id)));
            if head.is_empty() {
                return true;
            }
            for id in &head {
                let due = At::exactly(parked_at(kind_of(id)));
                self.jobs.get_mut(id).unwrap().place = Place::Delayed { due };
            }
        }
        false
    }

    /// Takes the first in line that are not of a paused kind. Who was taken, whether the line is empty,
    /// and whether there is more to look at.
    fn pop(&mut self, count: usize) -> (Vec<String>, bool, bool) {
        if count == 0 || self.paused.contains("*") {
            return (Vec::new(), count > 0, false);
        }
        let mut wanted = count;
        if !self.paused.is_empty() {
            if !self.park() {
                return (Vec::new(), false, true);
            }
            wanted = count.min(WINDOW);
        }
        let mut line = self.line();
        let is_drained = line.len() < wanted;
        line.truncate(wanted);
        (line, is_drained, wanted < count && !is_drained)
    }

    fn lease(&mut self, id: &str, asked: &Asked, now: f64) -> Grant {
        let job = self.jobs.get_mut(id).unwrap();
        let Job {
            place: Place::Ready { since, .. },
            lease,
        } = job
        else {
            panic!("{id} is not to be had: {job:?}");
        };
        let since = since.known();
        let lease = lease.get_or_insert_default();
        let is_recovered = lease.holder.is_some();
        lease.crashes += u32::from(is_recovered);
        lease.attempt += 1;
        lease.again = lease.again.filter(|again| again.known() > now);
        lease.holder = Some(asked.token());
        let grant = grant(id, lease, since, is_recovered);
        job.place = Place::Leased {
            until: At::exactly(now + asked.lease),
        };
        let number = self.leases.len();
        self.leases.insert((id.to_owned(), asked.token()), number);
        grant
    }
}

fn grant(id: &str, lease: &Lease, since: f64, is_recovered: bool) -> Grant {
    Grant {
        id: id.to_owned(),
        counts: (lease.attempt, lease.crashes, lease.errors),
        since,
        is_recovered,
    }
}
