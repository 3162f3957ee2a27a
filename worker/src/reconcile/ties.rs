//! What ties a record to the provider's fleet: the ids that its attempts hold, and what it waits for.
//! Kept where every step ends, so that no transition can forget it.

use shared::fleet::Watched;
use shared::model::{Attempt, Status};
use shared::queue::{Hash, Job, Periodic, Write};

use super::draft::{Draft, Next};
use crate::config::ReconcileConfig;

/// The provider's ids under which something of the record may exist.
pub(super) fn held(status: &Status) -> Vec<String> {
    let held = |attempt: &&Attempt| attempt.state.may_exist();
    let attempts = status.all_attempts().filter(held);
    attempts
        .filter_map(|attempt| attempt.provider_id.clone())
        .collect()
}

impl Draft<'_> {
    /// Writes down which ids the record holds from now on.
    pub(super) fn keep_bound(&mut self) {
        let (before, after) = (std::mem::take(&mut self.held), held(&self.status));
        let taken = after.iter().filter(|id| !before.contains(id));
        let owner = self.spec.id.to_string();
        let bind = |id: &String| Write::Set(Hash::Bound, id.clone(), owner.clone());
        self.writes.extend(taken.map(bind));
        let left = before.into_iter().filter(|id| !after.contains(id));
        let release = |id| Write::Unset(Hash::Bound, id);
        self.writes.extend(left.map(release));
    }

    /// Writes down what the step ended waiting for.
    pub(super) fn keep_watch(&mut self, next: Next) {
        let watched = match next {
            Next::Watch(_) => self.watched(),
            Next::In(_) | Next::Settled(_) | Next::Never | Next::Abandoned => None,
        };
        if watched == self.status.watched {
            return;
        }
        let id = self.spec.id.to_string();
        self.writes.push(match &watched {
            Some(watched) => Write::Set(Hash::Watch, id, watched.stored()),
            None => Write::Unset(Hash::Watch, id),
        });
        self.status.watched = watched;
    }

    /// Another word than the last one, of the instance that is waited for.
    fn watched(&self) -> Option<Watched> {
        let beside = self.status.beside.as_ref().filter(|_| self.watches_beside);
        let (attempt, facts) = match beside {
            Some(beside) => (beside.attempt.as_ref(), &beside.boot.provider),
            None => (self.status.current(), &self.status.provider),
        };
        Some(Watched {
            provider_id: attempt?.provider_id.clone()?,
            word: facts
                .as_ref()
                .map(|facts| facts.status.clone())
                .unwrap_or_default(),
        })
    }
}

/// Whoever begins to wait for something makes the next look at it due.
pub(super) fn hasten_looks(writes: &mut Vec<Write>, config: &ReconcileConfig) {
    for (hash, name, after) in [
        (Hash::Watch, Periodic::Watch, config.poll_fast),
        (Hash::Bound, Periodic::Fleet, config.poll_slow),
    ] {
        let begins = |write: &Write| matches!(write, Write::Set(set, ..) if *set == hash);
        if writes.iter().any(begins) {
            writes.push(Write::Enqueue(Job::Periodic { name }, after));
        }
    }
}
