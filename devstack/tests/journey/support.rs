//! A caller of the API who looks at the provider's ledger and at the webhooks that came.

use std::time::Duration;

use devstack::stack::{NOVITA_KEY, Stack, StackOptions, Transport, eventually};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a story over each transport.
#[macro_export]
macro_rules! journeys {
    ($($story:ident),+ $(,)?) => {
        mod resp {
            $(#[tokio::test]
            async fn $story() { super::$story(devstack::stack::Transport::Resp).await; })+
        }
        mod upstash {
            $(#[tokio::test]
            async fn $story() { super::$story(devstack::stack::Transport::Upstash).await; })+
        }
    };
}

pub(crate) async fn stack(transport: Transport) -> Stack {
    started(StackOptions {
        transport,
        ..StackOptions::default()
    })
    .await
}

pub(crate) async fn started(options: StackOptions) -> Stack {
    Stack::start(options).await.expect("the stack starts")
}

/// A caller.
pub(crate) struct Caller {
    http: Client,
    api: String,
    novita: String,
    sink: String,
}

impl Caller {
    pub(crate) fn of(stack: &Stack) -> Self {
        Self {
            http: devstack::http::client(),
            api: stack.api_url().to_owned(),
            novita: stack.simulator().url(),
            sink: stack.sink().url(),
        }
    }

    pub(crate) async fn post(&self, body: &Value) -> (StatusCode, Value) {
        self.post_to("instances", body).await
    }

    /// Wishes a start, stop or restart of an instance.
    pub(crate) async fn change(&self, id: &str, wish: &str) -> (StatusCode, Value) {
        self.post_to(&format!("instances/{id}/{wish}"), &json!({}))
            .await
    }

    pub(crate) async fn post_to(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let url = format!("{}/api/{path}", self.api);
        let answer = self
            .http
            .post(url)
            .json(body)
            .send()
            .await
            .expect("an answer");
        (answer.status(), answer.json().await.expect("JSON"))
    }

    /// Creates an instance and gives its id.
    pub(crate) async fn create(&self, name: &str) -> String {
        self.create_with(name, &json!({})).await
    }

