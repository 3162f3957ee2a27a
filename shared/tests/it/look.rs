//! What administrators are told of the queue.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::clock::Millis;
use shared::queue::{
    Job, JobId, JobKind, JobState, Queue, QueueAdmin, QueueStats, Scope, StoredJob, Verdict,
};

use crate::rig::{LONG_LEASE, Rig};
use crate::things::{
    HOUR, conclude, dead, failed, reconcile, reserve, reserve_one, settle, take, webhook,
};

over_both_transports!(common:
    a_job_in_line_is_due_since_it_was_wanted,
    a_job_whose_time_has_come_is_due_before_anybody_looked,
    a_job_whose_lease_ended_is_due_before_and_after_somebody_looked,
    a_held_job_is_leased_until_its_lease_ends,
    a_job_with_time_left_is_delayed,
    a_parked_job_is_paused,
    a_job_given_up_is_dead_since_then,
    a_job_that_does_not_exist_is_not_shown,
    pages_hold_every_job_once,
    the_dead_are_told_newest_first,
    what_is_beyond_five_thousand_timers_is_counted_and_said_to_be_incomplete,
    errors_are_kept_newest_first_and_bounded,
);

fn admin(rig: &Rig) -> QueueAdmin {
    QueueAdmin::new(rig.redis.clone(), rig.keys.clone())
}

/// Turns a timer to this time.
async fn turn(rig: &Rig, member: &str, time: &str) {
    let timers = rig.keys.timers();
    rig.ask(["ZADD", &timers, "XX", time, member]).await;
}

/// The one job that there is, as list, show and stats tell of it; they agree.
async fn only(rig: &Rig) -> StoredJob {
    let (admin, mut found) = (admin(rig), Vec::new());
    let stats = QueueStats::read(&rig.redis, &rig.keys).await.unwrap();
    let counts = [
        stats.due,
        stats.leased,
        stats.delayed,
        stats.paused,
        stats.dead,
    ];
    for (state, count) in JobState::ALL.into_iter().zip(counts) {
        let page = admin.list(state, 0, 10).await.unwrap();
        assert_eq!((page.total, page.jobs.len() as u64), (count, count));
        found.extend(page.jobs);
    }
    assert!(stats.is_complete);
    assert_eq!(found.len(), 1, "{found:?}");
    let listed = found.remove(0);
    let shown = admin.show(&listed.id).await.unwrap().unwrap();
    let told = |job: &StoredJob| (job.state, job.at, job.attempts, job.body.clone());
    assert_eq!(told(&listed), told(&shown));
    let age = match shown.at {
        Some(at) if shown.state == JobState::Due => stats.now.since(at),
        _ => 0,
    };
    assert_eq!(stats.oldest_due_ms, age);
    shown
}

async fn now(session: &Queue) -> Millis {
    reserve(session, 0).await.now
}

async fn a_job_in_line_is_due_since_it_was_wanted(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    for job in [reconcile("i1"), webhook("m1")] {
        let before = now(&session).await;
        session.enqueue(&[job]).await.unwrap();
        let after = now(&session).await;
        let told = only(&rig).await;
        assert_eq!((told.state, told.attempts), (JobState::Due, 0));
        let since = told.at.unwrap();
        assert!(before <= since && since <= after, "{since:?}");
        let job = reserve_one(&session).await;
        conclude(&session, job, Verdict::Done).await;
    }
}

async fn a_job_whose_time_has_come_is_due_before_anybody_looked(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    session.enqueue_after(&[webhook("m1")], HOUR).await.unwrap();
    turn(&rig, "d:webhook:m1", "1000").await;
    let told = only(&rig).await;
    assert_eq!((told.state, told.at), (JobState::Due, Some(Millis(1000))));
    let _ = reserve(&session, 0).await;
    let told = only(&rig).await;
    assert_eq!((told.state, told.at), (JobState::Due, Some(Millis(1000))));
}

async fn a_job_whose_lease_ended_is_due_before_and_after_somebody_looked(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let _ = take(&session, webhook("m1")).await;
    turn(&rig, "l:webhook:m1", "1000").await;
    for _ in 0..2 {
        let told = only(&rig).await;
        assert_eq!((told.state, told.at), (JobState::Due, Some(Millis(1000))));
        assert_eq!(told.holder.as_deref(), Some(session.session()));
        let _ = reserve(&session, 0).await;
    }
}

async fn a_held_job_is_leased_until_its_lease_ends(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, webhook("m1")).await;
    turn(&rig, "l:webhook:m1", "9999999999999").await;
    let told = only(&rig).await;
    let end = Some(Millis(9_999_999_999_999));
    assert_eq!((told.state, told.at), (JobState::Leased, end));
    assert_eq!((told.attempts, told.crashes, told.failures), (1, 0, 0));
    assert_eq!(told.holder.as_deref(), Some(session.session()));
    assert_eq!(told.body, job.body);
    assert!(!told.is_wanted_again);
    session.enqueue(&[webhook("m1")]).await.unwrap();
    assert!(only(&rig).await.is_wanted_again);
}

async fn a_job_with_time_left_is_delayed(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, webhook("m1")).await;
    let mut call = session.call(vec![job.settle(failed(HOUR), Vec::new())], 0);
    let due = session.exchange(&mut call).await.unwrap().next_timer;
    let told = only(&rig).await;
    assert_eq!((told.state, told.at), (JobState::Delayed, due));
    assert_eq!((told.attempts, told.crashes, told.failures), (1, 0, 1));
    assert_eq!(told.holder, None);
}

