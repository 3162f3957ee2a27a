//! The receiver, in a process of its own: its work must not show in anybody's figures.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use devstack::http::{Answer, Server, empty, json};
use http::{Request, StatusCode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

const READY_WITHIN: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 64 * 1024;
/// What came, and when in ms since 1970, is told here and forgotten.
const ARRIVALS: &str = "/arrivals";
/// Whoever asks under this path waits for ever.
const HANGING: &str = "/hanging/";

/// What came: the event and the moment.
pub(crate) type Arrivals = Vec<(String, f64)>;

/// What the child process does: receives until its standard input ends.
pub(crate) async fn run() -> anyhow::Result<()> {
    let arrivals: Arc<Mutex<Arrivals>> = Arc::default();
    let server = Server::start(0, MAX_BODY, move |request| {
        answer(Arc::clone(&arrivals), request)
    })
    .await?;
    println!("{}", server.url());
    let mut nothing = Vec::new();
    tokio::io::stdin().read_to_end(&mut nothing).await?;
    Ok(())
}

async fn answer(arrivals: Arc<Mutex<Arrivals>>, request: Request<Bytes>) -> Answer {
    let at = now();
    let path = request.uri().path();
    if path.starts_with(HANGING) {
        return std::future::pending().await;
    }
    let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    if path == ARRIVALS {
        let told = std::mem::take(&mut *arrivals);
        return Ok(json(StatusCode::OK, &serde_json::json!(told)));
    }
    let event = request.headers().get("webhook-id");
    let event = event.and_then(|event| event.to_str().ok());
    arrivals.push((event.unwrap_or_default().to_owned(), at));
    Ok(empty(StatusCode::NO_CONTENT))
}

/// In ms since 1970, by the clock that all processes share.
pub(crate) fn now() -> f64 {
    jiff::Timestamp::now().as_microsecond() as f64 / 1000.0
}

/// The running process; it ends when this is dropped.
pub(crate) struct Receiver {
    _process: Child,
    _stdin: ChildStdin,
    url: String,
    http: reqwest::Client,
}

impl Receiver {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("receiver")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the receiver")?;
        let stdin = process.stdin.take().context("no standard input")?;
        let stdout = process.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let url = timeout(READY_WITHIN, lines.next_line()).await??;
        Ok(Self {
            _process: process,
            _stdin: stdin,
            url: url.context("the receiver ended")?,
            http: devstack::http::client(),
        })
    }

    /// A receiver of its own, that answers at once.
    pub(crate) fn well(&self, number: usize) -> String {
        format!("{}/well/{number}", self.url)
    }

    /// A receiver of its own, that never answers.
    pub(crate) fn hanging(&self, number: usize) -> String {
        format!("{}{HANGING}{number}", self.url)
    }

    /// What came since this was asked before.
    pub(crate) async fn arrivals(&self) -> anyhow::Result<Arrivals> {
        let answer = self.http.get(format!("{}{ARRIVALS}", self.url)).send();
        Ok(answer.await?.error_for_status()?.json().await?)
    }

    /// Waits for so many; whatever came.
    pub(crate) async fn until(&self, count: usize, within: Duration) -> anyhow::Result<Arrivals> {
        let mut all = Arrivals::new();
        let arriving = async {
            while all.len() < count {
                tokio::time::sleep(Duration::from_millis(100)).await;
                all.extend(self.arrivals().await?);
            }
            anyhow::Ok(())
        };
        let done = timeout(within, arriving).await;
        let came = all.len();
        done.with_context(|| format!("{came} of {count} came within {within:?}"))??;
        Ok(all)
    }
}
