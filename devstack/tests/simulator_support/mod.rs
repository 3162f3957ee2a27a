//! A simulator with a stopped clock and a client that speaks plain HTTP to it.
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::time::Duration;

use devstack::novita::{DEFAULT_API_KEY, Simulator, SimulatorOptions};
use reqwest::Method;
use serde_json::{Value, json};

/// From create to `running` with the default delays, in simulated seconds.
pub(crate) const UNTIL_RUNNING: u32 = 1 + 2 + 5 + 20;

/// Of that, what is not billed.
pub(crate) const UNTIL_PULLING: u32 = 1 + 2 + 5;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Sim {
    pub(crate) simulator: Simulator,
    pub(crate) http: reqwest::Client,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// Checks the whole envelope and returns the message.
    pub(crate) fn refused(&self, status: u16, reason: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let envelope = self.json();
        assert_eq!(envelope["code"], status, "{envelope}");
        assert_eq!(envelope["reason"], reason, "{envelope}");
        envelope["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn order() -> Value {
    json!({
        "name": "worker-1", "productId": "4090.16c62g", "kind": "gpu", "gpuNum": 1,
        "rootfsSize": 60, "imageUrl": "docker.io/acme/infer:1.4", "ports": "8000/http,22/tcp",
        "clusterId": "us-ca-6", "envs": [{ "key": "OWNER", "value": "batch-42" }],
    })
}

/// The usual order with some fields changed.
pub(crate) fn order_with(changes: &Value) -> Value {
    let mut order = order();
    for (field, value) in changes.as_object().unwrap() {
        order[field] = value.clone();
    }
    order
}

impl Sim {
    /// Time stands still until a test moves it.
    pub(crate) async fn start() -> Self {
        Self::with(SimulatorOptions {
            speed: 0.0,
            ..SimulatorOptions::default()
        })
        .await
    }

    pub(crate) async fn with(options: SimulatorOptions) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        Self {
            simulator,
            http: devstack::http::client(),
        }
    }

    pub(crate) async fn try_send(
        &self,
        method: Method,
        url: String,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method, url).bearer_auth(DEFAULT_API_KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let header = response.headers().get("retry-after");
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after: header.map(|value| value.to_str().unwrap().to_owned()),
            body: response.text().await?,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let url = format!("{}/v1{path}", self.simulator.base_url());
        self.try_send(Method::GET, url, None).await.unwrap()
    }

    pub(crate) async fn try_post(&self, path: &str, body: Value) -> Result<Answer, reqwest::Error> {
        let url = format!("{}/v1{path}", self.simulator.base_url());
        self.try_send(Method::POST, url, Some(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_post(path, body).await.unwrap()
    }

    pub(crate) async fn control(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("{}/_sim/{path}", self.simulator.url());
        self.try_send(method, url, body).await.unwrap()
    }

    pub(crate) async fn set(&self, path: &str, body: Value) -> Value {
        self.control(Method::POST, path, Some(body)).await.ok()
    }

    pub(crate) async fn show(&self, path: &str) -> Value {
        self.control(Method::GET, path, None).await.ok()
    }

    pub(crate) async fn advance(&self, seconds: u32) {
        self.set("clock", json!({ "advanceSeconds": seconds }))
            .await;
    }

    pub(crate) async fn create(&self, order: Value) -> String {
        let created = self.post("/gpu/instance/create", order).await.ok();
        created["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn running(&self, order: Value) -> String {
        let id = self.create(order).await;
        self.advance(UNTIL_RUNNING).await;
        assert_eq!(self.status(&id).await, "running");
        id
    }

    pub(crate) async fn instance(&self, id: &str) -> Value {
        self.get(&format!("/gpu/instance?instanceId={id}"))
            .await
            .ok()
    }

    pub(crate) async fn status(&self, id: &str) -> String {
        self.instance(id).await["status"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn act(&self, action: &str, id: &str) -> Answer {
        self.post(
            &format!("/gpu/instance/{action}"),
            json!({ "instanceId": id }),
        )
        .await
    }

    pub(crate) async fn ledger_entry(&self, id: &str) -> Value {
        let ledger = self.show("ledger").await;
        let entries = ledger["instances"].as_array().unwrap();
        entries
            .iter()
            .find(|entry| entry["id"] == id)
            .unwrap()
            .clone()
    }

    /// Billed milliseconds.
    pub(crate) async fn billed(&self, id: &str) -> u64 {
        let seconds = self.ledger_entry(id).await["billedSeconds"]
            .as_f64()
            .unwrap();
        (seconds * 1000.0).round() as u64
    }
}

/// Asks again until the answer satisfies; on giving up says what it saw last.
pub(crate) async fn eventually<T: std::fmt::Debug>(
    mut ask: impl AsyncFnMut() -> T,
    satisfied: impl Fn(&T) -> bool,
) -> T {
    let satisfying = devstack::stack::eventually("the answer", PATIENCE, async || {
        let seen = ask().await;
        let shown = format!("{seen:?}");
        satisfied(&seen).then_some(seen).ok_or(shown)
    });
    satisfying.await.unwrap()
}
