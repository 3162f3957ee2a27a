//! What a create, a start or a restart may ask for beside the necessary, over HTTP.

use serde_json::{Value, json};
use shared::model::Spec;
use shared::store::Store;

use crate::harness::{Api, wish};
use crate::worker;

fn with(name: &str, members: &Value) -> Value {
    let mut body = wish(name);
    let given = members.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(given);
    body
}

/// An instance that a worker stopped.
async fn stopped(api: &Api, name: &str) -> String {
    let id = api.create(name).await;
    let mut status = worker::running();
    if let Some(facts) = status.provider.as_mut() {
        "exited".clone_into(&mut facts.status);
    }
    worker::settle(api, &id, status).await;
    id
}

/// What is stored of what is wanted.
async fn stored(api: &Api, id: &str) -> Spec {
    let store = Store::new(api.redis.clone(), api.config.redis.keys.clone());
    let record = store.record(&id.parse().unwrap()).await.unwrap();
    record.unwrap().spec
}

#[tokio::test]
async fn what_was_asked_for_is_shown_and_secrets_are_not() {
    let api = Api::start().await;
    let wish = json!({
        "maxPricePerHour": 0.355,
        "regions": ["EU-DE-01", "CN-HK-01"],
        "onDemandFallback": true,
        "prefer": "steady",
        "envs": [{"key": "API_TOKEN", "value": "hunter2hunter2"}],
        "ports": [{"port": 8080, "type": "http"}],
        "command": "serve --token hunter2hunter2",
        "imageAuthId": "login-1",
        "healthCheckConfig": {"targetPort": 8080},
    });
    let created = api.post("/api/instances", &with("all", &wish)).await;
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.text("/instanceId");
    let read = api.get(&format!("/api/instances/{id}")).await;
    assert_eq!(read.text("/maxPricePerHour"), "0.355");
    for member in [
        "regions",
        "onDemandFallback",
        "prefer",
        "ports",
        "imageAuthId",
    ] {
        assert_eq!(read.body[member], wish[member], "{member}");
    }
    let health = &read.body["healthCheckConfig"];
    assert_eq!(
        (&health["targetPort"], &health["timeoutMs"]),
        (&json!(8080), &json!(30_000))
    );
    for answer in [&created, &read, &api.get("/api/instances").await] {
        let shown = answer.body.to_string();
        assert!(
            !shown.contains("hunter2") && !shown.contains("API_TOKEN"),
            "{shown}"
        );
    }
    let spec = stored(&api, &id).await;
    assert!(spec.options.has_envs);
    assert!(!serde_json::to_string(&spec).unwrap().contains("API_TOKEN"));
}

#[tokio::test]
async fn variables_are_refused_in_production_without_a_secret() {
    let api = Api::start_with(|config| config.envs_key = None).await;
    let envs = json!({"envs": [{"key": "A", "value": "hunter2hunter2"}]});
    let refused = api.post("/api/instances", &with("secretive", &envs)).await;
    refused.is(400, "VALIDATION_ERROR");
    let problem = &refused.body["error"]["validationErrors"][0];
    assert_eq!(problem["field"], "envs");
    assert!(problem["message"].as_str().unwrap().contains("ENVS_SECRET"));
    assert!(!refused.body.to_string().contains("hunter2"));
    api.create("secretive").await;
}

#[tokio::test]
async fn a_boot_may_be_checked_in_its_own_way() {
    let api = Api::start().await;
    let id = stopped(&api, "checked").await;
    let path = format!("/api/instances/{id}/start");
    let start = json!({
        "targetPort": "8080",
        "healthCheckConfig": {"targetPort": 22, "maxWaitTimeMs": 30_000},
    });
    let accepted = api.post(&path, &start).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let check = stored(&api, &id).await.health_check();
    assert_eq!(check.target_port, Some(8080), "the one on top wins");
    assert_eq!(check.max_wait_time_ms, Some(30_000));
    assert_eq!(check.retry_delay_ms, Some(2000));
}

#[tokio::test]
async fn what_is_wrong_with_a_boots_checks_is_told_in_the_predecessors_words() {
    let api = Api::start().await;
    let id = stopped(&api, "strict").await;
    let start = json!({
        "targetPort": 0,
        "healthCheckConfig": {
            "timeoutMs": 5, "retryAttempts": 11, "retryDelayMs": 1, "maxWaitTimeMs": 1,
            "targetPort": 70_000,
        },
    });
    let mut by_name = start.clone();
    by_name["instanceName"] = "strict".into();
    for (path, body) in [
        (format!("/api/instances/{id}/start"), &start),
        ("/api/instances/start".to_owned(), &by_name),
        (format!("/api/instances/{id}/restart"), &start),
    ] {
        let refused = api.post(&path, body).await;
        refused.is(400, "VALIDATION_ERROR");
        let problems = refused.body["error"]["validationErrors"]
            .as_array()
            .unwrap();
        let told: Vec<_> = problems
            .iter()
            .map(|it| {
                (
                    it["field"].as_str().unwrap(),
                    it["message"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (
                    "healthCheckConfig.timeoutMs",
                    "Health check timeout must be at least 1000ms"
                ),
                (
                    "healthCheckConfig.retryAttempts",
                    "Retry attempts must be at most 10"
                ),
                (
                    "healthCheckConfig.retryDelayMs",
                    "Retry delay must be at least 100ms"
                ),
                (
                    "healthCheckConfig.maxWaitTimeMs",
                    "Max wait time must be at least 30000ms (30 seconds)"
                ),
                (
                    "healthCheckConfig.targetPort",
                    "Target port must be at most 65535"
                ),
                ("targetPort", "Target port must be at least 1"),
            ]
        );
    }
    let stop = api.post(&format!("/api/instances/{id}/stop"), &start).await;
    assert_eq!(stop.status, 202, "a stop checks nothing: {stop:?}");
}
