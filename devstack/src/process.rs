//! Child processes that never outlive us, however we end.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::process::Stdio;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A running child, and a watchdog that ends it when this process ends without running destructors.
///
/// Fields drop in this order: the watchdog must be gone before the process id it would signal is
/// free for reuse.
#[derive(Debug)]
pub(crate) struct Process {
    watchdog: Child,
    child: Child,
    pid: u32,
}

impl Process {
    /// Starts `command` in a process group of its own: Ctrl-C in a terminal reaches the whole
    /// foreground group, but the owner decides who ends when.
    ///
    /// # Errors
    /// The program or its watchdog cannot be started; the cause says why.
    pub(crate) fn spawn(command: &mut Command) -> std::io::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child
            .id()
            .ok_or_else(|| std::io::Error::other("ended at once"))?;
        Ok(Self {
            watchdog: watchdog(pid)?,
            child,
            pid,
        })
    }

    /// Its process id.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn ended(&mut self) -> std::io::Result<Option<std::process::ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended already.
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.pid as i32), signal)
            .with_context(|| format!("cannot signal process {}", self.pid))
    }

    /// Ends it at once (SIGKILL), as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be signalled or awaited.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.watchdog
            .kill()
            .await
            .context("cannot stop a watchdog")?;
        self.child
            .kill()
            .await
            .context("cannot kill a child process")
    }

    /// Ends it as an operator would (SIGTERM), or kills it after `patience`.
    ///
    /// # Errors
    /// It cannot be signalled or awaited.
    pub(crate) async fn stop(mut self, patience: Duration) -> anyhow::Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::SIGTERM)?;
        match timeout(patience, self.child.wait()).await {
            Ok(exited) => exited.map(drop).context("cannot await a child process"),
            Err(_) => self.kill().await,
        }
    }
}

/// Ports below those that systems give to outgoing connections: one of these could be taken by any
/// process between our look and the use.
const PORTS: Range<u32> = 10_240..32_768;

/// A free port, until somebody takes it; this process is told another one each time.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    // Other processes draw ports too, so they should not begin at the same place.
    static DRAWN: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(rand::random_range(PORTS)));
    let width = PORTS.end - PORTS.start;
    PORTS
        .map(|_| (PORTS.start + DRAWN.fetch_add(1, Ordering::Relaxed) % width) as u16)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no free port")
}

/// A shell that kills `pid` once its standard input closes; the pipe to it closes with us, whatever
/// ended us.
fn watchdog(pid: u32) -> std::io::Result<Child> {
    Command::new("sh")
        .args(["-c", r#"read -r _; kill -9 "$0""#, &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}
