//! What a settlement changes together, or not at all.

use std::time::Duration;

use shared::clock::Millis;
use shared::model::{InstanceId, OperationState, Spec, Status};
use shared::queue::{BATCH, Exchange, Job, Reservation, Settlement, Verdict, Write};
use shared::store::Accepted;

use crate::rig::{LONG_LEASE, Rig};
use crate::things::{
    HOUR, conclude, dead, event, failed, ids, reconcile, reserve, reserve_one, settle, spec,
    webhook,
};

over_both_transports!(common:
    a_settlement_applies_everything_it_brings,
    a_stale_settlement_applies_nothing_it_brings,
    a_name_that_another_instance_holds_is_not_released,
    one_call_settles_each_job_by_its_own_verdict_and_reserves_the_next,
    a_full_batch_is_settled_in_one_call,
    a_session_that_settles_does_not_get_more_than_it_asked_for,
    results_that_cannot_be_stored_leave_a_job_to_be_tried_again,
);

/// Everything that a settlement can bring along.
fn everything(spec: &Spec) -> Vec<Write> {
    let ended = spec
        .operation()
        .ended(OperationState::Succeeded, None, Millis(5));
    let status = Status {
        observed_generation: 1,
        ..Status::default()
    };
    vec![
        Write::Status(spec.id.clone(), Box::new(status)),
        Write::Operation(Box::new(ended)),
        Write::Event(Box::new(event(&spec.id, 1))),
        Write::ReleaseName(spec.name.clone(), spec.id.clone()),
        Write::Enqueue(webhook("msg_1"), Duration::ZERO),
    ]
}

/// Whether status, operation, event, name and follow-up job are as [`everything`] leaves them.
async fn effects(rig: &Rig, spec: &Spec) -> [bool; 5] {
    let store = rig.store();
    let record = store.record(&spec.id).await.unwrap().unwrap();
    let operation = store
        .operation(&spec.request.operation_id)
        .await
        .unwrap()
        .unwrap();
    let events = rig.ask(["LLEN", &rig.keys.events(&spec.id)]).await;
    let holder = rig.ask(["HGET", &rig.keys.names(), &spec.name]).await;
    let follow_up = rig
        .ask(["ZSCORE", &rig.keys.ready(), "webhook:msg_1"])
        .await;
    [
        record
            .status
            .is_some_and(|status| status.observed_generation == 1),
        operation.state == OperationState::Succeeded,
        events.int().unwrap() == 1,
        holder.optional_text().unwrap().is_none(),
        follow_up.optional_text().unwrap().is_some(),
    ]
}

async fn a_settlement_applies_everything_it_brings(rig: Rig) {
    let (session, spec) = (rig.session(LONG_LEASE), spec("alpha"));
    assert_eq!(rig.store().create(&spec).await.unwrap(), Accepted::Yes);
    let job = reserve_one(&session).await;
    assert_eq!(effects(&rig, &spec).await, [false; 5]);
    let settlement = job.settle(Verdict::Again(HOUR), everything(&spec));
    assert_eq!(settle(&session, vec![settlement]).await, [true]);
    assert_eq!(effects(&rig, &spec).await, [true; 5]);
}

async fn a_stale_settlement_applies_nothing_it_brings(rig: Rig) {
    let (session, spec) = (rig.session(LONG_LEASE), spec("alpha"));
    assert_eq!(rig.store().create(&spec).await.unwrap(), Accepted::Yes);
    let job = reserve_one(&session).await;
    let forged = |job: &Reservation, token: &str, verdict| {
        let job = Reservation {
            id: job.id.clone(),
            token: token.into(),
            body: String::new(),
            ..*job
        };
        job.settle(verdict, everything(&spec))
    };
    for verdict in [
        Verdict::Done,
        Verdict::Release,
        Verdict::Hold(HOUR),
        failed(HOUR),
        dead(),
        Verdict::Again(HOUR),
    ] {
        let stale = forged(&job, "somebody.else", verdict);
        assert_eq!(settle(&session, vec![stale]).await, [false]);
    }
    assert_eq!(effects(&rig, &spec).await, [false; 5]);
    let token = job.token.clone();
    conclude(&session, job, Verdict::Release).await;
    let job = reserve_one(&session).await;
    let late = forged(&job, &token, Verdict::Done);
    assert_eq!(settle(&session, vec![late]).await, [false]);
    conclude(&session, job, Verdict::Release).await;
    assert_eq!(effects(&rig, &spec).await, [false; 5]);
}

async fn a_name_that_another_instance_holds_is_not_released(rig: Rig) {
    let (session, spec) = (rig.session(LONG_LEASE), spec("alpha"));
    assert_eq!(rig.store().create(&spec).await.unwrap(), Accepted::Yes);
    let job = reserve_one(&session).await;
    let other = Write::ReleaseName("alpha".into(), InstanceId::generate());
    assert_eq!(
        settle(&session, vec![job.settle(Verdict::Done, vec![other])]).await,
        [true]
    );
    let holder = rig.ask(["HGET", &rig.keys.names(), "alpha"]).await;
    assert_eq!(holder.text().unwrap(), spec.id.as_str());
}

