//! After the record store was lost.

use shared::clock::Millis;
use shared::model::{AttemptState, Finding, OrphanPolicy, Recovery};
use worker::fleet::sweep::{Alarm, Hold, Known};
use worker::marker::Marker;

use crate::scene::{
    MINUTE, Scene, deeds, held, holdings, instance, marker, old_marker, rebuild, reopen, stop,
};

fn taken(scene: Scene, id: &str, marker: &Marker) -> Scene {
    let held = [held(marker.attempt, AttemptState::Acked, Some(id))];
    scene.with(marker, Known::Live(holdings(&held)))
}

#[test]
fn one_older_than_the_store_and_without_a_record_begins_the_recovery() {
    for (marker, enters) in [(old_marker(1, 1), true), (marker(1, 1), false)] {
        let mut scene = Scene::new(vec![instance("x", &marker)]).with(&marker, Known::Missing);
        let alarms = scene.pass(0).alarms;
        let expected = enters.then_some(Alarm::RecoveryEntered { lost: 1 });
        assert_eq!(alarms, Vec::from_iter(expected));
        assert_eq!(scene.recovery.is_on(), enters);
        assert_eq!(scene.pass(MINUTE).alarms, vec![]);
    }
}

#[test]
fn an_instance_is_no_older_than_a_store_of_the_same_millisecond() {
    let same = Marker {
        instance: ulid::Ulid::from_parts(crate::scene::BIRTH.0, 1),
        ..marker(1, 1)
    };
    let mut scene = Scene::new(vec![instance("x", &same)]).with(&same, Known::Missing);
    scene.pass(0);
    assert_eq!(scene.recovery, Recovery::Off);
}

#[test]
fn an_old_one_with_a_record_begins_none() {
    let x = old_marker(1, 1);
    let mut scene = taken(Scene::new(vec![instance("x", &x)]), "x", &x);
    scene.pass(0);
    assert_eq!(scene.recovery, Recovery::Off);
}

#[test]
fn lost_records_are_rebuilt_whatever_the_policy_the_newest_attempt_of_each() {
    for policy in [
        OrphanPolicy::Report,
        OrphanPolicy::Adopt,
        OrphanPolicy::Quarantine,
    ] {
        let (old, new) = (old_marker(1, 1), old_marker(1, 2));
        let other = old_marker(2, 1);
        let list = vec![
            instance("a", &old),
            instance("b", &new),
            instance("c", &other),
        ];
        let mut scene = Scene::new(list)
            .with(&new, Known::Missing)
            .with(&other, Known::Missing)
            .policy(policy);
        let expected = [rebuild("b", &new), rebuild("c", &other)];
        assert_eq!(deeds(&scene.ripe()), expected, "{policy:?}");
        assert_eq!(scene.finding("a"), Some(Finding::Rival));
    }
}

#[test]
fn the_other_of_two_stays_alone_when_the_record_is_back() {
    let (old, new) = (old_marker(1, 1), old_marker(1, 2));
    let list = vec![instance("a", &old), instance("b", &new)];
    let mut scene = Scene::new(list).with(&new, Known::Missing);
    scene.ripe();
    let mut scene = taken(scene, "b", &new);
    for _ in 0..20 {
        assert_eq!(deeds(&scene.pass(MINUTE)), []);
    }
    assert_eq!(scene.recovery, Recovery::Off);
    assert_eq!(scene.finding("a"), Some(Finding::Stray));
}

#[test]
fn nothing_is_stopped_or_deleted_until_two_complete_passes_left_nothing_to_rebuild() {
    let (missing, closed) = (old_marker(1, 1), marker(2, 1));
    let list = vec![instance("a", &missing), instance("b", &closed)];
    let mut scene = Scene::new(list)
        .with(&missing, Known::Missing)
        .with(&closed, Known::Closed(holdings(&[])));
    let held_back = vec![(reopen("b", &closed), Hold::Recovery)];
    let ripe = scene.ripe();
    assert_eq!(deeds(&ripe), [rebuild("a", &missing)]);
    assert_eq!(ripe.withheld, held_back);
    let mut scene = taken(scene, "a", &missing);
    let first = scene.pass(MINUTE);
    assert_eq!((deeds(&first), first.withheld), (vec![], held_back.clone()));
    assert!(scene.recovery.is_on());
    let second = scene.pass(MINUTE);
    assert_eq!((deeds(&second), second.withheld), (vec![], held_back));
    assert_eq!(second.alarms, vec![Alarm::RecoveryCompleted]);
    assert_eq!(deeds(&scene.pass(MINUTE)), [reopen("b", &closed)]);
}

