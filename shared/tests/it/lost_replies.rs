//! A call that was carried out although its caller never heard of it.

use shared::model::Status;
use shared::queue::{Call, Checkpoint, Exchange, Job, JobId, Queue, Reservation, Verdict, Write};

use crate::rig::{LONG_LEASE, Rig, Trouble};
use crate::things::{
    HOUR, conclude, event, failed, ids, instance, reconcile, reserve, reserve_one, settle, take,
    webhook,
};

over_both_transports!(troubled:
    a_repeated_reserve_hands_out_the_same_jobs_and_spends_no_attempt,
    a_repeated_reserve_finds_its_jobs_among_many_timers,
    a_reserve_that_never_arrived_can_be_repeated,
    a_repeated_settlement_is_applied_once_and_hands_out_the_same_jobs,
    a_settlement_that_never_arrived_is_applied_by_its_repetition,
    a_repeated_settlement_tells_which_jobs_were_stale,
    a_repeated_enqueue_makes_one_job,
    a_repeated_checkpoint_and_extension_are_applied,
);

/// Sends a call whose answer is lost, or which is lost itself.
async fn fail(rig: &Rig, trouble: Trouble, session: &Queue, call: &mut Call) {
    rig.arm(trouble, "EVALSHA");
    let error = session.exchange(call).await.unwrap_err();
    assert_eq!(error.kind(), "unclear", "{error}");
}

/// Makes the server know the scripts, so that the next call is one request.
async fn warm_up(session: &Queue) {
    let job = take(session, webhook("msg_warm")).await;
    conclude(session, job, Verdict::Done).await;
}

fn counts(job: &Reservation) -> (u32, u32, u32) {
    (job.attempt, job.crashes, job.errors)
}

async fn a_repeated_reserve_hands_out_the_same_jobs_and_spends_no_attempt(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    warm_up(&session).await;
    let jobs = [reconcile("i1"), reconcile("i2"), reconcile("i3")];
    session.enqueue(&jobs).await.unwrap();
    let mut call = session.call(Vec::new(), 2);
    fail(&rig, Trouble::LostReply, &session, &mut call).await;
    fail(&rig, Trouble::LostReply, &session, &mut call).await;
    let exchange = session.exchange(&mut call).await.unwrap();
    let mut again = ids(&exchange);
    again.sort_unstable();
    assert_eq!(again, ["instance:i1", "instance:i2"]);
    for job in exchange.jobs {
        assert_eq!(counts(&job), (1, 0, 0));
        assert!(Job::parse(&job.id, &job.body).is_ok(), "{}", job.body);
        conclude(&session, job, Verdict::Done).await;
    }
    assert_eq!(ids(&reserve(&session, 10).await), ["instance:i3"]);
}

async fn a_repeated_reserve_finds_its_jobs_among_many_timers(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    warm_up(&session).await;
    for batch in 0..6 {
        let jobs: Vec<_> = (0..100)
            .map(|n| webhook(&format!("m{batch}-{n}")))
            .collect();
        session.enqueue(&jobs).await.unwrap();
        let mut settlements = Vec::new();
        for job in reserve(&session, 100).await.jobs {
            settlements.push(job.settle(Verdict::Again(HOUR), Vec::new()));
        }
        assert_eq!(settle(&session, settlements).await, [true; 100]);
    }
    session.enqueue(&[reconcile("i1")]).await.unwrap();
    let mut call = session.call(Vec::new(), 1);
    fail(&rig, Trouble::LostReply, &session, &mut call).await;
    let exchange = session.exchange(&mut call).await.unwrap();
    assert_eq!(ids(&exchange), ["instance:i1"]);
}

async fn a_reserve_that_never_arrived_can_be_repeated(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    warm_up(&session).await;
    session.enqueue(&[reconcile("i1")]).await.unwrap();
    let mut call = session.call(Vec::new(), 1);
    fail(&rig, Trouble::LostRequest, &session, &mut call).await;
    let exchange = session.exchange(&mut call).await.unwrap();
    assert!(exchange.jobs.is_empty());
    // "Look again at once": it cannot know whether something was due.
    assert_eq!(exchange.next_timer, Some(exchange.now));
    assert_eq!(counts(&reserve_one(&session).await), (1, 0, 0));
}

