//! Money over HTTP: what instances cost, and the budget that refuses to spend more.

use serde_json::json;
use shared::clock::Millis;
use shared::model::cost::{Charge, Segment};
use shared::model::{Desired, InstanceId, Rate, Reservation, Status};
use shared::store::Store;

use crate::harness::{Api, wish};
use crate::worker;

async fn with_budget(dollars: &str) -> Api {
    let budget = Rate::parse(dollars);
    Api::start_with(|config| config.budget = budget).await
}

fn stopped() -> Status {
    let mut status = worker::running();
    if let Some(facts) = status.provider.as_mut() {
        facts.status = "exited".into();
        facts.release_data_at = Some(1_795_379_400);
    }
    status.was_ready = true;
    status
}

#[tokio::test]
async fn a_create_under_a_budget_says_what_it_may_cost() {
    let api = with_budget("5").await;
    let refused = api.post("/api/instances", &wish("silent")).await;
    refused.is(400, "VALIDATION_ERROR");
    assert_eq!(
        refused.text("/error/validationErrors/0/field"),
        "maxPricePerHour"
    );
    let message = refused.text("/error/validationErrors/0/message");
    assert!(message.contains("MAX_HOURLY_COST"), "{message}");
}

#[tokio::test]
async fn a_start_is_refused_while_the_budget_has_no_room_for_it() {
    // Accepted before there was a budget.
    let free = Api::start().await;
    let id = free.create("sleeper").await;
    let other = free.create("other").await;
    worker::settle(&free, &id, stopped()).await;
    let stop = free
        .post(&format!("/api/instances/{id}/stop"), &json!({}))
        .await;
    assert_eq!(stop.status, 202, "{stop:?}");
    let other: InstanceId = other.parse().unwrap();
    let take = async |units| {
        let rate = Rate::of_units(units);
        let generation = 1;
        worker::reserve(&free, &other, Reservation { generation, rate }).await;
    };
    take(80_000).await;

    let prefix = free.config.redis.keys.clone();
    let api = Api::start_with(|config| {
        config.redis.keys = prefix;
        config.budget = Rate::parse("1.00");
    })
    .await;
    let path = format!("/api/instances/{id}/start");
    let refused = api.post(&path, &json!({})).await;
    refused.is(409, "BUDGET_EXCEEDED");
    let message = refused.text("/error/message");
    for number in ["1.00", "0.80", "0.33"] {
        assert!(message.contains(number), "{message}");
    }
    assert_eq!(refused.body["error"]["retryable"], json!(null));
    let store = Store::new(api.redis.clone(), api.config.redis.keys.clone());
    let record = store.record(&id.parse().unwrap()).await.unwrap();
    assert_eq!(record.unwrap().spec.desired, Desired::Stopped);

    take(50_000).await;
    let started = api.post(&path, &json!({})).await;
    assert_eq!(started.status, 202, "{started:?}");
    assert_eq!(store.reserved().await.unwrap().dollars(), "0.83");
    let url = format!("http://{}/metrics", api.admin);
    let metrics = devstack::http::client().get(url).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for gauge in ["budget_hourly_usd 1", "budget_reserved_hourly_usd 0.83"] {
        assert!(
            metrics.lines().any(|line| line == gauge),
            "{gauge}: {metrics}"
        );
    }
}

#[tokio::test]
async fn what_an_instance_costs_is_shown_in_dollars() {
    let api = Api::start().await;
    let id = api.create("priced").await;
    let unordered = api.get(&format!("/api/instances/{id}")).await.body;
    assert_eq!(unordered["costSoFar"], json!(null));
    let mut status = worker::running();
    let segment = |compute, rate, since, until: Option<u64>| Segment {
        charge: Charge {
            attempt: 1,
            compute,
            rate,
            stopped_rate: Rate::ZERO,
        },
        since: Millis(since),
        until: until.map(Millis),
    };
    let rate = Rate::of_units(33_000);
    let hour = 3_600_000;
    status.cost.closed = rate.over(2 * hour);
    status.cost.recent = vec![segment(true, rate, 0, Some(2 * hour))];
    let since = Millis::now().0 - hour;
    status.cost.current = Some(segment(true, rate, since, None));
    worker::settle(&api, &id, status).await;

    let read = api.get(&format!("/api/instances/{id}")).await.body;
    assert_eq!(read["pricePerHour"], "0.33");
    assert_eq!(read["stoppedPricePerHour"], "0.00");
    let so_far = read["costSoFar"].as_str().unwrap();
    assert!(so_far.starts_with("0.99"), "three hours: {so_far}");
    assert_eq!(read["dataExpiresAt"], json!(null));
    let segments = read["costSegments"].as_array().unwrap();
    assert_eq!(segments.len(), 2);
    assert_eq!(
        segments[0],
        json!({"attempt": 1, "since": "1970-01-01T00:00:00.000Z",
            "until": "1970-01-01T02:00:00.000Z", "pricePerHour": "0.33",
            "stoppedPricePerHour": "0.00", "cost": "0.66"})
    );
    assert_eq!(segments[1]["until"], json!(null));
    let listed = api.get("/api/instances").await.body;
    assert_eq!(listed["instances"][0]["pricePerHour"], "0.33");
    assert_eq!(listed["instances"][0]["costSegments"], json!(null));
}

#[tokio::test]
async fn a_stopped_instance_says_when_its_data_expires() {
    let api = Api::start().await;
    let id = api.create("stopped").await;
    worker::settle(&api, &id, stopped()).await;
    let read = api.get(&format!("/api/instances/{id}")).await.body;
    assert_eq!(read["dataExpiresAt"], "2026-11-22T20:30:00.000Z");
}
