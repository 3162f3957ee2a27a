//! What should have been told, beside what was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use devstack::sink::Sink;
use serde_json::{Value, json};
use shared::model::InstanceId;
use shared::redis::{Keys, Redis, RedisOptions, Target};
use shared::store::Store;
use tokio::time::{Instant, sleep};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Far above the first waits of the schedule: what is not there by then never comes.
const PATIENCE: Duration = Duration::from_secs(240);
/// Of all deliveries, at the most.
const DUPLICATES: f64 = 0.01;

/// Records and receiver.
pub(crate) struct Books<'a> {
    store: Store,
    sink: &'a Sink,
}

/// What they say.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    instances: usize,
    /// Webhooks that should have come.
    events: usize,
    /// Deliveries that did come.
    deliveries: usize,
    /// Deliveries of what had come before.
    duplicates: usize,
    /// Instance and number of what did not come.
    lost: Vec<String>,
    /// What nobody should have sent.
    wrong: Vec<String>,
}

impl<'a> Books<'a> {
    pub(crate) fn open(redis: &str, sink: &'a Sink) -> Self {
        let options = RedisOptions {
            target: Target::Resp {
                url: redis.to_owned(),
            },
            connect_timeout: Duration::from_secs(3),
            command_timeout: Duration::from_secs(5),
            retries: 3,
            retry_delay: Duration::from_millis(50),
        };
        let redis = Redis::new(&options).unwrap();
        Self {
            store: Store::new(redis, Keys::new("novita_api")),
            sink,
        }
    }

    /// Waits until nothing is missing, and tells what is if that never comes.
    pub(crate) async fn balanced(&self, ids: &[InstanceId]) -> Tally {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let tally = self.read(ids).await;
            if tally.lost.is_empty() || Instant::now() > deadline {
                return tally;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn read(&self, ids: &[InstanceId]) -> Tally {
        let mut tally = Tally {
            instances: ids.len(),
            ..Tally::default()
        };
        let mut came = self.came(&mut tally);
        for id in ids {
            let record = self.store.record(id).await.unwrap().expect("a record");
            let told = record.status.map_or(0, |status| status.notices);
            let numbers = came.remove(id.as_str()).unwrap_or_default();
            tally.events += told as usize;
            let missing = (1..=told).filter(|number| !numbers.contains(number));
            tally
                .lost
                .extend(missing.map(|number| format!("{id} #{number}")));
            let extra = numbers.iter().filter(|number| **number > told);
            tally
                .wrong
                .extend(extra.map(|number| format!("{id} #{number}, of {told}")));
        }
        tally.wrong.extend(came.into_keys());
        tally
    }

    /// The numbers that came of every instance.
    fn came(&self, tally: &mut Tally) -> BTreeMap<String, BTreeSet<u64>> {
        let mut numbers: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        let mut known: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for webhook in self.sink.webhooks() {
            let body: Value = serde_json::from_str(&webhook.body).unwrap();
            let instance = body["instanceId"].as_str().expect("whose").to_owned();
            let number = body["sequence"].as_u64().expect("a number");
            let id = webhook.headers["webhook-id"].clone();
            tally.deliveries += 1;
            numbers.entry(instance.clone()).or_default().insert(number);
            match known.insert(id.clone(), (instance.clone(), number)) {
                Some(before) if before == (instance, number) => tally.duplicates += 1,
                Some(before) => tally.wrong.push(format!("{id} was that of {before:?}")),
                None => {}
            }
        }
        // Two ids with one number would be two events that claim to be the same.
        let distinct: usize = numbers.values().map(BTreeSet::len).sum();
        if distinct != known.len() {
            tally
                .wrong
                .push(format!("{} ids, {distinct} numbers", known.len()));
        }
        numbers
    }
}

impl Tally {
    fn share(&self) -> f64 {
        self.duplicates as f64 / self.deliveries.max(1) as f64
    }

    pub(crate) fn is_well(&self) -> bool {
        let is_complete = self.lost.is_empty() && self.wrong.is_empty();
        // One in a small sample says nothing.
        is_complete && (self.share() < DUPLICATES || self.duplicates <= 3)
    }

    /// What the closing line does not tell.
    pub(crate) fn explanation(&self) -> Vec<String> {
        let lost = self.lost.iter().map(|what| format!("lost: {what}"));
        let wrong = self.wrong.iter().map(|what| format!("wrong: {what}"));
        lost.chain(wrong).collect()
    }

    /// The closing line.
    pub(crate) fn report(&self, kills: usize, secrets: usize) -> Value {
        json!({
            "instances": self.instances,
            "events": self.events,
            "lost": self.lost.len(),
            "wrong": self.wrong.len(),
            "duplicates": self.duplicates,
            "duplicate_share": (self.share() * 1e5).round() / 1e5,
            "kills": kills,
            "secrets_told": secrets,
        })
    }
}
