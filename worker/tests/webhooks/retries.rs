//! Attempts after the first.

use std::time::Duration;

use devstack::stack::WEBHOOK_SECRET;
use serde_json::json;
use shared::clock::Millis;
use shared::webhooks::Fate;
use worker::webhook::{Secret, standard_signature};

use crate::rig::Rig;

/// D38; and D26 for a receiver that says when.
#[tokio::test]
async fn an_attempt_by_hand_takes_the_place_of_the_one_that_waits() {
    let rig = Rig::working().await;
    rig.misbehave(json!({"status": 429, "retryAfter": "3600", "path": "/hook", "count": 2}))
        .await;
    rig.send("msg_1", "/hook").await;
    let (line, first) = rig.until_logged("msg_1", 1, Fate::Scheduled).await;
    let waits = first.next_at.unwrap().since(first.at);
    assert_eq!(waits, 3_600_000);
    assert_eq!(first.reason.as_deref(), Some("http_429"));

    rig.replay(line).await;
    let (line, second) = rig.until_logged("msg_1", 2, Fate::Scheduled).await;
    assert!(second.at >= first.at);
    rig.replay(line).await;
    rig.until_logged("msg_1", 3, Fate::Delivered).await;
    // The ones that waited were those.
    rig.until_idle(0).await;
    let received = rig.received("/hook");
    assert_eq!(received.len(), 3);
    for webhook in &received {
        assert_eq!(webhook.headers["webhook-id"], "msg_1");
        assert_eq!(webhook.body, received[0].body);
    }
    rig.end().await;
}

/// D27: whatever is valid when it is sent signs it.
#[tokio::test]
async fn an_attempt_is_signed_with_the_secrets_of_its_time() {
    let mut rig = Rig::new().await;
    let first = rig.add_worker(&[]).await;
    rig.misbehave(json!({"status": 500, "path": "/hook", "count": 1}))
        .await;
    rig.send("msg_1", "/hook").await;
    let (line, _) = rig.until_logged("msg_1", 1, Fate::Scheduled).await;
    rig.stack.kill_worker(first).await.unwrap();
    let rotated = format!("a new secret,{WEBHOOK_SECRET}");
    rig.add_worker(&[("WEBHOOK_SECRET", &rotated)]).await;
    rig.replay(line).await;
    rig.until_logged("msg_1", 2, Fate::Delivered).await;
    let received = rig.received("/hook");
    for (webhook, secrets) in received
        .iter()
        .zip([&[WEBHOOK_SECRET][..], &["a new secret", WEBHOOK_SECRET]])
    {
        let at = webhook.headers["webhook-timestamp"].parse().unwrap();
        let signatures = secrets.iter().map(|text| {
            let secret = Secret::parse(text).unwrap();
            standard_signature(&secret, "msg_1", at, webhook.body.as_bytes())
        });
        let signatures: Vec<_> = signatures.collect();
        assert_eq!(webhook.headers["webhook-signature"], signatures.join(" "));
    }
    rig.end().await;
}

#[tokio::test]
async fn a_test_is_tried_once_and_told_of() {
    let rig = Rig::working().await;
    rig.misbehave(json!({"status": 503, "path": "/hook", "count": 1}))
        .await;
    for (fate, status) in [(Fate::Exhausted, 503), (Fate::Delivered, 200)] {
        let event = rig.log.test(rig.url("/hook"), Millis::now()).await.unwrap();
        let (_, line) = rig.until_logged(event.as_str(), 1, fate).await;
        assert_eq!((line.status, line.next_at), (Some(status), None));
        rig.until_idle(0).await;
    }
    let received = rig.received("/hook");
    let body: serde_json::Value = serde_json::from_str(&received[1].body).unwrap();
    assert_eq!(body["type"], "webhook.ping");
    assert_eq!(body["id"], received[1].headers["webhook-id"].as_str());
    rig.end().await;
}

/// Where nobody listens, and where nobody may be called.
#[tokio::test]
async fn the_log_tells_why_nobody_has_it() {
    let rig = Rig::working().await;
    let nobody = devstack::receiver::closed_port().await.unwrap();
    for (event, url, reason) in [
        (
            "msg_1",
            format!("http://{nobody}/?{}", crate::rig::QUERY),
            "connection_refused",
        ),
        (
            "msg_2",
            "http://169.254.169.254/latest".to_owned(),
            "address_blocked",
        ),
        ("msg_3", "ftp://example.com/".to_owned(), "url_invalid"),
    ] {
        rig.send_to(event, url).await;
        let (_, line) = rig.until_logged(event, 1, Fate::Scheduled).await;
        assert_eq!(line.reason.as_deref(), Some(reason));
        let waits = Duration::from_millis(line.next_at.unwrap().since(line.at));
        assert!((4..=6).contains(&waits.as_secs()), "{waits:?}");
    }
    rig.end().await;
}

/// Nobody is blamed for a proxy that is away, and nothing is lost by it.
#[tokio::test]
async fn a_proxy_that_does_not_work_uses_up_no_attempt() {
    let mut rig = Rig::new().await;
    let nobody = devstack::receiver::closed_port().await.unwrap();
    let proxy = format!("http://user:s3cret-in-the-query@{nobody}");
    let behind = rig.add_worker(&[("WEBHOOK_PROXY", &proxy)]).await;
    rig.send("msg_1", "/hook").await;
    rig.until_waiting("webhook:msg_1").await;
    rig.stack.kill_worker(behind).await.unwrap();
    rig.add_worker(&[]).await;
    let (_, line) = rig.until_logged("msg_1", 1, Fate::Delivered).await;
    assert!(!line.may_repeat);
    assert_eq!(rig.received("/hook").len(), 1);
    rig.end().await;
}
