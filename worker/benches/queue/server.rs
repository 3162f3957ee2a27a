//! The one `redis-server` that all systems are measured on, and what it counts.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use devstack::redis::{RedisOptions, RedisServer};
use shared::redis::{Command, Keys, Redis, Repeat, Target};
use tokio::time::{Instant, sleep};

use crate::system::System;

const REWRITTEN_WITHIN: Duration = Duration::from_secs(30);

/// What a server has counted since it started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    /// Commands, those called by scripts included, `PING` and `INFO` left out.
    pub(crate) commands: u64,
    /// Its processor time, in seconds.
    pub(crate) cpu_seconds: f64,
}

impl Counters {
    /// Reads them over `redis`.
    pub(crate) async fn read(redis: &Redis) -> anyhow::Result<Self> {
        let stats = info(redis, "commandstats").await?;
        let cpu = info(redis, "cpu").await?;
        Ok(Self {
            commands: calls(&stats)?.values().sum(),
            cpu_seconds: field(&cpu, "used_cpu_user")?.parse::<f64>()?
                + field(&cpu, "used_cpu_sys")?.parse::<f64>()?,
        })
    }

    /// What was added since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            commands: self.commands - earlier.commands,
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
        }
    }
}

async fn info(redis: &Redis, section: &str) -> anyhow::Result<String> {
    let command = Command::new("INFO").arg(section);
    Ok(redis.run(command, Repeat::Harmless).await?.text()?)
}

fn field<'a>(info: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let mut values = info
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.next().with_context(|| format!("INFO has no {name}"))
}

/// How often each command was called since the server started.
pub(crate) async fn calls_by_command(redis: &Redis) -> anyhow::Result<BTreeMap<String, u64>> {
    calls(&info(redis, "commandstats").await?)
}

/// Reads `cmdstat_<name>:calls=<n>,…`.
fn calls(stats: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut by_command = BTreeMap::new();
    for line in stats.lines() {
        let Some((name, figures)) = line
            .strip_prefix("cmdstat_")
            .and_then(|line| line.split_once(':'))
        else {
            continue;
        };
        if matches!(name, "ping" | "info") {
            continue;
        }
        let calls = figures
            .split(',')
            .find_map(|figure| figure.strip_prefix("calls="));
        let calls = calls.context("a command without calls")?.parse()?;
        by_command.insert(name.to_owned(), calls);
    }
    Ok(by_command)
}

/// The server, with its append-only file synced every second as both BullMQ and we advise.
pub(crate) struct Server {
    server: RedisServer,
    redis: Redis,
}

impl Server {
    /// Starts it.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = RedisServer::start(RedisOptions::default()).await?;
        let redis = crate::ours::redis(Target::Resp { url: server.url() })?;
        // A rewrite that begins in the middle of a measurement would take its processor.
        let no_rewrite = ["SET", "auto-aof-rewrite-percentage", "0"];
        let command = Command::new("CONFIG").args(no_rewrite);
        redis.run(command, Repeat::Harmless).await?;
        Ok(Self { server, redis })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        self.server.addr()
    }

    /// Its version.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        let info = info(&self.redis, "server").await?;
        Ok(field(&info, "redis_version")?.to_owned())
    }

    /// What it has counted.
    pub(crate) async fn counters(&self) -> anyhow::Result<Counters> {
        Counters::read(&self.redis).await
    }

    /// Forgets all data; loaded scripts stay.
    pub(crate) async fn reset(&self) -> anyhow::Result<()> {
        self.redis
            .run(Command::new("FLUSHALL"), Repeat::Harmless)
            .await?;
        self.redis
            .run(Command::new("BGREWRITEAOF"), Repeat::Harmless)
            .await?;
        let deadline = Instant::now() + REWRITTEN_WITHIN;
        loop {
            let persistence = info(&self.redis, "persistence").await?;
            let busy = field(&persistence, "aof_rewrite_in_progress")? == "1"
                || field(&persistence, "aof_rewrite_scheduled")? == "1";
            if !busy {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the append-only file was not rewritten within {REWRITTEN_WITHIN:?}");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Jobs that are not settled yet, and the commands that it took to find out.
    pub(crate) async fn unsettled(
        &self,
        system: System,
        queue: &str,
    ) -> anyhow::Result<(u64, u64)> {
        // Jobs move from the first to the second, so none is missed between the two looks.
        let commands = match system {
            System::Ours => {
                let keys = Keys::new(queue);
                [keys.ready(), keys.timers()].map(|key| Command::new("ZCARD").arg(key))
            }
            System::BullMq | System::RustPort => ["wait", "active"]
                .map(|list| Command::new("LLEN").arg(format!("bull:{queue}:{list}"))),
        };
        let mut jobs = 0;
        for count in self.redis.read(&commands).await? {
            jobs += count.int()?.max(0) as u64;
        }
        Ok((jobs, commands.len() as u64))
    }
}
