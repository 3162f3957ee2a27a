use super::*;
use crate::model::operation::Failure;
use crate::model::samples::{acked, request, spec};
use crate::model::spec::{BillingMode, Desired, Spec};
use crate::model::status::{AttemptState, Ending, Status};
use crate::model::{OperationKind, PolicyStop, StopReason};

const NOW: Millis = Millis(10_000_000_000);
const HOUR: u64 = 3_600_000;

fn rules(policy: SpotPolicy) -> SpotRules {
    SpotRules {
        policy,
        dry_run: false,
        migration_gap: Duration::from_secs(4 * 3600),
        migration_timeout: Duration::from_secs(600),
        replaces_failed: true,
    }
}

/// Ready before, and seen with these words by the provider.
fn seen(word: &str, spot_status: &str, reclaim_at: Option<u64>) -> Status {
    Status {
        was_ready: true,
        provider: Some(ProviderFacts {
            status: word.into(),
            spot_status: spot_status.into(),
            spot_reclaim_at: reclaim_at,
            last_started: Some(1000),
            ..ProviderFacts::default()
        }),
        ..acked(30_000)
    }
}

fn running() -> Spec {
    spec(Desired::Running)
}

fn next(status: &Status, policy: SpotPolicy) -> SpotStep {
    decide(&running(), status, NOW, &rules(policy))
}

fn told(mut status: Status) -> Status {
    let facts = status.provider.clone().unwrap();
    if facts.is_wanted_back() {
        status.spot.noticed = Some(facts.spot_reclaim_at.unwrap_or(0));
    }
    if facts.is_reclaimed() {
        status.spot.lost = Some(NOW);
    }
    status
}

const POLICIES: [SpotPolicy; 4] = [
    SpotPolicy::None,
    SpotPolicy::Replace,
    SpotPolicy::OnDemand,
    SpotPolicy::Migrate,
];

#[test]
fn f16_only_what_its_caller_wants_to_run_and_the_provider_took_is_acted_upon() {
    let lost = || told(seen("exited", "terminated", Some(2000)));
    let act = |spec: &Spec, status: &Status| decide(spec, status, NOW, &rules(SpotPolicy::Replace));
    assert_eq!(
        act(&running(), &lost()),
        SpotStep::Replace(BillingMode::Spot)
    );
    let still = SpotStep::Wait(None);
    assert_eq!(act(&spec(Desired::Stopped), &lost()), still);
    assert_eq!(act(&spec(Desired::Deleted), &lost()), still);
    let mut idle = lost();
    idle.policy = Some(PolicyStop {
        reason: StopReason::Idle,
        generation: 1,
        since: NOW,
    });
    assert_eq!(act(&running(), &idle), still, "stopped by a policy");
    for (word, spot_status, reclaim_at, why) in [
        ("exited", "", None, "stopped by somebody"),
        ("exited", "running", Some(999), "an old reclaim"),
        ("running", "", Some(999), "a lingering time"),
        ("exited", "", Some(0), "never"),
    ] {
        let status = seen(word, spot_status, reclaim_at);
        assert_eq!(act(&running(), &status), still, "{why}");
    }
    let mut other = lost();
    other.attempts[0].offer.billing_mode = BillingMode::OnDemand;
    assert_eq!(act(&running(), &other), still, "not a spot machine");
    let mut fresh = lost();
    fresh.was_ready = false;
    assert_eq!(act(&running(), &fresh), still, "never got ready");
    for state in [AttemptState::Gone, AttemptState::Discarding] {
        let mut status = lost();
        status.attempts[0].state = state;
        assert_eq!(act(&running(), &status), still, "{state:?}");
    }
    let mut ended = lost();
    ended.ending = Some(Ending::Vanished);
    assert_eq!(act(&running(), &ended), still);
    let mut booting = lost();
    let started = running().wanting(Desired::Running, request(OperationKind::Start));
    booting.operation = Some(started.operation());
    assert_eq!(act(&started, &booting), still, "its caller starts it");
}

