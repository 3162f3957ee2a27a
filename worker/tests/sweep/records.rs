//! What follows from what is recorded.

use shared::model::{AttemptState, Finding, OrphanPolicy};
use worker::fleet::sweep::{Action, Held, Holdings, Known};
use worker::novita::Instance;

use crate::scene::{
    Scene, adopt, deeds, delete, held, holdings, in_state, instance, marker, provider_id, rebuild,
    reopen,
};

const GIVEN_UP: [AttemptState; 3] = [
    AttemptState::Refused,
    AttemptState::Absent,
    AttemptState::Gone,
];
const IN_USE: [AttemptState; 3] = [
    AttemptState::Intent,
    AttemptState::Acked,
    AttemptState::Discarding,
];

/// What follows for instance `x` of attempt `number`, when it is listed with `beside` and its record
/// is live and has these attempts.
fn beside(number: u32, attempts: &[Held], beside: Vec<Instance>) -> (Option<Finding>, Vec<Action>) {
    let mut list = beside;
    list.push(instance("x", &marker(1, number)));
    let mut scene = Scene::new(list).with(&marker(1, number), Known::Live(holdings(attempts)));
    let outcome = scene.ripe();
    (scene.finding("x"), deeds(&outcome))
}

#[test]
fn what_an_attempt_holds_is_accounted_for() {
    for state in IN_USE {
        let attempts = [
            held(1, state, Some("x")),
            held(2, AttemptState::Acked, Some("y")),
        ];
        assert_eq!(beside(1, &attempts, vec![]), (None, vec![]), "{state:?}");
    }
}

#[test]
fn what_another_record_holds_is_accounted_for_whatever_its_marker_says() {
    for known in [Known::Missing, Known::Closed(holdings(&[]))] {
        let holder = holdings(&[held(1, AttemptState::Acked, Some("x"))]);
        let mut scene = Scene::new(vec![instance("x", &marker(1, 1))])
            .with(&marker(1, 1), known)
            .with(&marker(2, 1), Known::Live(holder))
            .policy(OrphanPolicy::Adopt);
        assert_eq!(scene.ripe().actions, vec![]);
    }
}

#[test]
fn a_record_that_waits_for_an_order_gets_what_the_order_made() {
    for state in [AttemptState::Intent, AttemptState::Discarding] {
        let attempts = [held(1, AttemptState::Gone, Some("w")), held(2, state, None)];
        assert_eq!(
            beside(2, &attempts, vec![]),
            (Some(Finding::Awaited), vec![adopt("x", &marker(1, 2))])
        );
    }
}

#[test]
fn a_record_that_holds_nothing_gets_the_newest_and_the_others_are_left_alone() {
    let mut lost = vec![vec![]];
    lost.extend(GIVEN_UP.map(|state| vec![held(3, state, None)]));
    for attempts in lost {
        let older = instance("w", &marker(1, 2));
        let (finding, deeds) = beside(3, &attempts, vec![older]);
        assert_eq!(finding, Some(Finding::Unheld));
        assert_eq!(deeds, [adopt("x", &marker(1, 3))], "{attempts:?}");
    }
}

#[test]
fn an_attempt_that_was_given_up_for_another_is_deleted() {
    for given_up in GIVEN_UP {
        for in_use in IN_USE {
            for (x, other) in [(1, 2), (2, 1)] {
                let id = (in_use != AttemptState::Intent).then_some("y");
                let attempts = [held(x, given_up, None), held(other, in_use, id)];
                assert_eq!(
                    beside(x, &attempts, vec![]),
                    (Some(Finding::Superseded), vec![delete("x", &marker(1, x))]),
                    "{attempts:?}"
                );
            }
        }
    }
}

#[test]
fn what_the_record_does_not_remember_is_left_to_people() {
    for number in [1, 3] {
        let attempts = [held(2, AttemptState::Acked, Some("y"))];
        assert_eq!(
            beside(number, &attempts, vec![]),
            (Some(Finding::Stray), vec![])
        );
    }
}

#[test]
fn a_twin_is_deleted_only_while_the_one_in_use_is_seen_and_settled() {
    let attempts = [held(1, AttemptState::Acked, Some("y"))];
    let in_use = |word| in_state(word, instance("y", &marker(1, 1)));
    for (list, deletes) in [
        (vec![in_use("running")], true),
        (vec![in_use("exited")], true),
        (vec![], false),
        (vec![in_use("migrating")], false),
        (vec![in_use("removing")], false),
        (vec![in_use("pulling")], false),
        (vec![instance("y", &marker(2, 1))], false),
    ] {
        let (_, deeds) = beside(1, &attempts, list.clone());
        let expected = deletes.then(|| delete("x", &marker(1, 1)));
        assert_eq!(deeds, Vec::from_iter(expected), "{list:?}");
    }
}

#[test]
fn of_two_under_the_awaited_marker_one_is_taken_and_always_the_same() {
    let attempts = [held(1, AttemptState::Intent, None)];
    let (finding, deeds) = beside(1, &attempts, vec![instance("w", &marker(1, 1))]);
    assert_eq!(finding, Some(Finding::Rival));
    assert_eq!(deeds, [adopt("w", &marker(1, 1))]);
}

