//! The `redis-server` process itself: spawned, watched, awaited until it answers.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client};
use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::process::Process;

const BINARY: &str = "redis-server";
pub(super) const LOG_FILE: &str = "redis.log";
/// Long enough to replay the append-only file of a big test run.
const READY_WITHIN: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Others call a node of a cluster dead after this long; long enough for a machine that is busy.
const NODE_TIMEOUT_MS: &str = "3000";

/// What a server is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Standalone,
    /// A node of a cluster, which also listens on [`bus_port`].
    Node,
}

/// Where the nodes of a cluster talk to the one that serves `port`; `None` if it cannot be one.
pub(super) fn bus_port(port: u16) -> Option<u16> {
    port.checked_add(10_000)
}

pub(super) async fn connect(port: u16) -> anyhow::Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    let client = Client::open((Ipv4Addr::LOCALHOST.to_string(), port))?;
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

pub(super) async fn launch_or_explain(
    port: u16,
    dir: &Path,
    role: Role,
) -> anyhow::Result<Process> {
    match launch(port, dir, role).await? {
        Ok(process) => Ok(process),
        Err(status) => {
            bail!(
                "{BINARY} on port {port} ended with {status}: {}",
                last_log_lines(dir)
            )
        }
    }
}

/// The ready process, or how it ended before it was ready.
pub(super) async fn launch(
    port: u16,
    dir: &Path,
    role: Role,
) -> anyhow::Result<Result<Process, ExitStatus>> {
    let mut process = spawn_server(port, dir, role)?;
    let deadline = Instant::now() + READY_WITHIN;
    while !is_ready(port, process.pid()).await {
        if let Some(status) = process.ended()? {
            return Ok(Err(status));
        }
        if Instant::now() > deadline {
            bail!(
                "{BINARY} not ready within {READY_WITHIN:?}: {}",
                last_log_lines(dir)
            );
        }
        sleep(READY_POLL).await;
    }
    Ok(Ok(process))
}

fn spawn_server(port: u16, dir: &Path, role: Role) -> anyhow::Result<Process> {
    let mut command = Command::new(BINARY);
    command
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--daemonize",
            "no",
        ])
        .args(["--appendonly", "yes", "--appendfsync", "no", "--save", ""])
        .arg("--dir")
        .arg(dir)
        .arg("--logfile")
        .arg(dir.join(LOG_FILE))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if role == Role::Node {
        command.args(["--cluster-enabled", "yes"]);
        command.args(["--cluster-node-timeout", NODE_TIMEOUT_MS]);
    }
    match Process::spawn(&mut command) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{BINARY} not found: run `make deps`")
        }
        spawned => spawned.with_context(|| format!("cannot start {BINARY}")),
    }
}

/// Answers `PING`, and is the process we started rather than one that won the port before it.
async fn is_ready(port: u16, pid: u32) -> bool {
    let Ok(mut connection) = connect(port).await else {
        return false;
    };
    let answer: Result<(String, String), _> = ::redis::pipe()
        .cmd("PING")
        .cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await;
    let own_id = format!("process_id:{pid}");
    answer.is_ok_and(|(pong, info)| pong == "PONG" && info.lines().any(|line| line == own_id))
}

fn last_log_lines(dir: &Path) -> String {
    let log = std::fs::read_to_string(dir.join(LOG_FILE)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
