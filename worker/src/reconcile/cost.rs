//! The books of a step: what the instance costs, what it has reserved, and that its log explains the
//! phase it is in. They are kept where every step ends, so that no transition can forget them.

use serde_json::json;
use shared::clock::Millis;
use shared::model::{Event, EventKind, Phase, PhaseChange, budget};
use shared::queue::Write;

use super::cause;
use super::draft::Draft;

impl Draft<'_> {
    /// Brings cost, budget and log up to what the step came to.
    pub(super) fn account(&mut self) {
        let seen_at = self.seen_at();
        self.status.cost = self.status.cost.after(self.spec, &self.status, seen_at);
        self.status.account_beside(self.spec, self.now);
        self.reserve();
        self.log_phase();
    }

    /// When the facts that the step ended with were seen.
    fn seen_at(&self) -> Millis {
        let facts = self.status.provider.as_ref();
        facts.map_or(self.now, |facts| facts.seen_at.min(self.now))
    }

    fn reserve(&mut self) {
        let wanted = budget::reservation(self.spec, &self.status);
        if wanted.is_none() || wanted == self.status.reservation {
            return;
        }
        self.status.reservation = wanted;
        let id = self.spec.id.clone();
        self.writes
            .extend(wanted.map(|reserved| Write::Reserve(id, reserved)));
    }

    /// Notes a change of phase in the log: on the step's last event, or on one of its own.
    fn log_phase(&mut self) {
        let change = PhaseChange {
            from: self.status.logged_phase,
            to: Phase::of(self.spec, Some(&self.status)),
        };
        if change.from == change.to {
            return;
        }
        self.status.logged_phase = change.to;
        if let Some(event) = last_event(&mut self.writes) {
            event.change = Some(change);
            return;
        }
        let facts = self.status.provider.as_ref();
        let (kind, data) = (EventKind::PhaseChanged, json!({ "phase": change.to }));
        match facts.map(|facts| format!("the provider says {:?}", facts.status)) {
            Some(reason) => self.event(kind, reason, data),
            None => self.event_by(cause::operation(self.spec), kind, "as it is wanted", data),
        }
        if let Some(event) = last_event(&mut self.writes) {
            event.change = Some(change);
        }
    }
}

