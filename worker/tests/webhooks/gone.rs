//! 410: the receiver wants nothing more.

use serde_json::json;
use shared::webhooks::{Fate, Gone};

use crate::rig::Rig;

/// D07, D29.
#[tokio::test]
async fn who_answers_410_gets_nothing_more_until_somebody_asks() {
    let rig = Rig::working().await;
    // One that waits for its second attempt by then.
    rig.misbehave(json!({"status": 500, "count": 1, "path": "/hook"}))
        .await;
    rig.send("msg_waits", "/hook").await;
    rig.until_logged("msg_waits", 1, Fate::Scheduled).await;
    rig.misbehave(json!({"status": 410, "path": "/hook"})).await;
    rig.send("msg_1", "/hook").await;
    let (line, entry) = rig.until_logged("msg_1", 1, Fate::Gone).await;
    assert_eq!((entry.status, entry.next_at), (Some(410), None));
    let gone = Gone::read(&rig.redis, &rig.keys).await.unwrap();
    assert!(gone.has(&rig.url("/hook")) && !gone.has(&rig.url("/other")));

    // Whoever is told of everything is told of that, by origin alone.
    let told = rig.until_received("/all", 1).await.remove(0);
    let body: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(body["type"], "endpoint.disabled");
    assert_eq!(body["data"]["receiver"], rig.stack.sink().url());

    rig.behave().await;
    rig.send("msg_2", "/hook").await;
    let (_, skipped) = rig.until_logged("msg_2", 0, Fate::Skipped).await;
    assert_eq!(skipped.reason.as_deref(), Some("gone"));
    rig.until_logged("msg_waits", 1, Fate::Skipped).await;
    assert_eq!(rig.received("/hook").len(), 2, "neither was sent");
    rig.send("msg_3", "/other").await;
    rig.until_logged("msg_3", 1, Fate::Delivered).await;

    rig.replay(line).await;
    rig.until_logged("msg_1", 1, Fate::Delivered).await;
    let received = rig.received("/hook");
    assert_eq!(received[1].headers["webhook-id"], "msg_1");
    assert_eq!(received[2].headers["webhook-id"], "msg_1");
    assert_eq!(received[1].body, received[2].body);
    rig.send("msg_4", "/hook").await;
    rig.until_logged("msg_4", 1, Fate::Delivered).await;
    rig.until_idle(0).await;
    rig.end().await;
}
