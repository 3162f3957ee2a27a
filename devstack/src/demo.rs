//! The demonstration: one instance from request to ready to webhook, seen from outside.
//!
//! It talks to the processes as a stranger would, over HTTP, and believes only what the simulator's
//! ledger and the sink's record say.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::time::{Instant, sleep};

use crate::screen::Screen;
use crate::stack::{Stack, Transport, WEBHOOK_SECRET};

const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);
/// What a webhook receiver must have been told about one instance that lived and was deleted.
const EXPECTED: [&str; 5] = ["creating", "running", "health_checking", "ready", "deleted"];

/// Prints where everything is.
pub fn addresses(stack: &Stack, screen: &Screen) {
    screen.step("up:");
    for (n, api) in stack.apis().iter().enumerate() {
        screen.line(&format!(
            "         novita-api {n}      {}  (admin {})",
            api.url(),
            api.admin_url()
        ));
    }
    for (n, worker) in stack.workers().iter().enumerate() {
        screen.line(&format!(
            "         novita-worker {n}   admin {}",
            worker.admin_url()
        ));
    }
    for (name, url) in [
        ("Novita simulator", stack.simulator().url()),
        ("Upstash bridge", stack.bridge().url()),
        ("webhook sink", stack.sink().url()),
        ("logs", stack.logs().display().to_string()),
    ] {
        screen.line(&format!("         {name:<17} {url}"));
    }
}

/// Shows an instance becoming ready, leaves it running, and says what to try. For `make run`.
pub async fn tour(stack: &Stack, screen: &Screen) -> anyhow::Result<()> {
    let mut visitor = Visitor::new(stack, screen);
    let id = visitor.create().await?;
    visitor.watch(&id, "ready").await?;
    visitor.webhooks_until("ready").await?;
    screen.idle();
    let api = stack.api_url();
    screen.line("\nTry it:");
    for line in [
        format!("curl -s {api}/api/instances/{id}"),
        format!("curl -s {api}/api/instances"),
        format!(
            "curl -s {api}/api/instances -H 'Content-Type: application/json' \\\n         -d '{{\"name\":\"mine\",\
             \"productName\":\"{PRODUCT}\",\"templateId\":\"{TEMPLATE}\",\"webhookUrl\":\"{}/hook\"}}'",
            stack.sink().url()
        ),
        format!("curl -s -X DELETE {api}/api/instances/{id}"),
        format!("curl -s {}/_sim/ledger", stack.simulator().url()),
        format!("curl -s {}/_sink/webhooks", stack.sink().url()),
        format!("curl -s {api}/health"),
    ] {
        screen.line(&format!("  {line}"));
    }
    screen.line("\nCtrl-C stops everything.");
    Ok(())
}

/// Runs the whole life, deletion included, checks it, and ends with one line of JSON. For `make demo`.
pub async fn once(stack: &Stack, screen: &Screen, transport: Transport) -> anyhow::Result<bool> {
    let mut visitor = Visitor::new(stack, screen);
    let id = visitor.create().await?;
    visitor.watch(&id, "ready").await?;
    let ready_ms = screen.elapsed().as_millis();
    visitor.webhooks_until("ready").await?;
    visitor.delete(&id).await?;
    visitor.watch(&id, "terminated").await?;
    let webhooks = visitor.webhooks_until("deleted").await?;
    let ledger = visitor.settled_ledger().await?;
    screen.idle();

    let told: Vec<&str> = webhooks
        .iter()
        .filter_map(|hook| hook.status.as_deref())
        .collect();
    let signatures_valid = webhooks.iter().all(|hook| hook.is_signed);
    // Delivery promises no order; the sequence restores it, without gaps and without repeats.
    let mut sequences: Vec<u64> = webhooks.iter().map(|hook| hook.sequence).collect();
    sequences.sort_unstable();
    let sequence_rising = sequences == (1..=EXPECTED.len() as u64).collect::<Vec<_>>();
    let all_told = EXPECTED.iter().all(|status| told.contains(status));
    let ok = signatures_valid
        && sequence_rising
        && all_told
        && ledger.billed == 1
        && ledger.billed_after_delete == 0;
    let figures = json!({
        "ok": ok,
        "transport": format!("{transport:?}").to_lowercase(),
        "apis": stack.apis().len(),
        "workers": stack.workers().len(),
        "ready_ms": ready_ms,
        "total_ms": screen.elapsed().as_millis(),
        "webhooks": told,
        "signatures_valid": signatures_valid,
        "sequence_rising": sequence_rising,
        "instances_billed": ledger.billed,
        "billed_after_delete": ledger.billed_after_delete,
    });
    println!("{figures}");
    Ok(ok)
}

const PRODUCT: &str = "RTX 4090 24GB";
const TEMPLATE: &str = "100234";

/// A caller and a webhook receiver in one person.
struct Visitor<'a> {
    stack: &'a Stack,
    screen: &'a Screen,
    http: Client,
    shown: HashSet<String>,
}

/// A webhook as its receiver judges it.
struct Hook {
    id: String,
    status: Option<String>,
    sequence: u64,
    is_signed: bool,
}

struct Ledger {
    billed: usize,
    billed_after_delete: usize,
}

impl<'a> Visitor<'a> {
    fn new(stack: &'a Stack, screen: &'a Screen) -> Self {
        Self {
            stack,
            screen,
            http: crate::http::client(),
            shown: HashSet::new(),
        }
    }

