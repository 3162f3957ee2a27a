//! The jobs of the queue as administrators see, revive and remove them.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use shared::queue::{Heartbeat, JobId, JobKind, QueueAdmin, Scope, Verdict, Workers};

use crate::harness::{Answer, Api};
use crate::worker::{conclude, dead, queue, reconcile, take, webhook};

const HOUR: Duration = Duration::from_secs(3600);

/// The ids of a list.
fn ids(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let jobs = answer.body["jobs"].as_array().unwrap().iter();
    jobs.map(|job| job["id"].as_str().unwrap()).collect()
}

/// One job in every state, of which each is named after its own.
async fn one_of_each(api: &Api) {
    let queue = queue(api);
    let admin = QueueAdmin::new(api.redis.clone(), api.config.redis.keys.clone());
    conclude(&queue, webhook("msg_dead"), dead()).await;
    let failed = Verdict::Retry {
        after: HOUR,
        error: "HTTP 503".to_owned(),
    };
    conclude(&queue, webhook("msg_delayed"), failed).await;
    queue.enqueue(&[webhook("msg_leased")]).await.unwrap();
    assert_eq!(take(&queue).await.len(), 1);
    admin.pause(Scope::Kind(JobKind::Instance)).await.unwrap();
    queue.enqueue(&[reconcile("inst_paused")]).await.unwrap();
    assert!(take(&queue).await.is_empty());
    queue.enqueue(&[webhook("msg_due")]).await.unwrap();
}

#[tokio::test]
async fn every_state_is_counted_and_listed_with_its_own_time() {
    let api = Api::start().await;
    one_of_each(&api).await;
    let stats = api.get("/api/jobs/stats").await.body;
    for (state, id, time) in [
        ("due", "webhook:msg_due", "runnableSince"),
        ("leased", "webhook:msg_leased", "leaseEndsAt"),
        ("delayed", "webhook:msg_delayed", "dueAt"),
        ("paused", "instance:inst_paused", ""),
        ("dead", "webhook:msg_dead", "diedAt"),
    ] {
        assert_eq!(stats[state], 1, "{state}");
        let list = api.get(&format!("/api/jobs?state={state}")).await;
        assert_eq!(ids(&list), [id]);
        assert_eq!(
            (list.text("/state").as_str(), &list.body["total"]),
            (state, &json!(1))
        );
        assert!(list.text("/now").ends_with('Z'));
        let read = api.get(&format!("/api/jobs/{id}")).await;
        assert_eq!(
            (read.status.as_u16(), read.text("/state").as_str()),
            (200, state)
        );
        assert_eq!(read.body["id"], id);
        for known in ["runnableSince", "leaseEndsAt", "dueAt", "diedAt"] {
            assert_eq!(read.body[known].is_string(), known == time, "{}", read.body);
            assert_eq!(list.body["jobs"][0][known], read.body[known]);
        }
    }
    assert_eq!(stats["pausedScopes"], json!(["instance"]));
    assert_eq!(
        (&stats["countsComplete"], &stats["workers"]),
        (&json!(true), &json!([]))
    );
    assert!(stats["oldestDueMs"].is_u64());
}

#[tokio::test]
async fn workers_are_told_with_whether_they_are_alive() {
    let api = Api::start().await;
    let keys = &api.config.redis.keys;
    let admin = QueueAdmin::new(api.redis.clone(), keys.clone());
    let now = admin.overview().await.unwrap().0.now;
    let mut beat = Heartbeat {
        at: now,
        interval_ms: 60_000,
        running: 3,
        permits: 10,
        provider_up: None,
        provider_ms: 0,
        provider_breaker: None,
        version: "1.2.3".to_owned(),
    };
    Workers::beat(&api.redis, keys, "b-alive", &beat)
        .await
        .unwrap();
    beat.at.0 -= 200_000;
    Workers::beat(&api.redis, keys, "a-silent", &beat)
        .await
        .unwrap();
    let stats = api.get("/api/jobs/stats").await.body;
    let worker = |session: &str, at: String, alive| {
        json!({"session": session, "at": at, "alive": alive, "running": 3, "permits": 10,
            "version": "1.2.3"})
    };
    let expected = [
        worker("a-silent", beat.at.iso(), false),
        worker("b-alive", now.iso(), true),
    ];
    assert_eq!(stats["workers"], json!(expected));
}

