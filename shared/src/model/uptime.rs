//! Since when an instance runs and can be used: what policies count from.

use serde::{Deserialize, Serialize};

use super::status::{AttemptState, Status};
use crate::clock::Millis;

/// A look that comes later than this after its time, in ms, finds that nobody was watching: nor did
/// anybody take note of who used the instance, perhaps.
const UNWATCHED: u64 = 60_000;

/// Since when an instance runs and can be used, by Redis's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Uptime {
    /// When it first ran after its create or its last start. A restart does not change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Millis>,
    /// Since when it has been ready and running without a break, as far as somebody watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usable_since: Option<Millis>,
    /// When the provider had started it by then, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// When it is to be looked at next at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look_due: Option<Millis>,
}

impl Uptime {
    /// The same after a look at `now` that found `status`.
    #[must_use]
    pub fn after(&self, status: &Status, now: Millis) -> Self {
        let attempt = status.current();
        let facts = status.provider.as_ref();
        let exists = attempt.is_some_and(|attempt| attempt.state == AttemptState::Acked);
        let Some(facts) = facts.filter(|_| exists) else {
            return Self::default();
        };
        let runs = facts.status == "running";
        let is_usable = runs && status.timestamps.ready.is_some();
        let started = facts.last_started.filter(|_| is_usable);
        // Seen to run before and after, it may have been started anew in between.
        let is_same_boot = match (self.started, started) {
            (Some(before), Some(after)) => before == after,
            (None, _) | (_, None) => true,
        };
        let since = self.usable_since;
        let since = since.filter(|_| is_same_boot && self.was_watched(now));
        let first_ran = runs.then(|| status.timestamps.running.unwrap_or(now));
        Self {
            began: self.began.or(first_ran),
            usable_since: is_usable.then(|| since.unwrap_or(now)),
            started: started.or(self.started.filter(|_| is_usable)),
            look_due: None,
        }
    }

    fn was_watched(&self, now: Millis) -> bool {
        self.look_due.is_none_or(|due| now.since(due) <= UNWATCHED)
    }

    /// Nothing is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ProviderFacts;
    use crate::model::samples::acked;

    fn seen(word: &str, started: u64, is_ready: bool) -> Status {
        let mut status = acked(30_000);
        status.provider = Some(ProviderFacts {
            status: word.into(),
            last_started: Some(started),
            ..ProviderFacts::default()
        });
        status.timestamps.running = Some(Millis(10));
        status.timestamps.ready = is_ready.then_some(Millis(20));
        status
    }

    fn after(looks: &[(u64, &Status)]) -> Uptime {
        let first = Uptime::default();
        looks.iter().fold(first, |uptime, (at, status)| {
            uptime.after(status, Millis(*at))
        })
    }

    #[test]
    fn it_is_usable_from_the_look_that_finds_it_ready() {
        let (checked, ready) = (seen("running", 1, false), seen("running", 1, true));
        let uptime = after(&[(15, &checked), (20, &ready), (90, &ready)]);
        assert_eq!(uptime.began, Some(Millis(10)));
        assert_eq!(uptime.usable_since, Some(Millis(20)));
    }

    #[test]
    fn a_boot_by_somebody_else_begins_anew_whether_it_was_watched_or_not() {
        let (ready, exited) = (seen("running", 1, true), seen("exited", 1, true));
        let back = seen("running", 2, true);
        let watched = after(&[(20, &ready), (50, &exited), (90, &back)]);
        assert_eq!(watched.usable_since, Some(Millis(90)));
        let unseen = after(&[(20, &ready), (90, &back), (95, &back)]);
        assert_eq!(unseen.usable_since, Some(Millis(90)));
        assert_eq!(unseen.began, Some(Millis(10)), "its life goes on");
        assert_eq!(after(&[(20, &ready), (50, &exited)]).usable_since, None);
    }

    #[test]
    fn time_in_which_nobody_watched_is_not_time_in_which_nobody_used_it() {
        let ready = seen("running", 1, true);
        let mut uptime = after(&[(20, &ready)]);
        uptime.look_due = Some(Millis(100));
        let late = |ms: u64| uptime.after(&ready, Millis(100 + ms)).usable_since;
        assert_eq!(late(60_000), Some(Millis(20)));
        assert_eq!(late(60_001), Some(Millis(60_101)));
        let early = uptime.after(&ready, Millis(1));
        assert_eq!(
            early.usable_since,
            Some(Millis(20)),
            "a clock that went back"
        );
    }

    #[test]
    fn a_restart_is_no_new_life() {
        let (ready, mut again) = (seen("running", 1, true), seen("running", 2, true));
        again.timestamps.running = Some(Millis(80));
        let uptime = after(&[(20, &ready), (90, &again)]);
        assert_eq!(uptime.began, Some(Millis(10)));
    }

    #[test]
    fn what_the_provider_has_no_more_has_no_uptime() {
        let mut gone = seen("running", 1, true);
        gone.attempts[0].state = AttemptState::Gone;
        let ready = seen("running", 1, true);
        assert!(after(&[(20, &ready), (50, &gone)]).is_empty());
    }
}
