//! What all runs share: one Redis, its bridge, and a provider for each kind of weather.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use devstack::bridge::{Bridge, BridgeOptions};
use devstack::novita::{Delays, Settings, SimDuration, Simulator, SimulatorOptions};
use devstack::redis::{RedisOptions, RedisServer};
use devstack::stack::{NOVITA_KEY, Transport, WEBHOOK_SECRET, eventually};
use redis::Value;
use reqwest::Client;
use serde_json::json;
use shared::model::Status;
use shared::redis::Keys;
use tokio::sync::Mutex;

use crate::plan::Weather;

const TOKEN: &str = "chaos-token";
/// Simulated seconds per second: an instance boots in a second and a half.
const SPEED: f64 = 20.0;
/// `removed` is shown for a minute, so that a worker that was away for a lease still sees it.
const REMOVED_SHOWN_S: u32 = 1200;
/// For Redis to answer the test itself, however busy the machine is.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// The clusters that sell the product which is ordered here.
const CLUSTERS: [(&str, &str); 4] = [
    ("4090.16c62g", "us-ca-6"),
    ("4090.16c62g", "as-sgp-2"),
    ("4090.16c62g", "oc-au-1"),
    ("4090.12c48g.hk", "cn-hongkong-1"),
];
/// Names of instances that are not ours, as foreign as a name can be without being ours.
const FOREIGN: [&str; 3] = [
    "somebody-elses",
    "web-nga-zzzzzz-01KAVB4S3T0000000000000000-1",
    "nga-zzzzzz",
];

pub(crate) struct World {
    pub(crate) http: Client,
    pub(crate) redis: Mutex<RedisServer>,
    pub(crate) redis_url: String,
    bridge: Bridge,
    providers: Mutex<BTreeMap<(Weather, String), Arc<Provider>>>,
    deployments: AtomicU32,
}