#[test]
fn a_closed_record_is_opened_to_delete_what_is_alive() {
    let attempts = holdings(&[held(1, AttemptState::Gone, Some("x"))]);
    let mut scene =
        Scene::new(vec![instance("x", &marker(1, 1))]).with(&marker(1, 1), Known::Closed(attempts));
    assert_eq!(deeds(&scene.ripe()), [reopen("x", &marker(1, 1))]);
}

#[test]
fn a_closed_record_whose_attempt_is_in_use_is_left_alone() {
    for state in IN_USE {
        let attempts = holdings(&[held(1, state, Some("x"))]);
        let mut scene = Scene::new(vec![instance("x", &marker(1, 1))])
            .with(&marker(1, 1), Known::Closed(attempts));
        assert_eq!(scene.ripe().actions, vec![], "{state:?}");
    }
}

#[test]
fn what_came_back_after_it_vanished_is_announced_and_not_deleted() {
    let mut scene = Scene::new(vec![instance("x", &marker(1, 1))])
        .with(&marker(1, 1), Known::Vanished(holdings(&[])));
    assert_eq!(deeds(&scene.ripe()), []);
    assert_eq!(scene.finding("x"), Some(Finding::Stray));
}

#[test]
fn a_protected_record_loses_nothing_and_may_gain() {
    let protected = |attempts: &[Held]| Holdings {
        attempts: attempts.to_vec(),
        is_protected: true,
    };
    let superseded = [
        held(1, AttemptState::Gone, None),
        held(2, AttemptState::Acked, Some("y")),
    ];
    let twin = [held(1, AttemptState::Acked, Some("y"))];
    for known in [
        Known::Live(protected(&superseded)),
        Known::Live(protected(&twin)),
        Known::Closed(protected(&[])),
    ] {
        let list = vec![instance("x", &marker(1, 1)), instance("y", &marker(1, 1))];
        let mut scene = Scene::new(list).with(&marker(1, 1), known);
        assert_eq!(deeds(&scene.ripe()), []);
        assert_eq!(scene.finding("x"), Some(Finding::Protected));
    }
    let waiting = [held(1, AttemptState::Intent, None)];
    let mut scene = Scene::new(vec![instance("x", &marker(1, 1))])
        .with(&marker(1, 1), Known::Live(protected(&waiting)));
    assert_eq!(deeds(&scene.ripe()), [adopt("x", &marker(1, 1))]);
}

#[test]
fn one_without_a_record_is_treated_by_the_policy() {
    let x = marker(1, 1);
    for (policy, expected) in [
        (OrphanPolicy::Report, vec![]),
        (OrphanPolicy::Adopt, vec![rebuild("x", &x)]),
        (OrphanPolicy::Quarantine, vec![]),
    ] {
        let mut scene = Scene::new(vec![instance("x", &x)])
            .with(&x, Known::Missing)
            .policy(policy);
        assert_eq!(deeds(&scene.ripe()), expected, "{policy:?}");
        assert_eq!(scene.finding("x"), Some(Finding::Unrecorded));
    }
}

#[test]
fn of_several_without_a_record_the_newest_attempt_is_rebuilt() {
    let list = vec![
        instance("a", &marker(1, 9)),
        instance("c", &marker(1, 10)),
        instance("b", &marker(1, 10)),
    ];
    let mut scene = Scene::new(list)
        .with(&marker(1, 1), Known::Missing)
        .policy(OrphanPolicy::Adopt);
    assert_eq!(deeds(&scene.ripe()), [rebuild("b", &marker(1, 10))]);
    assert_eq!(scene.finding("a"), Some(Finding::Rival));
    assert_eq!(scene.finding("c"), Some(Finding::Rival));
    assert!(scene.suspects.contains_key(&provider_id("b")));
}

#[test]
fn one_that_another_record_holds_is_no_candidate() {
    let newer = holdings(&[held(1, AttemptState::Acked, Some("b"))]);
    let list = vec![instance("a", &marker(1, 1)), instance("b", &marker(1, 2))];
    let mut scene = Scene::new(list)
        .with(&marker(1, 1), Known::Missing)
        .with(&marker(2, 1), Known::Live(newer))
        .policy(OrphanPolicy::Adopt);
    assert_eq!(deeds(&scene.ripe()), [rebuild("a", &marker(1, 1))]);
}

#[test]
fn hands_off_in_a_state_that_is_unknown_or_on_its_way_elsewhere() {
    for word in ["", "newWord", "migrating", "freezing", "toStop", "stopping"] {
        let listed = in_state(word, instance("x", &marker(1, 1)));
        let mut closed =
            Scene::new(vec![listed.clone()]).with(&marker(1, 1), Known::Closed(holdings(&[])));
        assert_eq!(deeds(&closed.ripe()), [], "{word:?}");
        let attempts = [
            held(1, AttemptState::Gone, None),
            held(2, AttemptState::Acked, Some("y")),
        ];
        let mut superseded =
            Scene::new(vec![listed]).with(&marker(1, 1), Known::Live(holdings(&attempts)));
        assert_eq!(deeds(&superseded.ripe()), [], "{word:?}");
    }
}