fn last_event(writes: &mut [Write]) -> Option<&mut Event> {
    writes.iter_mut().rev().find_map(|write| match write {
        Write::Event(event) => Some(&mut **event),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use shared::model::spec::Request;
    use shared::model::{
        Attempt, AttemptState, BillingMode, Claim, Desired, Offer, OperationId, OperationKind,
        ProviderFacts, Rate, Reservation, Spec, Status, StopReason, replay,
    };

    use super::*;
    use crate::config::WebhookFormat;
    use crate::reconcile::draft::Next;
    use crate::reconcile::failure;
    use crate::reconcile::notify::Notifier;
    use crate::reconcile::testing::spec;

    const WORDS: [&str; 12] = [
        "creating",
        "pulling",
        "running",
        "toStop",
        "exited",
        "starting",
        "migrating",
        "freezing",
        "toRemove",
        "removed",
        "somethingNew",
        "",
    ];

    fn attempt(number: u32) -> Attempt {
        Attempt {
            number,
            marker: "m".into(),
            offer: Offer {
                product_id: "p".into(),
                product_name: "n".into(),
                cluster_id: "c".into(),
                region: "r".into(),
                billing_mode: BillingMode::Spot,
                unit_price: 30_000,
            },
            ports: 0,
            state: AttemptState::Intent,
            intent_at: Millis(1),
            provider_id: None,
            acked_at: None,
            absences: 0,
            reason: None,
        }
    }

    /// What a step may do, sensible or not.
    fn act(draft: &mut Draft<'_>, rng: &mut StdRng) {
        let reason = || failure("STARTUP_TIMEOUT", "too slow");
        match rng.random_range(0..10) {
            0 => {
                let number = draft.status.attempts.len() as u32 + 1;
                draft.status.attempts.push(attempt(number));
            }
            1 => draft.created("x", "found"),
            2 | 3 => {
                draft.status.provider = Some(ProviderFacts {
                    status: WORDS[rng.random_range(0..WORDS.len())].into(),
                    seen_at: draft.now,
                    ..ProviderFacts::default()
                });
            }
            4 => draft.ready("every check passed"),
            5 => drop(draft.discard(reason())),
            6 => draft.gone(),
            7 => draft.boot_failed(reason()),
            8 if draft.is_stopped_by_policy() => draft.end_policy_stop(),
            8 => draft.stop_by_policy(StopReason::Idle),
            _ if rng.random_bool(0.1) => drop(draft.closed()),
            _ => {}
        }
    }

    fn wish(spec: &Spec, rng: &mut StdRng) -> Spec {
        let (desired, kind) = [
            (Desired::Running, OperationKind::Start),
            (Desired::Running, OperationKind::Restart),
            (Desired::Stopped, OperationKind::Stop),
            (Desired::Deleted, OperationKind::Delete),
        ][rng.random_range(0..4)];
        let request = Request {
            operation_id: OperationId::generate(),
            kind,
            at: Millis(1),
            webhook_url: None,
            health_check: None,
            claim: None,
            traceparent: None,
        };
        spec.wanting(desired, request)
    }

    #[test]
    fn whatever_a_step_does_the_log_explains_the_phase_and_the_books_are_closed_with_the_record() {
        let notifier = Notifier::silent(WebhookFormat::Legacy);
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut wanted, mut status) = (spec(Desired::Running), None::<Status>);
            let (mut log, mut reserved) = (Vec::new(), None::<Reservation>);
            for step in 1..60 {
                if rng.random_bool(0.1) {
                    wanted = wish(&wanted, &mut rng);
                }
                let now = Millis(step * 1000);
                let mut draft = Draft::new(&wanted, status.clone(), now, &notifier);
                for _ in 0..rng.random_range(0..3) {
                    act(&mut draft, &mut rng);
                }
                for write in draft.finish(Next::NOW).1 {
                    match write {
                        Write::Event(event) => log.push(*event),
                        Write::Status(_, new) => status = Some(*new),
                        Write::Reserve(_, new) => reserved = Some(new),
                        _ => {}
                    }
                }
                let status = status.as_ref().unwrap();
                let phase = Phase::of(&wanted, Some(status));
                assert_eq!(replay(&log), Ok(phase), "seed {seed}, step {step}");
                assert_eq!(reserved, status.reservation);
                assert_eq!(log.len() as u64, status.events);
                if status.is_closed() {
                    assert_eq!(reserved.map(|r| r.rate.units()), Some(0), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn a_wish_that_passes_four_fifths_of_the_budget_is_told_once_and_before_anything_is_ordered() {
        let notifier = Notifier::silent(WebhookFormat::Legacy);
        let mut wanted = spec(Desired::Running);
        let (rate, limit) = (Rate::of_units(50_000), Rate::of_units(60_000));
        let claim = Claim::new(rate, limit);
        wanted.request.claim = Some(Claim {
            warns: true,
            ..claim
        });
        let first = Draft::new(&wanted, None, Millis(1), &notifier);
        assert!(first.has_news(), "an order would be written down before it");
        let writes = first.finish(Next::NOW).1;
        let told = writes.iter().find_map(|write| match write {
            Write::Event(event) => Some((event.kind, event.data.clone())),
            _ => None,
        });
        let data = json!({"limitPerHour": "0.60", "claimPerHour": "0.50"});
        assert_eq!(told, Some((EventKind::BudgetWarning, data)));
        let status = writes.into_iter().find_map(|write| match write {
            Write::Status(_, status) => Some(*status),
            _ => None,
        });
        let second = Draft::new(&wanted, status, Millis(2), &notifier);
        assert!(!second.has_news());
    }

    #[test]
    fn an_abandoned_step_writes_nothing() {
        let notifier = Notifier::silent(WebhookFormat::Legacy);
        let wanted = spec(Desired::Deleted);
        let draft = Draft::new(&wanted, None, Millis(1), &notifier);
        assert!(draft.finish(Next::Abandoned).1.is_empty());
    }
}