async fn a_parked_job_is_paused(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let webhooks = Scope::Kind(JobKind::Webhook);
    assert!(admin(&rig).pause(webhooks).await.unwrap());
    session.enqueue(&[webhook("m1")]).await.unwrap();
    assert!(reserve(&session, 1).await.jobs.is_empty());
    let told = only(&rig).await;
    assert_eq!((told.state, told.at), (JobState::Paused, None));
    let stats = QueueStats::read(&rig.redis, &rig.keys).await.unwrap();
    assert_eq!(stats.paused_scopes, [webhooks]);
}

async fn a_job_given_up_is_dead_since_then(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, webhook("m1")).await;
    let mut call = session.call(vec![job.settle(dead(), Vec::new())], 0);
    let at = session.exchange(&mut call).await.unwrap().now;
    let told = only(&rig).await;
    assert_eq!((told.state, told.at), (JobState::Dead, Some(at)));
    assert_eq!((told.failures, told.holder), (1, None));
    assert_eq!(told.errors, ["hopeless"]);
}

async fn a_job_that_does_not_exist_is_not_shown(rig: Rig) {
    let id = JobId::stored("webhook:m1".into());
    assert_eq!(admin(&rig).show(&id).await.unwrap(), None);
}

/// All that pages of this size hold, in their order.
async fn pages(rig: &Rig, state: JobState, size: usize) -> Vec<StoredJob> {
    let (admin, mut jobs) = (admin(rig), Vec::new());
    loop {
        let page = admin.list(state, jobs.len(), size).await.unwrap();
        if page.jobs.is_empty() {
            assert_eq!(page.total, jobs.len() as u64);
            return jobs;
        }
        jobs.extend(page.jobs);
    }
}

fn webhooks(prefix: &str, count: usize) -> Vec<Job> {
    (0..count)
        .map(|n| webhook(&format!("{prefix}{n}")))
        .collect()
}

async fn pages_hold_every_job_once(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let held = webhooks("held", 30);
    session.enqueue(&held).await.unwrap();
    assert_eq!(reserve(&session, 30).await.jobs.len(), 30);
    let (ready, delayed) = (webhooks("ready", 50), webhooks("delayed", 70));
    session.enqueue(&ready).await.unwrap();
    session.enqueue_after(&delayed, HOUR).await.unwrap();
    // Of each kind of timer some have fallen due.
    for n in 0..10 {
        turn(&rig, &format!("l:webhook:held{n}"), "1000").await;
        turn(&rig, &format!("d:webhook:delayed{n}"), "2000").await;
    }
    let due = [&ready, &held[..10], &delayed[..10]].concat();
    for (state, jobs) in [
        (JobState::Due, &due[..]),
        (JobState::Leased, &held[10..]),
        (JobState::Delayed, &delayed[10..]),
    ] {
        let told = pages(&rig, state, 17).await;
        assert!(told.iter().all(|job| job.state == state));
        assert_eq!(told.len(), jobs.len(), "{state:?}");
        let told: BTreeSet<_> = told.into_iter().map(|job| job.id).collect();
        assert_eq!(told, jobs.iter().map(Job::id).collect(), "{state:?}");
    }
}

async fn the_dead_are_told_newest_first(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    for n in 0..5 {
        let job = take(&session, webhook(&format!("m{n}"))).await;
        conclude(&session, job, dead()).await;
        let time = (1000 + n).to_string();
        let member = format!("webhook:m{n}");
        rig.ask(["ZADD", &rig.keys.dead(), &time, &member]).await;
    }
    let told = pages(&rig, JobState::Dead, 2).await;
    let times: Vec<_> = told.iter().map(|job| job.at.unwrap().0).collect();
    assert_eq!(times, [1004, 1003, 1002, 1001, 1000]);
}

async fn what_is_beyond_five_thousand_timers_is_counted_and_said_to_be_incomplete(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    session.enqueue(&webhooks("held", 20)).await.unwrap();
    assert_eq!(reserve(&session, 20).await.jobs.len(), 20);
    for batch in webhooks("delayed", 5100).chunks(100) {
        session.enqueue_after(batch, HOUR).await.unwrap();
    }
    turn(&rig, "d:webhook:delayed7", "1000").await;
    session.enqueue(&webhooks("parked", 30)).await.unwrap();
    let scope = Scope::Kind(JobKind::Webhook);
    assert!(admin(&rig).pause(scope).await.unwrap());
    assert!(reserve(&session, 31).await.jobs.is_empty());
    session.enqueue(&[reconcile("i1")]).await.unwrap();
    turn(&rig, "l:webhook:held3", "1000").await;

    let told = QueueStats::read(&rig.redis, &rig.keys).await.unwrap();
    assert_eq!((told.due, told.leased, told.paused), (2, 19, 31));
    assert_eq!(told.delayed, 5099);
    assert!(!told.is_complete);
    // Further pages would need a search: the list ends where the look does.
    let seen = admin(&rig).list(JobState::Delayed, 0, 1).await.unwrap();
    assert_eq!(seen.total, 5000 - 1 - 20);
}

async fn errors_are_kept_newest_first_and_bounded(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    session.enqueue(&[webhook("m1")]).await.unwrap();
    for n in 0..9 {
        let job = reserve_one(&session).await;
        let error = format!("{n} {}", "é".repeat(480));
        let after = Duration::ZERO;
        let settlement = job.settle(Verdict::Retry { after, error }, Vec::new());
        assert_eq!(settle(&session, vec![settlement]).await, [true]);
    }
    let told = only(&rig).await;
    assert_eq!(told.failures, 9);
    let first: Vec<_> = told.errors.iter().map(|error| &error[..1]).collect();
    assert_eq!(first, ["8", "7", "6"]);
    let lease = rig.ask(["HGET", &rig.keys.jobs(), "l:webhook:m1"]).await;
    assert!(lease.text().unwrap().len() < 2100);
}
