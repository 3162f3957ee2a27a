//! A Redis, a receiver and a worker process, with a hand on its queue and an eye on its log of deliveries.

use std::time::Duration;

use devstack::sink::Webhook;
use devstack::stack::{Stack, StackOptions, Transport, eventually};
use serde_json::{Value, json};
use shared::clock::Millis;
use shared::queue::{Delivery, Job, JobId, JobState, Queue, QueueAdmin, QueueStats};
use shared::redis::{Keys, Redis, RedisOptions, Target};
use shared::webhooks::{DeliveryLog, Entry, Fate, Selection};

/// Far above what anything here takes; reaching it means that it will never happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What must never be seen outside of a request: of URLs and payloads.
pub(crate) const QUERY: &str = "token=s3cret-in-the-query";
pub(crate) const PAYLOAD: &str = "s3cret-in-the-payload";

pub(crate) struct Rig {
    pub(crate) stack: Stack,
    pub(crate) log: DeliveryLog,
    pub(crate) redis: Redis,
    pub(crate) keys: Keys,
    queue: Queue,
}

impl Rig {
    /// Without a worker.
    pub(crate) async fn new() -> Self {
        let options = StackOptions {
            apis: 0,
            workers: 0,
            transport: Transport::Resp,
            ..StackOptions::default()
        };
        let mut stack = Stack::start(options).await.unwrap();
        let options = RedisOptions {
            target: Target::Resp {
                url: stack.redis().url(),
            },
            connect_timeout: Duration::from_secs(3),
            command_timeout: Duration::from_secs(5),
            retries: 3,
            retry_delay: Duration::from_millis(50),
        };
        let (redis, keys) = (Redis::new(&options).unwrap(), Keys::new("novita_api"));
        Self {
            log: DeliveryLog::new(redis.clone(), keys.clone()),
            queue: Queue::new(redis.clone(), keys.clone(), PATIENCE),
            redis,
            keys,
            stack,
        }
    }

    /// With one, which tells the receiver's path `/all` of everything.
    pub(crate) async fn working() -> Self {
        let mut rig = Self::new().await;
        rig.add_worker(&[]).await;
        rig
    }

    /// One more worker, with more variables; returns its position.
    pub(crate) async fn add_worker(&mut self, env: &[(&str, &str)]) -> usize {
        let all = format!("{}/all", self.stack.sink().url());
        let mut variables = vec![("WEBHOOK_URL", all.as_str())];
        variables.extend(env);
        self.stack.add_worker(&variables).await.unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}?{QUERY}", self.stack.sink().url())
    }

    /// Has an event delivered to a path of the receiver.
    pub(crate) async fn send(&self, event: &str, path: &str) {
        self.send_to(event, self.url(path)).await;
    }

    pub(crate) async fn send_to(&self, event: &str, url: String) {
        let body = json!({"type": "instance.ready", "eventId": event, "note": PAYLOAD});
        let job = Job::Webhook(Delivery {
            event_id: event.parse().unwrap(),
            url,
            body: body.to_string(),
            headers: std::collections::BTreeMap::new(),
            traceparent: None,
            asked: None,
        });
        self.queue.enqueue(&[job]).await.unwrap();
    }

    /// Has the receiver answer otherwise from now on.
    pub(crate) async fn misbehave(&self, rule: Value) {
        let url = format!("{}/_sink/behaviour", self.stack.sink().url());
        let client = devstack::http::client();
        let answer = client.post(url).json(&rule).send().await.unwrap();
        assert!(
            answer.status().is_success(),
            "{}",
            answer.text().await.unwrap()
        );
    }

    pub(crate) async fn behave(&self) {
        let url = format!("{}/_sink/behaviour", self.stack.sink().url());
        let client = devstack::http::client();
        client.delete(url).send().await.unwrap();
    }

    /// What came to this path so far.
    pub(crate) fn received(&self, path: &str) -> Vec<Webhook> {
        let mut webhooks = self.stack.sink().webhooks();
        webhooks.retain(|webhook| webhook.path.split('?').next() == Some(path));
        webhooks
    }

    /// Waits until so many came to this path.
    pub(crate) async fn until_received(&self, path: &str, count: usize) -> Vec<Webhook> {
        eventually("webhooks", PATIENCE, async || {
            let received = self.received(path);
            if received.len() >= count {
                Ok(received)
            } else {
                Err(format!("{} of {count}", received.len()))
            }
        })
        .await
        .unwrap()
    }

    /// Waits for a line of the log about this event and this attempt; the number of the line and the line.
    pub(crate) async fn until_logged(&self, event: &str, attempt: u32, fate: Fate) -> (u64, Entry) {
        let selection = Selection {
            event: Some(event.parse().unwrap()),
            fate: Some(fate),
        };
        eventually("a line of the log", PATIENCE, async || {
            let page = self.log.page(None, 100, &selection).await.unwrap();
            let found = page.entries.into_iter().find(|(_, e)| e.attempt == attempt);
            found.ok_or_else(|| format!("no {fate:?} attempt {attempt} of {event}"))
        })
        .await
        .unwrap()
    }

    /// Asks for the delivery of this line once more.
    pub(crate) async fn replay(&self, line: u64) {
        let replayed = self.log.replay(line, Millis::now()).await.unwrap();
        assert!(replayed.is_some());
    }

    /// Waits until this job waits for its time.
    pub(crate) async fn until_waiting(&self, id: &str) {
        let admin = QueueAdmin::new(self.redis.clone(), self.keys.clone());
        let id = JobId::stored(id.to_owned());
        eventually("a job that waits", PATIENCE, async || {
            match admin.show(&id).await.unwrap() {
                Some(job) if job.state == JobState::Delayed => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap();
    }

    /// Nothing waits, nothing is held, and so many are dead.
    pub(crate) async fn until_idle(&self, dead: u64) {
        eventually("an idle queue", PATIENCE, async || {
            let stats = QueueStats::read(&self.redis, &self.keys).await.unwrap();
            if stats.is_idle() && stats.dead == dead {
                Ok(())
            } else {
                Err(format!("{stats:?}"))
            }
        })
        .await
        .unwrap();
    }

    /// Stops everything, after a look that nothing of the receivers' secrets was told to anybody.
    pub(crate) async fn end(self) {
        crate::secrets::nothing_was_told(&self.stack).await;
        self.stack.stop().await.unwrap();
    }
}
