//! Kinds of jobs that are paused, and what comes back when they go on.

use std::collections::HashSet;

use shared::model::Status;
use shared::queue::{
    Checkpoint, Job, JobKind, Queue, QueueAdmin, QueueStats, Reservation, Scope, Verdict,
};

use crate::rig::{LONG_LEASE, Rig, eventually};
use crate::things::{
    HOUR, conclude, failed, ids, instance, reconcile, reserve, reserve_one, settle, take, webhook,
};

over_both_transports!(common:
    a_paused_backlog_comes_back_whole_and_once,
    what_is_held_is_finished_while_its_kind_is_paused,
    pausing_or_resuming_twice_changes_nothing_more,
    what_is_paused_again_before_anybody_looked_stays_paused,
    while_everything_is_paused_nothing_is_handed_out,
    a_parked_job_that_is_wanted_again_waits_all_the_same,
    a_parked_job_that_is_wanted_later_is_not_put_off,
    a_late_settlement_leaves_nothing_of_its_job_among_the_paused,
    a_late_extension_takes_its_job_back_from_among_the_paused,
    a_late_checkpoint_takes_its_job_back_from_among_the_paused,
    a_recovered_job_is_runnable_since_its_kind_goes_on,
);
over_both_transports!(alone:
    a_pause_survives_a_restart_of_the_server,
);

const WEBHOOKS: Scope = Scope::Kind(JobKind::Webhook);

fn admin(rig: &Rig) -> QueueAdmin {
    QueueAdmin::new(rig.redis.clone(), rig.keys.clone())
}

async fn pause(rig: &Rig, scope: Scope) {
    assert!(admin(rig).pause(scope).await.unwrap());
}

async fn resume(rig: &Rig, scope: Scope) {
    assert!(admin(rig).resume(scope).await.unwrap());
}

async fn stats(rig: &Rig) -> QueueStats {
    QueueStats::read(&rig.redis, &rig.keys).await.unwrap()
}

/// Reserves as a worker does: again at once when it is told so.
async fn reserve_all(session: &Queue) -> Vec<Reservation> {
    let mut jobs = Vec::new();
    loop {
        let exchange = reserve(session, 70).await;
        let is_over = exchange.jobs.is_empty() && exchange.next_timer != Some(exchange.now);
        jobs.extend(exchange.jobs);
        if is_over {
            return jobs;
        }
    }
}

async fn timers(rig: &Rig) -> Vec<String> {
    let timers = rig.scores(&rig.keys.timers()).await;
    timers.into_iter().map(|(member, _)| member).collect()
}

async fn a_paused_backlog_comes_back_whole_and_once(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let backlog: Vec<Job> = (0..500).map(|n| webhook(&format!("m{n}"))).collect();
    for batch in backlog.chunks(100) {
        session.enqueue(batch).await.unwrap();
    }
    pause(&rig, WEBHOOKS).await;
    session.enqueue(&[reconcile("i1")]).await.unwrap();
    let others = reserve_all(&session).await;
    assert_eq!(others.len(), 1);
    assert_eq!(others[0].id.as_str(), "instance:i1");
    let told = stats(&rig).await;
    assert_eq!((told.due, told.paused, told.leased), (0, 500, 1));

    resume(&rig, WEBHOOKS).await;
    let back = reserve_all(&session).await;
    let back: HashSet<_> = back.iter().map(|job| job.id.clone()).collect();
    assert_eq!(back, backlog.iter().map(Job::id).collect());
    let told = stats(&rig).await;
    assert_eq!((told.due, told.paused, told.leased), (0, 0, 501));
    assert!(told.paused_scopes.is_empty());
}

async fn what_is_held_is_finished_while_its_kind_is_paused(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let done = take(&session, webhook("m1")).await;
    let again = take(&session, webhook("m2")).await;
    pause(&rig, WEBHOOKS).await;
    conclude(&session, done, Verdict::Done).await;
    conclude(&session, again, failed(std::time::Duration::ZERO)).await;
    assert!(reserve_all(&session).await.is_empty());
    assert_eq!(timers(&rig).await, ["p:webhook", "d:webhook:m2"]);
    resume(&rig, WEBHOOKS).await;
    let job = reserve_one(&session).await;
    assert_eq!((job.attempt, job.crashes, job.errors), (2, 0, 1));
}

