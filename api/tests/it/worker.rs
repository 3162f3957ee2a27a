//! What a worker would write, written the way a worker does: under a lease.

use std::time::Duration;

use shared::clock::Millis;
use shared::model::{
    Attempt, AttemptState, BillingMode, InstanceId, Offer, PortMapping, ProviderFacts, Status,
};
use shared::queue::{Job, JobId, Queue, Verdict, Write};

use crate::harness::Api;

/// Reserves every due job; gives the one of `instance` this status and finishes all of them.
pub(crate) async fn settle(api: &Api, instance: &str, status: Status) {
    let keys = api.config.redis.keys.clone();
    let queue = Queue::new(api.redis.clone(), keys, Duration::from_secs(60));
    let instance: InstanceId = instance.parse().unwrap();
    let job = Job::Reconcile {
        instance: instance.clone(),
    };
    queue.enqueue(&[job]).await.unwrap();
    let mut reserve = queue.call(Vec::new(), 100);
    let jobs = queue.exchange(&mut reserve).await.unwrap().jobs;
    let write = || Write::Status(instance.clone(), Box::new(status.clone()));
    let settlements = jobs.into_iter().map(|job| {
        let is_ours = job.id == JobId::instance(&instance);
        let writes = is_ours.then(write).into_iter().collect();
        job.settle(Verdict::Done, writes)
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
