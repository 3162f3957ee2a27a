//! A Redis of one's own and runners at it, in this process, each under a session of its own.

use std::sync::Arc;
use std::time::Duration;

use devstack::bridge::{Bridge, BridgeOptions};
use devstack::redis::{RedisOptions as ServerOptions, RedisServer};
use devstack::stack::eventually;
use shared::backoff::Backoff;
use shared::clock::Millis;
use shared::queue::{
    Delivery, Job, JobId, JobState, Queue, QueueAdmin, QueueStats, Reservation, Settlement,
    StoredJob, Verdict, Workers,
};
use shared::redis::{Command, Keys, Redis, RedisOptions, Repeat, Target};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::pulse::{ProviderHealth, Pulse};
use worker::runner::{self, Handler, RunnerOptions};

/// Far above what anything here takes; reaching it means that it will never happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than any test: whatever comes back before was handed back.
pub(crate) const LONG_LEASE: Duration = Duration::from_secs(300);
/// The shortest that the worker's configuration allows.
pub(crate) const SHORT_LEASE: Duration = Duration::from_secs(2);
const TOKEN: &str = "test-token";

pub(crate) struct Rig {
    pub(crate) server: RedisServer,
    pub(crate) bridge: Option<Bridge>,
    pub(crate) redis: Redis,
    pub(crate) keys: Keys,
}

/// A handler made of a function.
pub(crate) struct Doing<F>(pub(crate) F);

impl<F, D> Handler for Doing<F>
where
    F: Fn(Reservation, Millis) -> D + Send + Sync + 'static,
    D: Future<Output = Settlement> + Send,
{
    fn handle(&self, job: Reservation, now: Millis) -> impl Future<Output = Settlement> + Send {
        (self.0)(job, now)
    }
}