#[test]
fn notice_and_loss_are_told_once_under_every_policy_and_before_anything_is_done() {
    for policy in POLICIES {
        let noticed = seen("running", "notified", Some(5000));
        assert_eq!(next(&noticed, policy), SpotStep::TellNotice(Some(5000)));
        assert_ne!(
            next(&told(noticed), policy),
            SpotStep::TellNotice(Some(5000))
        );
        let lost = seen("exited", "terminated", None);
        assert_eq!(next(&lost, policy), SpotStep::TellLoss);
        assert_ne!(next(&told(lost), policy), SpotStep::TellLoss);
    }
    let mut later = told(seen("running", "notified", Some(5000)));
    later.provider.as_mut().unwrap().spot_reclaim_at = Some(6000);
    let step = next(&later, SpotPolicy::None);
    assert_eq!(step, SpotStep::TellNotice(Some(6000)), "another deadline");
}

#[test]
fn what_is_noticed_is_replaced_at_once_and_migrated_only_when_it_is_lost() {
    let noticed = told(seen("running", "notified", Some(5000)));
    let lost = told(seen("exited", "terminated", Some(5000)));
    for (policy, at_notice, at_loss) in [
        (SpotPolicy::None, SpotStep::Wait(None), SpotStep::Wait(None)),
        (
            SpotPolicy::Replace,
            SpotStep::Replace(BillingMode::Spot),
            SpotStep::Replace(BillingMode::Spot),
        ),
        (
            SpotPolicy::OnDemand,
            SpotStep::Replace(BillingMode::OnDemand),
            SpotStep::Replace(BillingMode::OnDemand),
        ),
        (SpotPolicy::Migrate, SpotStep::Wait(None), SpotStep::Migrate),
    ] {
        assert_eq!(next(&noticed, policy), at_notice, "{policy:?}");
        assert_eq!(next(&lost, policy), at_loss, "{policy:?}");
    }
}

#[test]
fn a_dry_run_counts_once_and_does_nothing() {
    for policy in POLICIES.into_iter().skip(1) {
        let dry = SpotRules {
            dry_run: true,
            ..rules(policy)
        };
        let mut lost = told(seen("exited", "terminated", None));
        let step = decide(&running(), &lost, NOW, &dry);
        assert_eq!(step, SpotStep::Withhold(policy));
        lost.spot.withheld = true;
        assert_eq!(decide(&running(), &lost, NOW, &dry), SpotStep::Wait(None));
    }
}

#[test]
fn three_replacements_an_hour_and_then_it_waits() {
    let mut lost = told(seen("exited", "terminated", None));
    let ago = |ms| Millis(NOW.0 - ms);
    lost.spot.replaced = vec![ago(HOUR - 5), ago(20), ago(10)];
    let step = next(&lost, SpotPolicy::Replace);
    assert_eq!(step, SpotStep::Wait(Some(NOW.plus(5))));
    lost.spot.replaced[0] = ago(HOUR);
    let step = next(&lost, SpotPolicy::Replace);
    assert_eq!(step, SpotStep::Replace(BillingMode::Spot));
}

#[test]
fn a_loss_is_migrated_once_and_replaced_when_that_failed() {
    let mut lost = told(seen("exited", "terminated", None));
    let called = |at, failed| {
        Some(Migration {
            called_at: at,
            was_moving: false,
            failed,
        })
    };
    lost.spot.migration = called(NOW, false);
    let until = NOW.plus(600_000);
    let at = |status: &Status, now, rules: &SpotRules| decide(&running(), status, now, rules);
    let migrates = rules(SpotPolicy::Migrate);
    assert_eq!(at(&lost, NOW, &migrates), SpotStep::Wait(Some(until)));
    assert_eq!(at(&lost, until, &migrates), SpotStep::MigrationFailed);
    lost.spot.migration.as_mut().unwrap().was_moving = true;
    assert_eq!(at(&lost, NOW, &migrates), SpotStep::MigrationFailed);
    lost.provider.as_mut().unwrap().status = "migrating".into();
    assert_eq!(at(&lost, NOW, &migrates), SpotStep::Wait(Some(until)));
    lost.provider.as_mut().unwrap().status = "exited".into();
    lost.spot.migration = called(NOW, true);
    let step = at(&lost, NOW, &migrates);
    assert_eq!(step, SpotStep::Replace(BillingMode::Spot));
    let lets_go = SpotRules {
        replaces_failed: false,
        ..migrates.clone()
    };
    assert_eq!(at(&lost, NOW, &lets_go), SpotStep::Wait(None));
    // Another loss, soon after.
    lost.spot.migration = called(Millis(NOW.0 - HOUR), false);
    let from = Millis(NOW.0 + 3 * HOUR);
    assert_eq!(at(&lost, NOW, &migrates), SpotStep::Wait(Some(from)));
    assert_eq!(at(&lost, from, &migrates), SpotStep::Migrate);
}

