//! The record that is made from what the provider has.

use serde_json::json;
use shared::clock::Millis;
use shared::model::{
    AttemptState, BillingMode, Desired, EventKind, OperationState, Phase, ProviderFacts,
};
use worker::fleet::sweep::{Known, Rebuilt, rebuilt};
use worker::marker::Marker;
use worker::novita::{HundredThousandthsUsd, Instance};

use crate::scene::{START, but, in_state, instance, marker, old_marker, provider_id};

fn provider_instance(word: &str) -> Instance {
    but(
        in_state(word, instance("p1", &old_marker(7, 3))),
        |listed| {
            listed.cluster_id = "us-ca-6".into();
            listed.cluster_name = "US-CA-06 (California)".into();
            listed.gpu_num = 2;
            listed.product_id = "prod-1".into();
            listed.product_name = "RTX 4090 24GB".into();
            listed.rootfs_size = 80;
            listed.billing_mode = "spot".to_owned().into();
            listed.instance_price = Some(HundredThousandthsUsd(35_000));
            listed.created_at = Some(1);
        },
    )
}

fn rebuild(word: &str) -> Rebuilt {
    rebuilt(&provider_instance(word), &old_marker(7, 3), START)
}

#[test]
fn the_record_has_the_old_id_and_wants_what_is() {
    let Rebuilt {
        spec,
        status,
        event,
    } = rebuild("running");
    assert_eq!(spec.id, old_marker(7, 3).instance_id());
    assert_eq!((spec.desired, spec.generation), (Desired::Running, 1));
    assert_eq!(
        (spec.name.as_str(), spec.template_id.as_str()),
        ("train", "unknown")
    );
    assert_eq!(
        (spec.product_name.as_str(), spec.gpu_num, spec.rootfs_size),
        ("RTX 4090 24GB", 2, 80)
    );
    assert_eq!(spec.billing_mode, BillingMode::Spot);
    assert_eq!(
        (spec.region.as_ref(), spec.webhook_url.as_ref()),
        (None, None)
    );
    let attempt = status.current().unwrap();
    assert_eq!((attempt.number, attempt.state), (3, AttemptState::Acked));
    assert_eq!(attempt.provider_id.as_deref(), Some("p1"));
    assert_eq!(attempt.marker, old_marker(7, 3).name("train"));
    assert_eq!(
        (attempt.offer.region.as_str(), attempt.offer.unit_price),
        ("US-CA-06", 35_000)
    );
    assert_eq!((event.kind, event.number), (EventKind::RecordRebuilt, 1));
    assert_eq!(event.kind.as_str(), "record.rebuilt");
    assert_eq!(status.events, 1);
}

#[test]
fn every_clock_begins_anew_and_none_is_the_providers() {
    let Rebuilt { spec, status, .. } = rebuild("running");
    let attempt = status.current().unwrap();
    let clocks = [
        status.first_seen,
        attempt.acked_at,
        Some(attempt.intent_at),
        status.timestamps.created,
    ];
    assert_eq!(clocks, [Some(START); 4]);
    assert_eq!(
        (status.timestamps.ready, status.timestamps.running),
        (None, None)
    );
    assert_eq!(
        spec.created_at,
        Millis(old_marker(7, 3).instance.timestamp_ms())
    );
}

#[test]
fn wanted_is_what_is_observed() {
    for (word, desired) in [
        ("running", Desired::Running),
        ("pulling", Desired::Running),
        ("starting", Desired::Running),
        ("migrating", Desired::Running),
        ("newWord", Desired::Running),
        ("toStop", Desired::Stopped),
        ("stopping", Desired::Stopped),
        ("exited", Desired::Stopped),
    ] {
        assert_eq!(rebuild(word).spec.desired, desired, "{word}");
    }
}

#[test]
fn a_stopped_one_reads_as_stopped_with_nothing_left_to_do() {
    let Rebuilt { spec, status, .. } = rebuild("exited");
    assert_eq!(Phase::of(&spec, Some(&status)), Phase::Stopped);
    assert_eq!(status.timestamps.stopped, Some(START));
    assert_eq!(status.power.as_ref().unwrap().generation, spec.generation);
}