#[tokio::test]
async fn a_list_is_cut_into_pages_the_last_that_died_first() {
    let api = Api::start().await;
    let queue = queue(&api);
    let mut all = Vec::new();
    for n in 0..5 {
        let job = webhook(&format!("msg_{n}"));
        all.insert(0, job.id().to_string());
        conclude(&queue, job, dead()).await;
        // Two of one millisecond may stand in either order.
        let died = now(&api).await;
        while now(&api).await == died {}
    }
    let list = async |query: &str| api.get(&format!("/api/jobs?state=dead{query}")).await;
    assert_eq!(ids(&list("").await), all);
    assert_eq!(ids(&list("&limit=2").await), all[..2]);
    assert_eq!(ids(&list("&limit=2&offset=4").await), all[4..]);
    let beyond = list("&offset=1000000000&limit=100").await;
    assert_eq!((ids(&beyond).len(), &beyond.body["total"]), (0, &json!(5)));
}

async fn now(api: &Api) -> String {
    api.get("/api/jobs?state=due&limit=1").await.text("/now")
}

#[tokio::test]
async fn a_list_that_cannot_be_is_refused_with_every_reason() {
    let api = Api::start().await;
    let missing = api.get("/api/jobs").await;
    missing.is(400, "VALIDATION_ERROR");
    let problem = &missing.body["error"]["validationErrors"][0];
    let words = "\"state\" must be one of: due, leased, delayed, paused, dead";
    assert_eq!(problem, &json!({"field": "state", "message": words}));
    for query in [
        "state=",
        "state=Dead",
        "state=dead&state=dead",
        "state=due&limit=0",
        "state=due&limit=101",
        "state=due&limit=%2B5",
        "state=due&limit=1e1",
        "state=due&offset=-1",
        "state=due&offset=1000000001",
        "state=due&offset=",
    ] {
        let answer = api.get(&format!("/api/jobs?{query}")).await;
        answer.is(400, "VALIDATION_ERROR");
    }
    let all = api.get("/api/jobs?state=x&limit=x&offset=x").await;
    let fields = all.body["error"]["validationErrors"]
        .as_array()
        .unwrap()
        .iter();
    let fields: Vec<_> = fields.map(|problem| &problem["field"]).collect();
    assert_eq!(fields, ["state", "limit", "offset"]);
}

#[tokio::test]
async fn a_job_is_found_however_its_id_is_written_and_shows_no_secret() {
    let api = Api::start().await;
    let queue = queue(&api);
    conclude(&queue, webhook("msg_1"), dead()).await;
    for id in ["webhook:msg_1", "webhook%3Amsg_1", "webhook%3amsg%5F1"] {
        let job = api.get(&format!("/api/jobs/{id}")).await;
        assert_eq!(job.status, 200, "{job:?}");
        let expected = json!({
            "id": "webhook:msg_1", "kind": "webhook", "state": "dead", "priority": "normal",
            "diedAt": job.body["diedAt"], "attempts": 1, "crashes": 0, "failures": 1,
            "wantedAgain": false, "errors": ["HTTP 410"],
            "payload": {"eventId": "msg_1", "url": "https://hooks.example.com",
                "body": {"status": "ready"}},
        });
        assert_eq!(job.body, expected);
    }
    let list = api.get("/api/jobs?state=dead").await;
    assert!(!list.body.to_string().contains("s3cret"));
}

#[tokio::test]
async fn a_body_that_nobody_can_read_is_shown_as_such() {
    let api = Api::start().await;
    conclude(&queue(&api), webhook("msg_1"), dead()).await;
    let jobs = api.config.redis.keys.jobs();
    let damage = shared::redis::Command::new("HSET")
        .arg(jobs)
        .args(["webhook:msg_1", "2{s3cret"]);
    api.redis
        .run(damage, shared::redis::Repeat::Never)
        .await
        .unwrap();
    let job = api.get("/api/jobs/webhook:msg_1").await;
    assert_eq!(job.body["payload"]["bytes"], 8);
    assert!(!job.body.to_string().contains("s3cret"));
    assert_eq!(
        ids(&api.get("/api/jobs?state=dead").await),
        ["webhook:msg_1"]
    );
}

