//! Who gets which job, and when.

use std::collections::HashSet;
use std::time::Duration;

use shared::queue::{Job, Verdict};

use crate::rig::{LONG_LEASE, Rig, eventually};
use crate::things::{
    HOUR, conclude, dead, failed, ids, reconcile, reserve, reserve_one, take, webhook,
};

over_both_transports!(common:
    an_enqueued_job_is_handed_out_with_its_body,
    an_empty_queue_tells_of_no_timer,
    a_delayed_job_is_told_of_and_not_handed_out_early,
    f4_two_sessions_never_hold_one_job,
    a_job_enqueued_while_it_is_held_runs_once_more,
    a_job_that_waits_for_its_time_runs_now_when_it_is_enqueued,
    a_job_that_waits_in_line_keeps_its_place,
    a_job_of_high_priority_overtakes_until_the_other_has_waited_enough,
    a_failure_counts_and_progress_forgets_it,
    a_released_job_has_spent_no_attempt,
    a_dead_job_is_kept_with_its_errors_until_it_is_wanted_again,
);

async fn an_enqueued_job_is_handed_out_with_its_body(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let jobs = [reconcile("i1"), webhook("msg_1")];
    session.enqueue(&jobs).await.unwrap();
    let exchange = reserve(&session, 10).await;
    assert_eq!(ids(&exchange), ["instance:i1", "webhook:msg_1"]);
    for (reserved, job) in exchange.jobs.iter().zip(&jobs) {
        assert_eq!(&Job::parse(&reserved.id, &reserved.body).unwrap(), job);
        assert_eq!(
            (reserved.attempt, reserved.crashes, reserved.errors),
            (1, 0, 0)
        );
    }
}

async fn an_empty_queue_tells_of_no_timer(rig: Rig) {
    let exchange = reserve(&rig.session(LONG_LEASE), 10).await;
    assert!(exchange.jobs.is_empty());
    assert_eq!(exchange.next_timer, None);
}

async fn a_delayed_job_is_told_of_and_not_handed_out_early(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, reconcile("i1")).await;
    let delay = Duration::from_millis(200);
    let mut call = session.call(vec![job.settle(Verdict::Again(delay), Vec::new())], 1);
    let settled = session.exchange(&mut call).await.unwrap();
    assert!(settled.jobs.is_empty());
    let due = settled.next_timer.expect("a timer");
    assert_eq!(due, settled.now.plus(200));
    let handed_out = eventually("the delayed job", async || {
        let exchange = reserve(&session, 1).await;
        (!exchange.jobs.is_empty()).then_some(exchange.now)
    })
    .await;
    assert!(handed_out >= due, "{handed_out:?} is before {due:?}");
}

async fn f4_two_sessions_never_hold_one_job(rig: Rig) {
    let jobs: Vec<_> = (0..60).map(|n| reconcile(&format!("i{n}"))).collect();
    rig.session(LONG_LEASE).enqueue(&jobs).await.unwrap();
    let drain = async || {
        let session = rig.session(LONG_LEASE);
        let mut mine = Vec::new();
        loop {
            let jobs = reserve(&session, 3).await.jobs;
            if jobs.is_empty() {
                return mine;
            }
            mine.extend(jobs.into_iter().map(|job| job.id));
        }
    };
    let (first, second, third) = tokio::join!(drain(), drain(), drain());
    let all: Vec<_> = [first, second, third].concat();
    assert_eq!(all.len(), 60);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 60);
}

async fn a_job_enqueued_while_it_is_held_runs_once_more(rig: Rig) {
    let (holder, other) = (rig.session(LONG_LEASE), rig.session(LONG_LEASE));
    let job = take(&holder, reconcile("i1")).await;
    for _ in 0..2 {
        other.enqueue(&[reconcile("i1")]).await.unwrap();
        assert!(reserve(&other, 1).await.jobs.is_empty());
    }
    conclude(&holder, job, Verdict::Done).await;
    let again = reserve_one(&other).await;
    assert_eq!(again.id.as_str(), "instance:i1");
    assert_eq!((again.attempt, again.crashes), (1, 0));
    conclude(&other, again, Verdict::Done).await;
    assert!(reserve(&other, 1).await.jobs.is_empty());
    for key in [rig.keys.jobs()] {
        assert_eq!(rig.ask(["HLEN", &key]).await.int().unwrap(), 0, "{key}");
    }
}

