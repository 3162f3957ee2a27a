//! A caller who does not give up: what is not answered is asked again.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

/// An answer of the API.
pub(crate) type Answer = (StatusCode, Value);

/// Talks to the API; `None` from any call means no answer, whatever happened.
#[derive(Clone)]
pub(crate) struct Caller {
    http: Client,
    hook: String,
}

impl Caller {
    pub(crate) fn new(http: &Client, hook: String) -> Self {
        Self {
            http: http.clone(),
            hook,
        }
    }

    pub(crate) async fn create(&self, api: &str, name: &str, more: &Value) -> Option<Answer> {
        let mut body = json!({
            "name": name,
            "productName": "RTX 4090 24GB",
            "templateId": "100234",
            "webhookUrl": self.hook,
        });
        for (member, value) in more.as_object().into_iter().flatten() {
            body[member] = value.clone();
        }
        let request = self.http.post(format!("{api}/api/instances")).json(&body);
        // A repetition after a kill is told the first answer.
        let key = format!("create-{name}");
        answer(request.header("idempotency-key", key)).await
    }

    /// Wishes a start, stop or restart.
    pub(crate) async fn change(&self, api: &str, id: &str, wish: &str) -> Option<Answer> {
        let url = format!("{api}/api/instances/{id}/{wish}");
        answer(self.http.post(url).json(&json!({}))).await
    }

    pub(crate) async fn delete(&self, api: &str, id: &str) -> Option<Answer> {
        answer(self.http.delete(format!("{api}/api/instances/{id}"))).await
    }

    pub(crate) async fn instance(&self, api: &str, id: &str) -> Option<Value> {
        self.get(format!("{api}/api/instances/{id}")).await
    }

    pub(crate) async fn operation(&self, api: &str, id: &str) -> Option<Value> {
        self.get(format!("{api}/api/operations/{id}")).await
    }

    async fn get(&self, url: String) -> Option<Value> {
        let (status, body) = answer(self.http.get(url)).await?;
        (status == StatusCode::OK).then_some(body)
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Option<Answer> {
    let answer = request.send().await.ok()?;
    let status = answer.status();
    Some((status, answer.json().await.ok()?))
}

/// The id that an answer to a create tells: the new one, or that of the instance which an earlier try made.
pub(crate) fn id_in((status, body): &Answer) -> Option<String> {
    match *status {
        StatusCode::CREATED => body["instanceId"].as_str().map(str::to_owned),
        StatusCode::CONFLICT => {
            let message = body["error"]["message"].as_str()?;
            let (_, holder) = message.rsplit_once(' ')?;
            holder.starts_with("inst_").then(|| holder.to_owned())
        }
        _ => None,
    }
}

/// Unix milliseconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
