//! What is accepted is durable, readable and due for a worker; asking again changes nothing.

use devstack::bridge::{Bridge, BridgeOptions};
use http::Method;
use serde_json::json;
use shared::clock::Millis;
use shared::queue::QueueStats;

use crate::harness::{Api, shared_redis, wish};
use crate::worker;

#[tokio::test]
async fn f3_a_created_instance_can_be_read_and_is_due_for_a_worker() {
    let api = Api::start().await;
    let created = api.post("/api/instances", &wish("train-a")).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.text("/status"), "creating");
    assert_eq!(created.text("/message"), "Instance creation accepted");
    let id = created.text("/instanceId");
    assert_eq!(created.header("location"), format!("/api/instances/{id}"));

    let read = api.get(&format!("/api/instances/{id}")).await;
    assert_eq!(read.status, 200);
    assert_eq!(
        read.body,
        json!({
            "id": id, "name": "train-a", "status": "creating", "gpuNum": 1, "rootfsSize": 60,
            "productName": "RTX 4090 24GB", "templateId": "107672", "billingMode": "spot",
            "portMappings": [], "createdAt": read.text("/createdAt"),
            "operationId": created.text("/operationId"),
        })
    );
    assert!(read.text("/createdAt") < created.text("/estimatedReadyTime"));

    let operation = format!("/api/operations/{}", created.text("/operationId"));
    let followed = api.get(&operation).await;
    assert_eq!(followed.text("/state"), "pending");
    assert_eq!(followed.text("/kind"), "create");
    assert_eq!(followed.text("/instanceId"), id);
    assert_eq!(followed.text("/links/self"), operation);

    let stats = QueueStats::read(&api.redis, &api.config.redis.keys).await;
    assert_eq!(stats.unwrap().due, 1);
}

#[tokio::test]
async fn lenient_types_and_unknown_fields_are_taken_as_before() {
    let api = Api::start().await;
    let body = json!({
        "name": "lenient", "productName": "RTX", "templateId": 107_672, "gpuNum": "2",
        "rootfsSize": "100", "region": "EU-DE-01", "billingMode": "onDemand",
        "webhookUrl": "https://hooks.example.com/secret", "fooBar": true,
    });
    let created = api.post("/api/instances", &body).await;
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.text("/instanceId");
    let read = api.get(&format!("/api/instances/{id}")).await.body;
    assert_eq!(read["gpuNum"], 2);
    assert_eq!(read["rootfsSize"], 100);
    assert_eq!(read["templateId"], "107672");
    assert_eq!(read["region"], "EU-DE-01");
    assert_eq!(read["billingMode"], "onDemand");
    assert_eq!(read["webhookHost"], "https://hooks.example.com");
    assert!(!read.to_string().contains("secret"));

    let strict = api.post("/api/instances?strict=true", &body).await;
    strict.is(400, "VALIDATION_ERROR");
    assert_eq!(
        strict.text("/error/validationErrors/0/message"),
        "\"fooBar\" is not allowed"
    );
}

#[tokio::test]
async fn a_live_name_is_taken_and_the_answer_names_its_holder() {
    let api = Api::start().await;
    let holder = api.create("only-one").await;
    let second = api.post("/api/instances", &wish("only-one")).await;
    second.is(409, "INSTANCE_ALREADY_EXISTS");
    assert!(second.text("/error/message").contains(&holder));
    assert_eq!(api.get("/api/instances").await.body["total"], 1);
}

#[tokio::test]
async fn of_many_requests_for_one_name_exactly_one_wins() {
    let api = Api::start().await;
    let body = wish("contended");
    let asks = (0..20).map(|_| api.post("/api/instances", &body));
    let answers = futures_util::future::join_all(asks).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.is(409, "INSTANCE_ALREADY_EXISTS");
    }
}

#[tokio::test]
async fn deleting_again_gives_the_same_operation() {
    let api = Api::start().await;
    let path = format!("/api/instances/{}", api.create("doomed").await);
    let asks = (0..8).map(|_| api.delete(&path));
    let answers = futures_util::future::join_all(asks).await;
    let operation = answers[0].text("/operationId");
    for answer in &answers {
        assert_eq!(answer.status, 202);
        assert_eq!(answer.text("/status"), "deleting");
        assert_eq!(answer.text("/operationId"), operation);
    }
    let read = api.get(&path).await;
    assert_eq!(read.text("/status"), "deleting");
    assert_eq!(read.text("/operationId"), operation);
    let followed = api.get(&format!("/api/operations/{operation}")).await;
    assert_eq!(followed.text("/kind"), "delete");
}

#[tokio::test]
async fn a_removed_instance_can_be_read_but_not_deleted() {
    let api = Api::start().await;
    let id = api.create("gone").await;
    let path = format!("/api/instances/{id}");
    api.delete(&path).await;
    let mut status = worker::running();
    status.timestamps.terminated = Some(Millis(1_795_379_500_000));
    worker::settle(&api, &id, status).await;

    let read = api.get(&path).await;
    assert_eq!(read.text("/status"), "terminated");
    assert_eq!(read.text("/terminatedAt"), "2026-11-22T20:31:40.000Z");
    let deleted = api.delete(&path).await;
    deleted.is(404, "INSTANCE_NOT_FOUND");
    let unknown = api.delete("/api/instances/inst_unknown").await;
    unknown.is(404, "INSTANCE_NOT_FOUND");
}

#[tokio::test]
async fn the_callers_ids_come_back_and_unusable_ones_do_not() {
    let api = Api::start().await;
    let ask = |request_id: &'static str, correlation_id: &'static str| {
        let request = api.request(Method::GET, "/api/instances/inst_unknown");
        let request = request.header("x-request-id", request_id);
        api.ask(request.header("x-correlation-id", correlation_id))
    };
    let answer = ask("mine-1", "corr/2").await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    assert_eq!(answer.text("/error/requestId"), "mine-1");
    assert_eq!(answer.text("/error/correlationId"), "corr/2");
    let answer = ask("not visible", "").await;
    assert!(answer.header("x-request-id").starts_with("req_"));
    assert!(answer.header("x-correlation-id").starts_with("corr_"));
}

#[tokio::test]
async fn the_same_holds_over_upstash() {
    let backend = shared_redis().await.addr();
    let bridge = Bridge::start(BridgeOptions::new(backend, "token")).await;
    let bridge = bridge.unwrap();
    let url = format!("--upstash-redis-rest-url={}", bridge.url());
    let flags = [url.as_str(), "--upstash-redis-rest-token=token"];
    let api = Api::start_over(&flags, |_| {}).await;

    let id = api.create("over-rest").await;
    api.post("/api/instances", &wish("over-rest"))
        .await
        .is(409, "INSTANCE_ALREADY_EXISTS");
    let list = api.get("/api/instances").await;
    assert_eq!(list.text("/instances/0/id"), id);
    let path = format!("/api/instances/{id}");
    let operation = api.delete(&path).await.text("/operationId");
    assert_eq!(api.delete(&path).await.text("/operationId"), operation);
    assert_eq!(api.get(&path).await.text("/status"), "deleting");
    let followed = api.get(&format!("/api/operations/{operation}")).await;
    assert_eq!(followed.text("/state"), "pending");
    let health = api.get("/health").await;
    assert_eq!(health.text("/dependencies/redis/transport"), "upstash");
}
