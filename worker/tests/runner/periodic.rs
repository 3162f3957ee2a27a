//! What comes round: once per slot, however many runners there are and whatever happens to them.

use std::time::Duration;

use shared::clock::Millis;
use shared::queue::{Job, Periodic, Verdict, until_next_slot};

use crate::log::{Log, Start};
use crate::rig::{Doing, Rig, Running, SHORT_LEASE, done, quick};

const SLOT: Duration = Duration::from_secs(1);
const CRON: &str = "cron:housekeeping";

fn housekeeping() -> Job {
    Job::Periodic {
        name: Periodic::Housekeeping,
    }
}

/// A runner that creates the job as a worker does when it starts, and runs it once per slot.
async fn start(rig: &Rig, log: &Log) -> Running {
    let noted = log.clone();
    let handler = Doing(move |job: shared::queue::Reservation, now: Millis| {
        noted.note(&job, now);
        async move { job.settle(Verdict::Again(until_next_slot(now, SLOT)), Vec::new()) }
    });
    let runner = rig.run(SHORT_LEASE, quick(), handler);
    rig.queue(SHORT_LEASE)
        .ensure(&[housekeeping()])
        .await
        .unwrap();
    runner
}

/// The slot of each start.
fn slots(starts: &[Start]) -> Vec<u64> {
    let slot = |start: &Start| start.at.0 / SLOT.as_millis() as u64;
    starts.iter().map(slot).collect()
}

#[tokio::test]
async fn four_runners_run_it_once_per_slot() {
    let rig = Rig::resp().await;
    let log = Log::default();
    let mut runners = Vec::new();
    for _ in 0..4 {
        runners.push(start(&rig, &log).await);
    }
    let slots = slots(&log.until(5, CRON).await);
    let expected: Vec<u64> = (slots[0]..).take(slots.len()).collect();
    assert_eq!(slots, expected, "each slot once, none left out");
}

#[tokio::test]
async fn it_goes_on_when_the_runner_that_holds_it_is_killed() {
    let rig = Rig::resp().await;
    let held = Log::default();
    let noted = held.clone();
    let holder = rig.run(
        SHORT_LEASE,
        quick(),
        Doing(move |job, now| {
            noted.note(&job, now);
            async move {
                std::future::pending::<()>().await;
                done(job)
            }
        }),
    );
    rig.queue(SHORT_LEASE)
        .ensure(&[housekeeping()])
        .await
        .unwrap();
    held.until(1, CRON).await;
    let log = Log::default();
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(start(&rig, &log).await);
    }
    holder.kill();

    let starts = log.until(3, CRON).await;
    assert_eq!(starts[0].crashes, 1, "taken over from the killed one");
    assert_eq!(starts[1].crashes, 0, "which is forgotten once it got on");
    let slots = slots(&starts);
    assert!(
        slots.is_sorted_by(|one, next| one < next),
        "at most once per slot: {slots:?}"
    );
}

#[tokio::test]
async fn after_an_outage_of_several_slots_it_runs_once_and_then_in_its_slots() {
    let mut rig = Rig::resp().await;
    let log = Log::default();
    let mut runners = Vec::new();
    for _ in 0..4 {
        runners.push(start(&rig, &log).await);
    }
    let before = slots(&log.until(2, CRON).await);
    rig.server.kill().await.unwrap();
    // The outage is what this is about, so it takes its time.
    tokio::time::sleep(SLOT * 7 / 2).await;
    rig.server.restart().await.unwrap();

    let all = slots(&log.until(before.len() + 4, CRON).await);
    assert!(
        all.is_sorted_by(|one, next| one < next),
        "at most once per slot: {all:?}"
    );
    let gaps: Vec<u64> = all
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .filter(|gap| *gap > 1)
        .collect();
    assert_eq!(
        gaps.len(),
        1,
        "one gap, and nothing to make up for it: {all:?}"
    );
    assert!(gaps[0] >= 3, "{all:?}");
}
