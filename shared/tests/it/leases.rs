//! What happens to a holder that is late, and to what it still wants to write.

use shared::model::Status;
use shared::queue::{Checkpoint, Exchange, JobId, Queue, Reservation, Verdict, Write};
use shared::store::Record;

use crate::rig::{LONG_LEASE, Rig, SHORT_LEASE, eventually};
use crate::things::{conclude, instance, reconcile, reserve, reserve_one, settle, spec, take};

over_both_transports!(common:
    an_expired_lease_hands_the_job_on_and_its_holder_is_not_heard_any_more,
    a_late_settlement_counts_while_nobody_has_taken_the_job,
    a_late_settlement_of_a_lease_that_nobody_saw_expire_counts,
    a_lease_that_is_extended_in_time_does_not_expire,
    a_late_extension_takes_the_job_back_while_nobody_has_it,
    extending_nothing_is_not_an_error,
    a_checkpoint_renews_the_lease_and_writes_under_its_token_only,
    a_checkpoint_on_an_outdated_read_writes_nothing,
    what_a_read_told_is_what_a_checkpoint_compares_with,
    a_late_checkpoint_takes_the_job_back_while_nobody_has_it,
);

fn status(generation: u64) -> Status {
    Status {
        observed_generation: generation,
        ..Status::default()
    }
}

fn write_status(generation: u64) -> Vec<Write> {
    vec![Write::Status(instance("i1"), Box::new(status(generation)))]
}

async fn stored_status(rig: &Rig) -> Option<Status> {
    let stored = rig.ask(["HGET", &rig.keys.status(), "i1"]).await;
    let json = stored.optional_text().unwrap()?;
    Some(serde_json::from_str(&json).unwrap())
}

async fn when_expired(session: &Queue) -> Exchange {
    eventually("the end of the lease", async || {
        let exchange = reserve(session, 1).await;
        (!exchange.jobs.is_empty()).then_some(exchange)
    })
    .await
}

/// A job whose lease has ended, and which waits to be taken by somebody.
async fn lapsed(rig: &Rig, holder: &Queue) -> Reservation {
    let job = take(holder, reconcile("i1")).await;
    let onlooker = rig.session(LONG_LEASE);
    eventually("the job is ready", async || {
        let _ = reserve(&onlooker, 0).await;
        let waits = rig
            .ask(["ZSCORE", &rig.keys.ready(), job.id.as_str()])
            .await;
        waits.optional_text().unwrap()
    })
    .await;
    job
}

fn held(job: &Reservation) -> Vec<(JobId, String)> {
    vec![(job.id.clone(), job.token.clone())]
}

async fn an_expired_lease_hands_the_job_on_and_its_holder_is_not_heard_any_more(rig: Rig) {
    let (slow, quick) = (rig.session(SHORT_LEASE), rig.session(LONG_LEASE));
    let late = take(&slow, reconcile("i1")).await;
    let mut exchange = when_expired(&quick).await;
    let job = exchange.jobs.remove(0);
    assert_eq!((job.attempt, job.crashes, job.errors), (2, 1, 0));
    assert_ne!(job.token, late.token);
    assert_eq!(
        settle(
            &quick,
            vec![job.settle(Verdict::Again(LONG_LEASE), write_status(2))]
        )
        .await,
        [true]
    );
    assert_eq!(slow.extend(&held(&late)).await.unwrap(), [false]);
    assert_eq!(
        settle(&slow, vec![late.settle(Verdict::Done, write_status(1))]).await,
        [false]
    );
    assert_eq!(stored_status(&rig).await, Some(status(2)));
    let timers = rig.scores(&rig.keys.timers()).await;
    assert_eq!(timers.len(), 1);
    assert_eq!(timers[0].0, "d:instance:i1");
}

async fn a_late_settlement_counts_while_nobody_has_taken_the_job(rig: Rig) {
    let holder = rig.session(SHORT_LEASE);
    let late = lapsed(&rig, &holder).await;
    let applied = settle(&holder, vec![late.settle(Verdict::Done, write_status(1))]).await;
    assert_eq!(applied, [true]);
    assert_eq!(stored_status(&rig).await, Some(status(1)));
    assert!(reserve(&holder, 1).await.jobs.is_empty());
    for key in [rig.keys.jobs()] {
        assert_eq!(rig.ask(["HLEN", &key]).await.int().unwrap(), 0, "{key}");
    }
}

async fn a_late_settlement_of_a_lease_that_nobody_saw_expire_counts(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, reconcile("i1")).await;
    rig.ask(["ZADD", &rig.keys.timers(), "1", "l:instance:i1"])
        .await;
    conclude(&session, job, Verdict::Done).await;
    let exchange = reserve(&session, 1).await;
    assert!(exchange.jobs.is_empty());
    assert_eq!(exchange.next_timer, None);
}

