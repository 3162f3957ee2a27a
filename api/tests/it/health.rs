//! `/health`, `/livez`, `/readyz` and what the metrics say about requests.

use devstack::stack::eventually;
use shared::clock::Millis;
use shared::queue::{BreakerState, Heartbeat, QueueStats, Workers};

use crate::harness::{Answer, Api, PATIENCE};

async fn beat(api: &Api, provider_up: Option<bool>, age_ms: u64) {
    let keys = &api.config.redis.keys;
    let now = QueueStats::read(&api.redis, keys).await.unwrap().now;
    let heartbeat = Heartbeat {
        interval_ms: 30_000,
        at: Millis(now.0 - age_ms),
        running: 0,
        permits: 10,
        provider_up,
        provider_ms: 85,
        provider_breaker: Some(BreakerState::HalfOpen),
        version: "test".to_owned(),
    };
    let beat = Workers::beat(&api.redis, keys, "worker-1", &heartbeat);
    beat.await.unwrap();
}

/// Asks until the status is this word: a report may be a second old.
async fn health_turns(api: &Api, word: &str) -> Answer {
    let turned = eventually(word, PATIENCE, async || {
        let health = api.get("/health").await;
        let status = health.text("/status");
        if status == word {
            Ok(health)
        } else {
            Err(status)
        }
    });
    turned.await.unwrap()
}

#[tokio::test]
async fn health_follows_the_workers_and_the_provider() {
    let api = Api::start().await;
    let health = health_turns(&api, "degraded").await;
    assert_eq!(health.status, 200);
    assert_eq!(health.text("/services/novitaApi"), "unknown");
    assert_eq!(health.body["dependencies"]["jobQueue"]["workers"], 0);

    beat(&api, Some(true), 0).await;
    let health = health_turns(&api, "healthy").await;
    assert_eq!(health.status, 200);
    assert_eq!(
        health.text("/dependencies/novitaApi/reportedBy"),
        "worker-1"
    );
    assert_eq!(health.body["dependencies"]["novitaApi"]["responseTime"], 85);
    assert_eq!(health.text("/dependencies/novitaApi/breaker"), "half_open");
    assert_eq!(health.text("/dependencies/redis/transport"), "resp");

    beat(&api, Some(false), 0).await;
    let health = health_turns(&api, "degraded").await;
    assert_eq!(health.text("/services/novitaApi"), "down");

    api.create("waiting").await;
    beat(&api, Some(true), 91_000).await;
    let health = health_turns(&api, "unhealthy").await;
    assert_eq!(health.status, 503);
    assert_eq!(health.text("/services/jobQueue"), "down");
    assert_eq!(health.body["dependencies"]["jobQueue"]["queueSize"], 1);
}

#[tokio::test]
async fn health_has_every_member_and_real_numbers() {
    let api = Api::start().await;
    api.get("/api/instances").await;
    api.get("/nope").await;
    let health = api.get("/health").await;
    for pointer in [
        "/uptime",
        "/performance/averageResponseTime",
        "/system/memory/rss",
    ] {
        let number = health.body.pointer(pointer).unwrap().as_f64().unwrap();
        assert!(number > 0.0, "{pointer} in {health:?}");
    }
    assert_eq!(health.body["performance"]["requestsPerMinute"], 2);
    for pointer in [
        "/timestamp",
        "/version",
        "/services/cache",
        "/services/migrationService",
        "/services/failedMigrationService",
        "/dependencies/jobQueue/oldestDueMs",
        "/dependencies/cache/hitRatio",
        "/redis/cacheManager/configuration/redisConnected",
        "/redis/cacheManager/spooled",
        "/sync/available",
        "/performance/errorRate",
        "/system/cpu/usage",
        "/system/cpu/loadAverage/2",
    ] {
        let member = health.body.pointer(pointer);
        assert!(member.is_some_and(|m| !m.is_null()), "{pointer}");
    }
}

#[tokio::test]
async fn f29_metrics_name_routes_and_never_paths() {
    let api = Api::start().await;
    let id = api.create("measured").await;
    api.get(&format!("/api/instances/{id}")).await;
    api.get("/some/strange/path").await;
    let admin = format!("http://{}/metrics", api.admin);
    let text = reqwest::get(admin).await.unwrap().text().await.unwrap();
    assert!(
        text.contains(
            r#"http_requests_total{route="/api/instances/{id}",method="GET",status="200"}"#
        )
    );
    assert!(text.contains(r#"http_requests_total{route="none",method="GET",status="404"}"#));
    assert!(text.contains("http_request_duration_seconds_bucket{route="));
    assert!(text.contains("http_connections "));
    assert!(!text.contains(&id) && !text.contains("strange"));
}
