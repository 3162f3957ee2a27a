//! Instances that are created, get ready and are deleted, one after the other in every lane.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use devstack::sink::Sink;
use futures_util::{StreamExt, stream};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use shared::model::InstanceId;
use tokio::time::{Instant, sleep};

/// Instances at a time.
const LANES: usize = 40;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Far above what a life takes whose workers are killed all the time.
const PATIENCE: Duration = Duration::from_secs(180);
/// In the URL of the receiver; nobody else may ever see it.
pub(crate) const QUERY: &str = "token=s3cret-in-the-query";

/// Where they live, and who they were.
pub(crate) struct Lives<'a> {
    http: Client,
    api: String,
    sink: &'a Sink,
    hook: String,
    number: AtomicUsize,
    ids: Mutex<Vec<InstanceId>>,
    is_enough: AtomicBool,
}

impl<'a> Lives<'a> {
    pub(crate) fn new(api: &str, sink: &'a Sink) -> Self {
        Self {
            // A connection that is kept may be closed just as it is used again.
            http: Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
            api: format!("{api}/api/instances"),
            sink,
            hook: format!("{}/hook?{QUERY}", sink.url()),
            number: AtomicUsize::new(0),
            ids: Mutex::default(),
            is_enough: AtomicBool::new(false),
        }
    }

    /// Lives until so many webhooks came, and to the end of every life by then; who lived.
    pub(crate) async fn live_until(&self, events: usize) -> Vec<InstanceId> {
        let lanes = stream::iter(0..LANES).for_each_concurrent(None, async |_| {
            while !self.is_enough.load(Ordering::Relaxed) {
                self.live().await;
            }
        });
        let count = async {
            while self.told() < events {
                sleep(LOOK_EVERY).await;
            }
            self.is_enough.store(true, Ordering::Relaxed);
        };
        tokio::join!(lanes, count);
        std::mem::take(&mut *self.ids.lock().unwrap())
    }

    /// How many webhooks came, each counted once.
    fn told(&self) -> usize {
        let webhooks = self.sink.webhooks();
        let ids = webhooks
            .iter()
            .map(|webhook| &webhook.headers["webhook-id"]);
        ids.collect::<HashSet<_>>().len()
    }

    async fn live(&self) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let wish = json!({
            "name": format!("life-{number}"),
            "productName": "RTX 4090 24GB",
            "templateId": "100900",
            "webhookUrl": self.hook,
        });
        let made = answered(self.http.post(&self.api).json(&wish)).await;
        let id = made["instanceId"].as_str().expect("an id").to_owned();
        self.ids.lock().unwrap().push(id.parse().unwrap());
        let url = format!("{}/{id}", self.api);
        self.until(&url, &["ready", "failed"]).await;
        answered(self.http.delete(&url)).await;
        self.until(&url, &["terminated"]).await;
    }

    async fn until(&self, url: &str, wanted: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let read = answered(self.http.get(url)).await;
            let status = read["status"].as_str().unwrap_or_default();
            if wanted.contains(&status) {
                return;
            }
            assert!(Instant::now() < deadline, "not {wanted:?}: {read}");
            sleep(LOOK_EVERY).await;
        }
    }
}

/// More GPUs on offer than anybody orders.
pub(crate) async fn make_room(simulator: &str) {
    let (http, url) = (devstack::http::client(), format!("{simulator}/_sim/stock"));
    let stock = answered(http.get(&url)).await;
    for offer in stock["stock"].as_array().expect("a stock") {
        let mut offer = offer.clone();
        offer["available"] = 1_000_000.into();
        answered(http.post(&url).json(&offer)).await;
    }
}

async fn answered(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
    if status == StatusCode::NO_CONTENT {
        return Value::Null;
    }
    serde_json::from_str(&text).unwrap_or_default()
}
