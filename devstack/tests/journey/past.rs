//! Lets time pass for an instance: what is stored of it happened earlier than it did.

use devstack::stack::{Stack, eventually};
use serde_json::{Value, json};
use shared::clock::Millis;
use shared::queue::{Job, Queue};
use shared::redis::{Command, Keys, Redis, RedisOptions, Repeat, Reply, Target};

use crate::support::{Caller, PATIENCE};

/// Times of a status that something counts from.
const TIMES: [&str; 11] = [
    "/attempts/0/ackedAt",
    "/timestamps/created",
    "/timestamps/running",
    "/timestamps/ready",
    "/health/startedAt",
    "/uptime/began",
    "/uptime/usableSince",
    "/warnings/idle/at",
    "/warnings/idle/stopsAt",
    "/warnings/lifetime/at",
    "/warnings/lifetime/stopsAt",
];

/// What a worker that watches something is back sooner than.
const FAR_MS: u64 = 5000;

pub(crate) struct Past {
    caller: Caller,
    redis: Redis,
    keys: Keys,
}

impl Past {
    pub(crate) fn of(stack: &mut Stack) -> Self {
        let redis = Redis::new(&RedisOptions {
            target: Target::Resp {
                url: stack.redis().url(),
            },
            connect_timeout: PATIENCE,
            command_timeout: PATIENCE,
            retries: 0,
            retry_delay: PATIENCE,
        });
        Self {
            caller: Caller::of(stack),
            redis: redis.unwrap(),
            keys: Keys::new("novita_api"),
        }
    }

    /// So many minutes pass, and workers do what they have to do then.
    pub(crate) async fn pass(&self, id: &str, minutes: u64) {
        self.halt().await;
        self.shift(id, minutes).await;
        self.go_on(&[id.to_owned()]).await;
    }

    /// The same, and they have done it when this returns.
    pub(crate) async fn let_pass(&self, id: &str, minutes: u64) {
        self.pass(id, minutes).await;
        self.looked_at(id).await;
    }

    /// The same, and no worker looked when it was to.
    pub(crate) async fn let_pass_unwatched(&self, id: &str, minutes: u64) {
        self.halt().await;
        self.shift(id, minutes).await;
        let mut status = self.status(id).await;
        let due = status["uptime"]["lookDue"].as_u64().unwrap();
        status["uptime"]["lookDue"] = json!(due - minutes * 60_000);
        self.store(id, &status).await;
        self.go_on(&[id.to_owned()]).await;
        self.looked_at(id).await;
    }

    /// So many minutes pass, and a worker decides that it is stopped because nobody uses it, and is
    /// heard of no more. Nothing goes on until [`Past::go_on`].
    pub(crate) async fn decide_stop(&self, id: &str, minutes: u64) {
        self.halt().await;
        self.shift(id, minutes).await;
        let mut status = self.status(id).await;
        let now = Millis::now();
        status["policy"] = json!({"reason": "idle", "generation": 1, "since": now});
        status["power"] = json!({"generation": 1, "since": now});
        status["loggedPhase"] = json!("stopping");
        self.store(id, &status).await;
    }

    /// Lets the workers go on, and look at these.
    pub(crate) async fn go_on(&self, ids: &[String]) {
        let jobs = ids.iter().map(|id| Job::Reconcile {
            instance: id.parse().unwrap(),
        });
        let queue = Queue::new(self.redis.clone(), self.keys.clone(), PATIENCE);
        queue.enqueue(&jobs.collect::<Vec<_>>()).await.unwrap();
        let kind = json!({"kind": "instance"});
        self.caller.post_to("queue/resume", &kind).await;
    }

    /// Every key of the deployment.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let keys = self.run(Command::new("KEYS").arg("novita_api:*")).await;
        keys.optional_texts()
            .unwrap()
            .into_iter()
            .flatten()
            .collect()
    }

    /// In how many ms a key expires; -1 for never.
    pub(crate) async fn expiry(&self, key: &str) -> i64 {
        let expiry = self.run(Command::new("PTTL").arg(key)).await;
        expiry.int().unwrap()
    }

    /// Nothing is done about any instance any more.
    async fn halt(&self) {
        let kind = json!({"kind": "instance"});
        self.caller.post_to("queue/pause", &kind).await;
        self.until_quiet().await;
    }

    async fn until_quiet(&self) {
        eventually("no job at work", PATIENCE, async || {
            let leased = self.caller.read("jobs?state=leased").await;
            let jobs = leased["jobs"].as_array().unwrap().iter();
            let ids: Vec<_> = jobs.map(|job| job["id"].to_string()).collect();
            match ids.iter().find(|id| id.contains("instance:")) {
                Some(id) => Err(format!("{id} is at work")),
                None => Ok(()),
            }
        })
        .await
        .unwrap();
    }

    /// A worker has looked, and sleeps again.
    async fn looked_at(&self, id: &str) {
        let path = format!("jobs/instance:{id}");
        eventually("a look at it", PATIENCE, async || {
            let job = self.caller.read(&path).await;
            let due = job["dueAt"].as_str().and_then(Millis::parse_iso);
            let is_far = due.is_some_and(|due| due > Millis::now().plus(FAR_MS));
            if is_far { Ok(()) } else { Err(job.to_string()) }
        })
        .await
        .unwrap();
    }

    async fn shift(&self, id: &str, minutes: u64) {
        let earlier = |at: u64| at - minutes * 60_000;
        let mut status = self.status(id).await;
        for time in TIMES {
            if let Some(at) = status.pointer_mut(time) {
                *at = json!(earlier(at.as_u64().unwrap()));
            }
        }
        self.store(id, &status).await;
        let used = self
            .run(Command::new("HGET").arg(self.keys.last_used()).arg(id))
            .await;
        if let Some(used) = used.optional_text().unwrap() {
            let used = earlier(used.parse().unwrap()).to_string();
            let key = self.keys.last_used();
            self.run(Command::new("HSET").arg(key).args([id, &used]))
                .await;
        }
    }

    async fn status(&self, id: &str) -> Value {
        let status = Command::new("HGET").arg(self.keys.status()).arg(id);
        let status = self.run(status).await.optional_text().unwrap();
        serde_json::from_str(&status.expect("a status")).unwrap()
    }

    async fn store(&self, id: &str, status: &Value) {
        let key = self.keys.status();
        let stored = status.to_string();
        self.run(Command::new("HSET").arg(key).args([id, &stored]))
            .await;
    }

    async fn run(&self, command: Command) -> Reply {
        self.redis.run(command, Repeat::Never).await.unwrap()
    }
}