/// A runner at work. Dropping it kills it: nothing is settled, no farewell is said.
pub(crate) struct Running {
    pub(crate) session: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Rig {
    pub(crate) async fn resp() -> Self {
        let server = RedisServer::start(ServerOptions::default()).await.unwrap();
        let url = server.url();
        Self::at(server, None, Target::Resp { url })
    }

    pub(crate) async fn upstash() -> Self {
        let server = RedisServer::start(ServerOptions::default()).await.unwrap();
        let bridge = Bridge::start(BridgeOptions::new(server.addr(), TOKEN));
        let bridge = bridge.await.unwrap();
        let (url, token) = (bridge.url(), TOKEN.to_owned());
        Self::at(server, Some(bridge), Target::Upstash { url, token })
    }

    fn at(server: RedisServer, bridge: Option<Bridge>, target: Target) -> Self {
        Self {
            server,
            bridge,
            redis: connect(target),
            keys: Keys::new("runner"),
        }
    }

    pub(crate) fn queue(&self, lease: Duration) -> Queue {
        Queue::new(self.redis.clone(), self.keys.clone(), lease)
    }

    pub(crate) fn admin(&self) -> QueueAdmin {
        QueueAdmin::new(self.redis.clone(), self.keys.clone())
    }

    /// Starts a runner.
    pub(crate) fn run<H: Handler>(
        &self,
        lease: Duration,
        options: RunnerOptions,
        handler: H,
    ) -> Running {
        let (queue, stop) = (self.queue(lease), CancellationToken::new());
        let session = queue.session().to_owned();
        let (keys, health) = (self.keys.clone(), ProviderHealth::default());
        let pulse = Pulse::new(&self.redis, keys, session.clone(), options.permits, health);
        let task = runner::run(queue, Arc::new(handler), options, pulse, stop.clone());
        Running {
            session,
            stop,
            task: tokio::spawn(task),
        }
    }

    pub(crate) async fn enqueue(&self, jobs: &[Job]) {
        let queue = self.queue(LONG_LEASE);
        for batch in jobs.chunks(shared::queue::BATCH) {
            queue.enqueue(batch).await.unwrap();
        }
    }

    /// Redis's clock.
    pub(crate) async fn now(&self) -> Millis {
        let stats = QueueStats::read(&self.redis, &self.keys).await;
        stats.unwrap().now
    }

    pub(crate) async fn job(&self, id: &str) -> Option<StoredJob> {
        let id = JobId::stored(id.to_owned());
        self.admin().show(&id).await.unwrap()
    }

    /// Waits until the job is dead.
    pub(crate) async fn until_dead(&self, id: &str) -> StoredJob {
        eventually(&format!("{id} dead"), PATIENCE, async || {
            match self.job(id).await {
                Some(job) if job.state == JobState::Dead => Ok(job),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap()
    }

    /// Waits until this runner sleeps, with its ears open.
    pub(crate) async fn until_asleep(&self, runner: &Running) {
        let channel = self.keys.wake_channel(&runner.session);
        let listeners = Command::new("PUBSUB").args(["NUMSUB", &channel]);
        let asleep = Command::new("ZSCORE")
            .arg(self.keys.idle())
            .arg(&runner.session);
        let direct = connect(Target::Resp {
            url: self.server.url(),
        });
        eventually("a sleeping runner", PATIENCE, async || {
            let listens = direct
                .run(listeners.clone(), Repeat::Harmless)
                .await
                .unwrap();
            let sleeps = direct.run(asleep.clone(), Repeat::Harmless).await.unwrap();
            let listens = listens.array().unwrap()[1].clone().int().unwrap();
            let sleeps = sleeps.optional_text().unwrap();
            if listens == 1 && sleeps.is_some() {
                Ok(())
            } else {
                Err(format!("{listens} listen, asleep since {sleeps:?}"))
            }
        })
        .await
        .unwrap();
    }

    /// Waits until no job is left but those that come round, nor any dead one.
    pub(crate) async fn until_idle(&self) {
        eventually("an idle queue", PATIENCE, async || match QueueStats::read(
            &self.redis,
            &self.keys,
        )
        .await
        {
            Ok(stats) if stats.is_idle() && stats.dead == 0 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
        .unwrap();
    }

    /// The sessions that say that they are alive.
    pub(crate) async fn workers(&self) -> Vec<String> {
        let workers = Workers::read(&self.redis, &self.keys).await.unwrap();
        workers.0.into_iter().map(|(session, _)| session).collect()
    }
}

impl Running {
    /// Ends it as SIGKILL would: whatever it holds, it holds on.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Begins its shutdown and waits until it is over.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, &mut self.task).await;
        ended.expect("a runner stops").unwrap();
    }

    /// Begins its shutdown.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn connect(target: Target) -> Redis {
    let options = RedisOptions {
        target,
        connect_timeout: Duration::from_secs(3),
        command_timeout: Duration::from_secs(5),
        retries: 3,
        retry_delay: Duration::from_millis(50),
    };
    Redis::new(&options).unwrap()
}

/// Options under which what fails is soon tried again.
pub(crate) fn quick() -> RunnerOptions {
    RunnerOptions {
        grace: Duration::from_secs(5),
        step_deadline: Duration::from_secs(60),
        fruitless_wait: Backoff {
            base: Duration::from_millis(40),
            cap: Duration::from_secs(2),
        },
        ..RunnerOptions::default()
    }
}

pub(crate) fn done(job: Reservation) -> Settlement {
    job.settle(Verdict::Done, Vec::new())
}

/// A one-off job.
pub(crate) fn webhook(name: &str) -> Job {
    Job::Webhook(Delivery {
        event_id: name.parse().unwrap(),
        url: "https://example.com/hook".to_owned(),
        body: "{}".to_owned(),
        asked: None,
        headers: std::collections::BTreeMap::new(),
        traceparent: None,
    })
}

/// A job that is never given up.
pub(crate) fn instance(name: &str) -> Job {
    Job::Reconcile {
        instance: name.parse().unwrap(),
    }
}

/// So many one-off jobs.
pub(crate) fn webhooks(count: usize) -> Vec<Job> {
    (0..count).map(|n| webhook(&format!("evt_{n}"))).collect()
}
