//! Answers that are waited for: `Prefer: wait`, `fresh=true`, and the provider's ids.

use std::time::Duration;

use devstack::redis::{RedisOptions, RedisServer};
use devstack::stack::eventually;
use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use shared::clock::Millis;
use shared::fleet::{Changes, FleetStore, PassReport};
use shared::model::{OperationState, Status};
use shared::queue::{Hash, Verdict, Write};
use shared::redis::{Command, Repeat};
use tokio::time::{Instant, timeout};

use crate::harness::{Answer, Api, PATIENCE, wish};
use crate::worker::{self, queue, running, take};

fn seen(word: &str) -> Status {
    let mut status = running();
    word.clone_into(&mut status.provider.as_mut().unwrap().status);
    status
}

async fn ask(api: &Api, path: &str, name: &str, wait: &str) -> Answer {
    let request = api.request(Method::POST, path).json(&wish(name));
    api.ask(request.header("prefer", wait)).await
}

/// The id of the one instance, once there is one.
async fn only(api: &Api) -> String {
    let found = eventually("an instance", PATIENCE, async || {
        let list = api.get("/api/instances").await.body;
        let id = list["instances"][0]["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| list.to_string())
    });
    found.await.unwrap()
}

/// Waits until so many listen to what changes.
async fn listened_to(api: &Api, by: i64) {
    let channel = api.config.redis.keys.changes_channel();
    let heard = eventually("somebody listens", PATIENCE, async || {
        let command = Command::new("PUBSUB").args(["NUMSUB", &channel]);
        let told = api.redis.run(command, Repeat::Harmless).await.unwrap();
        let count = told.array().unwrap().pop().unwrap().int().unwrap();
        if count == by {
            Ok(())
        } else {
            Err(count.to_string())
        }
    });
    heard.await.unwrap();
}

#[tokio::test]
async fn a_create_that_waits_is_answered_when_the_provider_has_it() {
    let api = Api::start().await;
    let began = Instant::now();
    let created = ask(&api, "/api/instances", "waits", "wait=60");
    let worked = async {
        let id = only(&api).await;
        listened_to(&api, 1).await;
        worker::end(&api, &id, seen("running"), OperationState::Pending).await;
        id
    };
    let (answer, id) = tokio::join!(created, worked);
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("preference-applied"), "wait=60");
    assert_eq!(answer.header("location"), format!("/api/instances/{id}"));
    let expected = json!({
        "instanceId": id, "message": "Instance creation accepted", "operationState": "pending",
        "novitaInstanceId": "1fb0af38", "productId": "prod-1", "region": "AS-SGP-02",
        "spotPrice": "0.33", "unitPrice": 33_000, "status": "running",
    });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&answer.body[member], value, "{member}");
    }
    // And nobody listens any more.
    listened_to(&api, 0).await;
}

#[tokio::test]
async fn a_wish_that_waits_is_answered_with_its_end() {
    let api = Api::start().await;
    let id = api.create("ends").await;
    worker::settle(&api, &id, seen("running")).await;
    for (wish, word, state, phase) in [
        ("stop", "exited", OperationState::Succeeded, "stopped"),
        ("start", "exited", OperationState::Failed, "starting"),
    ] {
        let path = format!("/api/instances/{id}/{wish}");
        let asked = ask(&api, &path, "x", "respond-async, wait=60");
        let worked = async {
            listened_to(&api, 1).await;
            worker::end(&api, &id, seen(word), state).await;
        };
        let (answer, ()) = tokio::join!(asked, worked);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body["operationState"], json!(state));
        assert_eq!(answer.text("/status"), phase);
        assert_eq!(answer.text("/novitaInstanceId"), "1fb0af38");
        listened_to(&api, 0).await;
    }
    // What is so already needs no waiting.
    let began = Instant::now();
    let path = format!("/api/instances/{id}/start");
    assert_eq!(ask(&api, &path, "x", "wait=60").await.status, 200);
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn who_waited_in_vain_is_told_what_was_accepted() {
    let api = Api::start().await;
    let began = Instant::now();
    let answer = ask(&api, "/api/instances", "vain", "wait=1").await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        (answer.status.as_u16(), answer.text("/status").as_str()),
        (201, "creating")
    );
    assert_eq!(answer.header("preference-applied"), "wait=1");
    assert!(answer.body.get("novitaInstanceId").is_none());
    let plain = api.post("/api/instances", &wish("plain")).await;
    assert_eq!(plain.header("preference-applied"), "");
}

#[tokio::test]
async fn a_repeated_request_waits_again_for_what_the_first_set_going() {
    let api = Api::start().await;
    let keyed = async |wait: &str| {
        let request = api
            .request(Method::POST, "/api/instances")
            .json(&wish("again"));
        let request = request
            .header("idempotency-key", "k")
            .header("prefer", wait);
        api.ask(request).await
    };
    let first = keyed("wait=1").await;
    let id = first.text("/instanceId");
    worker::end(&api, &id, seen("running"), OperationState::Pending).await;
    let again = keyed("wait=60").await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.text("/operationId"), first.text("/operationId"));
    assert_eq!(again.text("/novitaInstanceId"), "1fb0af38");
}

