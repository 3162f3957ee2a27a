//! A simulator of Novita's GPU Instance API (v1), over real HTTP.
//!
//! It follows the Novita API reference and, where that is unsure, the less convenient reading. Its
//! JSON is written against that document and not against any client's structs. Time is simulated
//! and can be hurried; see [`control`] for that, for faults, and for what it cost.

mod api;
mod billing;
mod catalog;
mod clock;
pub mod control;
mod core;
mod endpoints;
mod error;
mod faults;
mod instance;
mod jobs;
mod ledger;
mod listings;
mod order;
mod ports;
mod query;
mod request_log;
mod route;
mod settings;
mod spot;
mod status;
mod stock;
mod wire;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use bytes::Bytes;
use http::Request;
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::core::Core;
use crate::http::{Answer, HangUp, Server};

pub use catalog::{
    BillingMode, Catalog, Cluster, CudaVersion, Env, MonthlyPrice, Offer, Price, Product,
    RepositoryAuth, Template, TemplatePorts,
};
pub use clock::SimDuration;
pub use ledger::LedgerEntry;
pub use request_log::RequestRecord;
pub use route::Route;
pub use settings::{
    ActionBody, AppSettings, AuthError, Delays, NotFound, Settings, SpotSettings, ZeroValues,
};

/// The key accepted unless the options say otherwise.
pub const DEFAULT_API_KEY: &str = "simulated-novita-key";

/// Create bodies and catalogues are far smaller.
const MAX_BODY: usize = 4 << 20;

/// How often state and listeners follow the clock when nobody asks, in real time.
const TICK: Duration = Duration::from_millis(20);

/// How a simulator starts.
#[derive(Debug, Clone)]
pub struct SimulatorOptions {
    /// The port on loopback; 0 picks a free one.
    pub port: u16,
    /// The accepted Bearer keys.
    pub api_keys: Vec<String>,
    /// Simulated seconds per real second.
    pub speed: f64,
    /// Decides ids, passwords, chosen clusters and the dice of faults.
    pub seed: u64,
    /// The first simulated moment, Unix seconds; `None`: now.
    pub start_at: Option<u32>,
    /// Delays and modes.
    pub settings: Settings,
    /// What is on offer; `None`: the built-in catalogue.
    pub catalog: Option<Catalog>,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self {
            port: 0,
            api_keys: vec![DEFAULT_API_KEY.to_owned()],
            speed: 1.0,
            seed: 1,
            start_at: None,
            settings: Settings::default(),
            catalog: None,
        }
    }
}

/// A running simulator; dropping it closes its port and the ports of its instances.
#[derive(Debug)]
pub struct Simulator {
    server: Server,
    core: Arc<Mutex<Core>>,
    _stop: DropGuard,
}

impl Simulator {
    /// Listens on loopback. Fails on options that make no sense and on a port that is taken.
    pub async fn start(options: SimulatorOptions) -> anyhow::Result<Self> {
        ensure!(
            !options.api_keys.iter().any(String::is_empty),
            "api_keys: a key is empty"
        );
        control::check_speed(options.speed).map_err(|problem| anyhow!("{problem}"))?;
        let catalog = options.catalog.clone().map_or_else(Catalog::built_in, Ok);
        let catalog = catalog
            .and_then(|catalog| catalog.check().map(|()| catalog))
            .map_err(|problem| anyhow!("catalog: {problem}"))?;

        let port = options.port;
        let core = Arc::new(Mutex::new(Core::new(options, catalog)));
        let stop = CancellationToken::new();
        let (shared, stopped) = (Arc::clone(&core), stop.clone());
        let server = Server::start(port, MAX_BODY, move |request| {
            finish(Arc::clone(&shared), request, stopped.clone())
        });
        let server = server.await?;
        tokio::spawn(tick(Arc::clone(&core), stop.clone()));
        Ok(Self {
            server,
            core,
            _stop: stop.drop_guard(),
        })
    }

    /// `http://127.0.0.1:<port>`; the control surface is under `/_sim/`.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The URL a client is configured with: `…/gpu-instance/openapi`, to which it adds `/v1/…`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}/gpu-instance/openapi", self.server.url())
    }

    /// What every instance has cost so far, in order of creation.
    pub async fn ledger(&self) -> Vec<LedgerEntry> {
        let mut core = self.core.lock().await;
        let now = core.catch_up().await;
        ledger::entries(&core.world, now)
    }

    /// The requests to the simulated API so far that `keep` lets through.
    pub async fn requests_where(
        &self,
        keep: impl Fn(&RequestRecord) -> bool,
    ) -> Vec<RequestRecord> {
        let core = self.core.lock().await;
        core.log.records().filter(|r| keep(r)).cloned().collect()
    }

    /// The requests to the simulated API so far.
    pub async fn requests(&self) -> Vec<RequestRecord> {
        self.core.lock().await.log.records().cloned().collect()
    }
}

/// Serves to the end even if the client hangs up meanwhile: its request has arrived, and a real
/// server would have carried it out.
async fn finish(
    core: Arc<Mutex<Core>>,
    request: Request<Bytes>,
    stop: CancellationToken,
) -> Answer {
    let served = tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => Err(HangUp),
            answer = dispatch(&core, request) => answer,
        }
    });
    served.await.unwrap_or(Err(HangUp))
}

async fn dispatch(core: &Mutex<Core>, request: Request<Bytes>) -> Answer {
    if request.uri().path().starts_with(control::BASE) {
        control::answer(core, request).await
    } else {
        api::answer(core, request).await
    }
}

async fn tick(core: Arc<Mutex<Core>>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {
                core.lock().await.catch_up().await;
            }
        }
    }
}
