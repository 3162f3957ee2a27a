//! Asking again, with the ids of our own instances in place of the predecessor's.

use std::collections::BTreeMap;
use std::time::Duration;

use devstack::stack::{NOVITA_KEY, Stack, eventually};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::exchange::Exchange;

const PATIENCE: Duration = Duration::from_secs(60);
/// Phases that pass by themselves.
const PASSING: [&str; 7] = [
    "creating",
    "starting",
    "running",
    "health_checking",
    "stopping",
    "deleting",
    "migrating",
];
/// An instance that somebody else made.
const OUTSIDE: &str = "outside0001";

/// An answer of ours.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

pub(crate) struct Replay {
    http: Client,
    api: String,
    sink: String,
    /// The predecessor's id → ours.
    ids: BTreeMap<String, String>,
}

impl Replay {
    /// Has the provider offer and know what it did when the exchanges were recorded.
    pub(crate) async fn prepare(stack: &Stack) -> Self {
        let replay = Self {
            http: devstack::http::client(),
            api: stack.api_url().to_owned(),
            sink: stack.sink().url(),
            ids: BTreeMap::new(),
        };
        let novita = stack.simulator().url();
        replay.offer(&novita).await;
        let order = json!({
            "productId": "4090.16c62g", "kind": "gpu", "gpuNum": 1, "rootfsSize": 60,
            "name": "made-elsewhere", "imageUrl": "docker.io/acme/infer:1.4",
            "clusterId": "us-ca-6", "billingMode": "onDemand",
        });
        let url = format!("{novita}/gpu-instance/openapi/v1/gpu/instance/create");
        let made = replay.http.post(url).bearer_auth(NOVITA_KEY).json(&order);
        let made: Value = made.send().await.unwrap().json().await.unwrap();
        let id = made["id"].as_str().unwrap().to_owned();
        Self {
            ids: BTreeMap::from([(OUTSIDE.to_owned(), id)]),
            ..replay
        }
    }

    async fn offer(&self, novita: &str) {
        let url = format!("{novita}/_sim/products");
        let catalog = self.http.get(&url).send().await.unwrap();
        let mut catalog: Value = catalog.json().await.unwrap();
        let templates = catalog["templates"].as_array_mut().unwrap();
        let mut template = |model: usize, id: &str, members: Value| {
            let mut template = templates[model].clone();
            template["Id"] = json!(id);
            for (name, value) in members.as_object().unwrap() {
                template[name] = value.clone();
            }
            templates.push(template);
        };
        template(2, "pytorch-jupyter", json!({}));
        template(1, "107672", json!({}));
        template(2, "bare", json!({ "ports": [], "envs": [] }));
        template(
            2,
            "bad-env",
            json!({ "envs": [{ "key": "", "value": "x" }] }),
        );
        let missing = json!({ "imageAuth": "00000000-0000-0000-0000-000000000000" });
        template(1, "private-missing", missing);
        let products = catalog["products"].as_array_mut().unwrap();
        for (name, cluster) in [
            ("RTX 3090 24GB", "as-sgp-2"),
            ("RTX 4090 24GB", "cn-hongkong-1"),
        ] {
            let is_it =
                |product: &&mut Value| product["name"] == name && product["deployable"] == true;
            let product = products.iter_mut().rfind(is_it).unwrap();
            let offers = product["offers"].as_array_mut().unwrap();
            offers.push(json!({ "clusterId": cluster, "stock": 100 }));
        }
        let changed = json!({ "templates": catalog["templates"], "products": catalog["products"] });
        let answer = self.http.post(&url).json(&changed).send().await.unwrap();
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }

    /// Asks once nothing is under way, unless the exchange was about just that.
    pub(crate) async fn ask(&mut self, exchange: &Exchange) -> Answer {
        if !exchange.is_hasty() {
            self.settled().await;
            self.synced().await;
            self.learn().await;
        }
        let request = &exchange.request;
        let path = self.translated(&request.path);
        let method: Method = request.method.parse().unwrap();
        let mut ours = self.http.request(method, format!("{}{path}", self.api));
        for (name, value) in &request.headers {
            ours = ours.header(name, value);
        }
        if let Some(body) = &request.body {
            ours = ours.body(self.translated(&body.to_string()));
        } else if let Some(text) = &request.body_text {
            ours = ours.body(text.repeat(request.body_length.unwrap_or(1)));
        }
        let answer = ours.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status == 201
            && let (Some(theirs), Some(ours)) = (
                exchange.response.body["instanceId"].as_str(),
                body["instanceId"].as_str(),
            )
        {
            self.ids.insert(theirs.to_owned(), ours.to_owned());
        }
        Answer { status, body }
    }

    /// The same text about our instances, which tell our sink.
    fn translated(&self, text: &str) -> String {
        let text = text.replace("http://127.0.0.1:16998", &self.sink);
        let replace = |text: String, (theirs, ours): (&String, &String)| text.replace(theirs, ours);
        self.ids.iter().fold(text, replace)
    }

    /// Ids that no answer to a create told: those of the provider, and of what failed at once. Both follow
    /// from what lists told of them, by their names.
    async fn learn(&mut self) {
        let list = self.read("/api/instances").await;
        let ours = list["instances"].as_array().unwrap();
        for exchange in Exchange::all() {
            let body = &exchange.response.body;
            for theirs in body["instances"].as_array().into_iter().flatten() {
                let (id, name) = (theirs["id"].as_str().unwrap(), &theirs["name"]);
                let twin = ours.iter().find(|ours| ours["name"] == *name);
                if let Some(twin) = twin.filter(|_| !self.ids.contains_key(id)) {
                    self.know(id, &twin["id"]);
                }
            }
            let known = body["instanceId"].as_str().and_then(|id| self.ids.get(id));
            let twin = ours
                .iter()
                .find(|ours| ours["id"].as_str() == known.map(String::as_str));
            if let (Some(twin), Some(id)) = (twin, body["novitaInstanceId"].as_str()) {
                self.know(id, &twin["novitaInstanceId"]);
            }
        }
    }

    fn know(&mut self, theirs: &str, ours: &Value) {
        if let Some(ours) = ours.as_str() {
            self.ids.insert(theirs.to_owned(), ours.to_owned());
        }
    }

    async fn settled(&self) {
        let settled = eventually("nothing is under way", PATIENCE, async || {
            let list = self.read("/api/instances").await;
            let instances = list["instances"].as_array().unwrap();
            let is_passing = |instance: &&Value| {
                let phase = instance["status"].as_str().unwrap();
                PASSING.contains(&phase)
            };
            match instances.iter().find(is_passing) {
                None => Ok(()),
                Some(instance) => Err(instance.to_string()),
            }
        });
        settled.await.unwrap();
    }

    /// The predecessor asked the provider in every request; here its list is read every few seconds.
    async fn synced(&self) {
        let url = format!("{}/api/instances/sync", self.api);
        let answer = self.http.post(url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    }

    async fn read(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.api)).send().await;
        answer.unwrap().json().await.unwrap()
    }
}
