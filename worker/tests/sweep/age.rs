//! When a finding may be acted on.

use shared::clock::Millis;
use shared::model::{AttemptState, OrphanPolicy};
use worker::fleet::sweep::{Completeness, Known};

use crate::scene::{
    DAY, MINUTE, Scene, adopt, announced, deeds, held, holdings, instance, marker, rebuild, reopen,
};

fn scene() -> Scene {
    Scene::new(vec![instance("a", &marker(1, 1))]).with(&marker(1, 1), Known::Closed(holdings(&[])))
}

#[test]
fn the_first_pass_announces_and_a_later_one_acts() {
    let mut scene = scene();
    let first = scene.pass(0);
    assert_eq!((announced(&first), deeds(&first)), (vec!["a"], vec![]));
    let early = scene.pass(119_999);
    assert_eq!((announced(&early), deeds(&early)), (vec![], vec![]));
    let again = scene.pass(30_000);
    assert_eq!(deeds(&again), [reopen("a", &marker(1, 1))]);
    assert_eq!(announced(&again), Vec::<&str>::new());
}

#[test]
fn two_minutes_to_the_millisecond_are_enough_and_less_is_not() {
    for (wait, acts) in [(119_999, false), (120_000, true)] {
        let mut scene = scene();
        scene.pass(0);
        assert_eq!(!deeds(&scene.pass(wait)).is_empty(), acts, "{wait} ms");
    }
}

#[test]
fn passes_less_than_half_a_minute_apart_act_once() {
    let mut scene = scene();
    scene.ripe();
    assert_eq!(deeds(&scene.pass(29_999)), []);
    assert_eq!(deeds(&scene.pass(1)), [reopen("a", &marker(1, 1))]);
}

#[test]
fn a_pass_that_is_done_again_counts_once() {
    let mut scene = scene();
    scene.ripe();
    scene.now = scene.now.plus(MINUTE);
    assert_eq!(deeds(&scene.again()), []);
}

#[test]
fn one_that_was_away_meanwhile_begins_anew() {
    let mut scene = scene();
    scene.pass(0);
    let list = std::mem::take(&mut scene.list);
    let gone = scene.pass(MINUTE);
    assert_eq!(gone.forget.len(), 1);
    scene.list = list;
    let back = scene.pass(MINUTE);
    assert_eq!((announced(&back), deeds(&back)), (vec!["a"], vec![]));
}

#[test]
fn another_reason_begins_anew() {
    let mut scene = scene().policy(OrphanPolicy::Adopt);
    scene.records.clear();
    let mut scene = scene.with(&marker(1, 1), Known::Missing);
    scene.pass(0);
    let mut scene = scene.with(&marker(1, 1), Known::Closed(holdings(&[])));
    let changed = scene.pass(10 * MINUTE);
    assert_eq!((announced(&changed), deeds(&changed)), (vec!["a"], vec![]));
    assert_eq!(deeds(&scene.pass(2 * MINUTE)), [reopen("a", &marker(1, 1))]);
}

#[test]
fn a_record_that_cannot_be_read_stops_the_clock_and_decides_nothing() {
    let mut scene = scene();
    scene.pass(0);
    let records = std::mem::take(&mut scene.records);
    let before = scene.suspects.clone();
    let unread = scene.pass(10 * MINUTE);
    assert_eq!(unread.actions, vec![]);
    assert_eq!(scene.suspects, before);
    scene.records = records;
    assert_eq!(deeds(&scene.pass(0)), [reopen("a", &marker(1, 1))]);
}

#[test]
fn f14_an_incomplete_list_decides_nothing() {
    let mut scene = scene();
    scene.pass(0);
    let before = scene.suspects.clone();
    scene.completeness = Completeness::Incomplete("page 2 timed out".into());
    scene.list.clear();
    let outcome = scene.pass(10 * MINUTE);
    assert_eq!((outcome.actions, outcome.counts), (vec![], None));
    assert_eq!(scene.suspects, before);
}

#[test]
fn a_clock_that_went_back_delays_and_never_hastens() {
    let mut scene = scene();
    scene.pass(0);
    scene.now = Millis(scene.now.0 - 60 * MINUTE);
    assert_eq!(deeds(&scene.pass(0)), []);
    assert_eq!(deeds(&scene.pass(60 * MINUTE)), []);
    assert_eq!(deeds(&scene.pass(2 * MINUTE)), [reopen("a", &marker(1, 1))]);
}

#[test]
fn a_suspect_is_announced_again_every_day() {
    let mut scene = Scene::new(vec![instance("a", &marker(1, 1))])
        .with(&marker(1, 1), Known::Missing)
        .policy(OrphanPolicy::Report);
    assert_eq!(announced(&scene.pass(0)), ["a"]);
    for _ in 0..23 {
        assert_eq!(scene.pass(60 * MINUTE).actions, vec![]);
    }
    assert_eq!(scene.pass(60 * MINUTE - 1).actions, vec![]);
    assert_eq!(announced(&scene.pass(1)), ["a"]);
    let next = scene.pass(DAY);
    assert_eq!((announced(&next), deeds(&next)), (vec!["a"], vec![]));
}

#[test]
fn an_order_in_the_making_is_not_announced() {
    let waiting = holdings(&[held(1, AttemptState::Intent, None)]);
    let mut scene =
        Scene::new(vec![instance("a", &marker(1, 1))]).with(&marker(1, 1), Known::Live(waiting));
    assert_eq!(scene.pass(0).actions, vec![]);
    assert_eq!(scene.pass(MINUTE).actions, vec![]);
    let ripe = scene.pass(MINUTE);
    assert_eq!(announced(&ripe), ["a"]);
    assert_eq!(deeds(&ripe), [adopt("a", &marker(1, 1))]);
}

#[test]
fn what_is_not_done_is_wanted_again() {
    let mut scene = Scene::new(vec![instance("a", &marker(1, 1))])
        .with(&marker(1, 1), Known::Missing)
        .policy(OrphanPolicy::Adopt);
    scene.ripe();
    for _ in 0..3 {
        assert_eq!(deeds(&scene.pass(30_000)), [rebuild("a", &marker(1, 1))]);
    }
}
