//! Orders while our own calls to the provider are held back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use devstack::stack::{Stack, Transport, eventually};
use redis::Value as Reply;
use serde_json::{Value, json};

use crate::support::{Caller, PATIENCE, stack};

crate::journeys!(
    an_order_behind_an_open_breaker_is_not_begun_and_one_before_it_is_made_once,
    a_hold_that_another_replica_met_delays_an_order_and_is_no_setback,
);

/// The status as the worker keeps it; `None` before it first looked.
async fn stored(stack: &mut Stack, id: &str) -> Option<Value> {
    let words = ["HGET", "novita_api:{0}:status", id];
    match stack.redis().command(&words).await.unwrap() {
        Reply::BulkString(json) => Some(serde_json::from_slice(&json).unwrap()),
        _ => None,
    }
}

/// Waits until a worker has looked at the instance, which must have left no trace of an order.
async fn looked_at_and_untouched(stack: &mut Stack, id: &str) {
    let status = eventually("a look", PATIENCE, async || {
        stored(stack, id).await.ok_or_else(|| "nothing".to_owned())
    });
    let status = status.await.unwrap();
    assert_eq!(status["attempts"], json!([]), "{status}");
    assert_eq!(status["setbacks"], 0, "{status}");
    assert_eq!(status["lastError"], Value::Null, "{status}");
}

/// In a region with room for all.
fn roomy() -> Value {
    json!({ "regions": ["CN-HK-01"] })
}

async fn an_order_behind_an_open_breaker_is_not_begun_and_one_before_it_is_made_once(
    transport: Transport,
) {
    let mut stack = stack(transport).await;
    let caller = Caller::of(&stack);
    // Each is carried out, and answered as if it were not.
    caller
        .fault(json!({"route": "create", "kind": "status", "status": 503, "when": "after"}))
        .await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(caller.create_with(&format!("unlucky-{n}"), &roomy()).await);
    }
    eventually("five orders", PATIENCE, async || {
        let calls = caller.calls("create").await;
        let answered = calls.iter().filter(|call| call["status"] == 503).count();
        if answered == 5 {
            Ok(())
        } else {
            Err(answered.to_string())
        }
    })
    .await
    .unwrap();
    let late = caller.create_with("late", &roomy()).await;
    looked_at_and_untouched(&mut stack, &late).await;
    caller.clear_faults().await;
    ids.push(late);
    for id in &ids {
        caller.until(id, "ready").await;
    }
    assert_eq!(caller.calls("create").await.len(), 6);
    assert_eq!(caller.ledger().await.len(), 6);
}

async fn a_hold_that_another_replica_met_delays_an_order_and_is_no_setback(transport: Transport) {
    let mut stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(5);
    let words = [
        "HSET",
        "novita_api:{0}:pace",
        "hold",
        &ends.as_millis().to_string(),
    ];
    stack.redis().command(&words).await.unwrap();
    let id = caller.create("patient").await;
    looked_at_and_untouched(&mut stack, &id).await;
    for route in ["template", "products", "create"] {
        assert_eq!(caller.calls(route).await, Vec::<Value>::new());
    }
    caller.until(&id, "ready").await;
    assert_eq!(caller.calls("create").await.len(), 1);
}