#[test]
fn the_pass_that_notices_the_loss_takes_nothing_away() {
    let (missing, closed) = (old_marker(1, 1), marker(2, 1));
    let mut scene = Scene::new(vec![instance("b", &closed)])
        .with(&missing, Known::Missing)
        .with(&closed, Known::Closed(holdings(&[])));
    scene.pass(0);
    scene.list.push(instance("a", &missing));
    let outcome = scene.pass(2 * MINUTE);
    assert_eq!(deeds(&outcome), [rebuild("a", &missing)]);
    assert_eq!(outcome.withheld, [(reopen("b", &closed), Hold::Recovery)]);
}

#[test]
fn clean_passes_must_be_apart_and_in_a_row_and_with_every_record_read() {
    let lost = old_marker(1, 1);
    let scene = Scene::new(vec![instance("a", &lost)]).with(&lost, Known::Missing);
    let mut scene = taken(scene, "b", &marker(2, 1));
    scene.pass(0);
    let mut scene = taken(scene, "a", &lost);
    scene.pass(MINUTE);
    scene.pass(29_999);
    assert!(scene.recovery.is_on(), "too close");
    scene.records.remove(&lost.instance_id());
    scene.pass(MINUTE);
    assert!(scene.recovery.is_on(), "not read");
    let mut scene = taken(scene, "a", &lost);
    scene.pass(MINUTE);
    assert!(scene.recovery.is_on(), "only one in a row");
    scene.pass(MINUTE);
    assert_eq!(scene.recovery, Recovery::Off);
}

#[test]
fn an_empty_list_does_not_end_the_recovery() {
    let lost = old_marker(1, 1);
    let mut scene = Scene::new(vec![instance("a", &lost)]).with(&lost, Known::Missing);
    scene.pass(0);
    scene.holding = 1;
    scene.list.clear();
    for _ in 0..5 {
        scene.pass(MINUTE);
    }
    assert!(scene.recovery.is_on());
}

#[test]
fn one_that_shows_late_begins_the_recovery_again() {
    let late = old_marker(1, 1);
    let mut scene = Scene::new(vec![]).with(&late, Known::Missing);
    scene.policy = OrphanPolicy::Quarantine;
    scene.recovery = Recovery::On {
        since: Millis(1),
        clean: 1,
        last_clean: Some(Millis(2)),
    };
    assert_eq!(scene.pass(0).alarms, vec![Alarm::RecoveryCompleted]);
    scene.list.push(instance("a", &late));
    let expected = vec![Alarm::RecoveryEntered { lost: 1 }];
    assert_eq!(scene.pass(MINUTE).alarms, expected);
    assert_eq!(deeds(&scene.pass(20 * MINUTE)), [rebuild("a", &late)]);
}

#[test]
fn quarantine_waits_for_the_end_of_the_recovery() {
    let (missing, stranger) = (old_marker(1, 1), marker(2, 1));
    let list = vec![instance("a", &missing), instance("b", &stranger)];
    let mut scene = Scene::new(list)
        .with(&missing, Known::Missing)
        .with(&stranger, Known::Missing)
        .policy(OrphanPolicy::Quarantine);
    scene.pass(0);
    let outcome = scene.pass(20 * MINUTE);
    assert_eq!(deeds(&outcome), [rebuild("a", &missing)]);
    let held_back = vec![(stop("b", &stranger), Hold::Recovery)];
    assert_eq!(outcome.withheld, held_back);
}

#[test]
fn when_an_operator_ended_it_the_policy_decides() {
    let lost = old_marker(1, 1);
    let mut scene = Scene::new(vec![instance("a", &lost)])
        .with(&lost, Known::Missing)
        .policy(OrphanPolicy::Quarantine);
    let ended = Recovery::Ended { at: Millis(1) };
    scene.recovery = ended;
    scene.pass(0);
    assert_eq!(deeds(&scene.pass(15 * MINUTE)), [stop("a", &lost)]);
    assert_eq!(scene.recovery, ended);
}
