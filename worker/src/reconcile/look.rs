//! How the instance is: from what is known and from what the provider's list shows, else by its id.
//!
//! Calls are few and shared by all instances, so none is asked for by id of which the list tells enough.

use std::time::Duration;

use shared::clock::Millis;
use shared::fleet::Seen;
use shared::model::{OperationState, ProviderFacts, Status};

use super::draft::{Draft, Next};
use super::facts::Word;
use super::{Reconciler, facts};
use crate::novita::{Novita, NovitaError, ProviderId, ProviderStatus};

/// A list may lag behind, so what it shows differently counts only if what is known is this much older.
const LAG: Duration = Duration::from_secs(30);

impl<N: Novita> Reconciler<N> {
    /// How the current attempt is.
    pub(super) async fn look(
        &self,
        draft: &Draft<'_>,
        id: &ProviderId,
    ) -> Result<ProviderFacts, NovitaError> {
        let evidence = self.evidence(draft);
        match evidence.and_then(|told| told.listed(id).or_else(|| told.checking())) {
            Some(facts) => Ok(facts),
            None => self.ask(draft, id).await,
        }
    }

    /// How the current attempt is while an order to boot has to show its effect: a list does not tell that.
    pub(super) async fn look_at_boot(
        &self,
        draft: &Draft<'_>,
        id: &ProviderId,
    ) -> Result<ProviderFacts, NovitaError> {
        match self
            .evidence(draft)
            .and_then(|evidence| evidence.checking())
        {
            Some(facts) => Ok(facts),
            None => self.ask(draft, id).await,
        }
    }

    /// How an instance is by its id.
    pub(super) async fn ask(
        &self,
        draft: &Draft<'_>,
        id: &ProviderId,
    ) -> Result<ProviderFacts, NovitaError> {
        let instance = self.provider.get(id).await?;
        Ok(facts::of(&instance, draft.now))
    }

    /// Until the provider shows another word, and for one slow look at the longest.
    pub(super) fn watch(&self) -> Next {
        Next::Watch(self.config.poll_slow)
    }

    fn evidence<'a>(&self, draft: &'a Draft<'_>) -> Option<Evidence<'a>> {
        Some(Evidence {
            status: &draft.status,
            known: draft.status.provider.as_ref()?,
            seen: &draft.seen,
            now: draft.now,
            slow: self.config.poll_slow,
        })
    }
}

/// What can be judged by without a call.
#[derive(Debug, Clone, Copy)]
struct Evidence<'a> {
    status: &'a Status,
    /// What was seen last, and acted upon.
    known: &'a ProviderFacts,
    seen: &'a Seen,
    now: Millis,
    /// From one look at the whole list to the next.
    slow: Duration,
}

