//! Redis behind one interface: Upstash's REST API, RESP, or a cluster; decided here and nowhere else.

mod cluster;
mod command;
mod error;
mod guard;
pub mod keys;
mod reply;
mod resp;
pub mod scripts;
mod subscribe;
mod upstash;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cluster::Cluster;
pub use command::Command;
pub use error::{RedisError, ServerError};
use guard::{Guard, TRY_EVERY, TRY_FOR};
pub use keys::Keys;
use rand::SeedableRng;
use rand::rngs::StdRng;
pub use reply::Reply;
use resp::Resp;
pub use scripts::Script;
pub use subscribe::{Notice, Subscription};
use tokio::time::timeout;
use upstash::Upstash;

use crate::backoff::Backoff;

/// Where Redis is and how to talk to it.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Which server, over which transport.
    pub target: Target,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for an answer.
    pub command_timeout: Duration,
    /// Tries after the first one, where repeating is harmless.
    pub retries: u32,
    /// First wait between tries; it doubles.
    pub retry_delay: Duration,
}

/// Which server, over which transport.
#[derive(Clone)]
pub enum Target {
    /// Upstash's REST API.
    Upstash {
        /// `https://<name>.upstash.io`.
        url: String,
        /// The bearer token.
        token: String,
    },
    /// Any Redis over RESP.
    Resp {
        /// `redis://` or `rediss://`, with credentials if it needs them.
        url: String,
    },
    /// A Redis Cluster over RESP.
    Cluster {
        /// Nodes to begin with, at least one: `redis://` or `rediss://`, all with the same scheme
        /// and credentials, which are used for every other node too.
        seeds: Vec<String>,
    },
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Upstash { .. } => "Upstash",
            Self::Resp { .. } => "Resp",
            Self::Cluster { .. } => "Cluster",
        })
    }
}

type Batch<'a> = &'a [Command];
type BatchReply = Vec<Result<Reply, ServerError>>;

/// A handle to Redis; clones share connections.
#[derive(Clone)]
pub struct Redis {
    transport: Transport,
    retries: u32,
    backoff: Backoff,
    scripts_run: Arc<AtomicU64>,
    guard: Option<Arc<Guard>>,
}

#[derive(Clone)]
enum Transport {
    Upstash(Upstash),
    Resp(Box<Resp>),
    Cluster(Cluster),
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redis over {}", self.transport_name())
    }
}

/// May a request be sent again when it is unclear whether the first one was applied?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Applying it twice is the same as once.
    Harmless,
    /// The caller wants to know, and decides itself.
    Never,
}

impl Redis {
    /// A handle; no connection is made yet.
    pub fn new(options: &RedisOptions) -> Result<Self, RedisError> {
        let (connect, command) = (options.connect_timeout, options.command_timeout);
        let transport = match &options.target {
            Target::Upstash { url, token } => {
                Transport::Upstash(Upstash::new(url, token, connect, command)?)
            }
            Target::Resp { url } => Transport::Resp(Box::new(Resp::new(url, connect, command)?)),
            Target::Cluster { seeds } => Transport::Cluster(Cluster::new(seeds, connect, command)?),
        };
        let backoff = Backoff {
            base: options.retry_delay,
            cap: Duration::from_secs(10),
        };
        Ok(Self {
            transport,
            retries: options.retries,
            backoff,
            scripts_run: Arc::default(),
            guard: None,
        })
    }

