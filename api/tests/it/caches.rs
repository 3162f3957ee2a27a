//! What was read a moment ago: how long it is believed, who hears of changes, and how it stands in.

use std::time::Duration;

use devstack::redis::{RedisOptions, RedisServer};
use devstack::stack::eventually;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, PATIENCE};
use crate::worker::{running, settle};

async fn api() -> Api {
    Api::start_with(|config| config.caches.max_entries = 100).await
}

/// Reads an instance until it comes from the cache.
async fn hit(api: &Api, path: &str) -> Answer {
    eventually("a hit", PATIENCE, async || {
        let answer = api.get(path).await;
        match answer.header("x-cache") {
            "hit" => Ok(answer),
            other => Err(other.to_owned()),
        }
    })
    .await
    .unwrap()
}

async fn shows(api: &Api, path: &str, pointer: &str, wanted: &str) {
    eventually(wanted, PATIENCE, async || {
        let answer = api.get(path).await;
        match answer.body.pointer(pointer).and_then(Value::as_str) {
            Some(seen) if seen == wanted => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_answer_is_reused_until_a_worker_changes_what_it_tells_of() {
    let api = api().await;
    let id = api.create("kept").await;
    let path = format!("/api/instances/{id}");
    assert_eq!(api.get(&path).await.header("x-cache"), "miss");
    let kept = hit(&api, &path).await;
    assert!(kept.header("age").parse::<u64>().is_ok(), "{kept:?}");
    assert_eq!(kept.text("/status"), "creating");
    for list in ["/api/instances", "/api/instances/comprehensive"] {
        assert_eq!(
            hit(&api, list).await.text("/instances/0/status"),
            "creating"
        );
    }
    settle(&api, &id, running()).await;
    shows(&api, &path, "/region", "AS-SGP-02").await;
    for list in ["/api/instances", "/api/instances/comprehensive"] {
        shows(&api, list, "/instances/0/region", "AS-SGP-02").await;
    }
}

#[tokio::test]
async fn a_caller_reads_what_it_wrote_through_the_same_process_at_once() {
    let api = api().await;
    for round in 0..50 {
        let id = api.create(&format!("own-{round}")).await;
        let path = format!("/api/instances/{id}");
        assert_eq!(api.get("/api/instances").await.body["total"], round + 1);
        assert_eq!(api.get(&path).await.text("/status"), "creating");
        api.delete(&path).await;
        assert_eq!(api.get(&path).await.text("/status"), "deleting");
        let used = json!({ "lastUsedAt": "2026-01-02T03:04:05.000Z" });
        api.put(&format!("{path}/last-used"), &used).await;
        let told = api.get(&path).await.text("/lastUsedAt");
        assert_eq!(told, "2026-01-02T03:04:05.000Z");
    }
}

#[tokio::test]
async fn what_one_process_changes_the_others_show() {
    let first = api().await;
    let second = Api::start_with(|config| {
        config.caches.max_entries = 100;
        config.redis = first.config.redis.clone();
    })
    .await;
    let id = first.create("told").await;
    let path = format!("/api/instances/{id}");
    hit(&second, &path).await;
    first.delete(&path).await;
    shows(&second, &path, "/status", "deleting").await;
}

#[tokio::test]
async fn without_fallback_nothing_is_told_while_redis_is_away() {
    let mut redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let api = Api::start_on(&redis.url(), |config| config.caches.max_entries = 100).await;
    let path = format!("/api/instances/{}", api.create("strict").await);
    hit(&api, &path).await;
    redis.kill().await.unwrap();
    eventually("503", PATIENCE, async || {
        match api.get(&path).await.status.as_u16() {
            503 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn with_fallback_what_was_read_before_stands_in_until_redis_is_back() {
    let mut redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let api = Api::start_on(&redis.url(), |config| {
        config.caches.max_entries = 100;
        config.caches.stale = Duration::from_secs(3600);
        config.redis.has_fallback = true;
    })
    .await;
    let path = format!("/api/instances/{}", api.create("lenient").await);
    let lists = ["/api/instances", "/api/instances/comprehensive"];
    for path in [path.as_str(), lists[0], lists[1]] {
        hit(&api, path).await;
    }
    redis.kill().await.unwrap();
    for path in [path.as_str(), lists[0], lists[1]] {
        let stale = eventually("stale", PATIENCE, async || {
            let answer = api.get(path).await;
            match answer.header("x-cache") {
                "stale" => Ok(answer),
                other => Err(other.to_owned()),
            }
        });
        let stale = stale.await.unwrap();
        assert_eq!(stale.status, 200);
        assert!(stale.header("age").parse::<u64>().is_ok(), "{stale:?}");
    }
    let health = api.get("/health").await;
    let manager = &health.body["redis"]["cacheManager"];
    assert_eq!(manager["configuration"]["defaultBackend"], "fallback");
    assert_eq!(manager["configuration"]["enableFallback"], true);
    api.get("/api/instances/inst_unknown")
        .await
        .is(503, "SERVICE_UNAVAILABLE");
    redis.restart().await.unwrap();
    hit(&api, &path).await;
}

#[tokio::test]
async fn the_numbers_of_the_caches_are_real() {
    let api = api().await;
    let id = api.create("counted").await;
    let path = format!("/api/instances/{id}");
    hit(&api, &path).await;
    let stats = api.get("/api/cache/stats").await.body;
    let names = json!(["instances", "listings", "fleet"]);
    assert_eq!(stats["cacheManager"]["cacheNames"], names);
    let instances = &stats["cacheManager"]["metrics"]["instances"];
    assert!(instances["hits"].as_u64().unwrap() >= 1, "{stats}");
    assert!(instances["misses"].as_u64().unwrap() >= 1, "{stats}");
    assert_eq!(instances["totalSize"], 1);
    let entry = &stats["cacheManager"]["stats"]["instances"]["entries"][&id];
    assert!(entry["size"].as_u64().unwrap() > 100, "{stats}");
    assert_eq!(entry["ttl"], 300_000);
    assert!(entry["accessCount"].as_u64().unwrap() >= 1, "{stats}");
    assert_eq!(stats["summary"]["totalEntries"], 1);
    let one = api.get("/api/cache/instances/stats").await.body;
    assert_eq!(
        (&one["cacheName"], &one["size"]),
        (&json!("instances"), &json!(1))
    );
    let none = api.get("/api/cache/templates/stats").await.body;
    assert_eq!((&none["size"], &none["hitRatio"]), (&json!(0), &json!(0.0)));
    let health = api.get("/health").await.body;
    assert_eq!(health["dependencies"]["cache"]["totalEntries"], 1);
}

#[tokio::test]
async fn emptying_caches_touches_nothing_else() {
    let api = api().await;
    let id = api.create("emptied").await;
    let path = format!("/api/instances/{id}");
    let removed = |answer: Answer| answer.body["entriesRemoved"].clone();

    hit(&api, &path).await;
    let entry = format!("/api/cache/instances/{id}");
    let gone = api.delete(&entry).await;
    assert_eq!(
        gone.text("/message"),
        format!("Key '{id}' deleted from cache 'instances'")
    );
    api.delete(&entry).await.is(404, "CACHE_KEY_NOT_FOUND");
    api.delete("/api/cache/names/x")
        .await
        .is(404, "CACHE_KEY_NOT_FOUND");

    hit(&api, &path).await;
    let cleared = api
        .post("/api/cache/clear", &json!({"cacheName": "instances"}))
        .await;
    assert_eq!(
        cleared.text("/message"),
        "Cache 'instances' cleared successfully"
    );
    assert_eq!(api.get(&path).await.header("x-cache"), "miss");
    let cleared = api.post("/api/cache/clear", &json!({})).await;
    assert_eq!(cleared.text("/message"), "All caches cleared successfully");
    assert_eq!(api.get(&path).await.header("x-cache"), "miss");

    api.create("another").await;
    hit(&api, &path).await;
    hit(&api, "/api/instances").await;
    assert_eq!(removed(api.post("/api/cache/cleanup", &json!({})).await), 0);
    api.delete(&path).await;
    assert_eq!(removed(api.post("/api/cache/cleanup", &json!({})).await), 2);

    let reset = api.post("/api/cache/hard-reset", &json!({})).await;
    reset.is(400, "VALIDATION_ERROR");
    let reset = api
        .post("/api/cache/hard-reset", &json!({"confirm": "novita"}))
        .await;
    reset.is(400, "VALIDATION_ERROR");
    let confirmed = json!({ "confirm": api.config.redis.prefix });
    assert_eq!(
        api.post("/api/cache/hard-reset", &confirmed).await.status,
        200
    );
    assert_eq!(api.get("/api/instances").await.body["total"], 2);

    let schedule = api.get("/api/cache/scheduler/status").await;
    assert_eq!(schedule.body["scheduler"]["isRunning"], false);
    let triggered = api.post("/api/cache/scheduler/trigger", &json!({})).await;
    assert_eq!(
        triggered.text("/message"),
        "Cache clear triggered successfully"
    );
}
