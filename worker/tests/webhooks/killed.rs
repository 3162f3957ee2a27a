//! Workers that are killed with deliveries in their hands.

use serde_json::json;
use shared::webhooks::Fate;

use crate::rig::Rig;

/// Short, but longer than the shortest time-out of a call to the provider.
const LEASE: &[(&str, &str)] = &[("JOB_LEASE_MS", "5500"), ("WEBHOOK_TIMEOUT", "3000")];

/// D30: the receiver may have it, so it is sent again under the same id, and the log says so.
#[tokio::test]
async fn what_was_on_its_way_is_sent_again_under_the_same_id() {
    let mut rig = Rig::new().await;
    let doomed = rig
        .add_worker(&[("NOVITA_API_TIMEOUT", "5000"), LEASE[0], LEASE[1]])
        .await;
    rig.misbehave(json!({"delayMs": 60_000, "path": "/hook", "count": 1}))
        .await;
    rig.send("msg_1", "/hook").await;
    rig.until_received("/hook", 1).await;
    rig.stack.kill_worker(doomed).await.unwrap();
    rig.add_worker(LEASE).await;
    let (_, line) = rig.until_logged("msg_1", 1, Fate::Delivered).await;
    assert!(line.may_repeat);
    let received = rig.received("/hook");
    assert_eq!(received.len(), 2);
    assert_eq!(
        received[0].headers["webhook-id"],
        received[1].headers["webhook-id"]
    );
    assert_eq!(received[0].body, received[1].body);
    rig.until_idle(0).await;
    rig.end().await;
}
