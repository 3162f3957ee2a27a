//! Jobs that come to nothing, whatever is tried, beside jobs that are fine.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::queue::{JobState, Verdict};
use worker::runner::RunnerOptions;

use crate::log::Log;
use crate::rig::{Doing, Rig, SHORT_LEASE, done, instance, quick, webhook, webhooks};

const POISON: &str = "webhook:poison";

fn is_poison(id: &str) -> bool {
    id.ends_with("poison")
}

async fn panics_end_in_the_dead_letter(rig: Rig) {
    let log = Log::default();
    let noted = log.clone();
    let runner = rig.run(
        SHORT_LEASE,
        quick(),
        Doing(move |job, now| {
            noted.note(&job, now);
            async move {
                assert!(!is_poison(job.id.as_str()), "I am poison");
                done(job)
            }
        }),
    );
    rig.enqueue(&[webhook("poison")]).await;
    rig.enqueue(&webhooks(20)).await;

    let dead = rig.until_dead(POISON).await;
    assert_eq!(dead.crashes + dead.failures, 3, "{dead:?}");
    assert!(dead.errors[0].contains("panicked: I am poison"), "{dead:?}");
    assert_eq!(log.of(POISON).len(), 3, "as many attempts as are allowed");

    // The same runner goes on.
    rig.enqueue(&[webhook("afterwards")]).await;
    let others = log.until(1, "webhook:afterwards").await;
    assert_eq!(others[0].attempt, 1);
    assert_eq!(
        log.of("webhook:evt_").len(),
        20,
        "each of the others ran once"
    );
    runner.stop().await;
}

#[tokio::test]
async fn a_panicking_handler_ends_in_the_dead_letter_and_stops_nobody() {
    panics_end_in_the_dead_letter(Rig::resp().await).await;
}

#[tokio::test]
async fn a_panicking_handler_ends_in_the_dead_letter_over_rest_too() {
    panics_end_in_the_dead_letter(Rig::upstash().await).await;
}

#[tokio::test]
async fn an_endless_handler_is_stopped_at_its_deadline_and_ends_in_the_dead_letter() {
    let rig = Rig::resp().await;
    let log = Log::default();
    let noted = log.clone();
    let options = RunnerOptions {
        // With one permit nobody else runs while it does: it has to be stopped.
        permits: 1,
        step_deadline: Duration::from_millis(200),
        ..quick()
    };
    let runner = rig.run(
        SHORT_LEASE,
        options,
        Doing(move |job, now| {
            noted.note(&job, now);
            async move {
                if is_poison(job.id.as_str()) {
                    std::future::pending::<()>().await;
                }
                done(job)
            }
        }),
    );
    rig.enqueue(&[webhook("poison")]).await;
    rig.enqueue(&webhooks(5)).await;

    let dead = rig.until_dead(POISON).await;
    assert_eq!((dead.failures, dead.crashes), (1, 2), "{dead:?}");
    assert_eq!(dead.errors, ["no result within 0.2 s"; 3]);
    assert_eq!(log.until(5, "webhook:evt_").await.len(), 5);
    runner.stop().await;
}

#[tokio::test]
async fn an_instance_whose_handler_panics_is_tried_more_and_more_slowly_and_never_given_up() {
    let rig = Rig::resp().await;
    let log = Log::default();
    let noted = log.clone();
    let runner = rig.run(
        SHORT_LEASE,
        quick(),
        Doing(move |job, now| {
            noted.note(&job, now);
            async move {
                assert!(job.errors >= 6, "not yet");
                done(job)
            }
        }),
    );
    rig.enqueue(&[instance("inst_1")]).await;
    let starts = log.until(7, "instance:inst_1").await;
    rig.until_idle().await;

    // At least half of 40 ms, doubled each time.
    for (n, pair) in starts.windows(2).enumerate() {
        let waited = pair[1].at.since(pair[0].at);
        assert!(waited >= 20 << n, "wait {n} was {waited} ms: {starts:?}");
    }
    assert_eq!(
        starts.len(),
        7,
        "twice the attempts after which others are given up"
    );
    runner.stop().await;
}

/// A thread that is blocked cannot be stopped. Such a job keeps its permit and its lease, for as long
/// as it blocks, and what it comes to in the end counts; its neighbours do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_keeps_its_job_and_hinders_nobody() {
    let rig = Rig::resp().await;
    let log = Log::default();
    let (noted, (release, blocked)) = (log.clone(), mpsc::channel::<()>());
    let blocked = Arc::new(Mutex::new(blocked));
    let options = RunnerOptions {
        step_deadline: Duration::from_millis(200),
        ..quick()
    };
    let runner = rig.run(
        SHORT_LEASE,
        options,
        Doing(move |job, now| {
            noted.note(&job, now);
            let blocked = Arc::clone(&blocked);
            async move {
                if is_poison(job.id.as_str()) {
                    blocked.lock().unwrap().recv().unwrap();
                }
                done(job)
            }
        }),
    );
    rig.enqueue(&[webhook("poison")]).await;
    log.until(1, POISON).await;
    let began = rig.now().await;
    // For longer than its lease and its deadline others come and go, and nobody takes it over.
    for n in 0.. {
        rig.enqueue(&[webhook(&format!("neighbour_{n}"))]).await;
        log.until(n + 1, "webhook:neighbour").await;
        if rig.now().await.since(began) > 2 * SHORT_LEASE.as_millis() as u64 {
            break;
        }
    }
    assert_eq!(rig.job(POISON).await.unwrap().state, JobState::Leased);
    assert_eq!(log.of(POISON).len(), 1, "it ran once");

    release.send(()).unwrap();
    rig.until_idle().await;
    assert_eq!(log.of(POISON).len(), 1, "and was settled by that run");
    runner.stop().await;
}

#[tokio::test]
async fn what_a_handler_says_itself_is_not_counted_against_its_job() {
    let rig = Rig::resp().await;
    let log = Log::default();
    let noted = log.clone();
    let runner = rig.run(
        SHORT_LEASE,
        quick(),
        Doing(move |job, now| {
            noted.note(&job, now);
            async move {
                let after = Duration::from_millis(5);
                if job.attempt < 10 {
                    return job.settle(
                        Verdict::Retry {
                            after,
                            error: "busy".into(),
                        },
                        Vec::new(),
                    );
                }
                done(job)
            }
        }),
    );
    rig.enqueue(&[webhook("stubborn")]).await;
    log.until(10, "webhook:stubborn").await;
    rig.until_idle().await;
    runner.stop().await;
}
