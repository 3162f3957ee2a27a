//! One measured process, seen from its parent.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::protocol::Answer;

/// From its start until it is connected.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// The slowest enqueueing of a run takes about half of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(180);
const END_WITHIN: Duration = Duration::from_secs(5);
/// `utime` and `stime` of `/proc/<pid>/stat` are in these (`USER_HZ`, 100 on every Linux platform).
const TICKS_PER_SECOND: f64 = 100.0;

/// A started child; killed when dropped.
pub(crate) struct Child {
    process: tokio::process::Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    pid: u32,
}

impl Child {
    /// Starts it and waits until it is connected.
    pub(crate) async fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                let program = command.as_std().get_program();
                format!("cannot start {}", program.display())
            })?;
        let stdin = process.stdin.take().context("no standard input")?;
        let stdout = process.stdout.take().context("no standard output")?;
        let pid = process.id().context("ended at once")?;
        let mut child = Self {
            process,
            stdin,
            lines: BufReader::new(stdout).lines(),
            pid,
        };
        let line = child.line(READY_WITHIN).await?;
        ensure!(line == "ready", "expected `ready` from a child, got {line}");
        Ok(child)
    }

    /// Tells it to go on.
    pub(crate) async fn go(&mut self) -> anyhow::Result<()> {
        Ok(self.stdin.write_all(b"go\n").await?)
    }

    /// What it did.
    pub(crate) async fn answer(&mut self) -> anyhow::Result<Answer> {
        let line = self.line(ANSWER_WITHIN).await?;
        serde_json::from_str(&line).with_context(|| format!("not an answer: {line}"))
    }

    async fn line(&mut self, within: Duration) -> anyhow::Result<String> {
        match timeout(within, self.lines.next_line()).await {
            Ok(line) => line?.context("a child ended without an answer"),
            Err(_) => bail!("a child said nothing within {within:?}"),
        }
    }

    /// Processor time it has taken so far, in seconds: user and system, all threads.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name in brackets may hold anything; fields 14 and 15 are counted after it.
        let (_, fields) = stat.rsplit_once(')').context("no process name")?;
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u64>)
            .sum::<Result<u64, _>>()?;
        Ok(ticks as f64 / TICKS_PER_SECOND)
    }

    /// Lets it end, and waits until it is gone.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        // One that has ended already cannot read it.
        let _ = self.go().await;
        if timeout(END_WITHIN, self.process.wait()).await.is_err() {
            self.process.kill().await?;
        }
        Ok(())
    }
}
