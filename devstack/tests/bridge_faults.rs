//! What tests of a client switch on: limits of a plan, faults, and the counter of billed commands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod bridge_support;

use std::time::{Duration, Instant};

use bridge_support::Stack;
use serde_json::json;

async fn inject(stack: &Stack, fault: serde_json::Value) {
    let answer = stack.control("POST", "/_bridge/faults", fault).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn limit(stack: &Stack, limits: serde_json::Value) {
    let answer = stack.control("POST", "/_bridge/limits", limits).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn sizes_over_the_plan_are_refused_command_by_command() {
    let stack = Stack::start().await;
    limit(
        &stack,
        json!({"max_request_bytes": 100, "max_key_bytes": 10}),
    )
    .await;
    let long = "x".repeat(100);
    let answer = stack
        .post("/pipeline", json!([["SET", "k", long], ["SET", "k", "v"]]))
        .await;
    let entries = answer.json();
    assert_eq!(
        entries[0]["error"],
        "ERR max request size exceeded. Limit: 100 bytes, Actual: 104 bytes"
    );
    assert_eq!(entries[1]["result"], "OK");
    assert_eq!(
        stack
            .post("/multi-exec", json!([["SET", "k", long]]))
            .await
            .status,
        400
    );

    for command in [
        json!(["SET", "elevenchars", "v"]),
        json!(["MSET", "k", "v", "elevenchars", "v"]),
    ] {
        let error = stack.post("/", command).await.error();
        assert_eq!(error, "ERR max key size exceeded. Limit: 10, Actual: 11");
    }
    let eval = json!(["EVAL", "return KEYS[1]", "1", "elevenchars"]);
    assert!(
        stack
            .post("/", eval)
            .await
            .error()
            .starts_with("ERR max key size")
    );
    stack
        .run(json!(["SET", "k", "a value may be longer"]))
        .await;

    limit(&stack, json!({"max_response_bytes": 20})).await;
    assert!(
        stack
            .post("/", json!(["GET", "k"]))
            .await
            .error()
            .starts_with("ERR max request size")
    );
    limit(&stack, json!({})).await;
    assert_eq!(
        stack.run(json!(["GET", "k"])).await,
        "a value may be longer"
    );
}

#[tokio::test]
async fn an_exhausted_quota_refuses_even_ping_but_not_info() {
    let stack = Stack::start().await;
    limit(&stack, json!({"monthly_commands": 2})).await;
    stack.run(json!(["INCR", "n"])).await;
    stack.run(json!(["INCR", "n"])).await;
    let answer = stack.post("/", json!(["PING"])).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.error(),
        "ERR max requests limit exceeded. Limit: 2, Usage: 2."
    );
    assert_eq!(stack.post("/", json!(["INFO"])).await.status, 200);
    limit(&stack, json!({"monthly_commands": 100})).await;
    assert_eq!(stack.run(json!(["GET", "n"])).await, "2");
}

#[tokio::test]
async fn commands_above_the_rate_wait() {
    let stack = Stack::start().await;
    limit(&stack, json!({"commands_per_second": 100})).await;
    let started = Instant::now();
    stack.post("/pipeline", json!(vec![["PING"]; 30])).await;
    stack.run(json!(["PING"])).await;
    assert!(
        started.elapsed() >= Duration::from_millis(300),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_reset_before_loses_the_command_and_a_reset_after_only_the_answer() {
    let stack = Stack::start().await;
    let increment = json!(["INCR", "n"]);
    inject(&stack, json!({"kind": "reset_before"})).await;
    inject(&stack, json!({"kind": "reset_after"})).await;
    assert!(stack.try_post("/", &increment).await.is_none());
    assert_eq!(
        stack.redis.command(&["GET", "n"]).await.unwrap(),
        redis::Value::Nil
    );
    assert!(stack.try_post("/", &increment).await.is_none());
    assert_eq!(stack.run(increment).await, 2);
}

#[tokio::test]
async fn a_gateway_answers_in_html_as_often_as_asked_and_for_the_named_command() {
    let stack = Stack::start().await;
    inject(
        &stack,
        json!({"kind": "status", "status": 502, "times": 2, "command": "incr"}),
    )
    .await;
    inject(
        &stack,
        json!({"kind": "status", "status": 429, "retry_after": 7, "command": "GET"}),
    )
    .await;
    assert_eq!(stack.run(json!(["ECHO", "a"])).await, "a");
    for body in [json!([["PING"], ["INCR", "n"]]), json!([["INCR", "n"]])] {
        let answer = stack.post("/pipeline", body).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (502, Some("text/html"))
        );
        assert!(
            answer.text().contains("<h1>502 Bad Gateway</h1>"),
            "{}",
            answer.text()
        );
    }
    let throttled = stack.post("/", json!(["GET", "n"])).await;
    assert_eq!(
        (throttled.status, throttled.header("retry-after")),
        (429, Some("7"))
    );
    assert_eq!(stack.run(json!(["INCR", "n"])).await, 1);
}

#[tokio::test]
async fn a_truncated_body_announces_more_than_it_brings() {
    let stack = Stack::start().await;
    inject(&stack, json!({"kind": "truncated_body"})).await;
    let answer = stack.post("/", json!(["ECHO", "0123456789"])).await;
    assert_eq!(answer.header("content-length"), Some("23"));
    assert_eq!(answer.text(), "{\"result\":\"");
}

#[tokio::test]
async fn latency_delays_and_flushed_scripts_are_gone() {
    let stack = Stack::start().await;
    inject(&stack, json!({"kind": "latency", "ms": 100})).await;
    let started = Instant::now();
    let sha = stack.run(json!(["SCRIPT", "LOAD", "return 1"])).await;
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(stack.run(json!(["EVALSHA", sha, "0"])).await, 1);
    inject(&stack, json!({"kind": "flush_scripts"})).await;
    assert!(
        stack
            .post("/", json!(["EVALSHA", sha, "0"]))
            .await
            .error()
            .starts_with("NOSCRIPT")
    );
}

#[tokio::test]
async fn a_stale_read_ends_with_the_newest_sync_token() {
    let stack = Stack::start().await;
    stack.run(json!(["SET", "k", "old"])).await;
    inject(&stack, json!({"kind": "stale_reads", "times": 100})).await;
    let read = json!(["GET", "k"]);
    assert_eq!(stack.run(read.clone()).await, "old");
    let written = stack.post("/", json!(["SET", "k", "new"])).await;
    assert_eq!(stack.run(read.clone()).await, "old");

    let newest = written.header("upstash-sync-token").unwrap();
    let authorization = format!("Bearer {}", stack.bridge.token());
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Upstash-Sync-Token", newest),
    ];
    let body = read.to_string();
    let fresh = bridge_support::send(stack.bridge.addr(), "POST", "/", &headers, body.as_bytes());
    assert_eq!(fresh.await.unwrap().json(), json!({"result": "new"}));

    stack.control("DELETE", "/_bridge/faults", json!({})).await;
    assert_eq!(stack.run(read).await, "new");
}

#[tokio::test]
async fn a_fault_nobody_knows_is_refused_and_control_paths_are_no_commands() {
    let stack = Stack::start().await;
    let answer = stack
        .control("POST", "/_bridge/faults", json!({"kind": "meteor"}))
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        stack
            .control("GET", "/_bridge/nope", json!({}))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn every_command_is_billed_also_inside_batches_and_scripts_but_not_the_free_ones() {
    let mut stack = Stack::start().await;
    let script = "#!lua flags=allow-key-locking\n\
                  redis.call('INCR', KEYS[1]) return redis.call('PEXPIRE', KEYS[1], '99999')";
    stack.run(json!(["EVAL", script, "1", "n"])).await;
    stack
        .post(
            "/pipeline",
            json!([["GET", "n"], ["MGET", "n", "m"], ["PING"], ["MULTI"]]),
        )
        .await;
    stack.post("/multi-exec", json!([["GET", "n"]])).await;
    stack
        .run(json!(["CONFIG", "GET", "notify-keyspace-events"]))
        .await;

    let expected = json!({
        "total": 8,
        "by_command": {
            "eval": 1, "incr": 1, "pexpire": 1, "get": 2, "mget": 1, "multi": 1, "exec": 1
        },
    });
    assert_eq!(
        stack
            .control("GET", "/_bridge/commands", json!({}))
            .await
            .json(),
        expected
    );

    stack.redis.kill().await.unwrap();
    assert_eq!(
        stack
            .control("GET", "/_bridge/commands", json!({}))
            .await
            .status,
        503
    );
    stack.redis.restart().await.unwrap();
    stack.run(json!(["GET", "n"])).await;
    let billed = stack.bridge.billed().await.unwrap();
    assert_eq!((billed.total, billed.by_command["get"]), (9, 3));
}
