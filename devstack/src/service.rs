//! One of our own binaries as a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::process::{Process, free_port};
use crate::stack::eventually;

const READY_WITHIN: Duration = Duration::from_secs(20);
/// Between picking a free port and binding it, another process may take it.
const PORT_ATTEMPTS: u32 = 3;

/// Which binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `novita-api`.
    Api,
    /// `novita-worker`.
    Worker,
}

impl Role {
    /// The name of its file.
    #[must_use]
    pub fn binary(self) -> &'static str {
        match self {
            Self::Api => "novita-api",
            Self::Worker => "novita-worker",
        }
    }
}

/// A started binary; killed when dropped.
#[derive(Debug)]
pub struct Service {
    name: String,
    process: Option<Process>,
    url: String,
    admin_url: String,
    log: PathBuf,
}

impl Service {
    /// Starts the binary with this environment and nothing else, and waits for its `/readyz`.
    ///
    /// # Errors
    /// It is not built, or ends, or is not ready in time; the message has the end of its log.
    pub async fn start(
        role: Role,
        number: usize,
        env: &[(String, String)],
        logs: &Path,
    ) -> anyhow::Result<Self> {
        Self::start_binary(&binary(role)?, role, number, env, logs).await
    }

    /// The same with another build of the binary.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub async fn start_binary(
        binary: &Path,
        role: Role,
        number: usize,
        env: &[(String, String)],
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::launch(binary, role, number, env, logs).await {
                Ok(service) => return Ok(service),
                Err(error)
                    if attempt < PORT_ATTEMPTS && format!("{error:#}").contains("in use") =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn launch(
        binary: &Path,
        role: Role,
        number: usize,
        env: &[(String, String)],
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let name = format!("{}-{number}", role.binary());
        let log = logs.join(format!("{name}.log"));
        let (port, admin_port) = (free_port()?, free_port()?);
        let mut command = Command::new(binary);
        command
            .env_clear()
            // So that no `.env` of the working directory is read.
            .current_dir(logs)
            .env("PORT", port.to_string())
            .env("METRICS_PORT", admin_port.to_string())
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?);
        let process = Process::spawn(&mut command)
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut service = Self {
            name,
            process: Some(process),
            url: format!("http://127.0.0.1:{port}"),
            admin_url: format!("http://127.0.0.1:{admin_port}"),
            log,
        };
        service.wait_ready().await?;
        Ok(service)
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let readyz = format!("{}/readyz", self.admin_url);
        let http = crate::http::client();
        let name = self.name.clone();
        let ended = eventually(&format!("{name} ready"), READY_WITHIN, async || {
            if let Some(status) = self.process.as_mut().and_then(|p| p.ended().ok().flatten()) {
                return Ok(Some(status));
            }
            match http.get(&readyz).send().await {
                Ok(answer) if answer.status().is_success() => Ok(None),
                Ok(answer) => Err(format!("{} from /readyz", answer.status())),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        match ended {
            Ok(None) => Ok(()),
            Ok(Some(status)) => bail!("{name} ended with {status}: {}", self.last_words()),
            Err(error) => Err(error.context(self.last_words())),
        }
    }

    /// Base URL of its public listener; only an API has one.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Base URL of its metrics and probes.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Ends it with SIGKILL.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Ends it with SIGTERM, or kills it after `patience`.
    pub async fn stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.stop(patience).await,
            None => Ok(()),
        }
    }

    /// Tells once, if it ended by itself, how.
    pub fn take_death(&mut self) -> Option<String> {
        let process = self.process.as_mut()?;
        let status = process.ended().ok().flatten()?;
        let pid = process.pid();
        self.process = None;
        Some(format!(
            "{} (pid {pid}) ended with {status}: {}",
            self.name,
            self.last_words()
        ))
    }

    /// The end of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

/// The binary beside the running program: `devstack` itself, or a test one directory below.
fn binary(role: Role) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(role.binary()))
        .find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "{} is not built: run `cargo build --workspace`",
            role.binary()
        )
    })
}