#[tokio::test]
async fn what_is_no_job_is_not_found() {
    let api = Api::start().await;
    conclude(&queue(&api), webhook("msg_1"), dead()).await;
    let long = "x".repeat(3000);
    for id in [
        "webhook:msg_2",
        "webhook:",
        "msg_1",
        "l:webhook:msg_1",
        "d:webhook:msg_1",
        "%2A",
        "a%20b",
        "%C3%B1",
        "%22%7B%7D",
        &long,
    ] {
        for answer in [
            api.get(&format!("/api/jobs/{id}")).await,
            api.delete(&format!("/api/jobs/{id}")).await,
            api.post(&format!("/api/jobs/{id}/retry"), &json!({})).await,
        ] {
            answer.is(404, "JOB_NOT_FOUND");
            assert!(answer.body.to_string().len() < 600);
        }
    }
    api.get("/api/jobs/dead").await.is(404, "JOB_NOT_FOUND");
    api.get("/api/jobs/").await.is(404, "NOT_FOUND");
    api.get("/api/jobs/a%2Fb").await.is(400, "INVALID_REQUEST");
    assert_eq!(api.get("/api/jobs/stats").await.body["dead"], 1);
}

#[tokio::test]
async fn a_dead_job_begins_anew_once() {
    let api = Api::start().await;
    let queue = queue(&api);
    for job in [webhook("msg_1"), reconcile("inst_1")] {
        let id = job.id();
        conclude(&queue, job, dead()).await;
        let path = format!("/api/jobs/{id}/retry");
        // A body is not needed.
        let retried = api.ask(api.request(Method::POST, &path)).await;
        assert_eq!(retried.status, 200);
        assert_eq!(retried.body, json!({"id": id.as_str(), "state": "due"}));
        let again = api.post(&path, &Value::Null).await;
        again.is(409, "JOB_NOT_DEAD");
        assert_eq!(
            again.text("/error/message"),
            format!("Job {id} is due, not dead")
        );
        let taken = take(&queue).await;
        assert_eq!((taken.len(), &taken[0].id, taken[0].attempt), (1, &id, 1));
        let held = api.post(&path, &Value::Null).await;
        held.is(409, "JOB_NOT_DEAD");
        assert!(held.text("/error/message").contains("is leased"));
    }
}

#[tokio::test]
async fn a_dead_job_is_removed_for_good_and_no_other() {
    let api = Api::start().await;
    let queue = queue(&api);
    for job in [webhook("msg_1"), reconcile("inst_1")] {
        let path = format!("/api/jobs/{}", job.id());
        conclude(&queue, job, dead()).await;
        assert_eq!(api.delete(&path).await.status, 204);
        api.delete(&path).await.is(404, "JOB_NOT_FOUND");
        api.get(&path).await.is(404, "JOB_NOT_FOUND");
    }
    one_of_each(&api).await;
    for (state, id) in [
        ("due", JobId::stored("webhook:msg_due".to_owned())),
        ("leased", webhook("msg_leased").id()),
        ("delayed", webhook("msg_delayed").id()),
        ("paused", reconcile("inst_paused").id()),
    ] {
        let refused = api.delete(&format!("/api/jobs/{id}")).await;
        refused.is(409, "JOB_NOT_DEAD");
        assert_eq!(
            refused.text("/error/message"),
            format!("Job {id} is {state}, not dead")
        );
        assert_eq!(api.get("/api/jobs/stats").await.body[state], 1);
    }
}

#[tokio::test]
async fn the_dead_begin_anew_together_up_to_a_limit() {
    let api = Api::start().await;
    let queue = queue(&api);
    for n in 0..3 {
        conclude(&queue, webhook(&format!("msg_{n}")), dead()).await;
    }
    let path = "/api/jobs/dead/retry";
    let some = api.post(path, &json!({"limit": 2})).await;
    assert_eq!(
        (some.status.as_u16(), &some.body),
        (200, &json!({"retried": 2, "remaining": 1}))
    );
    // Without a body: all of them.
    let rest = api.ask(api.request(Method::POST, path)).await;
    assert_eq!(rest.body, json!({"retried": 1, "remaining": 0}));
    assert_eq!(take(&queue).await.len(), 3);
    let none = api.post(path, &json!({"limit": "1000"})).await;
    assert_eq!(none.body, json!({"retried": 0, "remaining": 0}));
    for body in [
        json!({"limit": 0}),
        json!({"limit": 1001}),
        json!({"limit": 1.5}),
        json!({"limit": null}),
        json!({"limits": 1}),
        json!([]),
    ] {
        api.post(path, &body).await.is(400, "VALIDATION_ERROR");
    }
}
