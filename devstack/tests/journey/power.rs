//! Stop, start and restart, as the caller, the provider and the receiver of webhooks see them.

use devstack::stack::{Transport, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Caller, PATIENCE, stack};

crate::journeys!(
    an_instance_is_stopped_started_and_restarted_with_one_call_each,
    a_start_without_stock_leaves_the_instance_as_it_is,
    a_restart_is_not_repeated_by_the_next_worker,
    everything_is_stopped_at_once_and_stays_stopped,
);

/// Waits until an operation ended, and tells how.
async fn outcome(caller: &Caller, answer: &Value) -> Value {
    let id = answer["operationId"].as_str().unwrap();
    eventually("the end of the operation", PATIENCE, async || {
        let operation = caller.operation(id).await;
        if operation["state"] == "pending" {
            Err(operation.to_string())
        } else {
            Ok(operation)
        }
    })
    .await
    .unwrap()
}

async fn an_instance_is_stopped_started_and_restarted_with_one_call_each(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("power").await;
    let created = caller.until(&id, "ready").await;

    let (status, stop) = caller.change(&id, "stop").await;
    assert_eq!(
        (status, &stop["status"]),
        (StatusCode::ACCEPTED, &json!("stopping")),
        "{stop}"
    );
    let (_, again) = caller.change(&id, "stop").await;
    assert_eq!(again["operationId"], stop["operationId"], "the same stop");
    assert_eq!(outcome(&caller, &stop).await["state"], "succeeded");
    let stopped = caller.until(&id, "stopped").await;
    assert_eq!(stopped["providerStatus"], "exited");

    let (status, start) = caller.change(&id, "start").await;
    assert_eq!(
        (status, &start["status"]),
        (StatusCode::ACCEPTED, &json!("starting")),
        "{start}"
    );
    assert_eq!(outcome(&caller, &start).await["state"], "succeeded");
    caller.until(&id, "ready").await;

    let (status, restart) = caller.change(&id, "restart").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{restart}");
    assert_eq!(outcome(&caller, &restart).await["state"], "succeeded");
    let ready = caller.until(&id, "ready").await;
    assert_eq!(ready["novitaInstanceId"], created["novitaInstanceId"]);
    for route in ["create", "stop", "start", "restart"] {
        assert_eq!(caller.calls(route).await.len(), 1, "{route}");
    }
    let boot = [
        "startup_initiated",
        "running",
        "health_checking",
        "startup_completed",
    ];
    let mut told = vec!["creating", "running", "health_checking", "ready", "stopped"];
    told.extend(boot);
    told.extend(boot);
    caller.until_told(&id, &told).await;
}

async fn a_start_without_stock_leaves_the_instance_as_it_is(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("scarce").await;
    caller.until(&id, "ready").await;
    let (_, stop) = caller.change(&id, "stop").await;
    outcome(&caller, &stop).await;
    let fault = json!({"route": "start", "kind": "status", "when": "before", "status": 400,
        "reason": "INSUFFICIENT_RESOURCE"});
    caller.fault(fault).await;
    let (_, start) = caller.change(&id, "start").await;
    let failed = outcome(&caller, &start).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    assert_eq!(failed["error"]["code"], "INSUFFICIENT_RESOURCE", "{failed}");
    caller.until(&id, "stopped").await;

    caller.clear_faults().await;
    let (_, start) = caller.change(&id, "start").await;
    assert_eq!(outcome(&caller, &start).await["state"], "succeeded");
    assert!(caller.calls("delete").await.is_empty());
    assert_eq!(caller.calls("create").await.len(), 1);
}

async fn a_restart_is_not_repeated_by_the_next_worker(transport: Transport) {
    let mut stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("twice").await;
    caller.until(&id, "ready").await;
    // The provider restarts it, and the worker waits for an answer that does not come.
    let fault = json!({"route": "restart", "kind": "timeout", "when": "after", "count": 1});
    caller.fault(fault).await;
    let (_, restart) = caller.change(&id, "restart").await;
    eventually("the restart", PATIENCE, async || {
        match caller.calls("restart").await.len() {
            0 => Err("no call yet".to_owned()),
            _ => Ok(()),
        }
    })
    .await
    .unwrap();
    stack.kill_worker(0).await.unwrap();
    caller.clear_faults().await;
    stack.add_worker(&[]).await.unwrap();
    assert_eq!(outcome(&caller, &restart).await["state"], "succeeded");
    assert_eq!(caller.calls("restart").await.len(), 1);
}

async fn everything_is_stopped_at_once_and_stays_stopped(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(caller.create(name).await);
    }
    for id in &ids {
        caller.until(id, "ready").await;
    }
    let (status, all) = caller.post_to("instances/stop-all", &json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{all}");
    assert_eq!(
        (&all["count"], &all["failed"]),
        (&json!(3), &json!(0)),
        "{all}"
    );
    for id in &ids {
        caller.until(id, "stopped").await;
    }
    let (_, named) = caller
        .post_to("instances/delete", &json!({"instanceName": "two"}))
        .await;
    assert_eq!(named["instanceId"], ids[1].as_str(), "{named}");
    caller.until(&ids[1], "terminated").await;
    let (status, unknown) = caller
        .post_to("instances/start", &json!({"instanceName": "two"}))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{unknown}");
}
