//! The webhook sink, over real connections.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

use std::time::Duration;

use devstack::sink::{Sink, Webhook};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

async fn sink() -> (Sink, Client) {
    (Sink::start(0).await.unwrap(), devstack::http::client())
}

async fn deliver(sink: &Sink, http: &Client, path: &str) -> reqwest::Result<Response> {
    let url = format!("{}{path}", sink.url());
    http.post(url)
        .header("X-Signature", "sha256=ab")
        .body("{\"a\": 1}")
        .send()
        .await
}

async fn control(
    sink: &Sink,
    http: &Client,
    method: Method,
    topic: &str,
    body: Value,
) -> (u16, Value) {
    let url = format!("{}/_sink/{topic}", sink.url());
    let request = http.request(method.clone(), url);
    let request = if method == Method::POST {
        request.json(&body)
    } else {
        request
    };
    let response = request.send().await.unwrap();
    (
        response.status().as_u16(),
        response.json().await.unwrap_or(Value::Null),
    )
}

#[tokio::test]
async fn every_post_is_kept_as_it_came() {
    let (sink, http) = sink().await;
    assert_eq!(
        deliver(&sink, &http, "/hooks/7?x=1")
            .await
            .unwrap()
            .status(),
        200
    );
    let (status, kept) = control(&sink, &http, Method::GET, "webhooks", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(kept.as_array().unwrap().len(), 1);
    assert_eq!(kept[0]["path"], "/hooks/7?x=1");
    assert_eq!(kept[0]["body"], "{\"a\": 1}");
    assert_eq!(kept[0]["headers"]["x-signature"], "sha256=ab");
    assert_eq!(kept[0]["status"], 200);
    assert!(
        kept[0]["receivedAt"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );

    let (_, kept) = control(&sink, &http, Method::DELETE, "webhooks", Value::Null).await;
    assert_eq!(kept, json!([]));
    assert!(sink.webhooks().is_empty());
    assert_eq!(http.get(sink.url()).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn waiting_ends_when_the_webhook_arrives() {
    let (sink, http) = sink().await;
    let two = |webhooks: &[Webhook]| webhooks.len() == 2;
    let (waited, ()) = tokio::join!(sink.wait_for(two, PATIENCE), async {
        deliver(&sink, &http, "/a").await.unwrap();
        deliver(&sink, &http, "/b").await.unwrap();
    });
    let paths: Vec<String> = waited
        .unwrap()
        .into_iter()
        .map(|webhook| webhook.path)
        .collect();
    assert_eq!(paths, ["/a", "/b"]);
}

#[tokio::test]
async fn waiting_in_vain_tells_what_was_seen_last() {
    let (sink, http) = sink().await;
    deliver(&sink, &http, "/only").await.unwrap();
    let error = sink
        .wait_for(|_| false, Duration::from_millis(20))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("1 webhooks") && error.contains("/only"),
        "{error}"
    );
}

#[tokio::test]
async fn misbehaviour_is_counted_and_still_recorded() {
    let (sink, http) = sink().await;
    let broken = json!({ "status": 503, "count": 2, "retryAfter": "3", "path": "/x" });
    assert_eq!(
        control(&sink, &http, Method::POST, "behaviour", broken)
            .await
            .0,
        200
    );
    assert_eq!(deliver(&sink, &http, "/other").await.unwrap().status(), 200);
    for _ in 0..2 {
        let refused = deliver(&sink, &http, "/x").await.unwrap();
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], "3");
    }
    assert_eq!(deliver(&sink, &http, "/x").await.unwrap().status(), 200);

    let hang_up = json!({ "hangUp": true, "count": 1 });
    control(&sink, &http, Method::POST, "behaviour", hang_up).await;
    assert!(deliver(&sink, &http, "/x").await.is_err());
    let statuses: Vec<Option<u16>> = sink
        .webhooks()
        .iter()
        .map(|webhook| webhook.status)
        .collect();
    assert_eq!(statuses, [Some(200), Some(503), Some(503), Some(200), None]);
}

#[tokio::test]
async fn a_slow_sink_outlasts_the_client_until_it_is_told_to_behave() {
    let (sink, http) = sink().await;
    control(
        &sink,
        &http,
        Method::POST,
        "behaviour",
        json!({ "delayMs": 60_000 }),
    )
    .await;
    let impatient = http
        .post(sink.url())
        .timeout(Duration::from_millis(100))
        .body("x");
    assert!(impatient.send().await.unwrap_err().is_timeout());
    let (_, rules) = control(&sink, &http, Method::DELETE, "behaviour", Value::Null).await;
    assert_eq!(rules, json!({ "rules": [] }));
    assert_eq!(deliver(&sink, &http, "/x").await.unwrap().status(), 200);
}

#[tokio::test]
async fn bad_orders_name_the_field() {
    let (sink, http) = sink().await;
    for (order, field) in [
        (json!({ "status": 42 }), "status"),
        (json!({ "status": "bad" }), "status"),
        (json!({ "count": -1 }), "count"),
        (json!({ "retryAfter": "a\nb" }), "retryAfter"),
        (json!({ "hangup": true }), "hangup"),
    ] {
        let (status, answer) = control(&sink, &http, Method::POST, "behaviour", order).await;
        assert_eq!(status, 400);
        assert!(
            answer["error"].as_str().unwrap().contains(field),
            "{answer}"
        );
    }
}
