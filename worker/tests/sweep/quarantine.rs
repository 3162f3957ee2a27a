//! An instance without a record under the policy `quarantine`.

use shared::model::{OrphanPolicy, Stage};
use worker::fleet::sweep::Known;

use crate::scene::{DAY, MINUTE, Scene, deeds, delete, instance, marker, provider_id, stop};

fn scene(word: &str) -> Scene {
    let mut listed = instance("x", &marker(1, 1));
    listed.status = word.to_owned().into();
    Scene::new(vec![listed])
        .with(&marker(1, 1), Known::Missing)
        .policy(OrphanPolicy::Quarantine)
}

fn stage(scene: &Scene) -> Stage {
    scene.suspects[&provider_id("x")].stage
}

#[test]
fn it_is_stopped_after_a_quarter_of_an_hour_and_deleted_after_a_day() {
    let mut scene = scene("running");
    scene.pass(0);
    assert_eq!(deeds(&scene.pass(15 * MINUTE - 1)), []);
    assert_eq!(deeds(&scene.pass(30_000)), [stop("x", &marker(1, 1))]);
    scene.list[0].status = "exited".to_owned().into();
    assert_eq!(deeds(&scene.pass(DAY - 15 * MINUTE - 30_000)), []);
    assert_eq!(deeds(&scene.pass(30_000)), [delete("x", &marker(1, 1))]);
}

#[test]
fn one_that_runs_again_is_stopped_again() {
    let mut scene = scene("running");
    scene.pass(0);
    for _ in 0..3 {
        assert_eq!(deeds(&scene.pass(15 * MINUTE)), [stop("x", &marker(1, 1))]);
    }
}

#[test]
fn one_that_cannot_be_stopped_is_still_deleted_after_a_day() {
    let mut scene = scene("pulling");
    scene.pass(0);
    assert_eq!(deeds(&scene.pass(15 * MINUTE)), []);
    assert!(matches!(stage(&scene), Stage::Quarantined { .. }));
    assert_eq!(deeds(&scene.pass(DAY)), [delete("x", &marker(1, 1))]);
}

#[test]
fn a_sweeper_that_slept_for_a_week_stops_first_and_keeps_it_a_day() {
    let mut scene = scene("running");
    scene.pass(0);
    assert_eq!(deeds(&scene.pass(7 * DAY)), [stop("x", &marker(1, 1))]);
    scene.list[0].status = "exited".to_owned().into();
    assert_eq!(deeds(&scene.pass(MINUTE)), []);
    assert_eq!(deeds(&scene.pass(DAY)), [delete("x", &marker(1, 1))]);
}

#[test]
fn hands_off_in_an_unknown_state_even_after_a_day() {
    let mut scene = scene("newWord");
    scene.pass(0);
    for _ in 0..4 {
        assert_eq!(deeds(&scene.pass(DAY)), []);
    }
}

#[test]
fn what_was_only_wanted_does_not_count_as_stopped() {
    let mut scene = scene("running");
    scene.dry_run = true;
    scene.pass(0);
    let held_back = scene.pass(15 * MINUTE);
    assert_eq!(held_back.withheld.len(), 1);
    assert_eq!(stage(&scene), Stage::Marked);
    scene.dry_run = false;
    assert_eq!(deeds(&scene.pass(2 * DAY)), [stop("x", &marker(1, 1))]);
}
