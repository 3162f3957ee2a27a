//! What is told and asked about spot machines that the provider takes back.

use serde_json::json;
use shared::clock::Millis;
use shared::model::ProviderFacts;
use shared::model::spot::Migration;

use crate::harness::Api;
use crate::worker;

const STATUS: &str = "/api/instances/migration/scheduler/status";
const FLEET: &str = "/api/jobs/cron:fleet";

#[tokio::test]
async fn the_schedulers_status_tells_the_policy_the_passes_and_what_is_wrong() {
    let api = Api::start().await;
    let answer = api.get(STATUS).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let status = &answer.body["status"];
    assert_eq!(status["isEnabled"], false, "SPOT_POLICY is none");
    assert_eq!(status["policy"], "none");
    assert_eq!(status["totalExecutions"], 0);
    assert_eq!(status["isRunning"], false, "there is no worker");
    assert_eq!(answer.body["healthDetails"]["healthy"], false);
    assert!(status["nextExecution"].is_null());
}

#[tokio::test]
async fn a_trigger_makes_the_next_pass_due_now() {
    let api = Api::start().await;
    let path = "/api/instances/migration/scheduler/trigger";
    let answer = api.post(path, &json!({})).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.body["jobId"], "cron:fleet");
    assert_eq!(api.get(FLEET).await.body["state"], "due");
    let status = api.get(STATUS).await.body;
    assert!(status["status"]["nextExecution"].is_string(), "{status}");
}

#[tokio::test]
async fn a_check_for_failed_migrations_counts_only_when_it_is_asked_to() {
    let api = Api::start().await;
    let mut lost = worker::running();
    lost.was_ready = true;
    lost.spot.lost = Some(Millis(2));
    lost.spot.migration = Some(Migration {
        called_at: Millis(3),
        was_moving: true,
        failed: true,
    });
    lost.provider = Some(ProviderFacts {
        status: "exited".into(),
        spot_status: "terminated".into(),
        ..ProviderFacts::default()
    });
    let id = api.create("lost").await;
    worker::settle(&api, &id, lost).await;
    assert_eq!(
        api.get(&format!("/api/instances/{id}")).await.body["status"],
        "reclaimed"
    );
    let mut well = worker::running();
    well.was_ready = true;
    let other = api.create("well").await;
    worker::settle(&api, &other, well).await;

    let path = "/api/instances/migration/check-failed";
    let answer = api.post(path, &json!({})).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(answer.body.get("result").is_none());
    let answer = api.post(path, &json!({"immediate": true})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let expected = json!({
        "totalChecked": 2, "failedJobsFound": 1, "instancesRecreated": 0, "errors": 0
    });
    assert_eq!(answer.body["result"], expected);
    assert_eq!(api.get(FLEET).await.body["state"], "due");
    let job = api.get(&format!("/api/jobs/instance:{id}")).await.body;
    assert_eq!(job["state"], "due", "{job}");
}
