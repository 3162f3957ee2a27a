//! Instances, lists and pages as callers read them.

use devstack::redis::{RedisOptions, RedisServer};
use http::Method;
use serde_json::json;
use shared::clock::Millis;
use shared::model::operation::Failure;
use shared::queue::QueueStats;
use shared::redis::{Command, Repeat};

use crate::harness::Api;
use crate::worker;

#[tokio::test]
async fn what_a_worker_learned_is_shown() {
    let api = Api::start().await;
    let id = api.create("seen").await;
    let mut status = worker::running();
    status.last_error = Some(Failure::new("SLOW", "still pulling"));
    worker::settle(&api, &id, status).await;
    let read = api.get(&format!("/api/instances/{id}")).await.body;
    let expected = json!({
        "status": "running", "region": "AS-SGP-02", "novitaInstanceId": "1fb0af38",
        "providerStatus": "running", "spotPrice": "0.33", "unitPrice": 33_000,
        "startedAt": "2026-11-22T20:30:01.500Z", "lastStartedAt": "2026-11-22T20:30:00.000Z",
        "lastError": {"code": "SLOW", "message": "still pulling"},
        "portMappings":
            [{"port": 8888, "endpoint": "https://1fb0-8888.example.net", "type": "http"}],
    });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&read[member], value, "{member}");
    }
}

#[tokio::test]
async fn a_list_is_newest_first_and_can_be_read_in_pages() {
    let api = Api::start().await;
    let mut all = Vec::new();
    for n in 0..5 {
        all.insert(0, api.create(&format!("n{n}")).await);
        // Two of one millisecond may stand in either order.
        let accepted = redis_now(&api).await;
        while redis_now(&api).await == accepted {}
    }
    assert_eq!(list(&api, "").await, all);
    assert_eq!(list(&api, "?page=1&pageSize=2").await, all[..2]);
    assert_eq!(list(&api, "?page=3&pageSize=2").await, all[4..]);
    assert_eq!(list(&api, "?page=9&pageSize=100").await, all[..0]);
    assert_eq!(list(&api, "?pageSize=3").await, all[..3]);
    assert_eq!(list(&api, "?unknown=1").await, all);
}

/// So many commands, those inside scripts included, are what a request makes. The least of several
/// counts: the process may do something of its own meanwhile.
async fn commands_of(api: &Api, path: &str) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..5 {
        let before = commands(api).await;
        assert_eq!(api.get(path).await.status, 200);
        least = least.min(commands(api).await - before);
    }
    least
}

async fn commands(api: &Api) -> u64 {
    let info = Command::new("INFO").arg("commandstats");
    let stats = api.redis.run(info, Repeat::Harmless).await.unwrap();
    let stats = stats.text().unwrap();
    let calls = stats
        .lines()
        .filter(|line| !line.starts_with("cmdstat_info"));
    let calls = calls.filter_map(|line| line.split_once("calls=")?.1.split(',').next());
    calls.map(|calls| calls.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn f26_reading_a_page_costs_the_same_however_many_instances_there_are() {
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let api = Api::start_on(&server.url(), |_| {}).await;
    for n in 0..3 {
        api.create(&format!("few-{n}")).await;
    }
    let path = "/api/instances?pageSize=3";
    let few = commands_of(&api, path).await;
    for n in 0..40 {
        api.create(&format!("many-{n}")).await;
    }
    assert_eq!(commands_of(&api, path).await, few);
    let all = api.get("/api/instances?pageSize=100").await.body;
    assert_eq!(all["total"], 43, "nothing is lost by reading");
}

async fn redis_now(api: &Api) -> Millis {
    let stats = QueueStats::read(&api.redis, &api.config.redis.keys).await;
    stats.unwrap().now
}

/// The ids of a list of five in all.
async fn list(api: &Api, query: &str) -> Vec<String> {
    let answer = api.get(&format!("/api/instances{query}")).await;
    assert_eq!(answer.body["total"], 5);
    let instances = answer.body["instances"].as_array().unwrap().iter();
    instances
        .map(|instance| instance["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused_with_every_reason() {
    let api = Api::start().await;
    for query in [
        "pageSize=101",
        "pageSize=0",
        "page=0",
        "page=-1",
        "page=%2B5",
        "page=1e2",
        "page=",
        "page=99999999999999999999",
        "page=1&page=2",
    ] {
        let answer = api.get(&format!("/api/instances?{query}")).await;
        answer.is(400, "VALIDATION_ERROR");
    }
    let both = api.get("/api/instances?page=x&pageSize=y").await;
    assert_eq!(both.body["error"]["validationErrors"][0]["field"], "page");
    assert_eq!(
        both.body["error"]["validationErrors"][1]["field"],
        "pageSize"
    );
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let api = Api::start().await;
    let path = format!("/api/instances/{}", api.create("head").await);
    for path in [path.as_str(), "/api/instances", "/livez", "/nope"] {
        let get = api.get(path).await;
        let head = api.ask(api.request(Method::HEAD, path)).await;
        assert_eq!(head.status, get.status, "{path}");
        if get.status == 200 {
            assert_eq!(head.header("content-length"), get.header("content-length"));
        }
        assert!(head.body.is_null());
    }
}

#[tokio::test]
async fn an_id_that_nobody_has_is_told_apart_from_one_that_cannot_be() {
    let api = Api::start().await;
    let unknown = api.get("/api/instances/inst_0_missing").await;
    unknown.is(404, "INSTANCE_NOT_FOUND");
    assert_eq!(
        unknown.text("/error/message"),
        "Instance not found: inst_0_missing"
    );
    for id in ["a.b", "a:b", "%7Bx%7D", "*", &"x".repeat(129)] {
        let answer = api.get(&format!("/api/instances/{id}")).await;
        answer.is(400, "VALIDATION_ERROR");
        assert_eq!(answer.text("/error/message"), "Invalid instance ID");
        assert_eq!(answer.text("/error/validationErrors/0/field"), "instanceId");
    }
    let unknown = api.get("/api/operations/op_unknown").await;
    unknown.is(404, "OPERATION_NOT_FOUND");
}

#[tokio::test]
async fn the_whole_fleet_is_listed_as_the_deployment_says() {
    let off = Api::start_with(|config| config.listing.is_enabled = false).await;
    let answer = off.get("/api/instances/comprehensive").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.text("/error/code"), "FEATURE_DISABLED");
    let syncing = Api::start_with(|config| config.listing.syncs = true).await;
    let path = "/api/instances/comprehensive?syncLocalState=false";
    assert_eq!(syncing.get(path).await.status, 200);
    assert_eq!(syncing.get("/api/jobs/cron:fleet").await.status, 404);
    let answer = syncing.get("/api/instances/comprehensive").await;
    assert_eq!(answer.status, 200);
    assert_eq!(syncing.get("/api/jobs/cron:fleet").await.status, 200);
}