    /// The same, with more or other members in the body.
    pub(crate) async fn create_with(&self, name: &str, members: &Value) -> String {
        let mut wish = json!({
            "name": name,
            "productName": "RTX 4090 24GB",
            "templateId": "100234",
            "webhookUrl": format!("{}/hook", self.sink),
        });
        for (member, value) in members.as_object().expect("an object") {
            wish[member] = value.clone();
        }
        let (status, body) = self.post(&wish).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["instanceId"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn delete(&self, id: &str) -> (StatusCode, Value) {
        let url = format!("{}/api/instances/{id}", self.api);
        let answer = self.http.delete(url).send().await.expect("an answer");
        (answer.status(), answer.json().await.expect("JSON"))
    }

    async fn get(&self, url: String) -> Value {
        self.http
            .get(url)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON")
    }

    pub(crate) async fn instance(&self, id: &str) -> Value {
        self.get(format!("{}/api/instances/{id}", self.api)).await
    }

    /// The whole fleet, with a query.
    pub(crate) async fn comprehensive(&self, query: &str) -> Value {
        self.get(format!("{}/api/instances/comprehensive{query}", self.api))
            .await
    }

    /// Has the provider's list read now.
    pub(crate) async fn sync(&self) -> Value {
        let url = format!("{}/api/instances/sync", self.api);
        let answer = self.http.post(url).json(&json!({})).send().await;
        answer.expect("an answer").json().await.expect("JSON")
    }

    /// All instances.
    pub(crate) async fn list(&self) -> Value {
        self.get(format!("{}/api/instances", self.api)).await
    }

    /// What the API answers at this path.
    pub(crate) async fn read(&self, path: &str) -> Value {
        self.get(format!("{}/api/{path}", self.api)).await
    }

    /// Says that an instance is used.
    pub(crate) async fn touch(&self, id: &str) {
        let url = format!("{}/api/instances/{id}/last-used", self.api);
        let answer = self.http.put(url).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }

    /// Waits until the operation that an answer names ended well.
    pub(crate) async fn until_done(&self, answer: &Value) {
        let id = answer["operationId"].as_str().expect("an operation");
        eventually("the end of the operation", PATIENCE, async || {
            let operation = self.operation(id).await;
            if operation["state"] == "succeeded" {
                Ok(())
            } else {
                Err(operation.to_string())
            }
        })
        .await
        .unwrap();
    }

    /// The event log of an instance, up to 500 entries.
    pub(crate) async fn events(&self, id: &str) -> Value {
        let url = format!("{}/api/instances/{id}/events?limit=500", self.api);
        self.get(url).await
    }

    pub(crate) async fn operation(&self, id: &str) -> Value {
        self.get(format!("{}/api/operations/{id}", self.api)).await
    }

    /// Waits until the instance has this status; fails at once when it fails instead.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        eventually(&format!("{id} {status}"), PATIENCE, async || {
            let instance = self.instance(id).await;
            if instance["status"] == status {
                Ok(instance)
            } else {
                Err(instance.to_string())
            }
        })
        .await
        .unwrap()
    }

    /// What the provider bills, or billed.
    pub(crate) async fn ledger(&self) -> Vec<Value> {
        let ledger = self.get(format!("{}/_sim/ledger", self.novita)).await;
        ledger["instances"].as_array().expect("instances").clone()
    }

    /// The calls of one route that the provider has seen.
    pub(crate) async fn calls(&self, route: &str) -> Vec<Value> {
        let log = self.get(format!("{}/_sim/requests", self.novita)).await;
        let requests = log["requests"].as_array().expect("requests").clone();
        requests
            .into_iter()
            .filter(|request| request["route"] == route)
            .collect()
    }

    /// The bodies of all orders that the provider has seen, oldest first.
    pub(crate) async fn orders(&self) -> Vec<Value> {
        let calls = self.calls("create").await;
        let body = |call: Value| match call["body"].as_str() {
            Some(text) => serde_json::from_str(text).expect("JSON"),
            None => call["body"].clone(),
        };
        calls.into_iter().map(body).collect()
    }

    /// What the provider's control surface shows.
    pub(crate) async fn shown(&self, what: &str) -> Value {
        self.get(format!("{}/_sim/{what}", self.novita)).await
    }

    /// How many calls the provider has seen.
    pub(crate) async fn request_count(&self) -> usize {
        let log = self.get(format!("{}/_sim/requests", self.novita)).await;
        log["requests"].as_array().expect("requests").len()
    }

    /// Tells the provider to misbehave.
    pub(crate) async fn fault(&self, fault: Value) {
        self.control("faults", fault).await;
    }

    /// Lets the provider behave again.
    pub(crate) async fn clear_faults(&self) {
        let url = format!("{}/_sim/faults", self.novita);
        self.http.delete(url).send().await.expect("an answer");
    }

    /// Deletes an instance at the provider, as somebody with its console would.
    pub(crate) async fn remove_elsewhere(&self, provider_id: &str) {
        let url = format!(
            "{}/gpu-instance/openapi/v1/gpu/instance/delete",
            self.novita
        );
        let request = self.http.post(url).bearer_auth(NOVITA_KEY);
        let answer = request
            .json(&json!({ "instanceId": provider_id }))
            .send()
            .await;
        assert!(answer.expect("an answer").status().is_success());
    }

    /// Orders an instance at the provider, like the first of ours but under this name and without our
    /// variables; tells its id.
    pub(crate) async fn make_elsewhere(&self, name: &str) -> String {
        let mut order = self.orders().await.remove(0);
        order["name"] = name.into();
        order["envs"] = json!([]);
        let url = format!(
            "{}/gpu-instance/openapi/v1/gpu/instance/create",
            self.novita
        );
        let request = self.http.post(url).bearer_auth(NOVITA_KEY).json(&order);
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
        let body: Value = answer.json().await.expect("JSON");
        body["id"].as_str().expect("an id").to_owned()
    }

    /// Gives the provider so many free GPUs of everything it offers.
    pub(crate) async fn make_room(&self, gpus: usize) {
        let stock = self.shown("stock").await;
        for offer in stock["stock"].as_array().expect("a list") {
            let mut offer = offer.clone();
            offer["available"] = gpus.into();
            self.control("stock", offer).await;
        }
    }

    /// Posts to the provider's control surface.
    pub(crate) async fn control(&self, what: &str, body: Value) {
        let url = format!("{}/_sim/{what}", self.novita);
        let answer = self
            .http
            .post(url)
            .json(&body)
            .send()
            .await
            .expect("an answer");
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }

    /// The webhooks that came for an instance, one of each id, by sequence.
    pub(crate) async fn webhooks(&self, id: &str) -> Vec<Value> {
        let kept = self.get(format!("{}/_sink/webhooks", self.sink)).await;
        let mut bodies: Vec<Value> = kept
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|hook| serde_json::from_str(hook["body"].as_str()?).ok())
            .filter(|body: &Value| body["instanceId"] == id)
            .collect();
        bodies.sort_by_key(|body| body["sequence"].as_u64());
        bodies.dedup_by_key(|body| body["eventId"].clone());
        bodies
    }

    /// Waits until webhooks with exactly these statuses came, in the order of their sequence.
    pub(crate) async fn until_told(&self, id: &str, statuses: &[&str]) -> Vec<Value> {
        eventually(&format!("webhooks {statuses:?}"), PATIENCE, async || {
            let hooks = self.webhooks(id).await;
            let told: Vec<_> = hooks
                .iter()
                .filter_map(|hook| hook["status"].as_str())
                .collect();
            if told == statuses {
                Ok(hooks.clone())
            } else {
                Err(format!("{told:?}"))
            }
        })
        .await
        .unwrap()
    }
}
