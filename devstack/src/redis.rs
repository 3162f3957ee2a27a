//! A real `redis-server` as a child process: own port, own data, never outliving its owner.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::redis::{Cmd, Value};
use anyhow::{Context, bail};
use tempfile::TempDir;

pub use self::cluster::{RedisCluster, SlotMove};
use self::process::{Role, bus_port, connect, launch, launch_or_explain};
use crate::process::{Process, free_port};

mod cluster;
mod process;

const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Between picking a free port and binding it, another process may take it.
const PORT_ATTEMPTS: u32 = 5;
/// About one ephemeral port in five is too high to have a bus port.
const PORT_DRAWS: u32 = 50;

/// Where a server listens and keeps its data.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// TCP port on `127.0.0.1`; 0 picks a free one.
    pub port: u16,
    /// Directory of the append-only file and the log, created if missing and kept afterwards.
    /// `None` uses a temporary directory that is removed with the server.
    pub data_dir: Option<PathBuf>,
}

/// A running (or stopped, or killed) `redis-server` on `127.0.0.1`.
///
/// Every write is in the operating system's hands before it is acknowledged (append-only file,
/// `appendfsync no`), so data survive [`RedisServer::kill`] though not a power cut. `everysec` would
/// be weaker here: while it syncs, Redis holds writes back that it has acknowledged already.
/// Dropping the value kills the process.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Process>,
    port: u16,
    dir: DataDir,
    role: Role,
}

#[derive(Debug)]
enum DataDir {
    Temporary(TempDir),
    Given(PathBuf),
}

impl DataDir {
    fn new(given: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = given else {
            return Ok(Self::Temporary(TempDir::with_prefix("devstack-redis-")?));
        };
        let path = std::path::absolute(path)?;
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot create the data directory {}", path.display()))?;
        Ok(Self::Given(path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Given(path) => path,
        }
    }
}

impl RedisServer {
    /// Starts the server and waits until it answers `PING`.
    ///
    /// # Errors
    /// `redis-server` is not installed, the given port is taken, the data cannot be loaded, or it
    /// is not ready within 30 seconds.
    pub async fn start(options: RedisOptions) -> anyhow::Result<Self> {
        Self::start_as(Role::Standalone, options).await
    }

    async fn start_as(role: Role, options: RedisOptions) -> anyhow::Result<Self> {
        let dir = DataDir::new(options.data_dir)?;
        let attempts = if options.port == 0 { PORT_ATTEMPTS } else { 1 };
        for _ in 1..attempts {
            let port = port_for(role)?;
            if let Ok(process) = launch(port, dir.path(), role).await? {
                return Ok(Self {
                    process: Some(process),
                    port,
                    dir,
                    role,
                });
            }
        }
        let port = if options.port == 0 {
            port_for(role)?
        } else {
            options.port
        };
        let process = launch_or_explain(port, dir.path(), role).await?;
        Ok(Self {
            process: Some(process),
            port,
            dir,
            role,
        })
    }

    /// `redis://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// The address it listens on; the same after a restart.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Process id; `None` after [`RedisServer::stop`] or [`RedisServer::kill`].
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The directory of its data and its log.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends it at once (SIGKILL), as a crash would. Does nothing if it is not running.
    ///
    /// # Errors
    /// The process cannot be signalled or awaited.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Ends it as an operator would (SIGTERM, flushing its file), or kills it after 10 seconds.
    /// Does nothing if it is not running.
    ///
    /// # Errors
    /// The process cannot be signalled or awaited.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.stop(STOP_WITHIN).await,
            None => Ok(()),
        }
    }

    /// Stops it if it runs and starts it again on the same port with the same data.
    ///
    /// # Errors
    /// As [`RedisServer::start`]; the server is then not running.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.process = Some(launch_or_explain(self.port, self.dir.path(), self.role).await?);
        Ok(())
    }

    /// Runs one command, name first, on a connection of its own.
    ///
    /// # Errors
    /// The server is not reachable, or its answer is an error.
    pub async fn command(&self, words: &[&str]) -> anyhow::Result<Value> {
        let mut connection = connect(self.port).await?;
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        let name = words.first().copied().unwrap_or_default();
        command
            .query_async(&mut connection)
            .await
            .with_context(|| format!("{name} failed"))
    }
}

/// A free port, and for a node of a cluster one whose bus port is free too.
fn port_for(role: Role) -> anyhow::Result<u16> {
    for _ in 0..PORT_DRAWS {
        let port = free_port()?;
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if role == Role::Standalone || bus_port(port).is_some_and(is_free) {
            return Ok(port);
        }
    }
    bail!("no free port with a free bus port")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;
    use tokio::process::Command;
    use tokio::time::sleep;

    use super::process::LOG_FILE;
    use super::*;

    const OWNER_VARIABLE: &str = "DEVSTACK_TEST_DOOMED_OWNER";

    async fn refuses_connections_soon(addr: SocketAddr) {
        let refused = async {
            while TcpStream::connect(addr).await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(STOP_WITHIN, refused)
            .await
            .expect("still listening");
    }

    #[tokio::test]
    async fn acknowledged_writes_survive_a_kill_on_the_same_port() {
        let mut redis = RedisServer::start(RedisOptions::default()).await.unwrap();
        let (addr, first_pid) = (redis.addr(), redis.pid());
        redis.command(&["SET", "a", "b"]).await.unwrap();

        redis.kill().await.unwrap();
        assert_eq!(redis.pid(), None);
        assert!(redis.command(&["PING"]).await.is_err());

        redis.restart().await.unwrap();
        assert_eq!(redis.addr(), addr);
        assert_ne!(redis.pid(), first_pid);
        let kept = redis.command(&["GET", "a"]).await.unwrap();
        assert_eq!(kept, Value::BulkString(b"b".to_vec()));
    }

    #[tokio::test]
    async fn a_taken_port_is_explained_and_a_given_directory_is_kept() {
        let dir = TempDir::new().unwrap();
        let data_dir = dir.path().join("data");
        let options = RedisOptions {
            port: 0,
            data_dir: Some(data_dir.clone()),
        };
        let mut redis = RedisServer::start(options).await.unwrap();

        let rival = RedisOptions {
            port: redis.addr().port(),
            data_dir: None,
        };
        let error = RedisServer::start(rival).await.unwrap_err().to_string();
        assert!(error.contains("Address already in use"), "{error}");

        redis.command(&["SET", "a", "b"]).await.unwrap();
        redis.stop().await.unwrap();
        drop(redis);
        assert!(data_dir.join(LOG_FILE).exists());
    }

    #[tokio::test]
    async fn dropping_a_server_ends_its_process() {
        let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
        let addr = redis.addr();
        drop(redis);
        refuses_connections_soon(addr).await;
    }

    #[tokio::test]
    async fn a_server_ends_with_an_owner_that_aborts() {
        if let Ok(report) = std::env::var(OWNER_VARIABLE) {
            let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
            std::fs::write(report, redis.addr().to_string()).unwrap();
            std::process::abort();
        }
        let dir = TempDir::new().unwrap();
        let report = dir.path().join("addr");
        let owner = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "redis::tests::a_server_ends_with_an_owner_that_aborts",
            ])
            .env(OWNER_VARIABLE, &report)
            .env("TMPDIR", dir.path())
            .output()
            .await
            .unwrap();
        assert!(!owner.status.success());
        let addr = std::fs::read_to_string(&report).unwrap().parse().unwrap();
        refuses_connections_soon(addr).await;
    }
}