async fn a_job_that_waits_for_its_time_runs_now_when_it_is_enqueued(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, reconcile("i1")).await;
    conclude(&session, job, Verdict::Again(HOUR)).await;
    assert!(reserve(&session, 1).await.jobs.is_empty());
    session.enqueue(&[reconcile("i1")]).await.unwrap();
    let job = reserve_one(&session).await;
    let exchange = reserve(&session, 1).await;
    assert!(exchange.jobs.is_empty());
    let lease_end = exchange.next_timer.expect("its lease");
    assert!(
        lease_end < exchange.now.plus(HOUR.as_millis() as u64),
        "its old timer is still set"
    );
    conclude(&session, job, Verdict::Done).await;
}

async fn a_job_that_waits_in_line_keeps_its_place(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    session.enqueue(&[reconcile("i2")]).await.unwrap();
    rig.ask(["ZINCRBY", &rig.keys.ready(), "-5", "instance:i2"])
        .await;
    let before = rig.scores(&rig.keys.ready()).await;
    session.enqueue(&[reconcile("i2")]).await.unwrap();
    assert_eq!(rig.scores(&rig.keys.ready()).await, before);
    session.enqueue(&[reconcile("i1")]).await.unwrap();
    assert_eq!(
        ids(&reserve(&session, 10).await),
        ["instance:i2", "instance:i1"]
    );
}

async fn a_job_of_high_priority_overtakes_until_the_other_has_waited_enough(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let jobs = [webhook("m1"), webhook("m2"), webhook("m3"), reconcile("i1")];
    session.enqueue(&jobs).await.unwrap();
    // The offsets are 60 s and 10 s, so a normal job is overtaken for its first 50 s.
    let ready = rig.keys.ready();
    rig.ask(["ZINCRBY", &ready, "-49000", "webhook:m2"]).await;
    rig.ask(["ZINCRBY", &ready, "-51000", "webhook:m3"]).await;
    assert_eq!(
        ids(&reserve(&session, 10).await),
        ["webhook:m3", "instance:i1", "webhook:m2", "webhook:m1"]
    );
}

async fn a_failure_counts_and_progress_forgets_it(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let mut job = take(&session, reconcile("i1")).await;
    for errors in 1..=3 {
        conclude(&session, job, failed(Duration::ZERO)).await;
        job = reserve_one(&session).await;
        assert_eq!(
            (job.attempt, job.crashes, job.errors),
            (errors + 1, 0, errors)
        );
    }
    conclude(&session, job, Verdict::Again(Duration::ZERO)).await;
    let job = reserve_one(&session).await;
    assert_eq!((job.attempt, job.crashes, job.errors), (1, 0, 0));
}

async fn a_released_job_has_spent_no_attempt(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, reconcile("i1")).await;
    conclude(&session, job, failed(Duration::ZERO)).await;
    for _ in 0..2 {
        let job = reserve_one(&session).await;
        assert_eq!((job.attempt, job.crashes, job.errors), (2, 0, 1));
        conclude(&session, job, Verdict::Release).await;
    }
}

async fn a_dead_job_is_kept_with_its_errors_until_it_is_wanted_again(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, webhook("msg_1")).await;
    let body = job.body.clone();
    conclude(&session, job, failed(Duration::ZERO)).await;
    conclude(&session, reserve_one(&session).await, dead()).await;
    let exchange = reserve(&session, 1).await;
    assert!(exchange.jobs.is_empty());
    assert_eq!(exchange.next_timer, None);
    let buried = rig.scores(&rig.keys.dead()).await;
    assert_eq!(buried.len(), 1);
    assert_eq!(buried[0].0, "webhook:msg_1");
    let kept = rig.ask(["HGET", &rig.keys.jobs(), "webhook:msg_1"]).await;
    assert_eq!(kept.text().unwrap(), body);
    let lease = rig.ask(["HGET", &rig.keys.jobs(), "l:webhook:msg_1"]).await;
    let lease = lease.text().unwrap();
    assert!(
        lease.ends_with("|hopeless\nbroke | twice over two lines\n"),
        "{lease}"
    );

    session.enqueue(&[webhook("msg_1")]).await.unwrap();
    let job = reserve_one(&session).await;
    assert_eq!((job.attempt, job.crashes, job.errors), (1, 0, 0));
    assert!(rig.scores(&rig.keys.dead()).await.is_empty());
}
