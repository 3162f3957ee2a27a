//! Who waits for how long, and who goes first.

use std::time::Duration;

use shared::clock::Millis;
use shared::queue::{Job, Periodic, Verdict};

use crate::rig::{LONG_LEASE, Rig};
use crate::things::{HOUR, conclude, failed, ids, reconcile, reserve, reserve_one, take, webhook};

over_both_transports!(common:
    of_one_priority_the_earlier_goes_first,
    higher_priorities_go_first,
    f30_a_low_job_is_overtaken_by_no_more_than_its_offset,
    a_delayed_job_is_not_handed_out_before_its_time,
    a_fresh_job_is_runnable_since_it_was_wanted,
    a_delayed_job_is_runnable_since_its_time_came,
    a_recovered_job_is_runnable_since_its_lease_ended,
    a_job_that_goes_on_at_once_is_runnable_since_it_was_settled,
);

fn low() -> Job {
    Job::Periodic {
        name: Periodic::Housekeeping,
    }
}

async fn of_one_priority_the_earlier_goes_first(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let jobs: Vec<_> = (0..8).map(|n| webhook(&format!("m{n}"))).collect();
    session.enqueue(&jobs).await.unwrap();
    let ready = rig.keys.ready();
    for (age, n) in [3, 7, 0, 5, 1, 6, 2, 4].into_iter().enumerate() {
        let earlier = format!("-{}", 1000 * (8 - age));
        let id = format!("webhook:m{n}");
        rig.ask(["ZINCRBY", &ready, &earlier, &id]).await;
    }
    let mut order = Vec::new();
    for _ in 0..4 {
        let exchange = reserve(&session, 2).await;
        order.extend(exchange.jobs.into_iter().map(|job| job.id.to_string()));
    }
    let expected = [3, 7, 0, 5, 1, 6, 2, 4].map(|n| format!("webhook:m{n}"));
    assert_eq!(order, expected);
}

async fn higher_priorities_go_first(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let goes_on = take(&session, webhook("m2")).await;
    let lapsed = take(&session, webhook("m3")).await;
    let jobs = [low(), webhook("m1"), reconcile("i1")];
    session.enqueue(&jobs).await.unwrap();
    conclude(&session, goes_on, Verdict::Release).await;
    let past = (reserve(&session, 0).await.now.0 - 1).to_string();
    let lease = format!("l:{}", lapsed.id);
    rig.ask(["ZADD", &rig.keys.timers(), &past, &lease]).await;
    assert_eq!(
        ids(&reserve(&session, 10).await),
        [
            "webhook:m3",
            "webhook:m2",
            "instance:i1",
            "webhook:m1",
            "cron:housekeeping"
        ]
    );
}

/// Time passes for all that is in line.
async fn pass_time(rig: &Rig, by: Duration) {
    let ready = rig.keys.ready();
    let earlier = format!("-{}", by.as_millis());
    for (id, _) in rig.scores(&ready).await {
        rig.ask(["ZINCRBY", &ready, &earlier, &id]).await;
    }
}

async fn f30_a_low_job_is_overtaken_by_no_more_than_its_offset(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    session.enqueue(&[low()]).await.unwrap();
    // All the time there is another one of high priority, ten minutes long but for the ten seconds
    // by which those may be overtaken themselves.
    let tick = Duration::from_secs(10);
    for n in 0..59 {
        session
            .enqueue(&[reconcile(&format!("i{n}"))])
            .await
            .unwrap();
        let exchange = reserve(&session, 1).await;
        assert_eq!(ids(&exchange), [format!("instance:i{n}")]);
        pass_time(&rig, tick).await;
    }
    session.enqueue(&[reconcile("late")]).await.unwrap();
    let exchange = reserve(&session, 1).await;
    assert_eq!(ids(&exchange), ["cron:housekeeping"]);
    let waited = exchange.now.since(exchange.jobs[0].since);
    assert!(waited <= 600_000, "{waited}");
}

async fn a_delayed_job_is_not_handed_out_before_its_time(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let delay = Duration::from_millis(150);
    let jobs: Vec<_> = (0..5).map(|n| webhook(&format!("m{n}"))).collect();
    let earliest = reserve(&session, 0).await.now.plus(150);
    session.enqueue_after(&jobs, delay).await.unwrap();
    let mut left = jobs.len();
    while left > 0 {
        let exchange = reserve(&session, 2).await;
        left -= exchange.jobs.len();
        for job in &exchange.jobs {
            assert!(earliest <= job.since && job.since <= exchange.now);
        }
    }
}

async fn a_fresh_job_is_runnable_since_it_was_wanted(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    for job in [reconcile("i1"), webhook("m1"), low()] {
        let before = reserve(&session, 0).await.now;
        session.enqueue(&[job]).await.unwrap();
        let exchange = reserve(&session, 1).await;
        let since = exchange.jobs[0].since;
        assert!(before <= since && since <= exchange.now, "{since:?}");
    }
}

async fn a_delayed_job_is_runnable_since_its_time_came(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let timers = rig.keys.timers();
    for job in [reconcile("i1"), webhook("m1"), low()] {
        let timer = format!("d:{}", job.id());
        session.enqueue_after(&[job], HOUR).await.unwrap();
        rig.ask(["ZADD", &timers, "1234", &timer]).await;
        assert_eq!(reserve_one(&session).await.since, Millis(1234));
    }
}

async fn a_recovered_job_is_runnable_since_its_lease_ended(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let timers = rig.keys.timers();
    for job in [reconcile("i1"), webhook("m1"), low()] {
        let lease = format!("l:{}", job.id());
        let _ = take(&session, job).await;
        rig.ask(["ZADD", &timers, "1234", &lease]).await;
        let job = reserve_one(&session).await;
        assert_eq!((job.since, job.is_recovered), (Millis(1234), true));
    }
}

async fn a_job_that_goes_on_at_once_is_runnable_since_it_was_settled(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let at_once = Duration::ZERO;
    let verdicts = [Verdict::Release, Verdict::Again(at_once), failed(at_once)];
    for verdict in verdicts {
        let job = take(&session, webhook("m1")).await;
        let mut call = session.call(vec![job.settle(verdict, Vec::new())], 0);
        let settled = session.exchange(&mut call).await.unwrap().now;
        let job = reserve_one(&session).await;
        assert_eq!((job.since, job.is_recovered), (settled, false));
        conclude(&session, job, Verdict::Done).await;
    }
}