#[tokio::test]
async fn many_who_wait_share_one_subscription_and_ask_redis_nothing_meanwhile() {
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let api = Api::start_on(&redis.url(), |_| {}).await;
    let names: Vec<_> = (0..30).map(|n| format!("crowd-{n}")).collect();
    let before = commands(&api).await;
    let waiting = join_all(
        names
            .iter()
            .map(|name| ask(&api, "/api/instances", name, "wait=3")),
    );
    let (answers, ()) = tokio::join!(waiting, listened_to(&api, 1));
    assert!(answers.iter().all(|answer| answer.status == 201));
    let spent = commands(&api).await - before;
    // Accepting, and one look. A look every 100 ms alone would be 30 times 90 commands.
    assert!(spent < 30 * 30, "{spent}");
}

/// How many commands the server of this API has carried out, those of scripts included.
async fn commands(api: &Api) -> i64 {
    let info = Command::new("INFO").arg("commandstats");
    let info = api.redis.run(info, Repeat::Harmless).await.unwrap();
    let info = info.text().unwrap();
    let asked = |line: &&str| !line.starts_with("cmdstat_info") && !line.contains("pubsub");
    let calls = info.lines().filter(asked);
    let calls = calls.filter_map(|line| line.split_once("calls=")?.1.split(',').next());
    calls.map(|calls| calls.parse::<i64>().unwrap()).sum()
}

#[tokio::test]
async fn a_process_that_is_to_end_keeps_nobody_waiting() {
    let mut api = Api::start().await;
    let waiting = ask(&api, "/api/instances", "ends", "wait=60");
    let ending = async {
        listened_to(&api, 1).await;
        api.stop.cancel();
    };
    let (answer, ()) = timeout(PATIENCE, async { tokio::join!(waiting, ending) })
        .await
        .unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.text("/status").as_str()),
        (201, "creating")
    );
    timeout(PATIENCE, &mut api.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_instance_can_be_read_by_the_providers_id() {
    let api = Api::start().await;
    let id = api.create("bound").await;
    let bound = vec![
        Write::Status(id.parse().unwrap(), Box::new(running())),
        Write::Set(Hash::Bound, "1fb0af38".into(), id.clone()),
    ];
    worker::write_all(&api, &id.parse().unwrap(), bound).await;
    let ours = api.get(&format!("/api/instances/{id}")).await;
    let theirs = api.get("/api/instances/1fb0af38").await;
    assert_eq!(theirs.text("/id"), id);
    assert_eq!(
        theirs.text("/novitaInstanceId"),
        ours.text("/novitaInstanceId")
    );
    api.get("/api/instances/1fb0af39")
        .await
        .is(404, "INSTANCE_NOT_FOUND");
}

#[tokio::test]
async fn a_fresh_read_has_the_list_read_first() {
    let api = Api::start().await;
    let id = api.create("fresh").await;
    worker::settle(&api, &id, seen("running")).await;
    let worked = async {
        let queue = queue(&api);
        let pass = eventually("a pass is wanted", PATIENCE, async || {
            let jobs = take(&queue).await;
            let pass = jobs
                .into_iter()
                .find(|job| job.id.to_string() == "cron:fleet");
            pass.ok_or_else(|| "none".to_owned())
        });
        let pass = pass.await.unwrap();
        let fleet = FleetStore::new(api.redis.clone(), api.config.redis.keys.clone());
        let at = Millis(Millis::now().0 + 60_000);
        let report = PassReport {
            number: 1,
            started_at: at,
            complete_at: at,
            ..PassReport::default()
        };
        let changes = Changes {
            report: Some(report),
            ..Changes::default()
        };
        listened_to(&api, 1).await;
        assert!(fleet.commit(&pass.id, &pass.token, changes).await.unwrap());
        let settled = pass.settle(Verdict::Done, Vec::new());
        queue
            .exchange(&mut queue.call(vec![settled], 0))
            .await
            .unwrap();
    };
    let began = Instant::now();
    let path = format!("/api/instances/{id}?fresh=true");
    let (answer, ()) = tokio::join!(api.get(&path), worked);
    assert_eq!(answer.text("/status"), "running");
    assert!(began.elapsed() < Duration::from_secs(9), "it gave up");
}

#[tokio::test]
async fn a_fresh_read_without_a_worker_tells_what_is_known_soon() {
    let api = Api::start_with(|config| {
        config.limits.request_timeout = Duration::from_secs(2);
    })
    .await;
    let id = api.create("stale").await;
    for path in [
        format!("/api/instances/{id}?fresh=true"),
        "/api/instances/comprehensive?fresh=true".to_owned(),
    ] {
        let began = Instant::now();
        assert_eq!(api.get(&path).await.status, 200);
        let took = began.elapsed();
        assert!((1000..2000).contains(&took.as_millis()), "{took:?}");
    }
    let unknown = api.get("/api/instances/inst_0?fresh=true").await;
    unknown.is(404, "INSTANCE_NOT_FOUND");
}
