//! `Idempotency-Key`: a request that is sent again is answered again, and done once.

use std::time::Duration;

use api::{KeyRing, NewKey};
use devstack::stack::eventually;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use shared::redis::{Command, Repeat};

use crate::harness::{Answer, Api, PATIENCE, wish};
use crate::worker::{running, settle};

async fn ask(api: &Api, method: Method, path: &str, key: &str, body: &Value) -> Answer {
    let request = api.request(method, path).header("idempotency-key", key);
    api.ask(request.json(body)).await
}

async fn create(api: &Api, key: &str, name: &str) -> Answer {
    ask(api, Method::POST, "/api/instances", key, &wish(name)).await
}

async fn total(api: &Api) -> Value {
    api.get("/api/instances").await.body["total"].clone()
}

#[tokio::test]
async fn a_repeated_create_is_answered_as_the_first_and_creates_nothing() {
    let api = Api::start().await;
    let first = create(&api, "k1", "once").await;
    assert_eq!(first.status, 201);
    assert_eq!(first.header("idempotency-replayed"), "");
    for key in ["k1", "\"k1\""] {
        let again = create(&api, key, "once").await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    assert_eq!(total(&api).await, 1);
    // It is told again after its instance is gone, and its name is somebody else's.
    let path = first.header("location").to_owned();
    assert_eq!(api.delete(&path).await.status, 202);
    assert_eq!(create(&api, "k1", "once").await.body, first.body);
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_refused() {
    let api = Api::start().await;
    let id = create(&api, "k1", "first").await.text("/instanceId");
    create(&api, "k1", "second")
        .await
        .is(422, "IDEMPOTENCY_KEY_REUSED");
    let path = "/api/instances?strict=true";
    let other_query = ask(&api, Method::POST, path, "k1", &wish("first")).await;
    other_query.is(422, "IDEMPOTENCY_KEY_REUSED");
    let path = format!("/api/instances/{id}");
    let deletion = ask(&api, Method::DELETE, &path, "k1", &wish("first")).await;
    deletion.is(422, "IDEMPOTENCY_KEY_REUSED");
    let pause = ask(&api, Method::POST, "/api/queue/pause", "k1", &json!({})).await;
    pause.is(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(total(&api).await, 1);
    // A read has no effect, and no use for a key.
    let read = api
        .request(Method::GET, &path)
        .header("idempotency-key", "k1");
    assert_eq!(api.ask(read).await.status, 200);
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again_under_its_key() {
    let api = Api::start().await;
    let taken = api.create("taken").await;
    create(&api, "k1", "taken")
        .await
        .is(409, "INSTANCE_ALREADY_EXISTS");
    create(&api, "k2", "a b").await.is(400, "VALIDATION_ERROR");
    assert_eq!(create(&api, "k2", "fine").await.status, 201);
    assert_eq!(
        api.delete(&format!("/api/instances/{taken}")).await.status,
        202
    );
    let invalid = ask(&api, Method::POST, "/api/instances", "a b", &wish("x")).await;
    invalid.is(400, "VALIDATION_ERROR");
    assert_eq!(
        invalid.text("/error/validationErrors/0/field"),
        "Idempotency-Key"
    );
    let dead = "/api/jobs/webhook:msg_1/retry";
    for _ in 0..2 {
        ask(&api, Method::POST, dead, "k3", &json!({}))
            .await
            .is(404, "JOB_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_late_repetition_of_a_wish_changes_nothing_any_more() {
    let api = Api::start().await;
    let id = api.create("late").await;
    let mut status = running();
    "exited".clone_into(&mut status.provider.as_mut().unwrap().status);
    settle(&api, &id, status).await;
    let wish = async |wish: &str, key: &str| {
        let path = format!("/api/instances/{id}/{wish}");
        ask(&api, Method::POST, &path, key, &json!({})).await
    };
    let phase = async || {
        api.get(&format!("/api/instances/{id}"))
            .await
            .text("/status")
    };
    let first = wish("start", "k1").await;
    assert_eq!(first.status, 202);
    assert_eq!(wish("stop", "k2").await.status, 202);
    assert_eq!(phase().await, "stopped");
    let again = wish("start", "k1").await;
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(phase().await, "stopped");

    // A wish that was fulfilled already is remembered, too.
    let told = wish("stop", "k3").await;
    assert_eq!(told.text("/message"), "Instance is already stopped");
    assert_eq!(wish("start", "k4").await.status, 202);
    assert_eq!(wish("stop", "k3").await.body, told.body);
    assert_eq!(phase().await, "starting");
}

#[tokio::test]
async fn of_many_equal_requests_at_once_one_is_done_and_all_are_answered_alike() {
    let api = Api::start().await;
    let answers = join_all((0..50).map(|_| create(&api, "k1", "crowd"))).await;
    for answer in &answers {
        assert_eq!(
            (answer.status.as_u16(), &answer.body),
            (201, &answers[0].body)
        );
    }
    let replayed = answers
        .iter()
        .filter(|answer| answer.header("idempotency-replayed") == "true");
    assert_eq!(replayed.count(), 49);
    assert_eq!(total(&api).await, 1);

    let id = answers[0].text("/instanceId");
    let path = format!("/api/instances/{id}");
    let nothing = json!({});
    let deletions = (0..50).map(|_| ask(&api, Method::DELETE, &path, "k2", &nothing));
    let deletions = join_all(deletions).await;
    for deletion in &deletions {
        assert_eq!(
            (deletion.status.as_u16(), &deletion.body),
            (202, &deletions[0].body)
        );
    }
}

#[tokio::test]
async fn a_key_is_its_callers_own() {
    let made = ["one", "two"].map(|name| NewKey::generate(name, "read,write").unwrap());
    let entries = made.each_ref().map(|new| new.entry.as_str()).join(" ");
    let ring = KeyRing::parse(&entries).unwrap();
    let api = Api::start_with(|config| config.keys = Some(ring)).await;
    let as_caller = async |who: usize, name: &str| {
        let request = api
            .request(Method::POST, "/api/instances")
            .json(&wish(name));
        let request = request
            .header("idempotency-key", "shared")
            .bearer_auth(&made[who].key);
        api.ask(request).await
    };
    let one = as_caller(0, "of-one").await;
    let two = as_caller(1, "of-two").await;
    assert_eq!((one.status.as_u16(), two.status.as_u16()), (201, 201));
    assert_eq!(as_caller(0, "of-one").await.body, one.body);
    assert_eq!(as_caller(1, "of-two").await.body, two.body);
    let nobody = api
        .request(Method::POST, "/api/instances")
        .json(&wish("of-one"));
    let nobody = api.ask(nobody.header("idempotency-key", "shared")).await;
    nobody.is(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn an_answer_is_remembered_for_a_week_and_a_claim_for_no_longer_than_a_request() {
    let api = Api::start().await;
    create(&api, "k1", "remembered").await;
    let paused = ask(&api, Method::POST, "/api/queue/pause", "k2", &json!({})).await;
    let again = ask(&api, Method::POST, "/api/queue/pause", "k2", &json!({})).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.body, paused.body);
    let week = Duration::from_secs(7 * 24 * 3600).as_millis() as i64;
    let lifetimes = lifetimes(&api).await;
    assert_eq!(lifetimes.len(), 2);
    for lifetime in lifetimes {
        assert!((week - 60_000..=week).contains(&lifetime), "{lifetime}");
    }
}

#[tokio::test]
async fn a_request_whose_twin_is_being_answered_is_asked_to_come_again() {
    let api = Api::start().await;
    // A sync waits for a worker, and there is none: it is in flight for a while.
    let nothing = json!({});
    let sync = || ask(&api, Method::POST, "/api/instances/sync", "k1", &nothing);
    let twin = async {
        let claimed = eventually("the claim of the first", PATIENCE, async || {
            let lifetimes = lifetimes(&api).await;
            lifetimes.first().copied().ok_or_else(|| "none".to_owned())
        });
        let lifetime = claimed.await.unwrap();
        assert!((1..=35_000).contains(&lifetime), "{lifetime}");
        sync().await
    };
    let (first, twin) = tokio::join!(sync(), twin);
    assert_eq!(first.status, 202);
    twin.is(409, "IDEMPOTENCY_IN_PROGRESS");
    assert_eq!(twin.header("retry-after"), "1");
    let again = sync().await;
    assert_eq!(again.body, first.body);
}

/// For how long, in ms, each key of this API is remembered.
async fn lifetimes(api: &Api) -> Vec<i64> {
    let pattern = api.config.redis.keys.answer("*");
    // A brace means nothing in a pattern of Redis.
    let keys = Command::new("KEYS").arg(pattern);
    let keys = api.redis.run(keys, Repeat::Harmless).await.unwrap();
    let mut lifetimes = Vec::new();
    for key in keys.optional_texts().unwrap().into_iter().flatten() {
        let left = Command::new("PTTL").arg(key);
        let left = api.redis.run(left, Repeat::Harmless).await.unwrap();
        lifetimes.push(left.int().unwrap());
    }
    lifetimes
}
