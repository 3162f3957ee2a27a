//! How a sleeping session hears of work.

use std::time::Duration;

use shared::queue::{Job, Queue, Verdict, Write};
use shared::redis::{Notice, Subscription};
use tokio::time::timeout;

use crate::rig::{LONG_LEASE, PATIENCE, Rig, eventually};
use crate::things::{reconcile, reserve, reserve_one, settle, spec, take, webhook};

over_both_transports!(common:
    a_sleeping_session_hears_of_an_enqueued_job,
    a_sleeping_session_hears_of_an_accepted_instance,
    a_sleeping_session_hears_of_a_follow_up_job,
    a_job_that_is_not_runnable_yet_wakes_nobody,
    one_job_wakes_one_session,
    a_session_that_died_in_its_sleep_does_not_swallow_a_wake_up,
);
over_both_transports!(alone:
    a_subscription_comes_back_after_the_server_restarted,
);

/// A session that is subscribed and then found nothing to do.
pub(crate) async fn asleep(rig: &Rig) -> (Queue, Subscription) {
    let session = rig.session(LONG_LEASE);
    let mut wake_ups = session.wake_ups();
    assert_eq!(next(&mut wake_ups).await, Notice::Connected);
    assert!(reserve(&session, 1).await.jobs.is_empty());
    (session, wake_ups)
}

async fn next(wake_ups: &mut Subscription) -> Notice {
    let notice = timeout(PATIENCE, wake_ups.next()).await;
    notice.expect("no notice in time").expect("it never ends")
}

fn woken() -> Notice {
    Notice::Message("wake".into())
}

async fn sleepers(rig: &Rig) -> i64 {
    let count = rig.ask(["ZCARD", &rig.keys.idle()]).await;
    count.int().unwrap()
}

async fn a_sleeping_session_hears_of_an_enqueued_job(rig: Rig) {
    let (session, mut wake_ups) = asleep(&rig).await;
    let producer = rig.session(LONG_LEASE);
    producer.enqueue(&[reconcile("i1")]).await.unwrap();
    assert_eq!(next(&mut wake_ups).await, woken());
    let _ = reserve_one(&session).await;
}

async fn a_session_that_died_in_its_sleep_does_not_swallow_a_wake_up(rig: Rig) {
    for _ in 0..3 {
        let (session, wake_ups) = asleep(&rig).await;
        drop(wake_ups);
        let channel = rig.keys.wake_channel(session.session());
        eventually("the end of a subscription", || async {
            let listeners = rig.ask(["PUBSUB", "NUMSUB", &channel]).await;
            let count = listeners.array().unwrap().pop().unwrap();
            (count.int().unwrap() == 0).then_some(())
        })
        .await;
    }
    let (session, mut wake_ups) = asleep(&rig).await;
    let producer = rig.session(LONG_LEASE);
    producer.enqueue(&[reconcile("i1")]).await.unwrap();
    assert_eq!(next(&mut wake_ups).await, woken());
    let _ = reserve_one(&session).await;
}

async fn a_sleeping_session_hears_of_an_accepted_instance(rig: Rig) {
    let (session, mut wake_ups) = asleep(&rig).await;
    let spec = spec("alpha");
    rig.store().create(&spec).await.unwrap();
    assert_eq!(next(&mut wake_ups).await, woken());
    assert_eq!(
        reserve_one(&session).await.id.as_str(),
        format!("instance:{}", spec.id)
    );
}

async fn a_sleeping_session_hears_of_a_follow_up_job(rig: Rig) {
    let busy = rig.session(LONG_LEASE);
    let job = take(&busy, reconcile("i1")).await;
    // It asked for more than there was, so it counts as a sleeper itself.
    rig.ask(["DEL", &rig.keys.idle()]).await;
    let (session, mut wake_ups) = asleep(&rig).await;
    let writes = vec![Write::Enqueue(webhook("msg_1"), Duration::ZERO)];
    assert_eq!(
        settle(&busy, vec![job.settle(Verdict::Done, writes)]).await,
        [true]
    );
    assert_eq!(next(&mut wake_ups).await, woken());
    let job = reserve_one(&session).await;
    assert!(matches!(
        Job::parse(&job.id, &job.body),
        Ok(Job::Webhook(_))
    ));
}

async fn a_job_that_is_not_runnable_yet_wakes_nobody(rig: Rig) {
    let (busy, other) = (rig.session(LONG_LEASE), rig.session(LONG_LEASE));
    let job = take(&busy, reconcile("i1")).await;
    rig.ask(["DEL", &rig.keys.idle()]).await;
    let (_session, mut wake_ups) = asleep(&rig).await;
    other.enqueue(&[reconcile("i1")]).await.unwrap();
    let again = vec![job.settle(Verdict::Again(LONG_LEASE), Vec::new())];
    let mut call = busy.call(again, 1);
    // The wish that came meanwhile makes it due at once, and it goes to the one that settles.
    let exchange = busy.exchange(&mut call).await.unwrap();
    assert_eq!(exchange.jobs.len(), 1);
    assert_eq!(sleepers(&rig).await, 1);
    other.enqueue(&[webhook("msg_1")]).await.unwrap();
    assert_eq!(next(&mut wake_ups).await, woken());
    assert_eq!(sleepers(&rig).await, 0);
}

async fn one_job_wakes_one_session(rig: Rig) {
    let (first, mut first_wake_ups) = asleep(&rig).await;
    rig.ask(["ZINCRBY", &rig.keys.idle(), "-5", first.session()])
        .await;
    let (_second, mut second_wake_ups) = asleep(&rig).await;
    let producer = rig.session(LONG_LEASE);
    producer.enqueue(&[reconcile("i1")]).await.unwrap();
    assert_eq!(next(&mut first_wake_ups).await, woken());
    assert_eq!(sleepers(&rig).await, 1);
    producer.enqueue(&[reconcile("i2")]).await.unwrap();
    assert_eq!(next(&mut second_wake_ups).await, woken());
}

async fn a_subscription_comes_back_after_the_server_restarted(mut rig: Rig) {
    let (session, mut wake_ups) = asleep(&rig).await;
    rig.server().kill().await.unwrap();
    assert_eq!(next(&mut wake_ups).await, Notice::Lost);
    rig.server().restart().await.unwrap();
    while next(&mut wake_ups).await != Notice::Connected {}
    // The sleeper's place in line survived with the data.
    let producer = rig.session(LONG_LEASE);
    producer.enqueue(&[reconcile("i1")]).await.unwrap();
    assert_eq!(next(&mut wake_ups).await, woken());
    let _ = eventually("the job", async || {
        let mut call = session.call(Vec::new(), 1);
        session.exchange(&mut call).await.ok()?.jobs.pop()
    })
    .await;
}
