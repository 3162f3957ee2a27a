//! The `redis-server` process itself: spawned, watched, awaited until it answers.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client};
use anyhow::{Context, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

const BINARY: &str = "redis-server";
pub(super) const LOG_FILE: &str = "redis.log";
/// Long enough to replay the append-only file of a big test run.
const READY_WITHIN: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Fields drop in this order: the watchdog must be gone before the process id it would signal is
/// free for reuse.
#[derive(Debug)]
pub(super) struct Process {
    _watchdog: Child,
    pub(super) server: Child,
    pub(super) pid: u32,
}

pub(super) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
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

pub(super) async fn launch_or_explain(port: u16, dir: &Path) -> anyhow::Result<Process> {
    match launch(port, dir).await? {
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
pub(super) async fn launch(port: u16, dir: &Path) -> anyhow::Result<Result<Process, ExitStatus>> {
    let mut server = spawn_server(port, dir)?;
    let Some(pid) = server.id() else {
        bail!("{BINARY} has no process id")
    };
    let watchdog = spawn_watchdog(pid)?;
    let deadline = Instant::now() + READY_WITHIN;
    while !is_ready(port, pid).await {
        if let Some(status) = server.try_wait()? {
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
    Ok(Ok(Process {
        _watchdog: watchdog,
        server,
        pid,
    }))
}

fn spawn_server(port: u16, dir: &Path) -> anyhow::Result<Child> {
    let spawned = Command::new(BINARY)
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--daemonize",
            "no",
        ])
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
        ])
        .arg("--dir")
        .arg(dir)
        .arg("--logfile")
        .arg(dir.join(LOG_FILE))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in a terminal reaches the whole foreground group; the owner decides the order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{BINARY} not found: run `make deps`")
        }
        spawned => spawned.with_context(|| format!("cannot start {BINARY}")),
    }
}

/// Kills the server when this process ends without running destructors: the pipe to the shell's
/// standard input closes with us, whatever ended us.
fn spawn_watchdog(pid: u32) -> anyhow::Result<Child> {
    Command::new("sh")
        .args(["-c", r#"read -r _; kill -9 "$0""#, &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start the watchdog of {BINARY}"))
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
