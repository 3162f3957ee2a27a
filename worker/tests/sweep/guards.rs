//! What holds everything back: an incident, a dry run, the breaker.

use shared::model::{AttemptState, OrphanPolicy};
use worker::fleet::sweep::{Action, Alarm, Hold, Known};

use crate::scene::{
    MINUTE, Scene, adopt, announced, but, deeds, held, holdings, instance, marker, reopen,
};

/// `closed` instances whose record is closed among `ours` of which the others are in use.
fn fleet(closed: u128, ours: u128) -> Scene {
    let id = |n: u128| format!("p{n}");
    let list = (0..ours).map(|n| instance(&id(n), &marker(n, 1)));
    let mut scene = Scene::new(list.collect());
    for n in 0..ours {
        let in_use = [held(1, AttemptState::Acked, Some(&id(n)))];
        let known = if n < closed {
            Known::Closed(holdings(&[]))
        } else {
            Known::Live(holdings(&in_use))
        };
        scene = scene.with(&marker(n, 1), known);
    }
    scene
}

#[test]
fn an_empty_list_beside_live_records_is_an_incident() {
    let mut scene = fleet(1, 3);
    scene.pass(0);
    let before = scene.suspects.clone();
    scene.holding = 2;
    scene.list.clear();
    let outcome = scene.pass(MINUTE);
    assert_eq!(outcome.alarms, vec![Alarm::EmptyList { records: 2 }]);
    assert_eq!((outcome.actions, outcome.counts), (vec![], None));
    assert_eq!(scene.suspects, before);
}

#[test]
fn an_empty_list_without_live_records_is_a_fact() {
    let mut scene = fleet(1, 1);
    scene.pass(0);
    scene.list.clear();
    let outcome = scene.pass(MINUTE);
    assert_eq!((outcome.alarms, outcome.forget.len()), (vec![], 1));
}

#[test]
fn a_list_with_an_instance_twice_decides_nothing() {
    let mut scene = fleet(1, 2);
    scene.pass(0);
    scene.list.push(scene.list[1].clone());
    let outcome = scene.pass(2 * MINUTE);
    assert_eq!(outcome.alarms, vec![Alarm::RepeatedId]);
    assert_eq!((outcome.actions, outcome.counts), (vec![], None));
}

#[test]
fn more_than_three_and_a_fifth_at_once_are_not_done_and_told() {
    for (closed, ours, trips) in [
        (3, 3, false),
        (4, 4, true),
        (4, 19, true),
        (4, 20, false),
        (5, 20, true),
    ] {
        let mut scene = fleet(closed, ours);
        let outcome = scene.ripe();
        let wanted = closed as usize;
        let (done, withheld, alarms) = if trips {
            (0, wanted, vec![Alarm::BreakerTripped { wanted }])
        } else {
            (wanted, 0, vec![])
        };
        assert_eq!(deeds(&outcome).len(), done, "{closed} of {ours}");
        assert_eq!(outcome.withheld.len(), withheld, "{closed} of {ours}");
        assert_eq!(outcome.alarms, alarms, "{closed} of {ours}");
        assert!(
            outcome
                .withheld
                .iter()
                .all(|(_, hold)| *hold == Hold::Breaker)
        );
    }
}

#[test]
fn stops_and_both_kinds_of_deletes_count_together() {
    let superseded = [
        held(1, AttemptState::Gone, None),
        held(2, AttemptState::Acked, Some("y")),
    ];
    let mut scene = fleet(2, 2).policy(OrphanPolicy::Quarantine);
    scene.list.push(instance("stop", &marker(8, 1)));
    scene.list.push(instance("delete", &marker(9, 1)));
    let mut scene = scene
        .with(&marker(8, 1), Known::Missing)
        .with(&marker(9, 1), Known::Live(holdings(&superseded)));
    scene.pass(0);
    let outcome = scene.pass(15 * MINUTE);
    assert_eq!(outcome.alarms, vec![Alarm::BreakerTripped { wanted: 4 }]);
    assert_eq!(deeds(&outcome), []);
}

#[test]
fn what_is_foreign_or_stopped_already_does_not_count() {
    let mut scene = fleet(4, 4);
    for n in 0..16 {
        let foreign = but(instance(&format!("f{n}"), &marker(1, 1)), |foreign| {
            foreign.name = "foreign".into();
        });
        scene.list.push(foreign);
    }
    let wanted = 4;
    assert_eq!(scene.ripe().alarms, vec![Alarm::BreakerTripped { wanted }]);
    let mut scene = fleet(0, 4).policy(OrphanPolicy::Quarantine);
    for n in 0..4 {
        scene.list[n as usize].status = "exited".to_owned().into();
        scene = scene.with(&marker(n, 1), Known::Missing);
    }
    scene.pass(0);
    let outcome = scene.pass(15 * MINUTE);
    assert_eq!((outcome.alarms, outcome.withheld), (vec![], vec![]));
}

#[test]
fn a_tripped_breaker_holds_no_adoption_back() {
    let waiting = holdings(&[held(1, AttemptState::Intent, None)]);
    let mut scene = fleet(4, 4).with(&marker(9, 1), Known::Live(waiting));
    scene.list.push(instance("x", &marker(9, 1)));
    assert_eq!(deeds(&scene.ripe()), [adopt("x", &marker(9, 1))]);
}

#[test]
fn a_dry_run_announces_and_does_nothing_else() {
    let waiting = holdings(&[held(1, AttemptState::Intent, None)]);
    let mut scene = fleet(1, 1).with(&marker(9, 1), Known::Live(waiting));
    scene.list.push(instance("x", &marker(9, 1)));
    scene.dry_run = true;
    assert_eq!(announced(&scene.pass(0)), ["p0"]);
    let outcome = scene.pass(2 * MINUTE);
    assert_eq!(deeds(&outcome), []);
    let withheld: Vec<(Action, Hold)> = vec![
        (reopen("p0", &marker(0, 1)), Hold::DryRun),
        (adopt("x", &marker(9, 1)), Hold::DryRun),
    ];
    assert_eq!(outcome.withheld, withheld);
}

#[test]
fn the_counts_tell_suspects_from_orphans() {
    let mut scene = fleet(1, 4);
    let counts = scene.pass(0).counts.unwrap();
    assert_eq!((counts.ours, counts.suspects, counts.orphans), (4, 1, 0));
    let counts = scene.pass(2 * MINUTE).counts.unwrap();
    assert_eq!((counts.ours, counts.suspects, counts.orphans), (4, 1, 1));
}
