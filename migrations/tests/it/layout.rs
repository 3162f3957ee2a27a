//! Steps of the layout.

use serde_json::json;
use shared::schema::{LOADING, Layout};

use crate::rig::{Rig, Transport};

over_both_transports!(
    a_plan_writes_nothing_and_a_run_leads_to_what_this_build_writes,
    a_run_adds_what_an_older_layout_has_not_and_a_rollback_leads_back,
    two_records_that_hold_one_instance_stop_the_step,
    a_layout_of_a_later_release_is_left_alone,
);

const ID: &str = "inst_1";

async fn set_layout(rig: &Rig, layout: &str) {
    rig.ask(["SET", &rig.keys.schema(), layout]).await;
}

async fn layout(rig: &Rig) -> Option<String> {
    let stored = rig.ask(["GET", &rig.keys.schema()]).await;
    stored.optional_text().unwrap()
}

async fn record(rig: &Rig, id: &str, provider_id: &str) {
    let status = json!({
        "attempts": [{
            "number": 1, "marker": "m", "state": "acked", "intentAt": 1, "providerId": provider_id,
            "offer": {
                "productId": "p", "productName": "n", "clusterId": "c", "region": "r",
                "billingMode": "spot", "unitPrice": 1,
            },
        }],
    });
    rig.ask(["HSET", &rig.keys.spec(), id, "{}"]).await;
    let key = rig.keys.status();
    rig.ask(["HSET", &key, id, &status.to_string()]).await;
}

async fn a_plan_writes_nothing_and_a_run_leads_to_what_this_build_writes(rig: Rig) {
    let planned = rig.tool(&["--json"]).await.ending(0).json();
    assert_eq!(planned["steps"].as_array().unwrap().len(), 2, "{planned}");
    rig.tool(&["run", "--dry-run"]).await.ending(0);
    assert!(rig.everything().await.is_empty());
    rig.tool(&["run"]).await.ending(0);
    assert_eq!(layout(&rig).await, Some(Layout::CURRENT.to_string()));
    let again = rig.tool(&["run"]).await.ending(0);
    assert!(again.out.contains("nothing to do"), "{again:?}");
    assert!(rig.tool(&["verify"]).await.ending(0).out.contains("clean"));
}

async fn a_run_adds_what_an_older_layout_has_not_and_a_rollback_leads_back(rig: Rig) {
    set_layout(&rig, "1").await;
    record(&rig, ID, "gpu-1").await;
    let planned = rig.tool(&["plan"]).await.ending(0);
    assert!(
        planned.out.contains("gpu-1 is held by inst_1"),
        "{planned:?}"
    );
    rig.tool(&["run"]).await.ending(0);
    let holder = rig.ask(["HGET", &rig.keys.bound(), "gpu-1"]).await;
    assert_eq!(holder.text().unwrap(), ID);
    rig.tool(&["verify"]).await.ending(0);
    rig.ask(["HDEL", &rig.keys.bound(), "gpu-1"]).await;
    rig.tool(&["verify"]).await.ending(5);
    rig.tool(&["rollback"]).await.ending(0);
    assert_eq!(layout(&rig).await.as_deref(), Some("1"));
    let last = rig.tool(&["rollback"]).await.ending(7);
    assert!(last.err.contains("there are records"), "{last:?}");
}

async fn two_records_that_hold_one_instance_stop_the_step(rig: Rig) {
    set_layout(&rig, "1").await;
    record(&rig, ID, "gpu-1").await;
    record(&rig, "inst_2", "gpu-1").await;
    let refused = rig.tool(&["run"]).await.ending(7);
    assert!(refused.err.contains("held by inst_"), "{refused:?}");
    assert_eq!(layout(&rig).await.as_deref(), Some("1"));
}

async fn a_layout_of_a_later_release_is_left_alone(rig: Rig) {
    for later in ["99", LOADING, "strange"] {
        set_layout(&rig, later).await;
        for command in ["plan", "run", "status", "verify", "rollback"] {
            rig.tool(&[command]).await.ending(3);
        }
        assert_eq!(layout(&rig).await.as_deref(), Some(later));
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_does_not_change_how_it_ends() {
    let rig = Rig::start(Transport::Resp).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = rig.command(&["plan"]);
    command.stdout(writer).stderr(std::process::Stdio::piped());
    let ended = command.spawn().unwrap().wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
}
