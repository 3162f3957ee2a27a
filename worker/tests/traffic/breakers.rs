//! Breakers: what opens them, and whom they stop.

use std::time::Duration;

use devstack::novita::Route;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use worker::novita::{HeldBy, NovitaError, Unclear};

use crate::rig::{NO_LIMIT, Rig, held, held_by, went_out};

/// Short, so that twenty of them are over soon.
const HASTY: Duration = Duration::from_millis(200);

#[tokio::test]
async fn five_404s_open_no_breaker() {
    let rig = Rig::resp().await;
    let process = rig.process(NO_LIMIT);
    for _ in 0..25 {
        for answer in [process.get_unknown().await, process.delete_unknown().await] {
            assert!(
                matches!(answer, Err(NovitaError::NotFound(_))),
                "{answer:?}"
            );
        }
    }
    assert_eq!(rig.calls(Route::Get).await, 25);
    assert_eq!(rig.calls(Route::Delete).await, 25);
}

#[tokio::test]
async fn twenty_time_outs_of_create_open_its_breaker_and_a_delete_goes_through() {
    let rig = Rig::resp().await;
    let recorder = PrometheusBuilder::new().build_recorder();
    // For this thread, which is the only one that this test has.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let calm = rig.process(NO_LIMIT);
    let id = calm.order().await.unwrap();
    rig.fault(json!({"route": "create", "kind": "timeout"}))
        .await;
    let process = rig.process_waiting(NO_LIMIT, HASTY);
    let mut sent = 0;
    for _ in 0..20 {
        let answer = process.order().await;
        if went_out(&answer) {
            let timed_out = NovitaError::Unclear(Unclear::Timeout);
            assert_eq!(answer, Err(timed_out));
            sent += 1;
        } else {
            let held = held(answer);
            assert_eq!(held.by, HeldBy::Breaker);
            // Five seconds, and a quarter so that not all come back at once.
            assert!(held.wait <= Duration::from_millis(6250), "{held:?}");
        }
    }
    assert_eq!(sent, 5);
    assert_eq!(rig.calls(Route::Create).await, 1 + sent);
    process.provider.get(&id).await.unwrap();
    process.provider.delete(&id).await.unwrap();
    let told = recorder.handle().render();
    for line in [
        r#"novita_requests_total{lane="create",operation="create",outcome="timeout"} 5"#,
        r#"novita_requests_total{lane="save",operation="delete",outcome="ok"} 1"#,
        r#"novita_held_total{lane="create",by="breaker"} 15"#,
        r#"novita_breaker_state{lane="create"} 2"#,
        r#"novita_breaker_state{lane="save"} 0"#,
        "novita_rate_limit_per_minute 6000",
        "novita_hold_active 0",
    ] {
        assert!(told.contains(line), "{line} is missing in:\n{told}");
    }
}

#[tokio::test]
async fn a_start_is_held_back_with_the_creates_and_looking_is_not() {
    let rig = Rig::resp().await;
    let process = rig.process(NO_LIMIT);
    let id = process.order().await.unwrap();
    rig.fault(json!({"route": "start", "kind": "status", "status": 503}))
        .await;
    for _ in 0..5 {
        let answer = process.provider.start(&id).await;
        assert!(matches!(answer, Err(NovitaError::Unclear(_))), "{answer:?}");
    }
    assert_eq!(
        held_by(process.provider.restart(&id).await),
        HeldBy::Breaker
    );
    assert_eq!(held_by(process.order().await), HeldBy::Breaker);
    process.provider.get(&id).await.unwrap();
    assert!(went_out(&process.provider.stop(&id).await));
}

#[tokio::test]
async fn a_delete_behind_an_open_breaker_passes_after_the_wait_it_was_told() {
    let rig = Rig::resp().await;
    let process = rig.process(NO_LIMIT);
    let id = process.order().await.unwrap();
    rig.fault(json!({"route": "delete", "kind": "reset", "count": 5}))
        .await;
    for _ in 0..5 {
        assert!(went_out(&process.provider.delete(&id).await));
    }
    let held = held(process.provider.delete(&id).await);
    assert_eq!(held.by, HeldBy::Breaker);
    assert!(held.wait <= Duration::from_millis(6250), "{held:?}");
    tokio::time::sleep(held.wait).await;
    process.provider.delete(&id).await.unwrap();
}