/// A simulator, and what others have there.
pub(crate) struct Provider {
    pub(crate) simulator: Simulator,
    foreign: Vec<String>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
        let bridge = Bridge::start(BridgeOptions {
            // Held to in tests of the scripts; here it would double the calls to Redis.
            check_declared_keys: false,
            ..BridgeOptions::new(redis.addr(), TOKEN)
        })
        .await
        .unwrap();
        Self {
            http: devstack::http::client(),
            redis_url: redis.url(),
            redis: Mutex::new(redis),
            bridge,
            providers: Mutex::default(),
            deployments: AtomicU32::new(0),
        }
    }

    /// A tag that no other deployment of this world has.
    pub(crate) fn deployment(&self) -> String {
        format!("c{:05x}", self.deployments.fetch_add(1, Ordering::Relaxed))
    }

    /// The provider in this weather: the one that all share, or `own`'s.
    pub(crate) async fn provider(&self, weather: Weather, own: Option<&str>) -> Arc<Provider> {
        let whose = own.unwrap_or_default().to_owned();
        let mut providers = self.providers.lock().await;
        if let Some(provider) = providers.get(&(weather, whose.clone())) {
            return Arc::clone(provider);
        }
        let provider = Arc::new(Provider::start(&self.http, weather).await);
        providers.insert((weather, whose), Arc::clone(&provider));
        provider
    }

    /// The variables of every process of a deployment.
    pub(crate) fn env(
        &self,
        deployment: &str,
        transport: Transport,
        provider: &Provider,
    ) -> Vec<(String, String)> {
        let (bridge, novita) = (self.bridge.url(), provider.simulator.url());
        let redis = match transport {
            Transport::Resp => vec![("REDIS_URL", self.redis_url.as_str())],
            Transport::Upstash => vec![
                ("UPSTASH_REDIS_REST_URL", bridge.as_str()),
                ("UPSTASH_REDIS_REST_TOKEN", TOKEN),
            ],
        };
        let fixed = [
            ("NODE_ENV", "development"),
            ("HOST", "127.0.0.1"),
            ("LOG_FORMAT", "json"),
            ("REDIS_KEY_PREFIX", deployment),
            ("DEPLOYMENT_ID", deployment),
            ("NOVITA_API_KEY", NOVITA_KEY),
            ("NOVITA_API_BASE_URL", &novita),
            ("MARKER_SECRET", "marker-secret-of-chaos"),
            ("WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("WEBHOOK_ALLOW_PRIVATE", "true"),
            // The shortest there are, so that a lease and a window end soon.
            ("NOVITA_API_TIMEOUT", "5000"),
            ("REQUEST_TIMEOUT", "5000"),
            ("WEBHOOK_TIMEOUT", "5000"),
            ("JOB_LEASE_MS", "6500"),
            ("CREATE_LOOKUP_WINDOW_MS", "1000"),
            ("INSTANCE_POLL_FAST_MS", "150"),
            ("HEALTH_CHECK_RETRY_DELAY_MS", "500"),
            ("HEALTH_CHECK_TIMEOUT_MS", "2000"),
            ("MAX_CONCURRENT_JOBS", "50"),
            ("NOVITA_RATE_LIMIT_PER_MINUTE", "6000"),
        ];
        let all = fixed.into_iter().chain(redis);
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Restarts Redis as an operator would, or after a crash.
    pub(crate) async fn restart_redis(&self, crashes: bool) -> anyhow::Result<()> {
        let mut redis = self.redis.lock().await;
        if crashes {
            redis.kill().await?;
        }
        redis.restart().await
    }

    /// What the product has stored about an instance; `None` before a worker looked at it.
    pub(crate) async fn stored_status(
        &self,
        deployment: &str,
        id: &str,
    ) -> anyhow::Result<Option<Status>> {
        let key = Keys::new(deployment).status();
        let stored = eventually("the stored status", ANSWERS_WITHIN, async || {
            let stored = self.redis.lock().await.command(&["HGET", &key, id]).await;
            stored.map_err(|error| format!("{error:#}"))
        });
        match stored.await? {
            Value::BulkString(bytes) => Ok(serde_json::from_slice(&bytes)?),
            _ => Ok(None),
        }
    }

    /// What happened to instances that are none of ours.
    pub(crate) async fn trespasses(&self) -> Vec<String> {
        let mut found = Vec::new();
        for provider in self.providers.lock().await.values() {
            let ledger = provider.simulator.ledger().await;
            found.extend(
                ledger
                    .into_iter()
                    .filter(|entry| provider.foreign.contains(&entry.id))
                    .filter(|entry| !is_untouched(&entry.status))
                    .map(|entry| format!("{} of somebody else is {}", entry.name, entry.status)),
            );
        }
        found
    }
}

impl Provider {
    async fn start(http: &Client, weather: Weather) -> Self {
        let removed = match weather {
            Weather::Forgetful => 0,
            _ => REMOVED_SHOWN_S,
        };
        let simulator = Simulator::start(SimulatorOptions {
            api_keys: vec![NOVITA_KEY.to_owned()],
            speed: SPEED,
            settings: Settings {
                delays: Delays {
                    removed: SimDuration::seconds(removed),
                    ..Delays::default()
                },
                ..Settings::default()
            },
            ..SimulatorOptions::default()
        })
        .await
        .unwrap();
        let mut provider = Self {
            simulator,
            foreign: Vec::new(),
        };
        for (product, cluster) in CLUSTERS {
            let stock = json!({"productId": product, "clusterId": cluster, "available": 1_000_000});
            provider.control(http, "stock", &stock).await;
        }
        for name in FOREIGN {
            let id = provider.order(http, name).await;
            provider.foreign.push(id);
        }
        for fault in faults(weather) {
            provider.control(http, "faults", &fault).await;
        }
        provider
    }

    /// Posts to its control surface.
    pub(crate) async fn control(&self, http: &Client, what: &str, body: &serde_json::Value) {
        let url = format!("{}/_sim/{what}", self.simulator.url());
        let answer = http.post(url).json(body).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{what}: {:?}", answer.text().await);
    }

    /// Orders an instance as somebody else would.
    async fn order(&self, http: &Client, name: &str) -> String {
        let url = format!("{}/v1/gpu/instance/create", self.simulator.base_url());
        let body = json!({
            "name": name, "productId": "3090.16c92g", "clusterId": "us-west-1", "kind": "gpu",
            "gpuNum": 1, "rootfsSize": 60, "imageUrl": "docker.io/acme/textgen:2.3",
        });
        let answer = http.post(url).bearer_auth(NOVITA_KEY).json(&body).send();
        let answer: serde_json::Value = answer.await.unwrap().json().await.unwrap();
        let id = answer["id"].as_str();
        id.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

fn is_untouched(status: &str) -> bool {
    matches!(
        status,
        "pending" | "toCreate" | "creating" | "pulling" | "running"
    )
}

fn faults(weather: Weather) -> Vec<serde_json::Value> {
    let old = |route, seconds: f64| json!({"route": route, "kind": "list_lag", "seconds": seconds * SPEED});
    let lost = |probability, when| json!({"route": "create", "kind": "reset", "when": when, "probability": probability});
    match weather {
        Weather::Calm | Weather::Forgetful => Vec::new(),
        Weather::Slow => {
            let slow = |when| json!({"route": "*", "kind": "latency", "when": when, "delayMs": 5, "jitterMs": 120});
            vec![slow("before"), slow("after")]
        }
        Weather::Lagging => vec![old("list", 1.5), old("get", 1.5)],
        Weather::Losing => vec![lost(0.3, "after")],
        Weather::LosingLate => vec![lost(0.3, "after"), old("list", 4.5), old("get", 4.5)],
        Weather::LosingAll => vec![lost(1.0, "after")],
        Weather::Rough => {
            let reset =
                json!({"route": "*", "kind": "reset", "when": "after", "probability": 0.01});
            let failed =
                json!({"route": "*", "kind": "status", "status": 502, "probability": 0.01});
            vec![lost(0.05, "after"), lost(0.05, "before"), reset, failed]
        }
        Weather::Dropping => {
            vec![json!({"route": "create", "kind": "reset", "when": "before", "count": 2})]
        }
    }
}

/// Where `make build-fail-points` puts the binaries: beside the target directory's profiles.
pub(crate) fn binaries() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let target = own
        .ancestors()
        .nth(3)
        .expect("a test runs in target/<profile>/deps");
    target.join("fail-points/debug")
}