async fn one_call_settles_each_job_by_its_own_verdict_and_reserves_the_next(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let jobs: Vec<Job> = (1..=7).map(|n| reconcile(&format!("i{n}"))).collect();
    session.enqueue(&jobs).await.unwrap();
    let held = reserve(&session, 6).await.jobs;
    let verdicts = [
        Verdict::Done,
        Verdict::Again(HOUR),
        failed(HOUR),
        dead(),
        Verdict::Release,
    ];
    let mut settlements: Vec<Settlement> = Vec::new();
    for (job, verdict) in held.into_iter().zip(verdicts) {
        settlements.push(job.settle(verdict, Vec::new()));
    }
    let mut call = session.call(settlements, 10);
    let exchange: Exchange = session.exchange(&mut call).await.unwrap();
    assert_eq!(exchange.applied, [true; 5]);
    // The released one counts from now, the other still has its offset to wait for.
    assert_eq!(ids(&exchange), ["instance:i5", "instance:i7"]);
    let mut waiting: Vec<String> = Vec::new();
    for (member, _) in rig.scores(&rig.keys.timers()).await {
        waiting.push(member.replace("instance:", ""));
    }
    waiting.sort();
    assert_eq!(waiting, ["d:i2", "d:i3", "l:i5", "l:i6", "l:i7"]);
    assert_eq!(rig.scores(&rig.keys.dead()).await[0].0, "instance:i4");
    let done = rig
        .ask(["HMGET", &rig.keys.jobs(), "instance:i1", "l:instance:i1"])
        .await;
    assert!(done.optional_texts().unwrap().iter().all(Option::is_none));
}

async fn a_full_batch_is_settled_in_one_call(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let named = |prefix: &str| -> Vec<Job> {
        (0..BATCH)
            .map(|n| reconcile(&format!("{prefix}{n}")))
            .collect()
    };
    session.enqueue(&named("a")).await.unwrap();
    let held = reserve(&session, BATCH).await.jobs;
    assert_eq!(held.len(), BATCH);
    session.enqueue(&named("b")).await.unwrap();
    let mut settlements = Vec::new();
    for job in held {
        let Ok(Job::Reconcile { instance }) = Job::parse(&job.id, &job.body) else {
            panic!("not a reconcile");
        };
        let writes = vec![
            Write::Status(instance.clone(), Box::default()),
            Write::Event(Box::new(event(&instance, 1))),
            Write::Enqueue(webhook(&format!("msg_{instance}")), Duration::ZERO),
        ];
        settlements.push(job.settle(Verdict::Done, writes));
    }
    let mut call = session.call(settlements, BATCH);
    let exchange = session.exchange(&mut call).await.unwrap();
    assert_eq!(exchange.applied, [true; BATCH]);
    assert!(ids(&exchange).iter().all(|id| id.starts_with("instance:b")));
    assert_eq!(exchange.jobs.len(), BATCH);
    let follow_ups = reserve(&session, BATCH).await;
    assert!(
        ids(&follow_ups)
            .iter()
            .all(|id| id.starts_with("webhook:msg_a"))
    );
    assert_eq!(follow_ups.jobs.len(), BATCH);
    let statuses = rig.ask(["HLEN", &rig.keys.status()]).await;
    assert_eq!(statuses.int().unwrap(), BATCH as i64);
}

async fn a_session_that_settles_does_not_get_more_than_it_asked_for(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let jobs: Vec<Job> = (0..4).map(|n| reconcile(&format!("i{n}"))).collect();
    session.enqueue(&jobs).await.unwrap();
    let job = reserve(&session, 1).await.jobs.remove(0);
    let mut call = session.call(vec![job.settle(Verdict::Done, Vec::new())], 2);
    assert_eq!(session.exchange(&mut call).await.unwrap().jobs.len(), 2);
    assert!(reserve(&session, 0).await.jobs.is_empty());
}

async fn results_that_cannot_be_stored_leave_a_job_to_be_tried_again(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let spec = spec("alpha");
    rig.store().create(&spec).await.unwrap();
    let job = reserve_one(&session).await;
    let settlement = job.settle(Verdict::Done, everything(&spec));
    let call = session.call(vec![settlement], 0);
    let mut call = call.without_results(std::time::Duration::ZERO);
    let told = session.exchange(&mut call).await.unwrap();
    assert_eq!(told.applied, [true]);
    assert_eq!(effects(&rig, &spec).await, [false; 5]);
    assert_eq!(reserve_one(&session).await.errors, 1);
}
