//! A Redis, a provider that nobody needs and one worker, as they ship.

use std::time::Duration;

use devstack::novita::{Simulator, SimulatorOptions};
use devstack::redis::{RedisOptions, RedisServer};
use devstack::service::{Role, Service};
use devstack::stack::{NOVITA_KEY, WEBHOOK_SECRET};
use serde_json::json;
use shared::queue::{Delivery, Job, Queue};
use shared::redis::{Keys, Redis, RedisOptions as ClientOptions, Target};
use tempfile::TempDir;

use crate::plan::AT_A_TIME;

const PREFIX: &str = "bench";
const LEASE: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A running deployment; dropping it kills every process.
pub(crate) struct Deployment {
    // The worker first: it must not see its Redis disappear.
    worker: Option<Service>,
    simulator: Simulator,
    redis: RedisServer,
    logs: TempDir,
    queue: Queue,
}

impl Deployment {
    /// Without a worker.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let redis = RedisServer::start(RedisOptions::default()).await?;
        let words = ["CONFIG", "SET", "appendfsync", "everysec"];
        redis.command(&words).await?;
        let simulator = Simulator::start(SimulatorOptions {
            api_keys: vec![NOVITA_KEY.to_owned()],
            ..SimulatorOptions::default()
        })
        .await?;
        let client = Redis::new(&ClientOptions {
            target: Target::Resp { url: redis.url() },
            connect_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(5),
            retries: 3,
            retry_delay: Duration::from_secs(1),
        })?;
        Ok(Self {
            worker: None,
            simulator,
            queue: Queue::new(client, Keys::new(PREFIX), LEASE),
            redis,
            logs: TempDir::with_prefix("bench-webhooks-")?,
        })
    }

    /// Everything that is not said here has its default.
    pub(crate) async fn add_worker(&mut self) -> anyhow::Result<()> {
        let env = [
            ("NODE_ENV", "development"),
            ("HOST", "127.0.0.1"),
            ("LOG_FORMAT", "json"),
            ("REDIS_URL", &self.redis.url()),
            ("REDIS_KEY_PREFIX", PREFIX),
            ("NOVITA_API_KEY", NOVITA_KEY),
            ("NOVITA_API_BASE_URL", &self.simulator.url()),
            ("MAX_CONCURRENT_JOBS", &AT_A_TIME.to_string()),
            ("WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("WEBHOOK_ALLOW_PRIVATE", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let worker = Service::start(Role::Worker, 0, &env, self.logs.path()).await?;
        self.worker = Some(worker);
        Ok(())
    }

    /// Has these delivered: the number of each and where it goes.
    pub(crate) async fn enqueue(&self, deliveries: &[(usize, String)]) -> anyhow::Result<()> {
        for some in deliveries.chunks(100) {
            let jobs = some.iter().map(|(number, url)| {
                anyhow::Ok(Job::Webhook(Delivery {
                    event_id: event(*number).parse()?,
                    url: url.clone(),
                    body: body(*number),
                    asked: None,
                    headers: std::collections::BTreeMap::new(),
                    traceparent: None,
                }))
            });
            let jobs: Vec<Job> = jobs.collect::<anyhow::Result<_>>()?;
            self.queue.enqueue(&jobs).await?;
        }
        Ok(())
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(worker) = &mut self.worker {
            worker.stop(STOP_WITHIN).await?;
        }
        self.redis.stop().await
    }
}

/// The id of the event of this number.
pub(crate) fn event(number: usize) -> String {
    format!("msg_{number:026}")
}

/// As long as the webhook of an instance that got ready.
pub(crate) fn body(number: usize) -> String {
    let endpoint = "http://node-17.us-ca-6.gpu-instance.example.com:31877";
    json!({
        "instanceId": format!("inst_{number}"),
        "status": "ready",
        "timestamp": "2026-11-22T20:25:56.475Z",
        "eventId": event(number),
        "sequence": number,
        "type": "instance.ready",
        "data": { "portMappings": [{ "port": 8000, "endpoint": endpoint, "type": "http" }] },
        "reason": "Instance startup completed successfully - instance is ready to serve requests",
    })
    .to_string()
}
