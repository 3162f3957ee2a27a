//! What a caller can ask for beside the wish itself: once, with an answer at its end, freshly looked at, traced.

use devstack::stack::Transport;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Caller, stack};

crate::journeys!(
    a_caller_that_waits_is_told_how_it_ended,
    a_trace_goes_with_the_order_and_the_webhook,
);

async fn a_caller_that_waits_is_told_how_it_ended(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let http = devstack::http::client();
    let ask = async |method: Method, path: &str, body: Value| {
        let url = format!("{}/api/instances{path}", stack.api_url());
        let request = http.request(method, url).header("prefer", "wait=60");
        let request = request.header("idempotency-key", format!("key-of{path}"));
        let answer = request.json(&body).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let wish = json!({
        "name": "waited-for", "productName": "RTX 4090 24GB", "templateId": "100234",
        "webhookUrl": format!("{}/hook", stack.sink().url()),
    });
    let (status, created) = ask(Method::POST, "", wish.clone()).await;
    assert_eq!(status, StatusCode::CREATED);
    let theirs = created["novitaInstanceId"].as_str().unwrap();
    assert_eq!(created["region"], "AS-IN-01", "{created}");
    let id = created["instanceId"].as_str().unwrap();
    let (_, again) = ask(Method::POST, "", wish).await;
    assert_eq!(again["novitaInstanceId"], *theirs);
    assert_eq!(caller.calls("create").await.len(), 1);

    caller.until(id, "ready").await;
    assert_eq!(caller.instance(theirs).await["id"], *id);
    let fresh = caller.instance(&format!("{theirs}?fresh=true")).await;
    assert_eq!(fresh["status"], "ready", "{fresh}");
    for (method, path, phase) in [
        (Method::POST, "/stop", "stopped"),
        (Method::POST, "/start", "ready"),
        (Method::DELETE, "", "terminated"),
    ] {
        let (status, done) = ask(method, &format!("/{id}{path}"), json!({})).await;
        assert_eq!(status, StatusCode::OK, "{done}");
        assert_eq!(
            (&done["status"], &done["operationState"]),
            (&json!(phase), &json!("succeeded"))
        );
    }
}

async fn a_trace_goes_with_the_order_and_the_webhook(transport: Transport) {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let wish = json!({
        "name": "traced", "productName": "RTX 4090 24GB", "templateId": "100234",
        "webhookUrl": format!("{}/hook", stack.sink().url()),
    });
    let http = devstack::http::client();
    let request = http.post(format!("{}/api/instances", stack.api_url()));
    let answer = request
        .header("traceparent", TRACE)
        .json(&wish)
        .send()
        .await
        .unwrap();
    let created: Value = answer.json().await.unwrap();
    let id = created["instanceId"].as_str().unwrap();
    caller.until(id, "ready").await;
    caller
        .until_told(id, &["creating", "running", "health_checking", "ready"])
        .await;
    assert_eq!(caller.calls("create").await[0]["traceparent"], TRACE);
    let told = http.get(format!("{}/_sink/webhooks", stack.sink().url()));
    let told: Vec<Value> = told.send().await.unwrap().json().await.unwrap();
    for hook in &told {
        assert_eq!(hook["headers"]["traceparent"], TRACE, "{hook}");
    }
    // What nobody traced is called without a trace.
    let untraced = caller.calls("list").await;
    assert!(
        untraced.iter().any(|call| call["traceparent"].is_null()),
        "{untraced:?}"
    );
}