async fn pausing_or_resuming_twice_changes_nothing_more(rig: Rig) {
    let (session, admin) = (rig.session(LONG_LEASE), admin(&rig));
    assert!(!admin.resume(WEBHOOKS).await.unwrap());
    session.enqueue(&[webhook("m1")]).await.unwrap();
    assert!(admin.pause(WEBHOOKS).await.unwrap());
    assert!(!admin.pause(WEBHOOKS).await.unwrap());
    assert!(reserve_all(&session).await.is_empty());
    assert_eq!(stats(&rig).await.paused_scopes, [WEBHOOKS]);
    assert!(admin.resume(WEBHOOKS).await.unwrap());
    assert!(!admin.resume(WEBHOOKS).await.unwrap());
    assert_eq!(reserve_all(&session).await.len(), 1);
    assert!(!admin.resume(WEBHOOKS).await.unwrap());
    assert!(reserve_all(&session).await.is_empty());
}

async fn what_is_paused_again_before_anybody_looked_stays_paused(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    session.enqueue(&[webhook("m1")]).await.unwrap();
    pause(&rig, WEBHOOKS).await;
    assert!(reserve_all(&session).await.is_empty());
    resume(&rig, WEBHOOKS).await;
    pause(&rig, WEBHOOKS).await;
    assert!(reserve_all(&session).await.is_empty());
    resume(&rig, WEBHOOKS).await;
    assert_eq!(reserve_all(&session).await.len(), 1);
}

async fn while_everything_is_paused_nothing_is_handed_out(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let held = take(&session, webhook("m1")).await;
    session.enqueue(&[webhook("m2")]).await.unwrap();
    pause(&rig, Scope::All).await;
    session.enqueue(&[reconcile("i1")]).await.unwrap();
    let settlement = vec![held.settle(Verdict::Done, Vec::new())];
    let mut call = session.call(settlement, 10);
    let exchange = session.exchange(&mut call).await.unwrap();
    assert_eq!((exchange.applied, exchange.jobs.len()), (vec![true], 0));
    assert_eq!(exchange.next_timer, None);
    assert_eq!(stats(&rig).await.paused_scopes, [Scope::All]);
    resume(&rig, Scope::All).await;
    assert_eq!(
        ids(&reserve(&session, 10).await),
        ["instance:i1", "webhook:m2"]
    );
}

/// A job that waits among the paused.
async fn parked(rig: &Rig, session: &Queue) -> Job {
    let job = webhook("m1");
    session.enqueue(std::slice::from_ref(&job)).await.unwrap();
    pause(rig, WEBHOOKS).await;
    assert!(reserve_all(session).await.is_empty());
    assert_eq!(timers(rig).await, ["p:webhook", "d:webhook:m1"]);
    job
}

async fn a_parked_job_that_is_wanted_again_waits_all_the_same(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = parked(&rig, &session).await;
    session.enqueue(std::slice::from_ref(&job)).await.unwrap();
    session.ensure(std::slice::from_ref(&job)).await.unwrap();
    assert!(reserve_all(&session).await.is_empty());
    assert_eq!(timers(&rig).await, ["p:webhook", "d:webhook:m1"]);
    resume(&rig, WEBHOOKS).await;
    assert_eq!(reserve_all(&session).await.len(), 1);
    assert_eq!(timers(&rig).await, ["l:webhook:m1"]);
}

async fn a_parked_job_that_is_wanted_later_is_not_put_off(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = parked(&rig, &session).await;
    session.enqueue_after(&[job], HOUR).await.unwrap();
    assert_eq!(timers(&rig).await, ["p:webhook", "d:webhook:m1"]);
    resume(&rig, WEBHOOKS).await;
    assert_eq!(reserve_all(&session).await.len(), 1);
    assert_eq!(timers(&rig).await, ["l:webhook:m1"]);
}

