//! The queue as administrators see and steer it.

use shared::clock::Millis;
use shared::queue::{Exhumed, JobId, JobKind, JobState, QueueAdmin, Scope, Workers};

use crate::rig::{LONG_LEASE, Rig};
use crate::things::{HOUR, conclude, dead, failed, reconcile, reserve, take, webhook};

over_both_transports!(common:
    every_state_is_listed_and_shown_alike,
    only_the_dead_are_retried_and_dropped,
    what_is_paused_waits,
);

fn admin(rig: &Rig) -> QueueAdmin {
    QueueAdmin::new(rig.redis.clone(), rig.keys.clone())
}

async fn every_state_is_listed_and_shown_alike(rig: Rig) {
    let (session, admin) = (rig.session(LONG_LEASE), admin(&rig));
    let job = take(&session, webhook("msg_dead")).await;
    conclude(&session, job, dead()).await;
    let job = take(&session, webhook("msg_delayed")).await;
    conclude(&session, job, failed(HOUR)).await;
    let held = take(&session, webhook("msg_leased")).await;
    admin.pause(Scope::Kind(JobKind::Instance)).await.unwrap();
    session.enqueue(&[reconcile("paused")]).await.unwrap();
    assert!(reserve(&session, 1).await.jobs.is_empty());
    session
        .enqueue(&[webhook("msg_due"), webhook("msg_leased")])
        .await
        .unwrap();

    for (state, id) in [
        (JobState::Due, "webhook:msg_due"),
        (JobState::Leased, "webhook:msg_leased"),
        (JobState::Delayed, "webhook:msg_delayed"),
        (JobState::Paused, "instance:paused"),
        (JobState::Dead, "webhook:msg_dead"),
    ] {
        let mut page = admin.list(state, 0, 10).await.unwrap();
        assert_eq!((page.total, page.jobs.len()), (1, 1), "{state}");
        let listed = page.jobs.remove(0);
        assert_eq!((listed.id.as_str(), listed.state), (id, state));
        assert_eq!(listed.at.is_none(), state == JobState::Paused);
        let mut shown = admin.show(&listed.id).await.unwrap().unwrap();
        assert!(shown.seen_at >= listed.seen_at && listed.seen_at == page.now);
        shown.seen_at = listed.seen_at;
        assert_eq!(shown, listed);
        let is_held = state == JobState::Leased;
        assert_eq!(
            listed.holder.as_deref(),
            is_held.then_some(session.session())
        );
        assert_eq!(listed.is_wanted_again, is_held);
        let has_failed = matches!(state, JobState::Delayed | JobState::Dead);
        assert_eq!(listed.errors.is_empty(), !has_failed, "{:?}", listed.errors);
    }
    let (stats, workers) = admin.overview().await.unwrap();
    let counts = [
        stats.due,
        stats.leased,
        stats.delayed,
        stats.paused,
        stats.dead,
    ];
    assert_eq!((counts, workers), ([1; 5], Workers::default()));
    conclude(&session, held, failed(HOUR)).await;
}

async fn only_the_dead_are_retried_and_dropped(rig: Rig) {
    let (session, admin) = (rig.session(LONG_LEASE), admin(&rig));
    let id = webhook("msg_1").id();
    assert_eq!(admin.retry(&id).await.unwrap(), Exhumed::Unknown);
    for verb in ["retry", "drop"] {
        let exhume = async || match verb {
            "retry" => admin.retry(&id).await.unwrap(),
            _ => admin.drop_dead(&id).await.unwrap(),
        };
        let job = take(&session, webhook("msg_1")).await;
        assert_eq!(exhume().await, Exhumed::NotDead(JobState::Leased), "{verb}");
        conclude(&session, job, dead()).await;
        assert_eq!(admin.dead().await.unwrap(), 1);
        assert_eq!(exhume().await, Exhumed::Yes, "{verb}");
        assert_eq!(admin.dead().await.unwrap(), 0);
        let after = match verb {
            "retry" => Exhumed::NotDead(JobState::Due),
            _ => Exhumed::Unknown,
        };
        assert_eq!(exhume().await, after, "{verb}");
    }
    // The lease of a job lies beside its body and is no job.
    let job = take(&session, webhook("msg_1")).await;
    let lease = JobId::stored("l:webhook:msg_1".into());
    assert_eq!(admin.show(&lease).await.unwrap(), None);
    assert_eq!(admin.drop_dead(&lease).await.unwrap(), Exhumed::Unknown);
    conclude(&session, job, dead()).await;
    assert_eq!(admin.drop_dead_before(Millis(1), 10).await.unwrap(), 0);
    assert_eq!(admin.retry_dead(10).await.unwrap(), 1);
}

async fn what_is_paused_waits(rig: Rig) {
    let (session, admin) = (rig.session(LONG_LEASE), admin(&rig));
    let webhooks = Scope::Kind(JobKind::Webhook);
    assert!(admin.pause(webhooks).await.unwrap());
    assert!(!admin.pause(webhooks).await.unwrap());
    session.enqueue(&[webhook("msg_1")]).await.unwrap();
    assert!(reserve(&session, 1).await.jobs.is_empty());
    let stats = admin.overview().await.unwrap().0;
    assert_eq!((stats.paused, stats.paused_scopes), (1, vec![webhooks]));
    assert!(admin.resume(webhooks).await.unwrap());
    assert!(!admin.resume(webhooks).await.unwrap());
    assert_eq!(reserve(&session, 1).await.jobs.len(), 1);
}
