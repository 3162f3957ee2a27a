//! Pausing a kind of job, or everything, under load.

use std::time::Duration;

use shared::queue::{Job, JobKind, Scope};

use crate::log::Log;
use crate::rig::{Doing, LONG_LEASE, Rig, Running, done, instance, quick, webhooks};

const WEBHOOKS: usize = 500;
const KIND: Scope = Scope::Kind(JobKind::Webhook);

/// Three runners whose jobs take a few milliseconds.
fn runners(rig: &Rig, log: &Log) -> Vec<Running> {
    let start = |_| {
        let noted = log.clone();
        rig.run(
            LONG_LEASE,
            quick(),
            Doing(move |job, now| {
                noted.note(&job, now);
                async move {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    done(job)
                }
            }),
        )
    };
    (0..3).map(start).collect()
}

fn instances(round: &str, count: usize) -> Vec<Job> {
    (0..count)
        .map(|n| instance(&format!("{round}_{n}")))
        .collect()
}

/// Waits until each of the webhooks ran, and makes sure that none ran twice.
async fn each_ran_once(rig: &Rig, log: &Log) {
    rig.until_idle().await;
    let mut ids: Vec<String> = log
        .of("webhook:")
        .into_iter()
        .map(|start| start.job)
        .collect();
    assert_eq!(ids.len(), WEBHOOKS);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), WEBHOOKS, "none twice");
}

async fn a_paused_kind(rig: Rig) {
    let (log, admin) = (Log::default(), rig.admin());
    let runners = runners(&rig, &log);
    rig.enqueue(&webhooks(WEBHOOKS)).await;
    log.until(30, "webhook:").await;
    assert!(admin.pause(KIND).await.unwrap());
    let paused = rig.now().await;

    // The others go on, which shows that the runners look at the queue with the webhooks in it.
    rig.enqueue(&instances("meanwhile", 50)).await;
    log.until(50, "instance:meanwhile").await;
    let resumed = rig.now().await;
    let before = log.of("webhook:");
    assert!(before.len() < WEBHOOKS, "paused too late to show anything");
    for start in &before {
        assert!(
            start.at <= paused,
            "{start:?} was handed out after {paused:?}"
        );
    }
    assert!(admin.resume(KIND).await.unwrap());

    each_ran_once(&rig, &log).await;
    let after = log.of("webhook:").split_off(before.len());
    for start in after {
        assert!(start.at >= resumed && start.attempt == 1, "{start:?}");
    }
    for runner in runners {
        runner.stop().await;
    }
}

#[tokio::test]
async fn no_job_of_a_paused_kind_starts_and_all_run_once_after_it_resumes() {
    a_paused_kind(Rig::resp().await).await;
}

#[tokio::test]
async fn no_job_of_a_paused_kind_starts_over_rest_either() {
    a_paused_kind(Rig::upstash().await).await;
}

/// A reserve of the test's own gets nothing either: that is what the runners are told.
async fn nothing_is_handed_out(rig: &Rig) {
    let queue = rig.queue(LONG_LEASE);
    let mut call = queue.call(Vec::new(), 10);
    let exchange = queue.exchange(&mut call).await.unwrap();
    assert!(exchange.jobs.is_empty(), "{:?}", exchange.jobs);
}

#[tokio::test]
async fn nothing_starts_while_everything_is_paused_and_all_run_once_after_it_resumes() {
    let rig = Rig::resp().await;
    let (log, admin) = (Log::default(), rig.admin());
    let runners = runners(&rig, &log);
    rig.enqueue(&webhooks(WEBHOOKS)).await;
    log.until(30, "webhook:").await;
    assert!(admin.pause(Scope::All).await.unwrap());
    let paused = rig.now().await;
    rig.enqueue(&instances("meanwhile", 50)).await;
    for runner in &runners {
        rig.until_asleep(runner).await;
    }
    nothing_is_handed_out(&rig).await;
    for start in log.all() {
        assert!(
            start.at <= paused,
            "{start:?} was handed out after {paused:?}"
        );
    }
    assert!(log.of("instance:").is_empty());
    assert!(admin.resume(Scope::All).await.unwrap());

    each_ran_once(&rig, &log).await;
    assert_eq!(log.of("instance:meanwhile").len(), 50);
    for runner in runners {
        runner.stop().await;
    }
}

#[tokio::test]
async fn a_paused_kind_stays_paused_when_every_worker_and_redis_are_restarted() {
    let mut rig = Rig::resp().await;
    let (log, admin) = (Log::default(), rig.admin());
    let old = runners(&rig, &log);
    rig.enqueue(&webhooks(WEBHOOKS)).await;
    log.until(30, "webhook:").await;
    assert!(admin.pause(KIND).await.unwrap());
    for runner in old {
        runner.stop().await;
    }
    let before = log.of("webhook:").len();
    rig.server.restart().await.unwrap();

    let new = runners(&rig, &log);
    rig.enqueue(&instances("afterwards", 50)).await;
    log.until(50, "instance:afterwards").await;
    assert_eq!(log.of("webhook:").len(), before, "none started");
    assert!(admin.resume(KIND).await.unwrap());
    each_ran_once(&rig, &log).await;
    for runner in new {
        runner.stop().await;
    }
}