/// A job whose lease ended, and which was put among the paused since.
async fn lapsed_and_parked(rig: &Rig, holder: &Queue) -> Reservation {
    let job = take(holder, webhook("m1")).await;
    rig.ask(["ZADD", &rig.keys.timers(), "1", "l:webhook:m1"])
        .await;
    pause(rig, WEBHOOKS).await;
    let onlooker = rig.session(LONG_LEASE);
    assert!(reserve_all(&onlooker).await.is_empty());
    assert_eq!(timers(rig).await, ["p:webhook", "d:webhook:m1"]);
    job
}

async fn a_late_settlement_leaves_nothing_of_its_job_among_the_paused(rig: Rig) {
    let holder = rig.session(LONG_LEASE);
    let late = lapsed_and_parked(&rig, &holder).await;
    conclude(&holder, late, Verdict::Again(std::time::Duration::ZERO)).await;
    assert_eq!(timers(&rig).await, ["p:webhook"]);
    assert_eq!(rig.scores(&rig.keys.ready()).await.len(), 1);
    resume(&rig, WEBHOOKS).await;
    assert_eq!(reserve_all(&holder).await.len(), 1);
}

async fn a_late_extension_takes_its_job_back_from_among_the_paused(rig: Rig) {
    let holder = rig.session(LONG_LEASE);
    let late = lapsed_and_parked(&rig, &holder).await;
    let held = [(late.id.clone(), late.token.clone())];
    assert_eq!(holder.extend(&held).await.unwrap(), [true]);
    assert_held_once(&rig, &holder, late).await;
}

async fn a_late_checkpoint_takes_its_job_back_from_among_the_paused(rig: Rig) {
    let holder = rig.session(LONG_LEASE);
    let late = lapsed_and_parked(&rig, &holder).await;
    let (status, i1) = (Status::default(), instance("i1"));
    let written = holder.checkpoint(&late.id, &late.token, &i1, None, &status);
    assert_eq!(written.await.unwrap(), Checkpoint::Written);
    assert_held_once(&rig, &holder, late).await;
}

async fn assert_held_once(rig: &Rig, holder: &Queue, job: Reservation) {
    resume(rig, WEBHOOKS).await;
    let other = rig.session(LONG_LEASE);
    assert!(reserve_all(&other).await.is_empty(), "leased to two");
    assert_eq!(timers(rig).await, ["l:webhook:m1"]);
    let settlement = job.settle(Verdict::Done, Vec::new());
    assert_eq!(settle(holder, vec![settlement]).await, [true]);
}

async fn a_recovered_job_is_runnable_since_its_kind_goes_on(rig: Rig) {
    let (holder, other) = (rig.session(LONG_LEASE), rig.session(LONG_LEASE));
    let _ = lapsed_and_parked(&rig, &holder).await;
    other.enqueue(&[reconcile("i1")]).await.unwrap();
    resume(&rig, WEBHOOKS).await;
    let exchange = reserve(&other, 10).await;
    assert_eq!(ids(&exchange), ["webhook:m1", "instance:i1"]);
    let job = &exchange.jobs[0];
    assert!(job.is_recovered);
    assert_eq!(job.since, exchange.now);
}

async fn a_pause_survives_a_restart_of_the_server(mut rig: Rig) {
    let session = rig.session(LONG_LEASE);
    parked(&rig, &session).await;
    rig.server().kill().await.unwrap();
    rig.server().restart().await.unwrap();
    let told = eventually("the server", async || {
        QueueStats::read(&rig.redis, &rig.keys).await.ok()
    })
    .await;
    assert_eq!((told.paused, told.paused_scopes), (1, vec![WEBHOOKS]));
    assert!(reserve_all(&session).await.is_empty());
    resume(&rig, WEBHOOKS).await;
    assert_eq!(reserve_all(&session).await.len(), 1);
}
