//! Start, stop, restart and delete as callers wish them, by id and by name.

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::model::Status;

use crate::harness::{Answer, Api};
use crate::worker;

/// A status in which the provider says this word.
fn seen(word: &str) -> Status {
    let mut status = worker::running();
    if let Some(facts) = status.provider.as_mut() {
        word.clone_into(&mut facts.status);
    }
    status
}

/// An instance in which the provider says this word.
async fn instance(api: &Api, name: &str, word: &str) -> String {
    let id = api.create(name).await;
    worker::settle(api, &id, seen(word)).await;
    id
}

async fn wish(api: &Api, id: &str, wish: &str) -> Answer {
    api.post(&format!("/api/instances/{id}/{wish}"), &json!({}))
        .await
}

#[tokio::test]
async fn a_stop_is_accepted_once_and_shows_at_once() {
    let api = Api::start().await;
    let id = instance(&api, "alpha", "running").await;
    let answers = join_all((0..8).map(|_| wish(&api, &id, "stop"))).await;
    let operation = answers[0].text("/operationId");
    for answer in &answers {
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.text("/operationId"), operation);
        assert_eq!(answer.text("/status"), "stopping");
        assert_eq!(answer.text("/novitaInstanceId"), "1fb0af38");
    }
    let new = answers
        .iter()
        .filter(|a| a.text("/message") == "Instance stop accepted");
    assert_eq!(new.count(), 1, "{answers:?}");
    assert_eq!(
        api.get(&format!("/api/instances/{id}"))
            .await
            .text("/status"),
        "stopping"
    );
    let followed = api.get(&format!("/api/operations/{operation}")).await;
    assert_eq!(followed.text("/kind"), "stop");
}

#[tokio::test]
async fn a_start_is_only_new_for_what_does_not_run() {
    let api = Api::start().await;
    let running = instance(&api, "runs", "running").await;
    let created = api
        .get(&format!("/api/instances/{running}"))
        .await
        .text("/operationId");
    let answer = wish(&api, &running, "start").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text("/operationId")),
        (202, created)
    );
    assert_eq!(answer.text("/status"), "running");

    let stopped = instance(&api, "rests", "exited").await;
    let answer = wish(&api, &stopped, "start").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text("/status")),
        (202, "starting".to_owned())
    );
    assert!(answer.text("/estimatedReadyTime").ends_with('Z'));
    let again = wish(&api, &stopped, "start").await;
    assert_eq!(again.text("/operationId"), answer.text("/operationId"));
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_reason() {
    let api = Api::start().await;
    let early = api.create("early").await;
    let answer = wish(&api, &early, "stop").await;
    answer.is(400, "INSTANCE_NOT_STOPPABLE");
    assert!(
        answer.text("/error/message").contains("delete it"),
        "{answer:?}"
    );
    let resting = instance(&api, "resting", "exited").await;
    wish(&api, &resting, "restart")
        .await
        .is(400, "INSTANCE_NOT_RESTARTABLE");
    api.delete(&format!("/api/instances/{resting}")).await;
    for verb in ["start", "stop", "restart"] {
        let answer = wish(&api, &resting, verb).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(
            answer.text("/error/message").contains("being deleted"),
            "{answer:?}"
        );
        wish(&api, "inst_unknown", verb)
            .await
            .is(404, "INSTANCE_NOT_FOUND");
    }
}

#[tokio::test]
async fn names_work_as_well_as_ids() {
    let api = Api::start().await;
    let id = instance(&api, "by-name", "running").await;
    let named =
        async |verb: &str, body: Value| api.post(&format!("/api/instances/{verb}"), &body).await;
    let name = json!({"instanceName": "by-name"});
    assert_eq!(named("restart", name.clone()).await.text("/instanceId"), id);
    assert_eq!(
        named("stop", name.clone()).await.text("/status"),
        "stopping"
    );
    assert_eq!(
        named("start", name.clone()).await.text("/status"),
        "starting"
    );
    assert_eq!(named("delete", name).await.text("/status"), "deleting");
    named("stop", json!({"instanceName": "nobody"}))
        .await
        .is(404, "INSTANCE_NOT_FOUND");
    for (verb, word) in [
        ("start", "starting"),
        ("stop", "stopping"),
        ("delete", "deletion"),
    ] {
        let answer = named(verb, json!({})).await;
        answer.is(400, "VALIDATION_ERROR");
        let message = format!("Instance name is required for name-based {word}");
        assert_eq!(answer.text("/error/message"), message);
        assert_eq!(answer.text("/error/validationErrors/0/message"), message);
    }
    let odd = named(
        "stop",
        json!({"instanceName": "no spaces", "webhookUrl": "ftp://x"}),
    )
    .await;
    assert_eq!(
        odd.body["error"]["validationErrors"]
            .as_array()
            .unwrap()
            .len(),
        2,
        "{odd:?}"
    );
}

#[tokio::test]
async fn stop_all_stops_what_runs_and_nothing_else() {
    let api = Api::start().await;
    let mut running = Vec::new();
    for n in 0..3 {
        running.push(instance(&api, &format!("runs-{n}"), "running").await);
    }
    instance(&api, "rests", "exited").await;
    api.create("early").await;
    let stopped = api.post("/api/instances/stop-all", &json!({})).await;
    assert_eq!(stopped.status, 202, "{stopped:?}");
    // One that somebody else stopped is to stay stopped, too.
    assert_eq!(
        (&stopped.body["count"], &stopped.body["failed"]),
        (&json!(4), &json!(0))
    );
    for id in &running {
        assert_eq!(
            api.get(&format!("/api/instances/{id}"))
                .await
                .text("/status"),
            "stopping"
        );
    }
    let again = api.post("/api/instances/stop-all", &json!({})).await;
    assert_eq!(again.body["count"], 0);
}

#[tokio::test]
async fn a_webhook_url_of_a_wish_is_that_operations_own() {
    let api = Api::start().await;
    let id = instance(&api, "hooked", "running").await;
    let body = json!({"webhookUrl": "https://hooks.example.net/secret-path"});
    let answer = api.post(&format!("/api/instances/{id}/stop"), &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let read = api.get(&format!("/api/instances/{id}")).await;
    assert!(!read.body.to_string().contains("secret-path"), "{read:?}");
    let wrong = api
        .post(
            &format!("/api/instances/{id}/start"),
            &json!({"webhookUrl": 7}),
        )
        .await;
    wrong.is(400, "VALIDATION_ERROR");
}
