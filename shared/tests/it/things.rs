//! The small things that stories are about, and the short words for what is done with them.

use std::time::Duration;

use shared::clock::Millis;
use shared::model::spec::Request;
use shared::model::{
    Actor, BillingMode, Cause, CreateOptions, Desired, Event, EventId, EventKind, InstanceId,
    OperationId, OperationKind, Spec,
};
use shared::queue::{Delivery, Exchange, Job, Queue, Reservation, Settlement, Verdict};
use shared::webhooks::{Entry, Fate};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn instance(name: &str) -> InstanceId {
    name.parse().unwrap()
}

/// A job of high priority.
pub(crate) fn reconcile(name: &str) -> Job {
    Job::Reconcile {
        instance: instance(name),
    }
}

/// A line of the log of deliveries about this event, which is delivered.
pub(crate) fn delivery(event: &str) -> Entry {
    Entry {
        event_id: event.parse().unwrap(),
        url: "https://hooks.example.com/s3cret".into(),
        body: r#"{"type":"instance.ready"}"#.into(),
        headers: std::collections::BTreeMap::new(),
        asked: None,
        at: Millis(1_000),
        attempt: 1,
        fate: Fate::Delivered,
        reason: None,
        status: Some(204),
        took_ms: 3,
        next_at: None,
        may_repeat: false,
    }
}

/// A job of normal priority.
pub(crate) fn webhook(name: &str) -> Job {
    Job::Webhook(Delivery {
        event_id: name.parse().unwrap(),
        url: "https://example.com/hook".into(),
        body: r#"{"text":"naïve 🚀 \"quoted\""}"#.into(),
        asked: None,
        headers: std::collections::BTreeMap::new(),
        traceparent: None,
    })
}

pub(crate) fn event(instance: &InstanceId, number: u64) -> Event {
    Event {
        id: EventId::generate(),
        instance_id: instance.clone(),
        number,
        kind: EventKind::Running,
        at: Millis(number),
        reason: "because".into(),
        cause: Cause::Sweeper,
        actor: Actor::Policy,
        change: None,
        data: serde_json::Value::Null,
    }
}

pub(crate) fn request(kind: OperationKind) -> Request {
    Request {
        operation_id: OperationId::generate(),
        kind,
        at: Millis(1),
        webhook_url: None,
        health_check: None,
        claim: None,
        traceparent: None,
    }
}

/// A new instance, wanted under this name.
pub(crate) fn spec(name: &str) -> Spec {
    Spec {
        id: InstanceId::generate(),
        name: name.into(),
        product_name: "RTX 4090 24GB".into(),
        template_id: "t-1".into(),
        gpu_num: 1,
        rootfs_size: 60,
        region: None,
        billing_mode: BillingMode::Spot,
        options: CreateOptions::default(),
        webhook_url: None,
        desired: Desired::Running,
        generation: 1,
        created_at: Millis(1),
        request: request(OperationKind::Create),
        past_operations: Vec::new(),
    }
}

pub(crate) fn failed(after: Duration) -> Verdict {
    Verdict::Retry {
        after,
        error: "broke | twice\nover two lines".into(),
    }
}

pub(crate) fn crashed(after: Duration) -> Verdict {
    Verdict::Crash {
        after,
        error: "panicked".into(),
    }
}

pub(crate) fn dead() -> Verdict {
    Verdict::Dead {
        error: "hopeless".into(),
    }
}

pub(crate) async fn reserve(session: &Queue, count: usize) -> Exchange {
    let mut call = session.call(Vec::new(), count);
    session.exchange(&mut call).await.unwrap()
}

/// The one job that is to be had.
pub(crate) async fn reserve_one(session: &Queue) -> Reservation {
    let mut jobs = reserve(session, 10).await.jobs;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

/// Enqueues a job and takes it.
pub(crate) async fn take(session: &Queue, job: Job) -> Reservation {
    session.enqueue(&[job]).await.unwrap();
    reserve_one(session).await
}

/// Settles and reserves nothing; what was applied.
pub(crate) async fn settle(session: &Queue, settlements: Vec<Settlement>) -> Vec<bool> {
    let mut call = session.call(settlements, 0);
    session.exchange(&mut call).await.unwrap().applied
}

/// Settles one job without writing anything; it must be applied.
pub(crate) async fn conclude(session: &Queue, job: Reservation, verdict: Verdict) {
    let applied = settle(session, vec![job.settle(verdict, Vec::new())]).await;
    assert_eq!(applied, [true]);
}

pub(crate) fn ids(exchange: &Exchange) -> Vec<&str> {
    exchange.jobs.iter().map(|job| job.id.as_str()).collect()
}
