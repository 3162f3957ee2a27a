//! Faults over real connections, and the log that remembers them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod simulator_support;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use simulator_support::{Sim, UNTIL_PULLING, UNTIL_RUNNING, eventually, order};

async fn total(sim: &Sim) -> u64 {
    sim.get("/gpu/instances").await.ok()["total"]
        .as_u64()
        .unwrap()
}

#[tokio::test]
async fn a_reset_before_loses_the_request_and_one_after_only_the_reply() {
    let sim = Sim::start().await;
    sim.set(
        "faults",
        json!({ "route": "create", "kind": "reset", "count": 1 }),
    )
    .await;
    assert!(sim.try_post("/gpu/instance/create", order()).await.is_err());
    assert_eq!(total(&sim).await, 0);

    let after = json!({ "route": "create", "kind": "reset", "when": "after", "count": 1 });
    sim.set("faults", after).await;
    assert!(sim.try_post("/gpu/instance/create", order()).await.is_err());
    assert_eq!(total(&sim).await, 1);
    sim.create(order()).await;
}

#[tokio::test]
async fn a_server_error_can_come_before_or_after_the_effect() {
    let sim = Sim::start().await;
    let id = sim.running(order()).await;
    let before = json!({ "route": "stop", "kind": "status", "status": 503, "count": 1 });
    sim.set("faults", before).await;
    sim.act("stop", &id).await.refused(503, "UNKNOWN");
    assert_eq!(sim.status(&id).await, "running");
    let after = json!({
        "route": "stop", "kind": "status", "when": "after", "count": 1, "status": 400,
        "reason": "CONFLICT", "message": "invalid state change", "metadata": { "0": "8" },
    });
    sim.set("faults", after).await;
    let refusal = sim.act("stop", &id).await;
    assert_eq!(refusal.refused(400, "CONFLICT"), "invalid state change");
    assert_eq!(refusal.json()["metadata"], json!({ "0": "8" }));
    assert_eq!(sim.status(&id).await, "toStop");
}

