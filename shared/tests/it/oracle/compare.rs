//! Whether Redis holds what the oracle does.

use shared::model::Event;
use shared::queue::{JobState, QueueStats, StoredJob};

use super::snapshot::{Pairs, Snapshot};
use super::{At, FAR, Job, Oracle, Place, priority};

/// The places of [`Place`], as they are found.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Ready,
    Delayed,
    Leased,
    Dead,
}

impl Oracle {
    /// Every unfinished job is in the one place where it must be, at its time and with its body and
    /// its counts; nothing else is there.
    pub(crate) fn compare(&mut self, found: &Snapshot) {
        let found = found.contents();
        let (mut places, mut marks) = (0, 0);
        for (kind, zset) in [(Kind::Ready, &found.ready), (Kind::Dead, &found.dead)] {
            for (id, score) in zset {
                self.compare_place(kind, id, score);
            }
            places += zset.len();
        }
        for (member, score) in &found.timers {
            let (tag, name) = member.split_once(':').unwrap();
            match tag {
                "d" => self.compare_place(Kind::Delayed, name, score),
                "l" => self.compare_place(Kind::Leased, name, score),
                "p" => assert!(self.paused.contains(name), "{member} is not paused"),
                "r" => assert!(self.resuming.contains(name), "{member} does not resume"),
                _ => panic!("{member} is no timer"),
            }
            let is_mark = matches!(tag, "p" | "r");
            marks += usize::from(is_mark);
            places += usize::from(!is_mark);
        }
        assert_eq!(places, self.jobs.len(), "of {self:?} in {found:?}");
        let expected = self.paused.len() + self.resuming.len();
        assert_eq!(marks, expected, "paused and resuming kinds of {self:?}");
        self.compare_fields(&found.jobs);
        for (session, since) in &found.idle {
            let told = since.parse().unwrap();
            assert_eq!(self.idle.get(*session), Some(&told), "sleeper {session}");
        }
        assert_eq!(found.idle.len(), self.idle.len(), "{:?}", self.idle);
        self.compare_events(&found.events);
    }

    fn compare_place(&mut self, kind: Kind, id: &str, score: &str) {
        let score: f64 = score.parse().unwrap();
        let Some(job) = self.jobs.get_mut(id) else {
            panic!("{id} does not exist, but is {kind:?} at {score}");
        };
        let is_there = match (&mut job.place, kind) {
            (Place::Ready { since, rank }, Kind::Ready) => since.is(score - rank.offset(id)),
            (Place::Delayed { due: at }, Kind::Delayed)
            | (Place::Leased { until: at }, Kind::Leased)
            | (Place::Dead { at }, Kind::Dead) => at.is(score),
            _ => false,
        };
        assert!(is_there, "{id}, {kind:?} at {score}, ought to be {job:?}");
    }

    fn compare_fields(&mut self, fields: &Pairs<'_>) {
        let (mut bodies, mut leases) = (0, 0);
        for (field, value) in fields {
            let lease_of = field.strip_prefix("l:");
            let id = lease_of.unwrap_or(field);
            let job = self.jobs.get_mut(id);
            let job = job.unwrap_or_else(|| panic!("{id} does not exist, but {field}: {value}"));
            if lease_of.is_some() {
                assert!(has_lease(job, value), "{id} has {value}: {job:?}");
                leases += 1;
            } else {
                assert!(value.starts_with(priority(id).1), "{id} has {value}");
                bodies += 1;
            }
        }
        assert_eq!(bodies, self.jobs.len(), "bodies of {self:?} in {fields:?}");
        let expected = self.jobs.values().filter(|job| job.lease.is_some());
        assert_eq!(leases, expected.count(), "leases in {fields:?}");
    }

    fn compare_events(&self, newest: &[&str]) {
        let number = |json: &&str| serde_json::from_str::<Event>(json).unwrap().number;
        let told: Vec<_> = newest.iter().map(number).collect();
        let first = self.events.len().saturating_sub(told.len());
        assert_eq!(told, self.events[first..], "the newest events");
    }

    /// What administration told of one job, at this time.
    pub(crate) fn compare_shown(&self, id: &str, shown: Option<&StoredJob>, now: At) {
        let (Some(job), Some(shown)) = (self.jobs.get(id), shown) else {
            let is_known = self.jobs.contains_key(id);
            assert_eq!(is_known, shown.is_some(), "{id} exists");
            return;
        };
        let told = shown.at.map_or(FAR, |at| at.0 as f64);
        let could_be = now.limits().into_iter().any(|now| {
            let (state, mut at) = state_of(job, now);
            state == shown.state && at.is(told)
        });
        assert!(could_be, "{id} is {job:?} and not {shown:?}");
        let lease = job.lease.clone().unwrap_or_default();
        let counts = (shown.attempts, shown.crashes, shown.failures);
        assert_eq!(counts, (lease.attempt, lease.crashes, lease.errors), "{id}");
        assert_eq!(shown.is_wanted_again, lease.again.is_some(), "{id}");
        let holder = lease
            .holder
            .as_deref()
            .and_then(|token| token.split_once('.'));
        assert_eq!(shown.holder.as_deref(), holder.map(|(session, _)| session));
    }

    /// What administration tells of all of them.
    pub(crate) fn compare_stats(&self, told: &QueueStats) {
        let now = told.now.0 as f64;
        let (mut counts, mut oldest) = ([0; JobState::ALL.len()], now);
        for job in self.jobs.values() {
            let (state, at) = state_of(job, now);
            counts[state as usize] += 1;
            if state == JobState::Due {
                oldest = oldest.min(at.known());
            }
        }
        let found = [told.due, told.leased, told.delayed, told.paused, told.dead];
        assert_eq!(found, counts, "{:?}", self.jobs);
        assert!(told.oldest_due_ms as f64 <= now - oldest, "{told:?}");
        assert_eq!(told.paused_scopes.len(), self.paused.len(), "{told:?}");
    }
}

fn has_lease(job: &mut Job, told: &str) -> bool {
    let is_dead = matches!(job.place, Place::Dead { .. });
    let Some(lease) = &mut job.lease else {
        return told == "-";
    };
    let mut parts = told.splitn(6, '|');
    let mut next = || parts.next().unwrap_or_default();
    let counts = [lease.attempt, lease.crashes, lease.errors];
    let are_counts = counts.iter().all(|count| next().parse() == Ok(*count));
    let is_again = match (&mut lease.again, next()) {
        (None, told) => told.is_empty(),
        (Some(again), told) => told.parse().is_ok_and(|told| again.is(told)),
    };
    let holder = if is_dead {
        Some("!dead")
    } else {
        lease.holder.as_deref()
    };
    are_counts && is_again && next() == holder.unwrap_or_default()
}

/// What administration calls it, and its time.
fn state_of(job: &Job, now: f64) -> (JobState, At) {
    let or_due = |at: At, state| {
        let is_due = at.known() <= now;
        (if is_due { JobState::Due } else { state }, at)
    };
    match job.place {
        Place::Ready { since, .. } => (JobState::Due, since),
        Place::Delayed { due } if due.known() > FAR => (JobState::Paused, At::exactly(FAR)),
        Place::Delayed { due } => or_due(due, JobState::Delayed),
        Place::Leased { until } => or_due(until, JobState::Leased),
        Place::Dead { at } => (JobState::Dead, at),
    }
}