    async fn create(&mut self) -> anyhow::Result<String> {
        // A name of its own, because a data directory may be kept from run to run.
        let name = format!("demo-{:04x}", rand::random::<u16>());
        let body = json!({
            "name": name,
            "productName": PRODUCT,
            "templateId": TEMPLATE,
            "webhookUrl": format!("{}/hook", self.stack.sink().url()),
        });
        let url = format!("{}/api/instances", self.stack.api_url());
        let answer = self.http.post(url).json(&body).send().await?;
        let (status, body) = (answer.status(), answer.json::<Value>().await?);
        ensure!(
            status == 201,
            "POST /api/instances answered {status}: {body}"
        );
        let id = body["instanceId"]
            .as_str()
            .context("an answer without instanceId")?;
        self.screen
            .step(&format!("POST /api/instances  → 201, instance {id}"));
        Ok(id.to_owned())
    }

    async fn delete(&mut self, id: &str) -> anyhow::Result<()> {
        let url = format!("{}/api/instances/{id}", self.stack.api_url());
        let answer = self.http.delete(url).send().await?;
        let (status, body) = (answer.status(), answer.json::<Value>().await?);
        ensure!(status == 202, "DELETE answered {status}: {body}");
        self.screen
            .step(&format!("DELETE /api/instances/{id}  → 202"));
        Ok(())
    }

    /// Shows every phase of the instance until it reaches `goal`.
    async fn watch(&mut self, id: &str, goal: &str) -> anyhow::Result<()> {
        let url = format!("{}/api/instances/{id}", self.stack.api_url());
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        while Instant::now() < deadline {
            let view: Value = self.http.get(&url).send().await?.json().await?;
            let phase = view["status"].as_str().unwrap_or("?");
            let provider = view["providerStatus"].as_str().unwrap_or("");
            let now = if provider.is_empty() {
                format!("phase {phase}")
            } else {
                format!("phase {phase:<16} (provider: {provider})")
            };
            if now != last {
                self.screen.step(&now);
                last = now;
            }
            self.show_webhooks().await?;
            if phase == goal {
                return Ok(());
            }
            ensure!(
                phase != "failed",
                "the instance failed: {}",
                view["failure"]
            );
            self.screen.wait(&format!("waiting for {goal}"));
            sleep(GLANCE).await;
        }
        bail!("{goal} was not reached within {PATIENCE:?}; last seen: {last}")
    }

    /// All webhooks, once one with `status` is among them.
    async fn webhooks_until(&mut self, status: &str) -> anyhow::Result<Vec<Hook>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let hooks = self.show_webhooks().await?;
            let complete = EXPECTED
                .iter()
                .position(|s| *s == status)
                .map_or(0, |n| n + 1);
            if hooks.len() >= complete
                && hooks
                    .iter()
                    .any(|hook| hook.status.as_deref() == Some(status))
            {
                return Ok(hooks);
            }
            ensure!(
                Instant::now() < deadline,
                "no webhook with status {status} came"
            );
            sleep(GLANCE).await;
        }
    }

    async fn show_webhooks(&mut self) -> anyhow::Result<Vec<Hook>> {
        let url = format!("{}/_sink/webhooks", self.stack.sink().url());
        let kept: Vec<Value> = self.http.get(url).send().await?.json().await?;
        let mut hooks: Vec<Hook> = Vec::new();
        for kept in &kept {
            let hook = judge(kept);
            if self.shown.insert(hook.id.clone()) {
                self.screen.step(&format!(
                    "webhook {:<15} sequence {}  signature {}",
                    hook.status.as_deref().unwrap_or("?"),
                    hook.sequence,
                    if hook.is_signed { "valid" } else { "INVALID" },
                ));
            }
            // Delivery is at least once: a receiver keeps one of each id.
            if !hooks.iter().any(|known| known.id == hook.id) {
                hooks.push(hook);
            }
        }
        Ok(hooks)
    }

    /// Who was billed, and who still is: the ledger is read twice, a moment apart.
    async fn settled_ledger(&self) -> anyhow::Result<Ledger> {
        let before = self.ledger().await?;
        sleep(Duration::from_millis(500)).await;
        let after = self.ledger().await?;
        let billed = |entry: &Value| entry["billedSeconds"].as_f64().unwrap_or(0.0);
        let still = after
            .iter()
            .filter(|entry| {
                let earlier = before.iter().find(|known| known["id"] == entry["id"]);
                earlier.is_none_or(|known| billed(entry) > billed(known))
            })
            .count();
        Ok(Ledger {
            billed: after.iter().filter(|entry| billed(entry) > 0.0).count(),
            billed_after_delete: still,
        })
    }

    async fn ledger(&self) -> anyhow::Result<Vec<Value>> {
        let url = format!("{}/_sim/ledger", self.stack.simulator().url());
        let ledger: Value = self.http.get(url).send().await?.json().await?;
        Ok(ledger["instances"].as_array().cloned().unwrap_or_default())
    }
}

/// Reads a kept webhook as a careful receiver would.
fn judge(kept: &Value) -> Hook {
    let body = kept["body"].as_str().unwrap_or_default();
    let header = |name: &str| kept["headers"][name].as_str().unwrap_or_default();
    let payload: Value = serde_json::from_str(body).unwrap_or_default();
    Hook {
        id: header("webhook-id").to_owned(),
        status: payload["status"].as_str().map(str::to_owned),
        sequence: payload["sequence"].as_u64().unwrap_or(0),
        is_signed: is_signed(
            header("webhook-id"),
            header("webhook-timestamp"),
            body,
            header("webhook-signature"),
        ),
    }
}

/// Standard Webhooks: base64 of HMAC-SHA256 over `id.timestamp.body`.
fn is_signed(id: &str, timestamp: &str, body: &str, signatures: &str) -> bool {
    let key = WEBHOOK_SECRET.strip_prefix("whsec_").unwrap_or_default();
    let Ok(key) = BASE64.decode(key) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        return false;
    };
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    let expected = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
    signatures.split(' ').any(|signature| signature == expected)
}
