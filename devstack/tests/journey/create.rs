//! The main story: request, ready, webhooks, delete.

use std::process::{Command, Output};

use devstack::stack::{StackOptions, Transport};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Caller, stack, started};

crate::journeys!(
    an_instance_gets_ready_and_is_deleted_and_billed_once,
    a_delete_right_after_the_create_leaves_nothing_behind,
    a_name_is_free_again_once_its_instance_is_gone,
    many_at_once_are_served_by_several_processes,
);

async fn an_instance_gets_ready_and_is_deleted_and_billed_once(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("main").await;

    let ready = caller.until(&id, "ready").await;
    assert_eq!(ready["region"], "AS-IN-01", "the cheapest of all regions");
    assert!(ready["novitaInstanceId"].is_string(), "{ready}");
    let endpoints = ready["portMappings"].as_array().unwrap();
    assert!(
        endpoints.iter().all(|port| port["endpoint"] != ""),
        "{ready}"
    );
    let operation = caller
        .operation(ready["operationId"].as_str().unwrap())
        .await;
    assert_eq!(operation["state"], "succeeded", "{operation}");

    let (status, deleted) = caller.delete(&id).await;
    assert_eq!(
        (status, &deleted["status"]),
        (StatusCode::ACCEPTED, &json!("deleting"))
    );
    caller.until(&id, "terminated").await;
    let operation = caller
        .operation(deleted["operationId"].as_str().unwrap())
        .await;
    assert_eq!(operation["state"], "succeeded", "{operation}");

    let told = ["creating", "running", "health_checking", "ready", "deleted"];
    let hooks = caller.until_told(&id, &told).await;
    let sequences: Vec<_> = hooks
        .iter()
        .map(|hook| hook["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);

    let ledger = caller.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!(ledger[0]["id"], ready["novitaInstanceId"]);
    let billed = ledger[0]["billedSeconds"].clone();
    assert!(billed.as_f64().unwrap() > 0.0);
    assert_eq!(
        caller.ledger().await[0]["billedSeconds"],
        billed,
        "it is billed no further"
    );
    assert_eq!(caller.calls("create").await.len(), 1);
}

async fn a_delete_right_after_the_create_leaves_nothing_behind(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("short-lived").await;
    let (_, first) = caller.delete(&id).await;
    match caller.delete(&id).await {
        (StatusCode::ACCEPTED, second) => assert_eq!(
            first["operationId"], second["operationId"],
            "the same wish is one operation"
        ),
        // A worker was quicker.
        (status, answer) => assert_eq!(status, StatusCode::NOT_FOUND, "{answer}"),
    }
    caller.until(&id, "terminated").await;
    let live = caller
        .ledger()
        .await
        .into_iter()
        .filter(|entry| entry["status"] != "removed");
    assert_eq!(live.collect::<Vec<Value>>(), Vec::<Value>::new());
}

async fn a_name_is_free_again_once_its_instance_is_gone(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("only-one").await;
    let wish = json!({"name": "only-one", "productName": "RTX 4090 24GB", "templateId": 100_234});
    let (status, body) = caller.post(&wish).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["error"]["code"], "INSTANCE_ALREADY_EXISTS");
    assert!(
        body["error"]["message"].as_str().unwrap().contains(&id),
        "{body}"
    );
    caller.delete(&id).await;
    caller.until(&id, "terminated").await;
    let (status, body) = caller.post(&wish).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
}

async fn many_at_once_are_served_by_several_processes(transport: Transport) {
    let options = StackOptions {
        transport,
        apis: 2,
        workers: 3,
        ..StackOptions::default()
    };
    let stack = started(options).await;
    let caller = Caller::of(&stack);
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(caller.create(&format!("many-{n}")).await);
    }
    for id in &ids {
        caller.until(id, "ready").await;
    }
    assert_eq!(caller.ledger().await.len(), ids.len());
    for id in &ids {
        caller.delete(id).await;
    }
    for id in &ids {
        caller.until(id, "terminated").await;
        caller
            .until_told(
                id,
                &["creating", "running", "health_checking", "ready", "deleted"],
            )
            .await;
    }
    // The cheapest offers run out of stock on the way; only refusals may come on top.
    let orders = caller.calls("create").await;
    let accepted = orders.iter().filter(|order| order["status"] == 200).count();
    assert_eq!(accepted, ids.len());
}

fn worker(env: &[(&str, &str)]) -> Output {
    let binary = std::env::current_exe().unwrap();
    let binary = binary.ancestors().nth(2).unwrap().join("novita-worker");
    Command::new(binary)
        .env_clear()
        .current_dir(std::env::temp_dir())
        .envs(env.iter().copied())
        .output()
        .expect("novita-worker is built")
}

#[test]
fn a_wrong_configuration_is_told_whole_and_ends_with_78() {
    let output = worker(&[
        ("JOB_LEASE_MS", "10500"),
        ("NOVITA_API_TIMEOUT", "12000"),
        ("NOVITA_API_KEY", "tooshort"),
        ("WEBHOOK_FORMAT", "xml"),
        ("REDIS_COMMAND_TIMEOUT_MS", "1"),
        ("MAX_CONCURRENT_JOBS", ""),
    ]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{told}");
    for name in [
        "JOB_LEASE_MS: must be longer than NOVITA_API_TIMEOUT",
        "JOB_LEASE_MS: must be longer than WEBHOOK_TIMEOUT by 1000 ms or more",
        "NOVITA_API_KEY",
        "WEBHOOK_FORMAT",
        "REDIS_COMMAND_TIMEOUT_MS",
        "UPSTASH_REDIS_REST_URL: is required",
    ] {
        assert!(told.contains(name), "{name} is missing in: {told}");
    }
    assert!(
        !told.contains("MAX_CONCURRENT_JOBS"),
        "empty counts as unset: {told}"
    );
    assert!(
        !told.contains("tooshort"),
        "a secret's value is never told: {told}"
    );
}

#[test]
fn without_redis_a_worker_says_so_in_one_line_and_ends() {
    let output = worker(&[
        ("NOVITA_API_KEY", "0123456789"),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("REDIS_RETRY_ATTEMPTS", "2"),
        ("REDIS_RETRY_DELAY_MS", "100"),
    ]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(
        lines[0].contains("cannot reach Redis at 127.0.0.1:1"),
        "{told}"
    );
}
