//! When the provider says no, says nothing, or says something else than it did.

use devstack::stack::Transport;
use serde_json::json;

use crate::past::Past;
use crate::support::{Caller, stack};

crate::journeys!(
    a_refused_offer_leads_to_the_next_one,
    f1_an_answer_lost_after_the_effect_is_found_and_not_repeated,
    f10_an_instance_that_breaks_while_booting_is_removed_before_the_next_is_ordered,
    f8_reads_that_fail_while_it_boots_change_nothing,
    f9_what_does_not_boot_in_time_is_removed_before_the_next_is_ordered,
    an_unknown_template_fails_with_its_name_and_costs_nothing,
);

async fn a_refused_offer_leads_to_the_next_one(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    caller
        .fault(json!({
            "route": "create", "kind": "status", "when": "before", "count": 1,
            "status": 400, "reason": "INSUFFICIENT_RESOURCE"
        }))
        .await;
    let id = caller.create("second-choice").await;
    caller.until(&id, "ready").await;
    let orders = caller.calls("create").await;
    assert_eq!(orders.len(), 2);
    let (first, second) = (&orders[0]["body"], &orders[1]["body"]);
    let offer = |body: &serde_json::Value| {
        let body: serde_json::Value = match body.as_str() {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => body.clone(),
        };
        (
            body["productId"].clone(),
            body["clusterId"].clone(),
            body["name"].clone(),
        )
    };
    assert_ne!(
        offer(first).2,
        offer(second).2,
        "each attempt has a marker of its own"
    );
    assert_ne!(
        (offer(first).0, offer(first).1),
        (offer(second).0, offer(second).1)
    );
    assert_eq!(caller.ledger().await.len(), 1);
}

async fn f1_an_answer_lost_after_the_effect_is_found_and_not_repeated(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    caller
        .fault(json!({"route": "create", "kind": "reset", "when": "after", "count": 1}))
        .await;
    let id = caller.create("lost-answer").await;
    caller.until(&id, "ready").await;
    assert_eq!(caller.ledger().await.len(), 1);
    assert_eq!(caller.calls("create").await.len(), 1);
}

async fn f10_an_instance_that_breaks_while_booting_is_removed_before_the_next_is_ordered(
    transport: Transport,
) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("broken").await;
    caller.until_told(&id, &["creating"]).await;
    let provider_id = caller.ledger().await[0]["id"].as_str().unwrap().to_owned();
    caller
        .control(
            &format!("instances/{provider_id}"),
            json!({"statusError": {"state": "oom", "message": "killed"}}),
        )
        .await;
    let ready = caller.until(&id, "ready").await;
    assert_ne!(ready["novitaInstanceId"], provider_id.as_str());
    let ledger = caller.ledger().await;
    assert_eq!(ledger.len(), 2);
    let old = ledger
        .iter()
        .find(|entry| entry["id"] == provider_id.as_str())
        .unwrap();
    assert_eq!(
        old["status"], "removed",
        "the broken one is not paid for any more"
    );
}

async fn f8_reads_that_fail_while_it_boots_change_nothing(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    for route in ["get", "list"] {
        let fault = json!({
            "route": route, "kind": "status", "when": "before", "count": 4, "status": 500
        });
        caller.fault(fault).await;
    }
    let id = caller.create("patient").await;
    caller.until(&id, "ready").await;
    let told = ["creating", "running", "health_checking", "ready"];
    caller.until_told(&id, &told).await;
    assert_eq!(caller.ledger().await.len(), 1);
    assert_eq!(caller.calls("delete").await.len(), 0);
}

async fn f9_what_does_not_boot_in_time_is_removed_before_the_next_is_ordered(transport: Transport) {
    let mut stack = stack(transport).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let endless = json!({"delays": {"pulling": 1_000_000}});
    caller.control("settings", endless).await;
    let id = caller.create("stuck").await;
    caller.until_told(&id, &["creating"]).await;
    let first = caller.ledger().await[0]["id"].as_str().unwrap().to_owned();
    let usual = json!({"delays": {"pulling": 1}});
    caller.control("settings", usual).await;
    caller
        .control(&format!("instances/{first}"), json!({"status": "freezing"}))
        .await;
    past.pass(&id, 11).await;
    let ready = caller.until(&id, "ready").await;
    assert_ne!(ready["novitaInstanceId"], first.as_str());
    let ledger = caller.ledger().await;
    assert_eq!(ledger.len(), 2);
    assert_eq!(
        (&ledger[0]["id"], &ledger[0]["status"]),
        (&json!(first), &json!("removed"))
    );
}

async fn an_unknown_template_fails_with_its_name_and_costs_nothing(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let (_, body) = caller
        .post(&json!({
            "name": "untemplated",
            "productName": "RTX 4090 24GB",
            "templateId": "no-such-template",
            "webhookUrl": format!("{}/hook", stack.sink().url()),
        }))
        .await;
    let id = body["instanceId"].as_str().unwrap().to_owned();
    let failed = caller.until(&id, "failed").await;
    assert_eq!(failed["failure"]["code"], "TEMPLATE_NOT_FOUND", "{failed}");
    assert!(
        failed["failure"]["message"]
            .as_str()
            .unwrap()
            .contains("no-such-template")
    );
    caller.until_told(&id, &["failed"]).await;
    assert!(caller.ledger().await.is_empty());
    let operation = caller
        .operation(body["operationId"].as_str().unwrap())
        .await;
    assert_eq!(operation["state"], "failed", "{operation}");
}
