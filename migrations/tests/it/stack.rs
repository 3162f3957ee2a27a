//! The whole system goes on with what was imported.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use devstack::stack::{NOVITA_KEY, Stack, StackOptions, Transport, eventually};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::Said;

const PATIENCE: Duration = Duration::from_secs(120);

/// The simulated provider and the API, as the predecessor and its callers would speak to them.
struct World {
    stack: Stack,
    http: Client,
    dir: TempDir,
}

impl World {
    async fn start(transport: Transport) -> Self {
        let stack = Stack::start(StackOptions {
            transport,
            env: vec![("INSTANCE_POLL_INTERVAL".to_owned(), "10".to_owned())],
            ..StackOptions::default()
        })
        .await
        .unwrap();
        Self {
            stack,
            http: devstack::http::client(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    async fn get(&self, url: &str) -> Value {
        let request = self.http.get(url).bearer_auth(NOVITA_KEY);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Orders an instance as the predecessor did: under a plain name, with no marker.
    async fn order(&self, name: &str) -> String {
        let novita = self.stack.simulator().url();
        let stock = self.get(&format!("{novita}/_sim/stock")).await;
        let stock = stock["stock"].as_array().unwrap();
        let offer = stock
            .iter()
            .find(|offer| offer["available"].as_u64() > Some(3));
        let offer = offer.unwrap();
        let order = json!({
            "name": name, "kind": "gpu", "gpuNum": 1, "rootfsSize": 60, "billingMode": "onDemand",
            "imageUrl": "docker.io/library/ubuntu:24.04",
            "productId": offer["productId"], "clusterId": offer["clusterId"],
        });
        let url = format!("{novita}/gpu-instance/openapi/v1/gpu/instance/create");
        let request = self.http.post(url).bearer_auth(NOVITA_KEY).json(&order);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
        let body: Value = answer.json().await.unwrap();
        let id = body["id"].as_str().unwrap().to_owned();
        self.until_running(&id).await;
        id
    }

    async fn until_running(&self, id: &str) {
        let novita = self.stack.simulator().url();
        let url = format!("{novita}/gpu-instance/openapi/v1/gpu/instance?instanceId={id}");
        eventually("the ordered instance runs", PATIENCE, async || {
            match self.get(&url).await["status"].as_str() {
                Some("running") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap();
    }

    /// Runs the tool against the stack's Redis, with a dump of these records.
    async fn import(&self, states: &[Value]) -> Value {
        let keys: Vec<Value> = states.iter().map(entry).collect();
        let dump = self.dir.path().join("dump.json");
        std::fs::write(&dump, json!({ "keys": keys }).to_string()).unwrap();
        let said = Said::from(self.tool(&dump).await);
        said.ending(0).json()
    }

    async fn tool(&self, dump: &Path) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_redis-migration"));
        let redis = self.stack.env().iter();
        let redis = redis.filter(|(name, _)| name.contains("REDIS"));
        command
            .args(["--json", "import-node", "--from"])
            .arg(dump)
            .env_clear()
            .envs(redis.map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .output()
            .await
            .unwrap()
    }

    async fn shows(&self, id: &str, status: &str) -> Value {
        let url = format!("{}/api/instances/{id}", self.stack.api_url());
        let what = format!("{id} {status}");
        eventually(&what, PATIENCE, async || {
            let instance = self.get(&url).await;
            if instance["status"] == status {
                Ok(instance)
            } else {
                Err(instance.to_string())
            }
        })
        .await
        .unwrap()
    }

    /// Calls of this kind that reached the provider.
    async fn calls(&self, route: &str) -> usize {
        let url = format!("{}/_sim/requests", self.stack.simulator().url());
        let log = self.get(&url).await;
        let requests = log["requests"].as_array().unwrap().iter();
        requests.filter(|request| request["route"] == route).count()
    }
}

fn entry(state: &Value) -> Value {
    let id = state["id"].as_str().unwrap();
    let wrapped = json!({ "data": state, "timestamp": 1_795_380_863_520_u64, "ttl": 86_400_000 });
    json!({
        "key": format!("cache:instance-states-persistent:{id}"),
        "type": "string", "ttlMs": 1000, "value": wrapped.to_string(),
    })
}

fn state(id: &str, name: &str, status: &str, provider_id: Option<&str>, hook: &str) -> Value {
    json!({
        "id": id, "name": name, "status": status, "productId": "p", "templateId": "100234",
        "configuration": { "gpuNum": 1, "rootfsSize": 60, "region": "CN-HK-01" },
        "timestamps": {
            "created": "__DATE__:2026-11-22T20:53:45.819Z",
            "ready": "__DATE__:2026-11-22T20:54:45.819Z",
            "stopped": (status == "stopped").then_some("__DATE__:2026-11-22T20:55:45.819Z"),
        },
        "webhookUrl": hook,
        "novitaInstanceId": provider_id,
    })
}

async fn the_stack_goes_on_with_what_was_imported(transport: Transport) {
    let world = World::start(transport).await;
    let hook = format!("{}/hook", world.stack.sink().url());
    let (running, restarted) = (world.order("train").await, world.order("omar").await);
    let orders = world.calls("create").await;
    let report = world
        .import(&[
            state("inst_1_run", "train", "running", Some(&running), &hook),
            state("inst_2_stop", "omar", "stopped", Some(&restarted), &hook),
            state(
                "inst_3_gone",
                "old",
                "running",
                Some("nobody-has-this"),
                &hook,
            ),
            state("inst_4_lost", "never-made", "creating", None, &hook),
        ])
        .await;
    assert_eq!(report["instances"]["new"], 4, "{report}");
    world.shows("inst_1_run", "ready").await;
    // What was believed to be stopped runs, so somebody wants it.
    world.shows("inst_2_stop", "ready").await;
    // An absence is believed when it was seen twice, half a minute apart.
    world.shows("inst_3_gone", "terminated").await;
    world.shows("inst_4_lost", "failed").await;
    for (call, expected) in [("create", orders), ("stop", 0), ("delete", 0), ("start", 0)] {
        assert_eq!(world.calls(call).await, expected, "{call}");
    }

    let stop = format!("{}/api/instances/inst_1_run/stop", world.stack.api_url());
    let answer = world.http.post(stop).json(&json!({})).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    world.shows("inst_1_run", "stopped").await;
    let is_told = |body: &str| {
        let body: Value = serde_json::from_str(body).unwrap();
        body["instanceId"] == "inst_1_run" && body["status"] == "stopped"
    };
    let webhooks = world
        .stack
        .sink()
        .wait_for(|all| all.iter().any(|hook| is_told(&hook.body)), PATIENCE)
        .await;
    assert!(webhooks.is_ok(), "{webhooks:?}");
    assert_eq!(world.calls("stop").await, 1);
}

#[tokio::test]
async fn the_stack_goes_on_with_what_was_imported_over_resp() {
    the_stack_goes_on_with_what_was_imported(Transport::Resp).await;
}

#[tokio::test]
async fn the_stack_goes_on_with_what_was_imported_over_upstash() {
    the_stack_goes_on_with_what_was_imported(Transport::Upstash).await;
}