#[test]
fn its_operation_is_done_and_it_is_never_discarded_for_a_failed_boot() {
    let Rebuilt { spec, status, .. } = rebuild("running");
    let operation = status.operation.unwrap();
    assert_eq!(operation.id, spec.request.operation_id);
    assert_eq!(operation.state, OperationState::Succeeded);
    assert!(status.was_ready);
    assert_eq!(status.observed_generation, spec.generation);
}

#[test]
fn the_same_arguments_give_the_same_record() {
    assert_eq!(rebuild("running"), rebuild("running"));
    let later = rebuilt(
        &provider_instance("running"),
        &old_marker(7, 3),
        START.plus(1),
    );
    assert_ne!(later.event.id, rebuild("running").event.id);
}

#[test]
fn what_the_provider_does_not_say_is_marked() {
    let bare = instance("p1", &marker(1, 1));
    let Rebuilt { spec, status, .. } = rebuilt(&bare, &marker(1, 1), START);
    assert_eq!((spec.product_name.as_str(), spec.gpu_num), ("unknown", 1));
    assert_eq!(spec.billing_mode, BillingMode::OnDemand);
    assert_eq!(status.current().unwrap().offer.product_name, "unknown");
}

#[test]
fn the_name_is_the_slug_or_else_the_id() {
    let name_of = |slug: &str| {
        let marker: Marker = marker(1, 2);
        let name = format!("{slug}{}", marker.name(""));
        let listed = but(instance("p1", &marker), |listed| listed.name = name);
        assert!(Marker::parse(&listed.name).is_some());
        rebuilt(&listed, &marker, START).spec.name
    };
    assert_eq!(name_of("train-nga-b"), "train-nga-b");
    assert_eq!(name_of("a b/ü"), "a-b--");
    assert_eq!(name_of(""), marker(1, 2).instance_id().to_string());
}

#[test]
fn secrets_of_the_instance_stay_behind() {
    let mut listed = provider_instance("running");
    listed.envs.push(worker::novita::Env {
        key: "TOKEN".into(),
        value: "hunter2".into(),
    });
    let Rebuilt {
        spec,
        status,
        event,
    } = rebuilt(&listed, &old_marker(7, 3), START);
    let stored = json!([spec, status, event]).to_string();
    assert!(!stored.contains("hunter2") && !stored.contains(&listed.envs[0].value));
}

#[test]
fn a_rebuilt_record_accounts_for_its_instance() {
    let Rebuilt { spec, status, .. } = rebuild("running");
    let Known::Live(holdings) = Known::of(&spec, Some(&status), false) else {
        panic!("a rebuilt record is live");
    };
    let attempt = &holdings.attempts[0];
    assert!(attempt.is_in_use());
    assert_eq!(attempt.provider_id, Some(provider_id("p1")));
    let facts: ProviderFacts = status.provider.unwrap();
    assert_eq!((facts.status.as_str(), facts.seen_at), ("running", START));
}

#[test]
fn a_stored_record_is_told_by_how_it_ended() {
    let Rebuilt { spec, status, .. } = rebuild("running");
    let holdings = Known::of(&spec, Some(&status), true);
    assert!(holdings.holdings().unwrap().is_protected);
    assert!(matches!(Known::of(&spec, None, false), Known::Live(_)));
    let mut closed = status;
    closed.timestamps.terminated = Some(START);
    assert!(matches!(
        Known::of(&spec, Some(&closed), false),
        Known::Closed(_)
    ));
    closed.ending = Some(shared::model::Ending::Vanished);
    assert!(matches!(
        Known::of(&spec, Some(&closed), false),
        Known::Vanished(_)
    ));
    let deleted = shared::model::Spec {
        desired: Desired::Deleted,
        ..spec
    };
    assert!(matches!(
        Known::of(&deleted, Some(&closed), false),
        Known::Closed(_)
    ));
}
