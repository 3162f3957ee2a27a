//! A queue of the test's own, and the binary that is run on it.

use std::process::{Output, Stdio};
use std::time::Duration;

use devstack::redis::{RedisOptions, RedisServer};
use serde_json::Value;
use shared::queue::{
    Delivery, Heartbeat, Job, JobKind, Queue, QueueAdmin, Reservation, Scope, Verdict, Workers,
};
use shared::redis::{Keys, Redis, Target};
use tokio::process::Command;
use tokio::sync::OnceCell;
use ulid::Ulid;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

/// One deployment on the server that all tests share.
pub(crate) struct Bench {
    pub(crate) url: String,
    pub(crate) prefix: String,
    pub(crate) keys: Keys,
    pub(crate) redis: Redis,
    pub(crate) queue: Queue,
    pub(crate) admin: QueueAdmin,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
        let start = || async { RedisServer::start(RedisOptions::default()).await.unwrap() };
        let url = SERVER.get_or_init(start).await.url();
        let prefix = format!("test-{}", Ulid::generate());
        let keys = Keys::new(&prefix);
        let redis = Redis::new(&shared::redis::RedisOptions {
            target: Target::Resp { url: url.clone() },
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(5),
            retries: 1,
            retry_delay: Duration::from_millis(100),
        })
        .unwrap();
        Self {
            queue: Queue::new(redis.clone(), keys.clone(), HOUR),
            admin: QueueAdmin::new(redis.clone(), keys.clone()),
            url,
            prefix,
            keys,
            redis,
        }
    }

    /// `novita-worker queue` with these arguments and the variables of Redis, and no others.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = worker(&[("REDIS_URL", &self.url), ("REDIS_KEY_PREFIX", &self.prefix)]);
        command.arg("queue").args(args);
        command
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        run(self.command(args)).await
    }

    /// What a command that must succeed prints.
    pub(crate) async fn text(&self, args: &[&str]) -> String {
        let ran = self.run(args).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        assert!(ran.stdout.ends_with('\n'), "{ran:?}");
        let is_plain = |c: char| c == '\n' || !c.is_control();
        assert!(ran.stdout.chars().all(is_plain), "{ran:?}");
        for line in ran.stdout.lines() {
            assert!(line.chars().count() <= 100, "too long: {line}");
        }
        ran.stdout
    }

    /// The same as JSON, which must be one document on one line.
    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        let text = self.run(&[args, &["--json"]].concat()).await;
        assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""), "{text:?}");
        assert_eq!(text.stdout.lines().count(), 1, "{text:?}");
        serde_json::from_str(&text.stdout).unwrap()
    }

    /// Asserts that a command fails with this one line and prints nothing.
    pub(crate) async fn fails(&self, args: &[&str], line: &str) {
        let ran = self.run(args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        assert_eq!(ran.stderr, format!("{line}\n"));
    }

    /// Takes what is due.
    pub(crate) async fn take(&self) -> Vec<Reservation> {
        let mut reserve = self.queue.call(Vec::new(), 100);
        self.queue.exchange(&mut reserve).await.unwrap().jobs
    }

    /// Takes this job, which alone is due, and gives it back with what it came to.
    pub(crate) async fn conclude(&self, job: Job, verdict: Verdict) {
        self.queue.enqueue(&[job]).await.unwrap();
        let mut jobs = self.take().await;
        assert_eq!(jobs.len(), 1);
        let settlement = jobs.remove(0).settle(verdict, Vec::new());
        let mut settle = self.queue.call(vec![settlement], 0);
        let applied = self.queue.exchange(&mut settle).await.unwrap().applied;
        assert_eq!(applied, [true]);
    }

    pub(crate) async fn kill(&self, job: Job) {
        let error = "HTTP 410".to_owned();
        self.conclude(job, Verdict::Dead { error }).await;
    }

    /// One job in every state, of which each is named after its own.
    pub(crate) async fn one_of_each(&self) {
        self.kill(webhook("msg_dead")).await;
        let failed = Verdict::Retry {
            after: HOUR,
            error: "no answer within 10 s ".repeat(10),
        };
        self.conclude(webhook("msg_delayed"), failed).await;
        self.queue.enqueue(&[webhook("msg_leased")]).await.unwrap();
        assert_eq!(self.take().await.len(), 1);
        let instances = Scope::Kind(JobKind::Instance);
        self.admin.pause(instances).await.unwrap();
        self.queue
            .enqueue(&[reconcile("inst_paused")])
            .await
            .unwrap();
        assert!(self.take().await.is_empty());
        self.queue.enqueue(&[webhook("msg_due")]).await.unwrap();
    }

    /// A worker is heard of.
    pub(crate) async fn beat(&self, session: &str) {
        let heartbeat = Heartbeat {
            at: self.admin.overview().await.unwrap().0.now,
            interval_ms: 60_000,
            running: 3,
            permits: 10,
            provider_up: None,
            provider_ms: 0,
            provider_breaker: None,
            version: "1.2.3".to_owned(),
        };
        let beat = Workers::beat(&self.redis, &self.keys, session, &heartbeat);
        beat.await.unwrap();
    }
}

/// The binary with these variables and no others.
pub(crate) fn worker(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novita-worker"));
    command
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn run(mut command: Command) -> Ran {
    let child = command.spawn().unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = output.expect("did not end").unwrap();
    Ran {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// A webhook to a receiver whose path is a secret, with something that a terminal would obey.
pub(crate) fn webhook(event: &str) -> Job {
    Job::Webhook(Delivery {
        event_id: event.parse().unwrap(),
        url: "https://user:s3cret@hooks.example.com/s3cret?token=s3cret".to_owned(),
        body: "{\"status\":\"ready\u{9b}2J\"}".to_owned(),
        asked: None,
        headers: std::collections::BTreeMap::new(),
        traceparent: None,
    })
}

pub(crate) fn reconcile(instance: &str) -> Job {
    Job::Reconcile {
        instance: instance.parse().unwrap(),
    }
}
