//! What a worker would write, written the way a worker does: under a lease.

use std::time::Duration;

use shared::clock::Millis;
use shared::model::{
    Attempt, AttemptState, BillingMode, Event, InstanceId, Offer, OperationState, PortMapping,
    ProviderFacts, Reservation as Reserved, Status,
};
use shared::queue::{Delivery, Job, JobId, Queue, Reservation, Verdict, Write};
use shared::store::Store;

use crate::harness::Api;

/// What jobs are put into and taken from, with leases that outlast every test.
pub(crate) fn queue(api: &Api) -> Queue {
    let keys = api.config.redis.keys.clone();
    Queue::new(api.redis.clone(), keys, Duration::from_secs(300))
}

/// Takes what is due.
pub(crate) async fn take(queue: &Queue) -> Vec<Reservation> {
    let mut reserve = queue.call(Vec::new(), 100);
    queue.exchange(&mut reserve).await.unwrap().jobs
}

/// Takes this job, which alone is due, and gives it back with what it came to.
pub(crate) async fn conclude(queue: &Queue, job: Job, verdict: Verdict) {
    queue.enqueue(&[job]).await.unwrap();
    let settlements = take(queue).await.into_iter();
    let settlements = settlements.map(|job| job.settle(verdict.clone(), Vec::new()));
    let mut settle = queue.call(settlements.collect(), 0);
    assert_eq!(queue.exchange(&mut settle).await.unwrap().applied, [true]);
}

/// The verdict on a job that is given up.
pub(crate) fn dead() -> Verdict {
    Verdict::Dead {
        error: "HTTP 410".to_owned(),
    }
}

/// A webhook about this event, to a receiver whose path is a secret.
pub(crate) fn webhook(event: &str) -> Job {
    Job::Webhook(Delivery {
        event_id: event.parse().unwrap(),
        url: "https://user:s3cret@hooks.example.com/s3cret?token=s3cret".to_owned(),
        body: r#"{"status":"ready"}"#.to_owned(),
        asked: None,
        headers: std::collections::BTreeMap::new(),
        traceparent: None,
    })
}

/// The reconcile of this instance.
pub(crate) fn reconcile(instance: &str) -> Job {
    Job::Reconcile {
        instance: instance.parse().unwrap(),
    }
}

/// Gives an instance this status.
pub(crate) async fn settle(api: &Api, instance: &str, status: Status) {
    let instance: InstanceId = instance.parse().unwrap();
    let write = Write::Status(instance.clone(), Box::new(status));
    write_all(api, &instance, vec![write]).await;
}

/// Appends to the log of an instance.
pub(crate) async fn log(api: &Api, instance: &str, events: &[Event]) {
    let writes = events.iter().cloned();
    let writes = writes.map(|event| Write::Event(Box::new(event))).collect();
    write_all(api, &instance.parse().unwrap(), writes).await;
}

/// Takes this much of the budget for an instance.
pub(crate) async fn reserve(api: &Api, instance: &InstanceId, part: Reserved) {
    let writes = vec![Write::Reserve(instance.clone(), part)];
    write_all(api, instance, writes).await;
}

/// Tells what became of the current operation of an instance, and its status with it.
pub(crate) async fn end(api: &Api, instance: &str, status: Status, state: OperationState) {
    let id: InstanceId = instance.parse().unwrap();
    let store = Store::new(api.redis.clone(), api.config.redis.keys.clone());
    let spec = store.record(&id).await.unwrap().unwrap().spec;
    let ended = spec.operation().ended(state, None, Millis::now());
    let writes = vec![
        Write::Status(id.clone(), Box::new(status)),
        Write::Operation(Box::new(ended)),
    ];
    write_all(api, &id, writes).await;
}

/// Reserves every due job, finishes all of them, and with that of `instance` writes this.
pub(crate) async fn write_all(api: &Api, instance: &InstanceId, mut writes: Vec<Write>) {
    let queue = queue(api);
    let job = Job::Reconcile {
        instance: instance.clone(),
    };
    queue.enqueue(&[job]).await.unwrap();
    let jobs = take(&queue).await;
    let settlements = jobs.into_iter().map(|job| {
        let is_ours = job.id == JobId::instance(instance);
        let writes = is_ours.then(|| std::mem::take(&mut writes));
        job.settle(Verdict::Done, writes.unwrap_or_default())
    });
    let mut settle = queue.call(settlements.collect(), 0);
    let applied = queue.exchange(&mut settle).await.unwrap().applied;
    assert!(
        applied.contains(&true) && !applied.contains(&false),
        "{applied:?}"
    );
}

/// An instance that the provider runs, in a region that nobody asked for.
pub(crate) fn running() -> Status {
    let mut status = Status {
        attempts: vec![Attempt {
            number: 1,
            marker: "m".to_owned(),
            offer: Offer {
                product_id: "prod-1".to_owned(),
                product_name: "RTX 4090 24GB".to_owned(),
                cluster_id: "c1".to_owned(),
                region: "AS-SGP-02".to_owned(),
                billing_mode: BillingMode::Spot,
                unit_price: 33_000,
            },
            ports: 0,
            state: AttemptState::Acked,
            intent_at: Millis(1),
            provider_id: Some("1fb0af38".to_owned()),
            acked_at: Some(Millis(2)),
            absences: 0,
            reason: None,
        }],
        provider: Some(ProviderFacts {
            status: "running".to_owned(),
            port_mappings: vec![PortMapping {
                port: 8888,
                endpoint: "https://1fb0-8888.example.net".to_owned(),
                kind: "http".to_owned(),
            }],
            last_started: Some(1_795_379_400),
            ..ProviderFacts::default()
        }),
        ..Status::default()
    };
    status.timestamps.running = Some(Millis(1_795_379_401_500));
    status
}
