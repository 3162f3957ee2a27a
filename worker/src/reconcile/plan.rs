//! The one transition table: what is wanted and what is known, to at most one step.

use shared::model::{AttemptState, Desired, Spec, Status, wanted};

/// The next step towards what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Take in what belongs to it and what its record does not hold.
    Claim,
    /// Choose an offer, write the intent down, and order it.
    Order,
    /// Look for an order whose answer is unknown.
    Find,
    /// Ask the provider how the instance is, and check its endpoints once it runs.
    Observe,
    /// Start or restart it, and follow the boot.
    Boot,
    /// Stop it, until that is confirmed.
    Halt,
    /// Delete what exists, until that is confirmed.
    Remove,
    /// Nothing is left: prove it, and close the record.
    Close,
    /// Closed; nothing will ever be done again.
    Rest,
}

/// Total over every stored combination. `has_claim` tells that the provider has something of this
/// instance's that no attempt accounts for.
pub(super) fn plan(spec: &Spec, status: &Status, has_claim: bool) -> Step {
    if has_claim
        && !status
            .current()
            .is_some_and(|attempt| attempt.state.may_exist())
    {
        return Step::Claim;
    }
    if status.timestamps.terminated.is_some() {
        return Step::Rest;
    }
    let exists = match status.current().map(|attempt| attempt.state) {
        // An unknown fate comes before every wish: it may be costing money under an unknown id.
        Some(AttemptState::Intent) => return Step::Find,
        Some(AttemptState::Discarding) => return Step::Remove,
        Some(AttemptState::Acked) => true,
        None | Some(AttemptState::Refused | AttemptState::Absent | AttemptState::Gone) => false,
    };
    let has_failed = status.timestamps.failed.is_some();
    match (wanted(spec, status), exists) {
        (Desired::Running | Desired::Stopped, _) if has_failed => Step::Rest,
        (Desired::Deleted, true) => Step::Remove,
        (Desired::Stopped, true) => Step::Halt,
        // What came to nothing before it could be stopped is not created any more.
        (Desired::Deleted | Desired::Stopped, false) => Step::Close,
        (Desired::Running, true) if status.pending_boot().is_some() => Step::Boot,
        (Desired::Running, true) => Step::Observe,
        (Desired::Running, false) if status.ending.is_some() => Step::Close,
        (Desired::Running, false) => Step::Order,
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::Millis;
    use shared::model::{Attempt, BillingMode, Ending, Offer, PolicyStop, StopReason};

    use super::*;
    use crate::reconcile::testing::spec;

    const NOW: Millis = Millis(1_000_000);
    const STATES: [AttemptState; 6] = [
        AttemptState::Intent,
        AttemptState::Acked,
        AttemptState::Refused,
        AttemptState::Absent,
        AttemptState::Discarding,
        AttemptState::Gone,
    ];

    fn status(state: AttemptState) -> Status {
        Status {
            attempts: vec![Attempt {
                number: 1,
                marker: "m".into(),
                offer: Offer {
                    product_id: "p".into(),
                    product_name: "n".into(),
                    cluster_id: "c".into(),
                    region: "r".into(),
                    billing_mode: BillingMode::Spot,
                    unit_price: 1,
                },
                ports: 0,
                state,
                intent_at: NOW,
                provider_id: None,
                acked_at: None,
                absences: 0,
                reason: None,
            }],
            ..Status::default()
        }
    }

    #[test]
    fn nothing_is_ordered_while_anything_may_exist() {
        for state in STATES {
            for desired in [Desired::Running, Desired::Stopped, Desired::Deleted] {
                let step = plan(&spec(desired), &status(state), false);
                assert!(
                    !(state.may_exist() && matches!(step, Step::Order | Step::Close)),
                    "{state:?} {desired:?} {step:?}"
                );
            }
        }
    }

    #[test]
    fn what_belongs_to_it_is_taken_in_whenever_nothing_else_is_held() {
        let mut closed = status(AttemptState::Gone);
        closed.timestamps.terminated = Some(NOW);
        for desired in [Desired::Running, Desired::Stopped, Desired::Deleted] {
            assert_eq!(plan(&spec(desired), &closed, true), Step::Claim);
            for state in STATES {
                let step = plan(&spec(desired), &status(state), true);
                assert_eq!(step == Step::Claim, !state.may_exist(), "{state:?}");
            }
        }
    }

    #[test]
    fn a_delete_waits_for_the_fate_of_an_order_and_then_removes_it() {
        let deleted = spec(Desired::Deleted);
        assert_eq!(
            plan(&deleted, &status(AttemptState::Intent), false),
            Step::Find
        );
        assert_eq!(
            plan(&deleted, &status(AttemptState::Acked), false),
            Step::Remove
        );
        assert_eq!(
            plan(&deleted, &status(AttemptState::Gone), false),
            Step::Close
        );
        assert_eq!(plan(&deleted, &Status::default(), false), Step::Close);
    }

    #[test]
    fn a_wish_to_stop_orders_nothing_and_stops_what_exists() {
        let stopped = spec(Desired::Stopped);
        assert_eq!(
            plan(&stopped, &status(AttemptState::Acked), false),
            Step::Halt
        );
        for state in STATES {
            let step = plan(&stopped, &status(state), false);
            assert!(
                !matches!(step, Step::Order | Step::Boot | Step::Observe),
                "{state:?} {step:?}"
            );
        }
        assert_eq!(plan(&stopped, &Status::default(), false), Step::Close);
    }

    #[test]
    fn a_start_boots_once_and_is_only_watched_after_it_ended() {
        let mut wish = spec(Desired::Running);
        wish.request.kind = shared::model::OperationKind::Start;
        let mut booting = status(AttemptState::Acked);
        booting.operation = Some(wish.operation());
        assert_eq!(plan(&wish, &booting, false), Step::Boot);
        let ended = wish
            .operation()
            .ended(shared::model::OperationState::Succeeded, None, NOW);
        booting.operation = Some(ended);
        assert_eq!(plan(&wish, &booting, false), Step::Observe);
    }

    #[test]
    fn a_policy_stops_what_exists_until_its_caller_wishes_something_else() {
        let wish = spec(Desired::Running);
        let mut idle = status(AttemptState::Acked);
        idle.policy = Some(PolicyStop {
            reason: StopReason::Idle,
            generation: wish.generation,
            since: NOW,
        });
        assert_eq!(plan(&wish, &idle, false), Step::Halt);
        let deleted = spec(Desired::Deleted);
        assert_eq!(plan(&deleted, &idle, false), Step::Remove);
        let mut started = wish.wanting(Desired::Running, wish.request.clone());
        started.request.kind = shared::model::OperationKind::Start;
        idle.operation = Some(started.operation());
        assert_eq!(plan(&started, &idle, false), Step::Boot);
    }

    #[test]
    fn a_failed_record_rests_until_it_is_deleted() {
        let mut failed = status(AttemptState::Gone);
        failed.timestamps.failed = Some(NOW);
        assert_eq!(plan(&spec(Desired::Running), &failed, false), Step::Rest);
        assert_eq!(plan(&spec(Desired::Deleted), &failed, false), Step::Close);
    }

    #[test]
    fn a_terminated_record_rests_whatever_is_wanted() {
        for state in STATES {
            let mut status = status(state);
            status.timestamps.terminated = Some(NOW);
            for desired in [Desired::Running, Desired::Stopped, Desired::Deleted] {
                assert_eq!(plan(&spec(desired), &status, false), Step::Rest);
            }
        }
    }

    #[test]
    fn a_wish_that_cannot_be_fulfilled_is_closed_and_not_ordered_again() {
        for state in [
            AttemptState::Refused,
            AttemptState::Absent,
            AttemptState::Gone,
        ] {
            let mut ending = status(state);
            ending.ending = Some(Ending::Vanished);
            assert_eq!(plan(&spec(Desired::Running), &ending, false), Step::Close);
        }
    }
}