#[test]
fn what_runs_undisturbed_again_is_as_if_nothing_had_been_told() {
    let mut well = seen("running", "running", Some(999));
    well.spot.noticed = Some(999);
    assert_eq!(next(&well, SpotPolicy::Replace), SpotStep::Forget);
    well.spot.noticed = None;
    assert_eq!(next(&well, SpotPolicy::Replace), SpotStep::Wait(None));
}

fn order(number: u32, state: AttemptState) -> crate::model::Attempt {
    let mut attempt = acked(30_000).attempts.remove(0);
    attempt.number = number;
    attempt.state = state;
    attempt.provider_id = Some(format!("p{number}"));
    attempt
}

fn beside(attempt: Option<crate::model::Attempt>) -> Beside {
    Beside {
        role: Role::Replacement,
        generation: 1,
        began: NOW,
        billing_mode: BillingMode::Spot,
        avoided_cluster: "c".into(),
        spent: 0,
        attempt,
        boot: Boot::default(),
        cost: crate::model::Cost::default(),
    }
}

#[test]
fn a_view_is_left_as_it_was_entered_whatever_is_beside() {
    let mut status = told(seen("running", "notified", Some(5000)));
    for attempt in [
        None,
        Some(order(2, AttemptState::Intent)),
        Some(order(2, AttemptState::Acked)),
    ] {
        let mut there = beside(attempt.clone());
        there.boot.setbacks = 3;
        status.beside = Some(there);
        let before = status.clone();
        let behind = status.view_beside().unwrap();
        assert_eq!(behind.attempt(&status), attempt.as_ref());
        assert_eq!((status.setbacks, status.was_ready), (3, false));
        assert!(status.provider.is_none() && status.beside.is_none());
        status.leave_view(behind);
        assert_eq!(status, before);
    }
}

#[test]
fn what_is_over_is_remembered_before_the_one_that_serves() {
    let mut status = seen("running", "notified", Some(5000));
    status.beside = Some(beside(Some(order(2, AttemptState::Acked))));
    let behind = status.view_beside().unwrap();
    status.attempts.last_mut().unwrap().state = AttemptState::Gone;
    status.attempts.push(order(3, AttemptState::Intent));
    status.leave_view(behind);
    let numbers: Vec<_> = status.attempts.iter().map(|a| a.number).collect();
    assert_eq!(numbers, [2, 1]);
    let beside = status.beside.as_ref().unwrap();
    assert_eq!(beside.attempt.as_ref().unwrap().number, 3);
}

#[test]
fn whoever_takes_over_serves_and_what_served_is_to_be_removed() {
    let mut status = seen("running", "notified", Some(5000));
    status.beside = Some(beside(Some(order(2, AttemptState::Acked))));
    let behind = status.view_beside().unwrap();
    status.was_ready = true;
    let reason = Failure::new("REPLACED", "another one has taken over");
    status.promote(behind, reason, NOW);
    assert_eq!(status.provider_id(), Some("p2"));
    assert_eq!(status.attempts.len(), 1);
    let left = status.beside.as_ref().unwrap();
    assert_eq!(left.role, Role::Leaving);
    let old = left.attempt.as_ref().unwrap();
    assert_eq!((old.number, old.state), (1, AttemptState::Discarding));
    assert_eq!(left.boot.provider.as_ref().unwrap().status, "running");
    assert_eq!(status.all_attempts().count(), 2);
    assert!(!is_replacement_wanted(&running(), &Status::default()));
}
