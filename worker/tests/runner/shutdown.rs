//! Shutdown with jobs at work: what can be finished is, what cannot is handed on at once.

use std::time::Duration;

use devstack::bridge::{Fault, FaultKind};
use devstack::stack::eventually;
use shared::queue::Reservation;
use tokio_util::sync::CancellationToken;
use worker::runner::RunnerOptions;

use crate::log::Log;
use crate::rig::{Doing, LONG_LEASE, PATIENCE, Rig, Running, SHORT_LEASE, done, quick, webhook};

const GRACE: Duration = Duration::from_secs(1);
/// Jobs handed back are with another runner in far less than a lease.
const AT_ONCE_MS: u64 = 1000;

fn patient(grace: Duration) -> RunnerOptions {
    RunnerOptions { grace, ..quick() }
}

/// Finishes what it gets.
fn willing(rig: &Rig, log: &Log) -> Running {
    let noted = log.clone();
    rig.run(
        LONG_LEASE,
        quick(),
        Doing(move |job, now| {
            noted.note(&job, now);
            async move { done(job) }
        }),
    )
}

/// Works on jobs named `short` until `told` and on all others for ever.
fn slow(
    rig: &Rig,
    lease: Duration,
    grace: Duration,
    log: &Log,
    told: &CancellationToken,
) -> Running {
    let (noted, told) = (log.clone(), told.clone());
    rig.run(
        lease,
        patient(grace),
        Doing(move |job: Reservation, now| {
            noted.note(&job, now);
            let told = told.clone();
            async move {
                if job.id.as_str().contains("short") {
                    told.cancelled().await;
                } else {
                    std::future::pending::<()>().await;
                }
                done(job)
            }
        }),
    )
}

async fn handed_on(rig: Rig) {
    let (held, taken, told) = (Log::default(), Log::default(), CancellationToken::new());
    let leaving = slow(&rig, LONG_LEASE, GRACE, &held, &told);
    let jobs = ["short_1", "short_2", "long_1", "long_2"].map(webhook);
    rig.enqueue(&jobs).await;
    held.until(4, "webhook:").await;
    let staying = willing(&rig, &taken);
    rig.until_asleep(&staying).await;

    leaving.begin_stop();
    told.cancel();
    let session = leaving.session.clone();
    leaving.stop().await;
    let stopped = rig.now().await;
    let starts = taken.until(2, "webhook:").await;
    rig.until_idle().await;

    let mut ids: Vec<&str> = starts.iter().map(|start| start.job.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        ["webhook:long_1", "webhook:long_2"],
        "the short ones were settled"
    );
    for start in &starts {
        assert_eq!(
            (start.attempt, start.crashes, start.errors),
            (1, 0, 0),
            "nothing was spent: {start:?}"
        );
        assert!(
            start.at.since(stopped) < AT_ONCE_MS,
            "{start:?}, stopped at {stopped:?}"
        );
    }
    assert_eq!(taken.all().len(), 2, "each once");
    assert!(!rig.workers().await.contains(&session), "it said farewell");
    staying.stop().await;
}

#[tokio::test]
async fn what_finishes_within_the_grace_is_settled_and_the_rest_handed_on_at_once() {
    handed_on(Rig::resp().await).await;
}

#[tokio::test]
async fn what_finishes_within_the_grace_is_settled_and_the_rest_handed_on_over_rest_too() {
    handed_on(Rig::upstash().await).await;
}

/// The answer to the settlement of the first job, with the next one in it, is on its way for a while;
/// shutdown begins meanwhile.
#[tokio::test]
async fn a_job_that_arrives_when_shutdown_has_begun_is_handed_back_unstarted() {
    let rig = Rig::upstash().await;
    let (held, taken, told) = (Log::default(), Log::default(), CancellationToken::new());
    let options = RunnerOptions {
        permits: 1,
        ..quick()
    };
    let (noted, finish) = (held.clone(), told.clone());
    let leaving = rig.run(
        LONG_LEASE,
        options,
        Doing(move |job, now| {
            noted.note(&job, now);
            let finish = finish.clone();
            async move {
                finish.cancelled().await;
                done(job)
            }
        }),
    );
    rig.enqueue(&[webhook("evt_1")]).await;
    held.until(1, "webhook:evt_1").await;
    rig.enqueue(&[webhook("evt_2")]).await;
    rig.bridge.as_ref().unwrap().inject(Fault {
        kind: FaultKind::Latency { ms: 1000 },
        times: 1,
        command: Some("EVALSHA".to_owned()),
    });
    told.cancel();
    // Half the way of the answer. A runner that is slower yet has nothing to hand back.
    tokio::time::sleep(Duration::from_millis(500)).await;
    leaving.stop().await;
    assert_eq!(held.all().len(), 1, "the second was not started");

    let staying = willing(&rig, &taken);
    let starts = taken.until(1, "webhook:evt_2").await;
    assert_eq!(
        (starts[0].attempt, starts[0].crashes),
        (1, 0),
        "nothing was spent"
    );
    rig.until_idle().await;
    assert_eq!(taken.all().len(), 1, "the first was settled");
    staying.stop().await;
}

/// A lease may be shorter than the grace.
#[tokio::test]
async fn leases_are_kept_while_shutdown_waits_for_jobs() {
    let rig = Rig::resp().await;
    let (held, taken, told) = (Log::default(), Log::default(), CancellationToken::new());
    let leaving = slow(&rig, SHORT_LEASE, PATIENCE, &held, &told);
    rig.enqueue(&[webhook("short_1")]).await;
    held.until(1, "webhook:").await;
    let staying = willing(&rig, &taken);
    let began = rig.now().await;
    leaving.begin_stop();
    eventually("two leases later", PATIENCE, async || {
        let passed = rig.now().await.since(began);
        if passed > 2 * SHORT_LEASE.as_millis() as u64 {
            Ok(())
        } else {
            Err(format!("{passed} ms"))
        }
    })
    .await
    .unwrap();
    assert_eq!(taken.all(), [], "nobody else took it meanwhile");
    told.cancel();
    leaving.stop().await;
    rig.until_idle().await;
    assert_eq!(taken.all(), [], "nor afterwards: it was settled");
    staying.stop().await;
}

/// Whatever ends the process before the grace is over must not undo what was finished.
#[tokio::test]
async fn what_finishes_during_shutdown_is_settled_at_once() {
    let rig = Rig::resp().await;
    let (held, told) = (Log::default(), CancellationToken::new());
    let leaving = slow(&rig, LONG_LEASE, PATIENCE, &held, &told);
    rig.enqueue(&[webhook("short_1"), webhook("long_1")]).await;
    held.until(2, "webhook:").await;
    leaving.begin_stop();
    told.cancel();
    eventually("the short one settled", GRACE, async || {
        rig.job("webhook:short_1")
            .await
            .map_or(Ok(()), |job| Err(format!("{job:?}")))
    })
    .await
    .unwrap();
    leaving.kill();
}