impl Evidence<'_> {
    /// What is known, brought up to date by what the list has shown since; `None` when that is not enough.
    fn listed(&self, id: &ProviderId) -> Option<ProviderFacts> {
        let (sighting, at) = self.seen.of(id.as_str())?;
        let shown = &sighting.facts;
        let is_new = at > self.known.seen_at;
        let tells = match (self.is_same(shown), is_new) {
            (true, true) => self.is_quiet() || (self.is_still_waiting() && self.is_recent(at)),
            (true, false) if self.is_quiet() && self.is_recent(self.known.seen_at) => {
                return Some(self.known.clone());
            }
            (false, true) => self.is_quiet() && self.is_plain_change(shown, at),
            (_, false) => false,
        };
        tells.then(|| self.updated(shown, at))
    }

    /// What is known, while only the endpoints of a running instance are waited for.
    fn checking(&self) -> Option<ProviderFacts> {
        let ordered = self.status.current().map_or(0, |attempt| attempt.ports);
        let is_checked = self.status.health.is_some()
            && self.known.word() == ProviderStatus::Running
            && self.known.status_error.is_empty()
            && self.known.port_mappings.len() >= ordered as usize;
        let tells = is_checked && self.is_own_look() && self.is_recent(self.known.seen_at);
        tells.then(|| self.known.clone())
    }

    fn is_same(&self, shown: &ProviderFacts) -> bool {
        let ports = &shown.port_mappings;
        shown.status == self.known.status
            && (ports.is_empty() || *ports == self.known.port_mappings)
    }

    /// It ran and does not any more, or the reverse, and nothing else is remarkable about it.
    fn is_plain_change(&self, shown: &ProviderFacts, at: Millis) -> bool {
        let is_plain = |facts: &ProviderFacts| {
            matches!(
                facts.word(),
                ProviderStatus::Running | ProviderStatus::Exited
            )
        };
        is_plain(shown)
            && is_plain(self.known)
            && shown.status_error == self.known.status_error
            && shown.spot_status == self.known.spot_status
            && at.since(self.known.seen_at) >= LAG.as_millis() as u64
    }

    /// Nothing was asked for whose effect is still to be seen.
    fn is_quiet(&self) -> bool {
        let operation = self.status.operation.as_ref();
        let is_pending = operation.is_some_and(|op| op.state == OperationState::Pending);
        !is_pending && self.status.watched.is_none()
    }

    /// Another word is waited for, and nobody has said that it shows.
    fn is_still_waiting(&self) -> bool {
        self.status.watched.is_some() && self.is_own_look()
    }

    /// The time for this look has come, rather than that something new was seen.
    fn is_own_look(&self) -> bool {
        let due = self.status.uptime.look_due;
        due.is_some_and(|due| self.now >= due)
    }

    fn is_recent(&self, at: Millis) -> bool {
        self.now.since(at) < 2 * self.slow.as_millis() as u64
    }

    fn updated(&self, shown: &ProviderFacts, at: Millis) -> ProviderFacts {
        let known = self.known.clone();
        ProviderFacts {
            status: shown.status.clone(),
            port_mappings: if shown.port_mappings.is_empty() {
                known.port_mappings
            } else {
                shown.port_mappings.clone()
            },
            status_error: shown.status_error.clone(),
            spot_status: shown.spot_status.clone(),
            spot_reclaim_at: shown.spot_reclaim_at,
            last_started: shown.last_started.or(known.last_started),
            last_stopped: shown.last_stopped.or(known.last_stopped),
            release_data_at: shown.release_data_at.or(known.release_data_at),
            seen_at: at,
            keep_data_days: known.keep_data_days,
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::model::status::Health;
    use shared::model::{Desired, PortMapping, Sighting};

    use super::*;
    use crate::reconcile::testing::spec;

    const SLOW: Duration = Duration::from_secs(30);
    const NOW: Millis = Millis(1_000_000);
    /// When it was looked at last.
    const KNOWN: Millis = Millis(900_000);

    fn facts(word: &str, at: Millis) -> ProviderFacts {
        ProviderFacts {
            status: word.into(),
            seen_at: at,
            ..ProviderFacts::default()
        }
    }

    fn quiet() -> Status {
        Status::default()
    }

    /// Its creation is not over.
    fn pending() -> Status {
        Status {
            operation: Some(spec(Desired::Running).operation()),
            ..Status::default()
        }
    }

    /// It waits for another word, and is looked at because its time has come, or sooner.
    fn waiting(look_due: Millis) -> Status {
        let mut status = pending();
        status.uptime.look_due = Some(look_due);
        status.watched = Some(shared::fleet::Watched {
            provider_id: "p".into(),
            word: "pulling".into(),
        });
        status
    }

    /// What a look comes to without a call: the word, and how old it is by now.
    fn told(status: &Status, known: &ProviderFacts, shown: ProviderFacts) -> Option<(String, u64)> {
        let at = shown.seen_at;
        let sighting = Sighting {
            provider_id: "p".into(),
            facts: shown,
            ..Sighting::default()
        };
        let seen = Seen {
            sightings: vec![sighting],
            complete_at: at,
        };
        let evidence = Evidence {
            status,
            known,
            seen: &seen,
            now: NOW,
            slow: SLOW,
        };
        let listed = evidence.listed(&ProviderId::new("p").unwrap())?;
        Some((listed.status, NOW.since(listed.seen_at)))
    }

    fn of(status: &Status, known: (&str, Millis), shown: (&str, Millis)) -> Option<(String, u64)> {
        told(status, &facts(known.0, known.1), facts(shown.0, shown.1))
    }

    #[test]
    fn what_the_list_shows_unchanged_is_believed_unless_an_effect_is_awaited() {
        let shown = ("running", Millis(990_000));
        let fresh = Some(("running".to_owned(), 10_000));
        assert_eq!(of(&quiet(), ("running", KNOWN), shown), fresh);
        assert_eq!(of(&pending(), ("running", KNOWN), shown), None);
    }

    #[test]
    fn one_that_waits_believes_the_list_only_when_nobody_said_that_it_moved_on() {
        let (known, shown) = (("pulling", KNOWN), ("pulling", Millis(990_000)));
        let still = Some(("pulling".to_owned(), 10_000));
        assert_eq!(of(&waiting(NOW), known, shown), still);
        assert_eq!(of(&waiting(NOW.plus(1)), known, shown), None);
        let old = ("pulling", Millis(939_999));
        assert_eq!(of(&waiting(NOW), known, old), None, "a list of long ago");
        let moved = ("running", Millis(990_000));
        assert_eq!(of(&waiting(NOW), known, moved), None);
    }

    #[test]
    fn an_older_list_says_nothing_new_if_it_says_the_same_and_else_it_may_have_seen_more() {
        let known = ("running", Millis(990_000));
        let as_known = Some(("running".to_owned(), 10_000));
        let older = Millis(985_000);
        assert_eq!(of(&quiet(), known, ("running", older)), as_known);
        assert_eq!(of(&quiet(), known, ("exited", older)), None);
        let long_ago = ("running", Millis(900_000));
        assert_eq!(of(&quiet(), long_ago, ("running", Millis(890_000))), None);
    }

    #[test]
    fn a_list_is_believed_that_it_stopped_or_started_and_nothing_else() {
        let (running, late) = (("running", KNOWN), Millis(990_000));
        let exited = Some(("exited".to_owned(), 10_000));
        assert_eq!(of(&quiet(), running, ("exited", late)), exited);
        let started = of(&quiet(), ("exited", KNOWN), ("running", late));
        assert_eq!(started.unwrap().0, "running");
        for word in [
            "removed",
            "freezing",
            "toStop",
            "migrating",
            "",
            "somethingNew",
        ] {
            assert_eq!(of(&quiet(), running, (word, late)), None, "{word:?}");
            assert_eq!(of(&quiet(), (word, KNOWN), ("running", late)), None);
        }
        let soon = ("exited", KNOWN.plus(29_999));
        assert_eq!(of(&quiet(), running, soon), None, "the list may lag behind");
        assert_eq!(of(&pending(), running, ("exited", late)), None);
        let reclaimed = ProviderFacts {
            spot_status: "terminated".into(),
            ..facts("exited", late)
        };
        assert_eq!(told(&quiet(), &facts("running", KNOWN), reclaimed), None);
        let broken = ProviderFacts {
            status_error: "oom".into(),
            ..facts("exited", late)
        };
        assert_eq!(told(&quiet(), &facts("running", KNOWN), broken), None);
    }

    #[test]
    fn a_change_keeps_the_ports_that_a_list_does_not_show() {
        let port = PortMapping {
            port: 8080,
            endpoint: "host:1".into(),
            kind: "tcp".into(),
        };
        let known = ProviderFacts {
            port_mappings: vec![port.clone()],
            ..facts("running", KNOWN)
        };
        let (status, seen) = (quiet(), Seen::default());
        let evidence = Evidence {
            status: &status,
            known: &known,
            seen: &seen,
            now: NOW,
            slow: SLOW,
        };
        let updated = evidence.updated(&facts("exited", NOW), NOW);
        assert_eq!(updated.port_mappings, [port]);
    }

    #[test]
    fn checks_are_made_again_without_asking_how_the_instance_is() {
        let health = Health {
            started_at: KNOWN,
            checks: 1,
            report: None,
        };
        let checking = |look_due: Millis, health: Option<Health>, known: ProviderFacts| {
            let mut status = pending();
            status.uptime.look_due = Some(look_due);
            status.health = health;
            let seen = Seen::default();
            let evidence = Evidence {
                status: &status,
                known: &known,
                seen: &seen,
                now: NOW,
                slow: SLOW,
            };
            evidence.checking().is_some()
        };
        let running = || facts("running", Millis(990_000));
        assert!(checking(NOW, Some(health.clone()), running()));
        assert!(!checking(NOW.plus(1), Some(health.clone()), running()));
        assert!(!checking(NOW, None, running()));
        let starting = facts("starting", Millis(990_000));
        assert!(!checking(NOW, Some(health.clone()), starting));
        let old = facts("running", Millis(940_000));
        assert!(!checking(NOW, Some(health), old));
    }
}
