//! What if the process is killed here?

use devstack::stack::{StackOptions, Transport, eventually};
use serde_json::json;

use crate::support::{Caller, PATIENCE, stack, started};

crate::journeys!(
    f2_a_worker_killed_right_after_the_provider_accepted_leaves_exactly_one_instance,
    f5_a_worker_killed_again_and_again_leaves_exactly_one_instance_each,
    f7_redis_killed_and_restarted_loses_nothing,
);

/// The answer to the create is held back, so that the worker certainly dies without it.
async fn f2_a_worker_killed_right_after_the_provider_accepted_leaves_exactly_one_instance(
    transport: Transport,
) {
    let mut stack = stack(transport).await;
    let caller = Caller::of(&stack);
    caller
        .fault(json!({"route": "create", "kind": "timeout", "when": "after", "count": 1}))
        .await;
    let id = caller.create("survivor").await;
    eventually("the provider's acceptance", PATIENCE, async || {
        let ledger = caller.ledger().await;
        if ledger.len() == 1 {
            Ok(())
        } else {
            Err(format!("{ledger:?}"))
        }
    })
    .await
    .unwrap();
    stack.kill_worker(0).await.unwrap();
    stack.add_worker(&[]).await.unwrap();

    let ready = caller.until(&id, "ready").await;
    let ledger = caller.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!(
        ledger[0]["id"], ready["novitaInstanceId"],
        "the accepted one was adopted"
    );
    assert_eq!(
        caller.calls("create").await.len(),
        1,
        "nothing was ordered twice"
    );
    let told = caller
        .until_told(&id, &["creating", "running", "health_checking", "ready"])
        .await;
    assert_eq!(told[0]["novitaInstanceId"], ready["novitaInstanceId"]);
}

async fn f5_a_worker_killed_again_and_again_leaves_exactly_one_instance_each(transport: Transport) {
    let options = StackOptions {
        transport,
        env: vec![
            ("CREATE_LOOKUP_WINDOW_MS".into(), "5000".into()),
            // A fresh worker begins with many calls in one step, so the same job may be cut off again and
            // again; here that is not its fault.
            ("JOB_MAX_ATTEMPTS".into(), "100".into()),
        ],
        ..StackOptions::default()
    };
    let mut stack = started(options).await;
    let caller = Caller::of(&stack);
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(caller.create(&format!("kill-{n}")).await);
    }
    for round in 0..5 {
        // Killed in the middle of its work, at another point of it each time.
        let goal = caller.request_count().await + 3 + round;
        eventually("more calls to the provider", PATIENCE, async || {
            let seen = caller.request_count().await;
            if seen >= goal {
                Ok(())
            } else {
                Err(format!("{seen} of {goal}"))
            }
        })
        .await
        .unwrap();
        let last = stack.workers().len() - 1;
        stack.kill_worker(last).await.unwrap();
        stack.add_worker(&[]).await.unwrap();
    }
    for id in &ids {
        caller.until(id, "ready").await;
    }
    let ledger = caller.ledger().await;
    let names: std::collections::HashSet<_> = ledger
        .iter()
        .map(|entry| entry["name"].to_string())
        .collect();
    assert_eq!(
        (ledger.len(), names.len()),
        (ids.len(), ids.len()),
        "{ledger:?}"
    );
    for id in &ids {
        caller.delete(id).await;
    }
    for id in &ids {
        caller.until(id, "terminated").await;
    }
    let left: Vec<_> = caller
        .ledger()
        .await
        .into_iter()
        .filter(|entry| entry["status"] != "removed")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn f7_redis_killed_and_restarted_loses_nothing(transport: Transport) {
    let mut stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("durable").await;
    caller.until_told(&id, &["creating"]).await;
    stack.redis().kill().await.unwrap();
    stack.redis().restart().await.unwrap();
    caller.until(&id, "ready").await;
    caller
        .until_told(&id, &["creating", "running", "health_checking", "ready"])
        .await;
    assert_eq!(caller.ledger().await.len(), 1);
    assert_eq!(caller.calls("create").await.len(), 1);
}
