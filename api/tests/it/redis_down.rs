//! Redis goes away and comes back; the API stays.

use std::time::Duration;

use devstack::redis::{RedisOptions, RedisServer};
use serde_json::json;

use crate::harness::{Api, PATIENCE, wish};

#[tokio::test]
async fn without_redis_requests_fail_cleanly_and_later_work_again() {
    let mut redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let api = Api::start_on(&redis.url(), |_| {}).await;
    let id = api.create("before").await;
    redis.kill().await.unwrap();

    for answer in [
        api.post("/api/instances", &wish("during")).await,
        api.get("/api/instances").await,
        api.get(&format!("/api/instances/{id}")).await,
        api.delete(&format!("/api/instances/{id}")).await,
        api.get("/api/operations/op_1").await,
        api.get("/api/jobs/stats").await,
        api.get("/api/jobs?state=dead").await,
        api.get("/api/jobs/webhook:msg_1").await,
        api.delete("/api/jobs/webhook:msg_1").await,
        api.post("/api/jobs/webhook:msg_1/retry", &json!({})).await,
        api.post("/api/jobs/dead/retry", &json!({})).await,
        api.post("/api/queue/pause", &json!({})).await,
        api.post("/api/queue/resume", &json!({})).await,
    ] {
        answer.is(503, "SERVICE_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.body["error"]["retryable"], true);
        assert_eq!(answer.body["error"]["retryAfter"], 1000);
        assert!(!answer.body.to_string().contains("127.0.0.1"));
    }
    assert_eq!(api.get("/livez").await.status, 200);
    api.get("/readyz").await.is(503, "SERVICE_UNAVAILABLE");
    let health = api.get("/health").await;
    assert_eq!(health.status, 503);
    assert_eq!(health.text("/status"), "unhealthy");
    assert_eq!(health.text("/services/redis"), "down");
    assert_eq!(health.text("/dependencies/redis/status"), "down");

    redis.restart().await.unwrap();
    let again = async {
        while api.get(&format!("/api/instances/{id}")).await.status != 200 {}
        while api.get("/readyz").await.status != 200 {}
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    api.create("after").await;
}

#[tokio::test]
async fn a_redis_that_does_not_answer_costs_a_request_its_time_and_no_more() {
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let api = Api::start_on(&redis.url(), |config| {
        config.limits.request_timeout = Duration::from_millis(500);
    })
    .await;
    api.create("before").await;
    redis.command(&["CLIENT", "PAUSE", "2000"]).await.unwrap();
    let answer = api.get("/api/instances").await;
    answer.is(503, "SERVICE_UNAVAILABLE");
    assert_eq!(answer.text("/error/message"), "The request took too long");
    let again = async { while api.get("/api/instances").await.status != 200 {} };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}
