//! What is ours and what is never touched.

use shared::model::{AttemptState, OrphanPolicy};
use worker::fleet::sweep::{Alarm, Known};
use worker::novita::Instance;

use crate::scene::{
    MINUTE, Scene, announced, but, deeds, held, holdings, in_state, instance, marker, rebuild,
};

/// What is ours in this list is rebuilt.
fn rebuilding_scene(list: Vec<Instance>) -> Scene {
    Scene::new(list)
        .with(&marker(1, 1), Known::Missing)
        .policy(OrphanPolicy::Adopt)
}

#[test]
fn what_differs_from_our_marker_in_one_character_is_counted_and_never_touched() {
    let good = instance("p", &marker(1, 1));
    let ulid = marker(1, 1).instance.to_string();
    let names = [
        good.name.replace("-nga-", "-NGA-"),
        good.name.replace("-nga-", "-ngb-"),
        good.name.replace("a1b2c3", "a1b2c4"),
        good.name.replace("a1b2c3", "A1b2c3"),
        good.name.replace(&ulid, &ulid.to_lowercase()),
        good.name.replace(&ulid, &ulid[1..]),
        good.name.replace("-1", "-01"),
        good.name.replace("-1", "-0"),
        good.name.trim_end_matches('1').to_owned(),
        format!("{}-copy", good.name),
        format!("{} ", good.name),
        good.name.replace("train-", ""),
        String::new(),
    ];
    let others = names.into_iter().enumerate().map(|(n, name)| {
        but(good.clone(), |instance| {
            instance.id = format!("p{n}");
            instance.name = name;
        })
    });
    let mut scene = rebuilding_scene(others.collect());
    // Without one, nothing but the name protects what is foreign.
    for secret in [scene.secret.clone(), None] {
        scene.secret = secret;
        for outcome in [scene.pass(0), scene.pass(2 * MINUTE)] {
            assert_eq!((outcome.actions, outcome.withheld), (vec![], vec![]));
            assert_eq!(outcome.alarms, vec![]);
            let counts = outcome.counts.unwrap();
            assert_eq!((counts.ours, counts.foreign), (0, 13));
        }
    }
    assert!(scene.suspects.is_empty());
}

#[test]
fn a_wrong_or_missing_signature_makes_a_look_alike_that_is_told_and_left_alone() {
    let other_attempt = instance("b", &marker(1, 2)).envs;
    let mut upper_case = instance("c", &marker(1, 1));
    upper_case.envs[0].value = upper_case.envs[0].value.to_uppercase();
    let list = vec![
        but(instance("a", &marker(1, 1)), |a| a.envs.clear()),
        but(instance("b", &marker(1, 1)), |b| b.envs = other_attempt),
        upper_case,
    ];
    let mut scene = rebuilding_scene(list);
    let outcome = scene.ripe();
    assert_eq!(outcome.actions, vec![]);
    assert_eq!(outcome.alarms, vec![Alarm::LookAlikes { count: 3 }]);
    assert_eq!(outcome.counts.unwrap().foreign, 3);
}

#[test]
fn a_look_alike_that_a_record_holds_is_not_told() {
    let unsigned = but(instance("a", &marker(1, 1)), |a| a.envs.clear());
    let holder = holdings(&[held(1, AttemptState::Acked, Some("a"))]);
    let mut scene = rebuilding_scene(vec![unsigned]).with(&marker(1, 1), Known::Live(holder));
    let outcome = scene.pass(0);
    assert_eq!(outcome.alarms, vec![]);
    assert_eq!(outcome.counts.unwrap().foreign, 1);
}

#[test]
fn without_a_secret_the_marker_alone_decides() {
    let unsigned = but(instance("a", &marker(1, 1)), |a| a.envs.clear());
    let mut scene = rebuilding_scene(vec![unsigned]);
    scene.secret = None;
    assert_eq!(deeds(&scene.ripe()), [rebuild("a", &marker(1, 1))]);
}

#[test]
fn an_instance_of_another_product_is_foreign_whatever_it_is_called() {
    let other_product = but(instance("a", &marker(1, 1)), |a| a.is_api_instance = true);
    let mut scene = rebuilding_scene(vec![other_product]);
    let outcome = scene.ripe();
    assert_eq!((outcome.actions, outcome.alarms), (vec![], vec![]));
    assert_eq!(outcome.counts.unwrap().foreign, 1);
}

#[test]
fn what_is_leaving_needs_nothing_done() {
    for word in ["toRemove", "removing", "removed"] {
        let leaving = in_state(word, instance("a", &marker(1, 1)));
        let mut scene = rebuilding_scene(vec![leaving]);
        assert_eq!(scene.pass(0).actions, vec![], "{word}");
        assert_eq!(scene.pass(2 * MINUTE).actions, vec![], "{word}");
        assert!(scene.suspects.is_empty(), "{word}");
    }
}

#[test]
fn the_providers_clock_changes_nothing() {
    let outcomes = [None, Some(0), Some(1), Some(1_795_000_000 + 3600)].map(|created_at| {
        let listed = but(instance("a", &marker(1, 1)), |listed| {
            listed.created_at = created_at;
            listed.last_started_at = created_at;
        });
        let mut scene = rebuilding_scene(vec![listed]);
        let first = scene.pass(0);
        assert_eq!(announced(&first), ["a"]);
        (first, scene.pass(MINUTE), scene.pass(MINUTE))
    });
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_renamed_instance_is_another_suspect() {
    let mut scene =
        rebuilding_scene(vec![instance("a", &marker(1, 1))]).with(&marker(2, 1), Known::Missing);
    scene.pass(0);
    scene.list = vec![instance("a", &marker(2, 1))];
    let renamed = scene.pass(20 * MINUTE);
    assert_eq!((announced(&renamed), deeds(&renamed)), (vec!["a"], vec![]));
    assert_eq!(
        deeds(&scene.pass(2 * MINUTE)),
        [rebuild("a", &marker(2, 1))]
    );
}
