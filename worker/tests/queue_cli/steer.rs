//! What is changed, in both forms.

use serde_json::json;

use crate::bench::{Bench, reconcile, webhook};

#[tokio::test]
async fn a_dead_job_begins_anew() {
    let bench = Bench::new().await;
    bench.kill(webhook("msg_1")).await;
    bench.kill(reconcile("inst_1")).await;
    let retried = bench.json(&["retry", "webhook:msg_1"]).await;
    assert_eq!(retried, json!({"id": "webhook:msg_1", "state": "due"}));
    let retried = bench.text(&["retry", "instance:inst_1"]).await;
    assert_eq!(retried, "instance:inst_1 is due\n");
    assert_eq!(bench.take().await.len(), 2);
    let not_dead = "webhook:msg_1 is leased, not dead";
    bench.fails(&["retry", "webhook:msg_1"], not_dead).await;
    bench
        .fails(
            &["retry", "webhook:msg_2", "--json"],
            "no such job: webhook:msg_2",
        )
        .await;
}

#[tokio::test]
async fn all_dead_jobs_begin_anew() {
    let bench = Bench::new().await;
    for n in 0..103 {
        bench.kill(webhook(&format!("msg_{n}"))).await;
    }
    let retried = bench.json(&["retry", "--all-dead"]).await;
    assert_eq!(retried, json!({"retried": 103, "remaining": 0}));
    let retried = bench.text(&["retry", "--all-dead"]).await;
    assert_eq!(retried, "retried 0, 0 remain dead\n");
    assert_eq!(bench.json(&["stats"]).await["due"], 103);
}

#[tokio::test]
async fn a_dead_job_is_removed_for_good() {
    let bench = Bench::new().await;
    bench.kill(webhook("msg_1")).await;
    bench.kill(reconcile("inst_1")).await;
    let dropped = bench.json(&["drop", "webhook:msg_1"]).await;
    assert_eq!(dropped, json!({"dropped": "webhook:msg_1"}));
    let dropped = bench.text(&["drop", "instance:inst_1"]).await;
    assert_eq!(dropped, "instance:inst_1 is removed\n");
    for id in ["webhook:msg_1", "instance:inst_1"] {
        let unknown = format!("no such job: {id}");
        bench.fails(&["show", id], &unknown).await;
        bench.fails(&["drop", id], &unknown).await;
    }
    bench.queue.enqueue(&[webhook("msg_2")]).await.unwrap();
    bench
        .fails(&["drop", "webhook:msg_2"], "webhook:msg_2 is due, not dead")
        .await;
    assert_eq!(bench.json(&["stats"]).await["due"], 1);
}

#[tokio::test]
async fn the_queue_or_a_kind_is_paused_and_goes_on() {
    let bench = Bench::new().await;
    let all = |paused, changed| json!({"scope": "all", "paused": paused, "changed": changed});
    assert_eq!(bench.json(&["pause"]).await, all(true, true));
    assert_eq!(
        bench.text(&["pause"]).await,
        "the whole queue was paused already\n"
    );
    bench
        .queue
        .enqueue(&[webhook("msg_1"), reconcile("inst_1")])
        .await
        .unwrap();
    assert!(bench.take().await.is_empty());
    assert_eq!(
        bench.text(&["pause", "webhook"]).await,
        "webhook is paused\n"
    );
    assert_eq!(bench.text(&["resume"]).await, "the whole queue goes on\n");
    assert_eq!(bench.json(&["resume"]).await, all(false, false));
    assert_eq!(bench.take().await.len(), 1);
    assert_eq!(
        bench.text(&["resume", "cron"]).await,
        "cron was not paused\n"
    );
    assert_eq!(
        bench.text(&["resume", "webhook"]).await,
        "webhook goes on\n"
    );
    assert_eq!(bench.take().await.len(), 1);
}
