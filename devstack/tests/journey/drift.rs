//! When somebody else touches what is ours, or the provider's word is late.

use std::time::Duration;

use devstack::stack::{StackOptions, Transport, eventually};
use serde_json::{Value, json};

use crate::support::{Caller, PATIENCE, stack, started};

crate::journeys!(
    a_ready_instance_that_is_stopped_and_started_elsewhere_is_left_alone,
    an_instance_removed_elsewhere_is_not_ordered_again,
    f23_a_removal_does_not_depend_on_a_read_that_works,
    an_order_that_shows_up_late_is_not_left_behind,
);

async fn a_ready_instance_that_is_stopped_and_started_elsewhere_is_left_alone(
    transport: Transport,
) {
    let env = vec![("INSTANCE_POLL_INTERVAL".to_owned(), "10".to_owned())];
    let stack = started(StackOptions {
        transport,
        env,
        ..StackOptions::default()
    })
    .await;
    let caller = Caller::of(&stack);
    let id = caller.create("touched").await;
    let ready = caller.until(&id, "ready").await;
    let provider_id = ready["novitaInstanceId"].as_str().unwrap().to_owned();
    // The provider's clock stands still, so that the word stays until it is seen.
    caller.control("clock", json!({"speed": 0})).await;
    caller
        .control(
            &format!("instances/{provider_id}"),
            json!({"status": "starting"}),
        )
        .await;
    caller.until(&id, "starting").await;
    caller
        .control(
            &format!("instances/{provider_id}"),
            json!({"status": "running"}),
        )
        .await;
    let again = caller.until(&id, "ready").await;
    assert_eq!(again["novitaInstanceId"], provider_id.as_str());
    assert_eq!(caller.calls("delete").await, Vec::<Value>::new());
    assert_eq!(caller.calls("create").await.len(), 1);
}

async fn an_instance_removed_elsewhere_is_not_ordered_again(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("taken").await;
    caller.until_told(&id, &["creating"]).await;
    let provider_id = caller.ledger().await[0]["id"].as_str().unwrap().to_owned();
    caller.remove_elsewhere(&provider_id).await;
    caller.until(&id, "terminated").await;
    let hooks = caller.until_told(&id, &["creating", "deleted"]).await;
    assert!(
        hooks[1]["reason"]
            .as_str()
            .unwrap()
            .contains("somebody else"),
        "{hooks:?}"
    );
    assert_eq!(caller.calls("create").await.len(), 1);
}

async fn f23_a_removal_does_not_depend_on_a_read_that_works(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("unreadable").await;
    caller.until(&id, "ready").await;
    caller
        .fault(json!({"route": "get", "kind": "status", "when": "before", "status": 500, "reason": "UNKNOWN"}))
        .await;
    caller.delete(&id).await;
    eventually("the removal", PATIENCE, async || {
        let ledger = caller.ledger().await;
        let status = ledger[0]["status"].as_str().unwrap_or_default().to_owned();
        if status.starts_with("remov") {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await
    .unwrap();
    caller.clear_faults().await;
    caller.until(&id, "terminated").await;
}

/// The answer is lost, and the provider's lists lag behind longer than the order is looked for: a
/// second one is ordered. Once the first one shows, it must not stay.
async fn an_order_that_shows_up_late_is_not_left_behind(transport: Transport) {
    let env = [
        ("CREATE_LOOKUP_WINDOW_MS", "1000"),
        ("INSTANCE_POLL_INTERVAL", "10"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let stack = started(StackOptions {
        transport,
        env: env.to_vec(),
        ..StackOptions::default()
    })
    .await;
    let caller = Caller::of(&stack);
    caller
        .fault(json!({"route": "list", "kind": "list_lag", "seconds": 3600}))
        .await;
    caller
        .fault(json!({"route": "create", "kind": "reset", "when": "after", "count": 1}))
        .await;
    let id = caller.create("late").await;
    caller.until(&id, "ready").await;
    assert_eq!(
        caller.ledger().await.len(),
        2,
        "the lag outlasted the window"
    );
    caller.clear_faults().await;
    caller.delete(&id).await;
    caller.until(&id, "terminated").await;
    let left = eventually("both removed", Duration::from_secs(20), async || {
        let ledger = caller.ledger().await;
        let left: Vec<_> = ledger
            .iter()
            .filter(|entry| entry["status"] != "removed")
            .collect();
        if left.is_empty() {
            Ok(ledger.len())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await
    .unwrap();
    assert_eq!(left, 2);
}
