//! Receivers and a Redis that are away for long.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use shared::webhooks::Fate;
use worker::webhook::MAX_ATTEMPTS;

use crate::rig::Rig;

/// Seconds after each attempt, before jitter.
const WAITS: [u64; 10] = [5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 50_400, 86_400];
/// How many wait for one receiver.
const CROWD: usize = 100;
/// A breaker opens after ten failures in a row; by then the rest of two dozen may be on their way.
const TRIED: usize = 30;

/// D40; the last one after the breaker has let it wait, which is no attempt.
#[tokio::test]
async fn a_receiver_that_always_fails_is_tried_eleven_times_and_the_delivery_is_kept() {
    let rig = Rig::working().await;
    rig.misbehave(json!({"status": 500, "path": "/hook"})).await;
    rig.send("msg_1", "/hook").await;
    for (attempt, wait) in (1..).zip(WAITS) {
        let (line, entry) = rig.until_logged("msg_1", attempt, Fate::Scheduled).await;
        let waits = entry.next_at.unwrap().since(entry.at) as f64 / 1000.0;
        let bounds = wait as f64 * 0.8..=wait as f64 * 1.2;
        assert!(bounds.contains(&waits), "{attempt}: {waits} s");
        rig.replay(line).await;
    }
    let (_, last) = rig
        .until_logged("msg_1", MAX_ATTEMPTS, Fate::Exhausted)
        .await;
    assert_eq!(
        (last.reason.as_deref(), last.next_at),
        (Some("http_500"), None)
    );
    rig.until_idle(1).await;
    assert_eq!(rig.received("/hook").len(), MAX_ATTEMPTS as usize);
    rig.end().await;
}

/// D39.
#[tokio::test]
async fn who_waits_for_a_receiver_that_is_spared_loses_no_attempt() {
    let rig = Rig::working().await;
    rig.misbehave(json!({"status": 500, "path": "/hook"})).await;
    let events: Vec<String> = (0..CROWD).map(|n| format!("msg_{n}")).collect();
    for event in &events {
        rig.send(event, "/hook").await;
    }
    for event in &events {
        rig.until_waiting(&format!("webhook:{event}")).await;
    }
    let tried: HashSet<String> = rig.received("/hook").iter().map(id).collect();
    assert!((10..=TRIED).contains(&tried.len()), "{}", tried.len());

    rig.behave().await;
    for event in &events {
        let attempt = if tried.contains(event) { 2 } else { 1 };
        rig.until_logged(event, attempt, Fate::Delivered).await;
    }
    rig.until_idle(0).await;
    rig.end().await;
}

fn id(webhook: &devstack::sink::Webhook) -> String {
    webhook.headers["webhook-id"].clone()
}

/// D31.
#[tokio::test]
async fn what_is_delivered_while_redis_is_away_is_settled_when_it_is_back() {
    let mut rig = Rig::working().await;
    rig.misbehave(json!({"delayMs": 1500, "path": "/hook", "count": 5}))
        .await;
    let events: Vec<String> = (0..20).map(|n| format!("msg_{n}")).collect();
    for event in &events {
        rig.send(event, "/hook").await;
    }
    rig.until_received("/hook", 5).await;
    rig.stack.redis().kill().await.unwrap();
    // The answers come meanwhile; that takes its time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    rig.stack.redis().restart().await.unwrap();
    for event in &events {
        rig.until_logged(event, 1, Fate::Delivered).await;
    }
    rig.until_idle(0).await;
    for webhook in rig.received("/hook") {
        assert!(events.contains(&id(&webhook)));
    }
    rig.end().await;
}
