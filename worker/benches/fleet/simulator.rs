//! The provider, in a process of its own: its work must not show in anybody's figures.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use devstack::novita::{Settings, SimDuration, Simulator, SimulatorOptions};
use devstack::stack::NOVITA_KEY;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longer than any run: an instance stays in this status until it is told otherwise.
const NEVER: u32 = 1_000_000;
/// Of everything that is on offer.
const GPUS_FREE: u32 = 1_000_000;

/// What the child process does: simulates until its standard input ends.
pub(crate) async fn run(boots: Boots) -> anyhow::Result<()> {
    let mut settings = Settings::default();
    let zero = SimDuration::seconds(0);
    settings.delays.pending = zero;
    settings.delays.to_create = zero;
    settings.delays.creating = zero;
    settings.delays.pulling = match boots {
        Boots::AtOnce => zero,
        Boots::WhenTold => SimDuration::seconds(NEVER),
    };
    settings.apps.start_delay = zero;
    let simulator = Simulator::start(SimulatorOptions {
        api_keys: vec![NOVITA_KEY.to_owned()],
        settings,
        ..SimulatorOptions::default()
    })
    .await?;
    println!("{}", simulator.url());
    let mut nothing = Vec::new();
    tokio::io::stdin().read_to_end(&mut nothing).await?;
    Ok(())
}

/// When an instance that was ordered runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Boots {
    /// Before anybody looks.
    AtOnce,
    /// It is `pulling` until somebody says `running`.
    WhenTold,
}

/// The running process; it ends when this is dropped.
pub(crate) struct Provider {
    _process: Child,
    _stdin: ChildStdin,
    url: String,
    http: Client,
}

impl Provider {
    /// Starts it and makes room for everybody.
    pub(crate) async fn start(boots: Boots) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let boots = match boots {
            Boots::AtOnce => "at-once",
            Boots::WhenTold => "when-told",
        };
        let mut process = command
            .args(["simulator", "--boots", boots])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the simulator")?;
        let stdin = process.stdin.take().context("no standard input")?;
        let stdout = process.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let url = timeout(READY_WITHIN, lines.next_line()).await??;
        let provider = Self {
            _process: process,
            _stdin: stdin,
            url: url.context("the simulator ended")?,
            http: devstack::http::client(),
        };
        provider.make_room().await?;
        Ok(provider)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    async fn make_room(&self) -> anyhow::Result<()> {
        let stock = self.shown("stock").await?;
        for offer in stock["stock"].as_array().context("no stock")? {
            let mut offer = offer.clone();
            offer["available"] = GPUS_FREE.into();
            self.control("stock", &offer).await?;
        }
        Ok(())
    }

    /// Orders an instance without ports under this name, as a deployment would.
    pub(crate) async fn order(&self, name: &str) -> anyhow::Result<()> {
        let url = format!("{}/gpu-instance/openapi/v1/gpu/instance/create", self.url);
        let order = json!({
            "productId": "4090.16c62g", "kind": "gpu", "gpuNum": 1, "rootfsSize": 60, "name": name,
            "imageUrl": "docker.io/acme/infer:1.4", "clusterId": "us-ca-6", "billingMode": "onDemand",
        });
        let request = self.http.post(url).bearer_auth(NOVITA_KEY).json(&order);
        answered(request).await.map(drop)
    }

    /// Lets an instance be in this status from now on.
    pub(crate) async fn force(&self, provider_id: &str, status: &str) -> anyhow::Result<()> {
        let topic = format!("instances/{provider_id}");
        self.control(&topic, &json!({ "status": status })).await
    }

    /// Id and name of every instance there ever was.
    pub(crate) async fn instances(&self) -> anyhow::Result<Vec<(String, String)>> {
        let ledger = self.shown("ledger").await?;
        let entries = ledger["instances"].as_array().context("no ledger")?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("not a text");
        let pair = |entry: &Value| anyhow::Ok((text(&entry["id"])?, text(&entry["name"])?));
        entries.iter().map(pair).collect()
    }

    /// The routes of all requests since the log was emptied.
    pub(crate) async fn requests(&self) -> anyhow::Result<Vec<String>> {
        let log = self.shown("requests").await?;
        let requests = log["requests"].as_array().context("no log")?;
        let route = |request: &Value| request["route"].as_str().unwrap_or("unknown").to_owned();
        Ok(requests.iter().map(route).collect())
    }

    /// Empties that log.
    pub(crate) async fn forget_requests(&self) -> anyhow::Result<()> {
        let url = format!("{}/_sim/requests", self.url);
        answered(self.http.delete(url)).await.map(drop)
    }

    async fn shown(&self, topic: &str) -> anyhow::Result<Value> {
        answered(self.http.get(format!("{}/_sim/{topic}", self.url))).await
    }

    async fn control(&self, topic: &str, change: &Value) -> anyhow::Result<()> {
        let url = format!("{}/_sim/{topic}", self.url);
        answered(self.http.post(url).json(change)).await.map(drop)
    }
}

/// The answer of a request that must go well.
pub(crate) async fn answered(request: RequestBuilder) -> anyhow::Result<Value> {
    let answer = request.send().await?;
    let (status, url) = (answer.status(), answer.url().clone());
    let body = answer.text().await?;
    ensure!(status.is_success(), "{status} from {url}: {body}");
    serde_json::from_str(&body).with_context(|| format!("no JSON from {url}"))
}