/// A settlement that writes an event, and the reserve that goes with it.
async fn settle_and_reserve(session: &Queue) -> Call {
    let job = take(session, reconcile("i1")).await;
    session.enqueue(&[reconcile("i2")]).await.unwrap();
    let writes = vec![Write::Event(Box::new(event(&instance("i1"), 1)))];
    session.call(vec![job.settle(failed(HOUR), writes)], 1)
}

async fn assert_settled_once(rig: &Rig, exchange: &Exchange) {
    assert_eq!(exchange.applied, [true]);
    assert_eq!(ids(exchange), ["instance:i2"]);
    assert_eq!(counts(&exchange.jobs[0]), (1, 0, 0));
    let events = rig.ask(["LLEN", &rig.keys.events(&instance("i1"))]).await;
    assert_eq!(events.int().unwrap(), 1);
    let lease = rig.ask(["HGET", &rig.keys.jobs(), "l:instance:i1"]).await;
    assert!(lease.text().unwrap().starts_with("1|0|1||"));
}

async fn a_repeated_settlement_is_applied_once_and_hands_out_the_same_jobs(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    warm_up(&session).await;
    let mut call = settle_and_reserve(&session).await;
    fail(&rig, Trouble::LostReply, &session, &mut call).await;
    fail(&rig, Trouble::LostReply, &session, &mut call).await;
    let exchange = session.exchange(&mut call).await.unwrap();
    assert_settled_once(&rig, &exchange).await;
}

async fn a_settlement_that_never_arrived_is_applied_by_its_repetition(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    warm_up(&session).await;
    let mut call = settle_and_reserve(&session).await;
    fail(&rig, Trouble::LostRequest, &session, &mut call).await;
    fail(&rig, Trouble::LostReply, &session, &mut call).await;
    let exchange = session.exchange(&mut call).await.unwrap();
    assert_settled_once(&rig, &exchange).await;
}

async fn a_repeated_settlement_tells_which_jobs_were_stale(rig: Rig) {
    let (session, other) = (rig.session(LONG_LEASE), rig.session(LONG_LEASE));
    warm_up(&session).await;
    session
        .enqueue(&[reconcile("i1"), reconcile("i2")])
        .await
        .unwrap();
    let mut held = reserve(&session, 2).await.jobs.into_iter();
    let (stale, good) = (held.next().unwrap(), held.next().unwrap());
    rig.ask(["ZADD", &rig.keys.timers(), "1", "l:instance:i1"])
        .await;
    let taken = reserve_one(&other).await;
    let settlements = vec![
        stale.settle(Verdict::Done, Vec::new()),
        good.settle(Verdict::Done, Vec::new()),
    ];
    let mut call = session.call(settlements, 0);
    fail(&rig, Trouble::LostReply, &session, &mut call).await;
    let exchange = session.exchange(&mut call).await.unwrap();
    assert_eq!(exchange.applied, [false, true]);
    conclude(&other, taken, Verdict::Done).await;
}

async fn a_repeated_enqueue_makes_one_job(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    warm_up(&session).await;
    rig.arm(Trouble::LostReply, "EVALSHA");
    session.enqueue(&[reconcile("i1")]).await.unwrap();
    let job = reserve_one(&session).await;
    conclude(&session, job, Verdict::Done).await;
    assert!(reserve(&session, 1).await.jobs.is_empty());
}

async fn a_repeated_checkpoint_and_extension_are_applied(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let (job, i1) = (take(&session, reconcile("i1")).await, instance("i1"));
    let held: [(JobId, String); 1] = [(job.id.clone(), job.token.clone())];
    session.extend(&held).await.unwrap();
    let status = Status::default();
    session
        .checkpoint(&job.id, &job.token, &i1, None, &status)
        .await
        .unwrap();
    rig.arm(Trouble::LostReply, "EVALSHA");
    session.extend(&held).await.unwrap_err();
    assert_eq!(session.extend(&held).await.unwrap(), [true]);
    rig.arm(Trouble::LostReply, "EVALSHA");
    let again = session.checkpoint(&job.id, &job.token, &i1, None, &status);
    assert_eq!(again.await.unwrap(), Checkpoint::Written);
    conclude(&session, job, Verdict::Done).await;
}
