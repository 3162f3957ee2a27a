//! What a create asks for beside an offer, all the way to the provider.

use std::fs;
use std::path::Path;

use devstack::stack::{StackOptions, Transport, eventually};
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Caller, PATIENCE, stack, started};

crate::journeys!(
    everything_asked_for_reaches_the_provider_and_no_secret_stays,
    only_the_target_port_is_checked,
    what_could_not_work_fails_before_anything_is_paid_for,
);

const SECRET: &str = "hunter2-correct-horse-battery-staple";

/// Whether any file below `dir` has these bytes in it.
fn is_anywhere(dir: &Path, bytes: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_anywhere(&path, bytes);
        }
        // Redis replaces its files while it works.
        let content = fs::read(&path).unwrap_or_default();
        content
            .windows(bytes.len())
            .any(|part| part == bytes.as_bytes())
    })
}

async fn everything_asked_for_reaches_the_provider_and_no_secret_stays(transport: Transport) {
    let dir = TempDir::new().unwrap();
    let options = StackOptions {
        transport,
        data_dir: Some(dir.path().to_owned()),
        env: vec![
            ("ENVS_SECRET".to_owned(), "a secret of this test".to_owned()),
            ("LOG_LEVEL".to_owned(), "debug".to_owned()),
            ("NODE_ENV".to_owned(), "production".to_owned()),
            ("WEBHOOK_ALLOW_HTTP".to_owned(), "true".to_owned()),
            ("AUTH_DISABLED".to_owned(), "true".to_owned()),
        ],
        ..StackOptions::default()
    };
    let stack = started(options).await;
    let caller = Caller::of(&stack);
    let wish = json!({
        "templateId": "100900",
        "envs": [{"key": "API_TOKEN", "value": SECRET}, {"key": "MULTI", "value": "two\nlines"}],
        "ports": [{"port": 8080, "type": "http"}, {"port": 5432, "type": "tcp"}],
        "command": "serve --all",
        "entrypoint": "/bin/init",
        "imageAuthId": "c0a8012e-7b1d-4f43-8f0a-2f1a9b6d3e22",
    });
    let id = caller.create_with("secretive", &wish).await;
    let ready = caller.until(&id, "ready").await;
    assert!(!ready.to_string().contains(SECRET), "{ready}");
    assert_eq!(ready["ports"], wish["ports"]);

    let order = caller.orders().await.remove(0);
    assert_eq!(order["ports"], "8080/http,5432/tcp");
    for member in ["command", "entrypoint", "imageAuthId"] {
        assert_eq!(order[member], wish[member], "{member}");
    }
    let envs = order["envs"].as_array().unwrap();
    for env in wish["envs"].as_array().unwrap() {
        assert!(envs.contains(env), "{order}");
    }
    assert!(envs.iter().any(|env| env["key"] == "NGA_ID"), "{order}");

    caller.delete(&id).await;
    caller.until(&id, "terminated").await;
    caller
        .until_told(
            &id,
            &["creating", "running", "health_checking", "ready", "deleted"],
        )
        .await;
    // Redis's files and the logs of all processes are there.
    assert!(is_anywhere(dir.path(), "secretive"));
    assert!(!is_anywhere(dir.path(), SECRET));
    assert!(!is_anywhere(dir.path(), "API_TOKEN"));
}

async fn only_the_target_port_is_checked(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let wish = json!({"healthCheckConfig": {"targetPort": 22, "retryDelayMs": 100}});
    let id = caller.create_with("half-well", &wish).await;
    caller.until_told(&id, &["creating"]).await;
    let provider_id = caller.ledger().await[0]["id"].as_str().unwrap().to_owned();
    let control = format!("instances/{provider_id}");
    caller.control(&control, json!({"healthy": false})).await;
    let ready = caller.until(&id, "ready").await;
    let endpoints = ready["healthCheck"]["endpoints"].as_array().unwrap();
    let ports: Vec<_> = endpoints.iter().map(|it| it["port"].as_u64()).collect();
    assert_eq!(ports, [Some(22)], "{ready}");
    assert_eq!(ready["healthCheckConfig"]["maxWaitTimeMs"], 600_000);

    // A start may say otherwise, for its own boot.
    caller.change(&id, "stop").await;
    caller.until(&id, "stopped").await;
    let start =
        json!({"targetPort": 8080, "healthCheckConfig": {"retryDelayMs": 100, "targetPort": 22}});
    let (status, body) = caller
        .post_to(&format!("instances/{id}/start"), &start)
        .await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    eventually("8080 found unhealthy", PATIENCE, async || {
        let instance = caller.instance(&id).await;
        let endpoint = &instance["healthCheck"]["endpoints"][0];
        if endpoint["port"] == 8080 && endpoint["status"] == "unhealthy" {
            Ok(())
        } else {
            Err(instance.to_string())
        }
    })
    .await
    .unwrap();
    caller.control(&control, json!({"healthy": true})).await;
    caller.until(&id, "ready").await;
}

async fn what_could_not_work_fails_before_anything_is_paid_for(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    for (name, wish, code) in [
        (
            "no-such-port",
            json!({"healthCheckConfig": {"targetPort": 9999}}),
            "INVALID_TARGET_PORT",
        ),
        (
            "no-such-login",
            json!({"imageAuthId": "00000000-0000-0000-0000-000000000000"}),
            "REGISTRY_AUTH_NOT_FOUND",
        ),
    ] {
        let id = caller.create_with(name, &wish).await;
        let failed = caller.until(&id, "failed").await;
        assert_eq!(failed["failure"]["code"], code, "{failed}");
    }
    assert!(caller.orders().await.is_empty());
}