#[tokio::test]
async fn rate_limits_come_with_and_without_retry_after() {
    let sim = Sim::start().await;
    let limited = json!({ "route": "*", "kind": "rate_limit", "retryAfter": 7, "count": 1 });
    sim.set("faults", limited).await;
    let refusal = sim.get("/clusters").await;
    refusal.refused(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(refusal.retry_after.as_deref(), Some("7"));
    sim.set(
        "faults",
        json!({ "route": "*", "kind": "rate_limit", "count": 1 }),
    )
    .await;
    let refusal = sim.get("/clusters").await;
    refusal.refused(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(refusal.retry_after, None);
    sim.get("/clusters").await.ok();
}

#[tokio::test]
async fn answers_can_be_torn_json_or_a_gateways_html() {
    let sim = Sim::start().await;
    let torn = json!({ "route": "create", "kind": "malformed", "when": "after", "count": 1 });
    sim.set("faults", torn).await;
    let answer = sim.post("/gpu/instance/create", order()).await;
    assert_eq!(answer.status, 200);
    assert!(
        serde_json::from_str::<Value>(&answer.body).is_err(),
        "{answer:?}"
    );
    assert_eq!(total(&sim).await, 1);
    let html = json!({ "route": "get", "kind": "status", "status": 502, "body": "<html>" });
    sim.set("faults", html).await;
    let answer = sim.get("/gpu/instance?instanceId=x").await;
    assert_eq!((answer.status, answer.body.as_str()), (502, "<html>"));
    sim.control(Method::DELETE, "faults", None).await.ok();
    assert_eq!(sim.get("/gpu/instance?instanceId=x").await.status, 404);
}

#[tokio::test]
async fn latency_delays_and_a_timeout_never_answers() {
    let sim = Sim::start().await;
    let slow = json!({ "route": "list", "kind": "latency", "delayMs": 120, "count": 1 });
    sim.set("faults", slow).await;
    let begun = Instant::now();
    total(&sim).await;
    assert!(begun.elapsed() >= Duration::from_millis(120));

    let held = json!({ "route": "create", "kind": "timeout", "when": "after", "count": 1 });
    sim.set("faults", held).await;
    let url = format!("{}/v1/gpu/instance/create", sim.simulator.base_url());
    let request = sim
        .http
        .post(url)
        .bearer_auth(devstack::novita::DEFAULT_API_KEY);
    let request = request.timeout(Duration::from_millis(200)).json(&order());
    assert!(request.send().await.unwrap_err().is_timeout());
    assert_eq!(total(&sim).await, 1);

    let brief = json!({ "route": "list", "kind": "timeout", "holdMs": 10, "count": 1 });
    sim.set("faults", brief).await;
    let url = format!("{}/v1/gpu/instances", sim.simulator.base_url());
    assert!(sim.try_send(Method::GET, url, None).await.is_err());
}

#[tokio::test]
async fn a_client_that_gives_up_does_not_undo_what_it_asked_for() {
    let sim = Sim::start().await;
    let slow = json!({ "route": "create", "kind": "latency", "delayMs": 300, "count": 1 });
    sim.set("faults", slow).await;
    let url = format!("{}/v1/gpu/instance/create", sim.simulator.base_url());
    let request = sim
        .http
        .post(url)
        .bearer_auth(devstack::novita::DEFAULT_API_KEY);
    let request = request.timeout(Duration::from_millis(100)).json(&order());
    assert!(request.send().await.unwrap_err().is_timeout());
    eventually(async || total(&sim).await, |total| *total == 1).await;
}

#[tokio::test]
async fn pages_can_arrive_short_and_lists_late() {
    let sim = Sim::start().await;
    for _ in 0..3 {
        sim.create(order()).await;
    }
    let short = json!({ "route": "list", "kind": "truncated_page", "keep": 1, "count": 1 });
    sim.set("faults", short).await;
    let list = sim.get("/gpu/instances").await.ok();
    assert_eq!(
        (list["instances"].as_array().unwrap().len(), &list["total"]),
        (1, &json!(3))
    );

    sim.set(
        "faults",
        json!({ "route": "list", "kind": "list_lag", "seconds": 30 }),
    )
    .await;
    assert_eq!(total(&sim).await, 0);
    sim.advance(29).await;
    assert_eq!(total(&sim).await, 0);
    sim.advance(1).await;
    let late = sim.get("/gpu/instances").await.ok();
    assert_eq!(
        (&late["total"], &late["instances"][0]["status"]),
        (&json!(3), &json!("pending"))
    );
    let id = late["instances"][0]["id"].as_str().unwrap();
    assert_eq!(sim.status(id).await, "running");
}

#[tokio::test]
async fn the_next_instance_can_be_doomed() {
    let sim = Sim::start().await;
    let doom = json!({
        "route": "create", "kind": "status_error", "state": "oom", "message": "m", "count": 1,
    });
    sim.set("faults", doom).await;
    let doomed = sim.create(order()).await;
    let fine = sim.create(order()).await;
    sim.advance(UNTIL_PULLING).await;
    sim.advance(UNTIL_RUNNING).await;
    assert_eq!(sim.instance(&doomed).await["statusError"]["state"], "oom");
    assert_eq!(sim.status(&doomed).await, "pulling");
    assert_eq!(sim.status(&fine).await, "running");
}

#[tokio::test]
async fn the_log_has_every_request_the_unanswered_too_and_no_key() {
    let sim = Sim::start().await;
    sim.set(
        "faults",
        json!({ "route": "create", "kind": "reset", "count": 1 }),
    )
    .await;
    assert!(sim.try_post("/gpu/instance/create", order()).await.is_err());
    sim.get("/gpu/instances?name=a%20b").await.ok();
    sim.get("/nowhere").await;
    let log = sim.show("requests").await;
    assert!(
        !log.to_string().contains(devstack::novita::DEFAULT_API_KEY),
        "{log}"
    );
    let requests = log["requests"].as_array().unwrap();
    let seen: Vec<Value> = requests
        .iter()
        .map(|r| json!([r["method"], r["route"], r["query"], r["status"], r["fault"]]))
        .collect();
    assert_eq!(
        seen,
        [
            json!(["POST", "create", "", null, "reset"]),
            json!(["GET", "list", "name=a%20b", 200, null]),
            json!(["GET", null, "", 404, null]),
        ]
    );
    let body: Value = serde_json::from_str(requests[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, order());
    assert_eq!(
        requests[0]["path"],
        "/gpu-instance/openapi/v1/gpu/instance/create"
    );
    assert_eq!(sim.simulator.requests().await.len(), 3);

    let faults = sim.show("faults").await;
    assert_eq!(
        (
            &faults["faults"][0]["fired"],
            &faults["faults"][0]["remaining"]
        ),
        (&json!(1), &json!(0))
    );
    sim.control(Method::DELETE, "requests", None).await.ok();
    assert_eq!(sim.show("requests").await, json!({ "requests": [] }));
}

#[tokio::test]
async fn a_dropped_simulator_is_gone() {
    let sim = Sim::start().await;
    sim.running(order()).await;
    let endpoint = sim.get("/gpu/instances").await.ok()["instances"][0]["portMappings"][0].clone();
    let endpoint = endpoint["endpoint"].as_str().unwrap().to_owned();
    let (http, url) = (sim.http.clone(), sim.simulator.url());
    drop(sim);
    for url in [url, endpoint] {
        eventually(async || http.get(&url).send().await.is_err(), |gone| *gone).await;
    }
}
