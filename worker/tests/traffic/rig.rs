//! A Redis and a simulated provider of one's own, and any number of processes that call it.

use std::time::Duration;

use devstack::bridge::{Bridge, BridgeOptions};
use devstack::novita::{DEFAULT_API_KEY, Route, Simulator, SimulatorOptions};
use devstack::redis::{RedisOptions as ServerOptions, RedisServer};
use serde_json::{Value, json};
use shared::pace::Pace;
use shared::redis::{Keys, Redis, RedisOptions, Target};
use worker::novita::{
    ApiKey, BillingMode, CreateRequest, Held, HeldBy, NovitaClient, NovitaError, NovitaOptions,
    ProviderId,
};
use worker::provider::{Provider, ProviderHealth};

/// Far above what anything here takes; reaching it means that it will never happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// More than any test calls.
pub(crate) const NO_LIMIT: u32 = 6000;
/// Longer than any machine needs to answer.
const LONG: Duration = Duration::from_secs(20);
const TOKEN: &str = "test-token";

pub(crate) struct Rig {
    pub(crate) server: RedisServer,
    _bridge: Option<Bridge>,
    target: Target,
    pub(crate) keys: Keys,
    pub(crate) simulator: Simulator,
    http: reqwest::Client,
}

/// A process's view of the provider.
pub(crate) struct Process {
    pub(crate) provider: Provider<NovitaClient>,
    pub(crate) redis: Redis,
}

impl Rig {
    pub(crate) async fn resp() -> Self {
        let server = RedisServer::start(ServerOptions::default()).await.unwrap();
        let url = server.url();
        Self::at(server, None, Target::Resp { url }).await
    }

    pub(crate) async fn upstash() -> Self {
        let server = RedisServer::start(ServerOptions::default()).await.unwrap();
        let bridge = Bridge::start(BridgeOptions::new(server.addr(), TOKEN));
        let bridge = bridge.await.unwrap();
        let (url, token) = (bridge.url(), TOKEN.to_owned());
        Self::at(server, Some(bridge), Target::Upstash { url, token }).await
    }

    async fn at(server: RedisServer, bridge: Option<Bridge>, target: Target) -> Self {
        // Time stands still at the provider.
        let options = SimulatorOptions {
            speed: 0.0,
            ..SimulatorOptions::default()
        };
        Self {
            server,
            _bridge: bridge,
            target,
            keys: Keys::new("traffic"),
            simulator: Simulator::start(options).await.unwrap(),
            http: devstack::http::client(),
        }
    }

    /// One more process of the deployment.
    pub(crate) fn process(&self, limit: u32) -> Process {
        self.process_waiting(limit, LONG)
    }

    /// One whose changes at the provider time out after this.
    pub(crate) fn process_waiting(&self, limit: u32, write_timeout: Duration) -> Process {
        let novita = NovitaClient::new(NovitaOptions {
            base_url: self.simulator.base_url(),
            api_key: ApiKey::new(DEFAULT_API_KEY).unwrap(),
            read_timeout: LONG,
            write_timeout,
            connect_timeout: LONG,
        });
        let redis = Redis::new(&RedisOptions {
            target: self.target.clone(),
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(5),
            retries: 3,
            retry_delay: Duration::from_millis(10),
        })
        .unwrap();
        let pace = Pace::new(&redis, &self.keys, limit);
        Process {
            provider: Provider::new(novita.unwrap(), ProviderHealth::default(), pace),
            redis,
        }
    }

    /// Tells the provider to misbehave.
    pub(crate) async fn fault(&self, fault: Value) {
        let url = format!("{}/_sim/faults", self.simulator.url());
        let answer = self.http.post(url).json(&fault).send().await.unwrap();
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }

    /// The calls of one route that the provider has seen.
    pub(crate) async fn calls(&self, route: Route) -> usize {
        let requests = self.simulator.requests().await;
        let of_route = requests.iter().filter(|seen| seen.route == Some(route));
        of_route.count()
    }

    /// Writes what another replica has left behind about the pace.
    pub(crate) async fn remember(&self, field: &str, value: u64) {
        let value = value.to_string();
        let command = ["HSET", &self.keys.pace(), field, &value];
        self.server.command(&command).await.unwrap();
    }
}

impl Process {
    /// Orders an instance, once that is permitted.
    pub(crate) async fn order(&self) -> Result<ProviderId, NovitaError> {
        let permit = self.provider.admit_create().await?;
        self.provider.create(permit, &order()).await
    }

    pub(crate) async fn get_unknown(&self) -> Result<(), NovitaError> {
        self.provider.get(&unknown()).await.map(drop)
    }

    pub(crate) async fn delete_unknown(&self) -> Result<(), NovitaError> {
        self.provider.delete(&unknown()).await
    }
}

/// An instance that the provider does not have, for calls whose answer is of no matter.
pub(crate) fn unknown() -> ProviderId {
    ProviderId::new("0123456789abcdef").unwrap()
}

/// The call went out, whatever became of it.
pub(crate) fn went_out<T>(result: &Result<T, NovitaError>) -> bool {
    !matches!(result, Err(NovitaError::Held(_)))
}

/// What held the call back.
pub(crate) fn held<T: std::fmt::Debug>(result: Result<T, NovitaError>) -> Held {
    match result {
        Err(NovitaError::Held(held)) => held,
        other => panic!("not held back: {other:?}"),
    }
}

pub(crate) fn held_by<T: std::fmt::Debug>(result: Result<T, NovitaError>) -> HeldBy {
    held(result).by
}

pub(crate) fn rate_limit(route: &str, retry_after: Option<u64>) -> Value {
    let mut fault = json!({"route": route, "kind": "rate_limit", "count": 1});
    if let Some(seconds) = retry_after {
        fault["retryAfter"] = seconds.into();
    }
    fault
}

fn order() -> CreateRequest {
    CreateRequest {
        name: "n".into(),
        product_id: "4090.16c62g".into(),
        cluster_id: "us-ca-6".into(),
        gpu_num: 1,
        rootfs_size: 60,
        image_url: "docker.io/acme/infer:1.4".into(),
        image_auth_id: None,
        ports: vec![],
        envs: vec![],
        tools: vec![],
        command: None,
        entrypoint: None,
        billing_mode: BillingMode::OnDemand,
        min_cuda_version: None,
    }
}
