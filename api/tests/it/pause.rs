//! The queue is paused and resumed by its administrators.

use http::Method;
use serde_json::json;

use crate::harness::Api;
use crate::worker::{queue, reconcile, take, webhook};

#[tokio::test]
async fn a_paused_kind_is_not_handed_out_until_it_is_resumed() {
    let api = Api::start().await;
    let queue = queue(&api);
    let kind = json!({"kind": "webhook"});
    for changed in [true, false] {
        let paused = api.post("/api/queue/pause", &kind).await;
        assert_eq!(paused.status, 200);
        let expected = json!({"scope": "webhook", "paused": true, "changed": changed});
        assert_eq!(paused.body, expected);
    }
    let jobs = [webhook("msg_1"), reconcile("inst_1")];
    queue.enqueue(&jobs).await.unwrap();
    let taken = take(&queue).await;
    assert_eq!((taken.len(), &taken[0].id), (1, &jobs[1].id()));
    let stats = api.get("/api/jobs/stats").await.body;
    assert_eq!(
        (&stats["paused"], &stats["pausedScopes"]),
        (&json!(1), &json!(["webhook"]))
    );
    for changed in [true, false] {
        let resumed = api.post("/api/queue/resume", &kind).await;
        assert_eq!(resumed.status, 200);
        let expected = json!({"scope": "webhook", "paused": false, "changed": changed});
        assert_eq!(resumed.body, expected);
    }
    let taken = take(&queue).await;
    assert_eq!((taken.len(), &taken[0].id), (1, &jobs[0].id()));
}

#[tokio::test]
async fn without_a_kind_the_whole_queue_is_meant() {
    let api = Api::start().await;
    let queue = queue(&api);
    // Neither a body nor an empty object names a kind.
    let paused = api.ask(api.request(Method::POST, "/api/queue/pause")).await;
    assert_eq!(
        paused.body,
        json!({"scope": "all", "paused": true, "changed": true})
    );
    queue
        .enqueue(&[webhook("msg_1"), reconcile("inst_1")])
        .await
        .unwrap();
    assert!(take(&queue).await.is_empty());
    assert_eq!(
        api.get("/api/jobs/stats").await.body["pausedScopes"],
        json!(["all"])
    );
    let resumed = api.post("/api/queue/resume", &json!({})).await;
    assert_eq!(
        resumed.body,
        json!({"scope": "all", "paused": false, "changed": true})
    );
    assert_eq!(take(&queue).await.len(), 2);
}

#[tokio::test]
async fn a_slip_of_the_pen_stops_nothing() {
    let api = Api::start().await;
    for path in ["/api/queue/pause", "/api/queue/resume"] {
        for body in [
            json!({"kind": "webhooks"}),
            json!({"kind": "all"}),
            json!({"kind": ""}),
            json!({"kind": null}),
            json!({"kind": ["webhook"]}),
            json!({"Kind": "webhook"}),
            json!({"kind": "webhook", "for": "1h"}),
            json!("webhook"),
        ] {
            api.post(path, &body).await.is(400, "VALIDATION_ERROR");
        }
        let wrong = api.post(path, &json!({"kind": "x"})).await;
        let problem = &wrong.body["error"]["validationErrors"][0];
        let message = "Kind must be one of: instance, webhook, cron";
        assert_eq!(
            problem,
            &json!({"field": "kind", "message": message, "value": "x"})
        );
        let broken = api.request(Method::POST, path).body("{");
        let broken = broken.header("content-type", "application/json");
        api.ask(broken).await.is(400, "INVALID_JSON");
        let text = api.request(Method::POST, path).body("kind=webhook");
        api.ask(text).await.is(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    assert_eq!(
        api.get("/api/jobs/stats").await.body["pausedScopes"],
        json!([])
    );
}