async fn a_lease_that_is_extended_in_time_does_not_expire(rig: Rig) {
    let (holder, other) = (rig.session(LONG_LEASE), rig.session(LONG_LEASE));
    let job = take(&holder, reconcile("i1")).await;
    let timers = rig.keys.timers();
    // Nearly over.
    let now = reserve(&other, 0).await.now;
    rig.ask([
        "ZADD",
        &timers,
        &now.plus(5000).0.to_string(),
        "l:instance:i1",
    ])
    .await;
    assert_eq!(holder.extend(&held(&job)).await.unwrap(), [true]);
    let exchange = reserve(&other, 1).await;
    assert!(exchange.jobs.is_empty());
    let lease = LONG_LEASE.as_millis() as u64;
    assert!(exchange.next_timer.unwrap() >= now.plus(lease));
    conclude(&holder, job, Verdict::Done).await;
}

async fn a_late_extension_takes_the_job_back_while_nobody_has_it(rig: Rig) {
    let late = lapsed(&rig, &rig.session(SHORT_LEASE)).await;
    let patient = rig.session(LONG_LEASE);
    let mut asked = held(&late);
    asked.push((late.id.clone(), "somebody.else".into()));
    assert_eq!(patient.extend(&asked).await.unwrap(), [true, false]);
    assert!(reserve(&patient, 1).await.jobs.is_empty());
    conclude(&patient, late, Verdict::Again(std::time::Duration::ZERO)).await;
    let job = reserve_one(&patient).await;
    assert_eq!((job.attempt, job.crashes), (1, 0));
}

async fn extending_nothing_is_not_an_error(rig: Rig) {
    let extended = rig.session(LONG_LEASE).extend(&[]).await.unwrap();
    assert!(extended.is_empty());
}

async fn a_checkpoint_renews_the_lease_and_writes_under_its_token_only(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, reconcile("i1")).await;
    rig.ask(["ZADD", &rig.keys.timers(), "1", "l:instance:i1"])
        .await;
    let i1 = instance("i1");
    let written = session
        .checkpoint(&job.id, &job.token, &i1, None, &status(1))
        .await;
    assert_eq!(written.unwrap(), Checkpoint::Written);
    assert_eq!(stored_status(&rig).await, Some(status(1)));
    assert!(reserve(&session, 1).await.jobs.is_empty());

    let written = session
        .checkpoint(&job.id, "somebody.else", &i1, None, &status(2))
        .await;
    assert_eq!(written.unwrap(), Checkpoint::Lost);
    conclude(&session, job, Verdict::Done).await;
    let written = session
        .checkpoint(&JobId::instance(&i1), "", &i1, None, &status(3))
        .await;
    assert_eq!(written.unwrap(), Checkpoint::Lost);
    assert_eq!(stored_status(&rig).await, Some(status(1)));
}

async fn a_checkpoint_on_an_outdated_read_writes_nothing(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, reconcile("i1")).await;
    let i1 = instance("i1");
    let began = async |began_with: Option<&str>, next| {
        session
            .checkpoint(&job.id, &job.token, &i1, began_with, &status(next))
            .await
            .unwrap()
    };
    assert_eq!(began(None, 1).await, Checkpoint::Written);
    assert_eq!(began(None, 1).await, Checkpoint::Written, "a repeat");
    assert_eq!(began(None, 2).await, Checkpoint::Outdated);
    assert_eq!(began(Some("{}"), 2).await, Checkpoint::Outdated);
    assert_eq!(stored_status(&rig).await, Some(status(1)));
    let stored = serde_json::to_string(&status(1)).unwrap();
    assert_eq!(began(Some(&stored), 2).await, Checkpoint::Written);
    assert_eq!(stored_status(&rig).await, Some(status(2)));
    conclude(&session, job, Verdict::Done).await;
}

async fn what_a_read_told_is_what_a_checkpoint_compares_with(rig: Rig) {
    let (session, spec) = (rig.session(LONG_LEASE), spec("alpha"));
    rig.store().create(&spec).await.unwrap();
    let job = reserve_one(&session).await;
    let began = async |record: &Record, next| {
        let began_with = record.stored_status.as_deref();
        session
            .checkpoint(&job.id, &job.token, &spec.id, began_with, &status(next))
            .await
            .unwrap()
    };
    let read = async || rig.store().record(&spec.id).await.unwrap().unwrap();
    let first = read().await;
    assert_eq!(began(&first, 1).await, Checkpoint::Written);
    let second = read().await;
    assert_eq!(began(&second, 2).await, Checkpoint::Written);
    assert_eq!(began(&second, 3).await, Checkpoint::Outdated);
    assert_eq!(began(&first, 3).await, Checkpoint::Outdated);
    conclude(&session, job, Verdict::Done).await;
}

async fn a_late_checkpoint_takes_the_job_back_while_nobody_has_it(rig: Rig) {
    let late = lapsed(&rig, &rig.session(SHORT_LEASE)).await;
    let patient = rig.session(LONG_LEASE);
    let written = patient
        .checkpoint(&late.id, &late.token, &instance("i1"), None, &status(1))
        .await;
    assert_eq!(written.unwrap(), Checkpoint::Written);
    assert!(reserve(&patient, 1).await.jobs.is_empty());
    conclude(&patient, late, Verdict::Done).await;
}
