//! The processes of one deployment: armed, dead, replaced.

use std::path::Path;

use anyhow::bail;
use devstack::service::{Role, Service};
use tempfile::TempDir;

use crate::world::binaries;

/// The API and the workers of one deployment.
pub(crate) struct Crew {
    env: Vec<(String, String)>,
    logs: TempDir,
    api: Service,
    workers: Vec<Service>,
    started: usize,
    deaths: usize,
}

impl Crew {
    /// Starts them, armed with `fail_point`.
    pub(crate) async fn start(
        env: Vec<(String, String)>,
        workers: usize,
        fail_point: Option<&str>,
    ) -> anyhow::Result<Self> {
        let logs = TempDir::with_prefix("chaos-")?;
        let mut armed = env.clone();
        armed.extend(fail_point.map(|point| ("FAIL_POINT".to_owned(), point.to_owned())));
        let (mut started, mut deaths) = (0, 0);
        let mut services = Vec::new();
        let roles = std::iter::once(Role::Api).chain(std::iter::repeat_n(Role::Worker, workers));
        for role in roles {
            let service = match start(role, started, &armed, logs.path()).await {
                // It got to the point before it was ready.
                Err(error) if was_killed(&format!("{error:#}")) => {
                    deaths += 1;
                    started += 1;
                    start(role, started, &env, logs.path()).await?
                }
                started => started?,
            };
            started += 1;
            services.push(service);
        }
        Ok(Self {
            api: services.remove(0),
            workers: services,
            env,
            logs,
            started,
            deaths,
        })
    }

    /// Replaces whatever died by one that is not armed.
    ///
    /// # Errors
    /// One ended in another way than by SIGKILL.
    pub(crate) async fn mend(&mut self) -> anyhow::Result<()> {
        for place in 0..=self.workers.len() {
            let (role, service) = match place {
                0 => (Role::Api, &mut self.api),
                _ => (Role::Worker, &mut self.workers[place - 1]),
            };
            let Some(how) = service.take_death() else {
                continue;
            };
            if !was_killed(&how) {
                bail!("{how}");
            }
            self.deaths += 1;
            *service = start(role, self.started, &self.env, self.logs.path()).await?;
            self.started += 1;
        }
        Ok(())
    }

    /// Kills and replaces one process, as somebody from outside would.
    pub(crate) async fn kill(&mut self, role: Role, number: usize) -> anyhow::Result<()> {
        let service = match role {
            Role::Api => &mut self.api,
            Role::Worker => {
                let count = self.workers.len();
                &mut self.workers[number % count]
            }
        };
        service.kill().await?;
        *service = start(role, self.started, &self.env, self.logs.path()).await?;
        self.deaths += 1;
        self.started += 1;
        Ok(())
    }

    /// Base URL of the API that runs now.
    pub(crate) fn api(&self) -> &str {
        self.api.url()
    }

    /// Processes that were killed.
    pub(crate) fn deaths(&self) -> usize {
        self.deaths
    }

    /// Keeps the logs, and tells where they are.
    pub(crate) fn keep_logs(self) -> String {
        self.logs.keep().display().to_string()
    }
}

async fn start(
    role: Role,
    number: usize,
    env: &[(String, String)],
    logs: &Path,
) -> anyhow::Result<Service> {
    let binary = binaries().join(role.binary());
    if !binary.is_file() {
        bail!(
            "{} is not built: run `make build-fail-points`",
            binary.display()
        );
    }
    Service::start_binary(&binary, role, number, env, logs).await
}

fn was_killed(how: &str) -> bool {
    how.contains("signal: 9")
}