    /// `upstash` or `resp`, which is a cluster's too.
    #[must_use]
    pub fn transport_name(&self) -> &'static str {
        match self.transport {
            Transport::Upstash(_) => "upstash",
            Transport::Resp(_) | Transport::Cluster(_) => "resp",
        }
    }

    /// Runs one command.
    pub async fn run(&self, command: Command, repeat: Repeat) -> Result<Reply, RedisError> {
        let mut replies = self.attempt(std::slice::from_ref(&command), repeat).await?;
        match replies.pop() {
            Some(reply) => reply.map_err(RedisError::Server),
            None => Err(RedisError::Protocol("no reply".into())),
        }
    }

    /// Runs several reads in one round trip, in order, not atomically. Fails if any of them fails.
    /// In a cluster all run on the node that owns the keys, so that `TIME` is that node's clock.
    pub async fn read(&self, commands: &[Command]) -> Result<Vec<Reply>, RedisError> {
        let replies = self.attempt(commands, Repeat::Harmless).await?;
        replies
            .into_iter()
            .map(|reply| reply.map_err(RedisError::Server))
            .collect()
    }

    /// The same, each command with its own answer or error.
    pub async fn each(
        &self,
        commands: &[Command],
    ) -> Result<Vec<Result<Reply, ServerError>>, RedisError> {
        self.attempt(commands, Repeat::Harmless).await
    }

    /// Runs a script by its SHA-1, sending its text when the server does not have it. Every script
    /// answers with the commands it cost, which are counted, and its result, which is returned.
    pub async fn script(
        &self,
        script: &Script,
        keys: &[String],
        args: &[String],
        repeat: Repeat,
    ) -> Result<Reply, RedisError> {
        let source = script.source(matches!(self.transport, Transport::Upstash(_)));
        let mut keys = keys.to_vec();
        if matches!(self.transport, Transport::Cluster(_)) {
            keys.extend(cluster::fence(&keys));
        }
        let call = |name: &str, body: &str| {
            Command::new(name)
                .arg(body)
                .arg(keys.len().to_string())
                .args(keys.iter().map(String::as_str))
                .args(args.iter().map(String::as_str))
        };
        self.scripts_run.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let mut result = self.run(call("EVALSHA", &source.sha), repeat).await;
        if matches!(&result, Err(RedisError::Server(error)) if error.code == "NOSCRIPT") {
            // Nothing ran, so the text may follow whatever `repeat` says.
            result = self.run(call("EVAL", &source.text), repeat).await;
        }
        metrics::histogram!("redis_script_duration_seconds", "script" => script.name)
            .record(started.elapsed());
        let answer: [Reply; 2] = result?
            .array()?
            .try_into()
            .map_err(|_| RedisError::Protocol("a script told no cost".into()))?;
        let [billed, result] = answer;
        bill(script.name, billed.int()? as u64);
        Ok(result)
    }

    /// How many scripts this handle and its clones have run: a sign of whether this process does
    /// anything at all.
    #[must_use]
    pub fn scripts_run(&self) -> u64 {
        self.scripts_run.load(Ordering::Relaxed)
    }

    /// The same handle without tries after the first one, for callers that have their own.
    #[must_use]
    pub fn without_retries(&self) -> Self {
        Self {
            retries: 0,
            ..self.clone()
        }
    }

    /// The same handle for callers that shall not wait for a server that does not answer: after a few failures
    /// in a row requests fail at once ([`RedisError::NotAsked`]), until the server answers a `PING` again.
    #[must_use]
    pub fn guarded(&self) -> Self {
        Self {
            guard: Some(Arc::new(Guard::new())),
            ..self.clone()
        }
    }

    /// Whether a guarded handle lets nobody wait at the moment.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.is_open())
    }

    /// Listens to a channel until the subscription is dropped.
    #[must_use]
    pub fn subscribe(&self, channel: String) -> Subscription {
        Subscription::start(self.clone(), channel)
    }

    async fn attempt(&self, batch: Batch<'_>, repeat: Repeat) -> Result<BatchReply, RedisError> {
        if let Some(why) = batch.iter().find_map(Command::refusal) {
            return Err(RedisError::Refused(why));
        }
        for command in batch {
            match command.name() {
                // A script tells itself what it cost; a ping costs nothing.
                "EVALSHA" | "EVAL" | "PING" => {}
                name => bill(name, 1),
            }
        }
        let mut tries = 0;
        loop {
            let error = match self.execute_guarded(batch).await {
                Ok(replies) => return Ok(replies),
                Err(error) => error,
            };
            let may_repeat =
                error.was_not_applied() || (error.is_passing() && repeat == Repeat::Harmless);
            if tries >= self.retries || !may_repeat || self.is_given_up() {
                return Err(error);
            }
            let wait = self
                .backoff
                .at_least_half(tries, &mut StdRng::from_rng(&mut rand::rng()));
            tries += 1;
            tracing::debug!(%error, tries, wait_ms = wait.as_millis() as u64, "trying Redis again");
            metrics::counter!("redis_retries_total").increment(1);
            tokio::time::sleep(wait).await;
        }
    }

    async fn execute_guarded(&self, batch: Batch<'_>) -> Result<BatchReply, RedisError> {
        let Some(guard) = &self.guard else {
            return self.execute(batch).await;
        };
        let _place = guard.enter()?;
        let result = self.execute(batch).await;
        if guard.note(result.as_ref().err()) {
            let (redis, guard) = (self.clone(), Arc::downgrade(guard));
            tokio::spawn(async move { redis.try_until_answered(guard).await });
        }
        result
    }

    /// Tries whether the server answers until it does, or nobody has this handle any more.
    async fn try_until_answered(self, guard: Weak<Guard>) {
        let unguarded = Self {
            guard: None,
            ..self
        };
        let ping = [Command::new("PING")];
        loop {
            tokio::time::sleep(TRY_EVERY).await;
            let Some(guard) = guard.upgrade() else {
                return;
            };
            // Any answer will do, also one that says that it is loading.
            let answer = timeout(TRY_FOR, unguarded.execute(&ping)).await;
            if answer.is_ok_and(|answer| !answer.is_err_and(|error| error.is_silence())) {
                return guard.answered();
            }
        }
    }

    async fn execute(&self, batch: Batch<'_>) -> Result<BatchReply, RedisError> {
        let started = Instant::now();
        let result = match &self.transport {
            Transport::Upstash(upstash) => upstash.execute(batch).await,
            Transport::Resp(resp) => resp.execute(batch).await,
            // Boxed, or every future that talks to Redis would have room for connecting to a cluster.
            Transport::Cluster(cluster) => Box::pin(cluster.execute(batch)).await,
        };
        let outcome = result.as_ref().err().map_or("ok", RedisError::kind);
        let transport = self.transport_name();
        metrics::counter!("redis_requests_total", "transport" => transport, "outcome" => outcome)
            .increment(1);
        metrics::histogram!("redis_request_duration_seconds", "transport" => transport)
            .record(started.elapsed());
        result
    }
}

/// Counts what Upstash would bill for, as far as this process knows: a command whose reply was lost
/// is counted once, a script whose reply was lost is not.
fn bill(command: &str, commands: u64) {
    metrics::counter!("redis_billed_commands_total", "command" => command.to_owned())
        .increment(commands);
}
