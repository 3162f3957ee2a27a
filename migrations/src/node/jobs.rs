//! The predecessor's jobs: what is still to be done of them, and what is only to be counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::clock::Millis;
use shared::model::BillingMode;

use super::state::Checks;
use super::text::{Date, Reason, parse, payload, without_markers};

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    id: String,
    /// What was to be done.
    #[serde(rename = "type")]
    pub kind: String,
    payload: Value,
    /// `pending` and `processing` are still to be done.
    pub status: String,
    /// When its next try was due.
    #[serde(default)]
    pub next_retry_at: Date,
}

/// What is still to be done of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Following the start of an instance: its reconcile does that.
    Monitor(Monitor),
    /// Delivering a webhook.
    Webhook(Webhook),
    /// Creating an instance; nobody knows how far that came.
    Create(Create),
    /// What periodic jobs and policies of ours do in any case.
    Periodic,
}

/// Following the start of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Monitor {
    /// Whose.
    pub instance_id: String,
    /// How its endpoints are checked.
    #[serde(default)]
    pub health_check_config: Checks,
    /// The only port to check.
    #[serde(default)]
    pub target_port: Option<u16>,
    /// Where the webhooks of this start go.
    #[serde(default)]
    pub webhook_url: Option<String>,
    /// A start that its caller asked for, and no create.
    #[serde(default)]
    pub is_start: bool,
}

/// A webhook that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where it goes.
    pub url: String,
    /// Its body.
    pub body: String,
    /// Its caller's own headers.
    pub headers: BTreeMap<String, String>,
    /// Not before this.
    pub due: Option<Millis>,
}

/// What the create of an instance asked for, as far as no record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Create {
    /// Of which instance.
    pub instance_id: String,
    /// The product by name.
    #[serde(default)]
    pub product_name: String,
    /// How it is paid for.
    #[serde(default)]
    pub billing_mode: Option<BillingMode>,
}

#[derive(Deserialize)]
struct WebhookPayload {
    url: String,
    payload: Value,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl JobRecord {
    /// Reads the stored job `id`.
    ///
    /// # Errors
    /// It is none, or another's.
    pub fn read(id: &str, stored: &[u8]) -> Result<Self, Reason> {
        let job: Self = serde_json::from_value(parse(stored)?)
            .map_err(|error| format!("not a job: {error}"))?;
        if job.id != id {
            let other = &job.id;
            return Err(format!("the job {other:?} under the key of {id:?}"));
        }
        Ok(job)
    }

    /// It is still to be done, or was being done when the predecessor ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.status.as_str(), "pending" | "processing")
    }

    /// What there is to do.
    ///
    /// # Errors
    /// A kind of job that the predecessor is not known to have, or a damaged payload.
    pub fn work(&self) -> Result<Work, Reason> {
        let kind = self.kind.as_str();
        if matches!(
            kind,
            "auto_stop_check" | "migrate_spot_instances" | "handle_failed_migrations"
        ) {
            return Ok(Work::Periodic);
        }
        let payload = payload(self.payload.clone())?;
        let damaged = |error| format!("its payload is not that of a {kind}: {error}");
        match kind {
            "monitor_startup" | "monitor_instance" => {
                let mut monitor: Monitor = serde_json::from_value(payload).map_err(damaged)?;
                monitor.is_start = kind == "monitor_startup";
                Ok(Work::Monitor(monitor))
            }
            "create_instance" => {
                let create = serde_json::from_value(payload).map_err(damaged)?;
                Ok(Work::Create(create))
            }
            "send_webhook" => {
                let webhook: WebhookPayload = serde_json::from_value(payload).map_err(damaged)?;
                Ok(Work::Webhook(Webhook {
                    url: webhook.url,
                    body: without_markers(webhook.payload).to_string(),
                    headers: webhook.headers,
                    due: self.next_retry_at.0,
                }))
            }
            other => Err(format!("an unknown kind of job, {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn work(kind: &str, payload: &Value) -> Result<Work, Reason> {
        let stored = json!({
            "id": "job_1", "type": kind, "payload": payload.to_string(), "status": "pending",
            "nextRetryAt": "2026-11-22T20:54:25.675Z",
        });
        let stored = stored.to_string();
        JobRecord::read("job_1", stored.as_bytes()).unwrap().work()
    }

    #[test]
    fn a_webhook_keeps_its_receiver_headers_and_time_and_gets_plain_dates() {
        let payload = json!({
            "url": "https://x/h", "headers": { "X-Custom": "1" },
            "payload": { "when": "__DATE__:2026-11-22T20:54:26.044Z" },
        });
        let Work::Webhook(webhook) = work("send_webhook", &payload).unwrap() else {
            panic!("no webhook");
        };
        assert_eq!(webhook.url, "https://x/h");
        assert_eq!(webhook.body, r#"{"when":"2026-11-22T20:54:26.044Z"}"#);
        assert_eq!(webhook.headers["X-Custom"], "1");
        assert_eq!(webhook.due.unwrap().iso(), "2026-11-22T20:54:25.675Z");
    }

    #[test]
    fn every_kind_of_job_is_known_and_any_other_is_refused() {
        let about = json!({ "instanceId": "inst_1", "productName": "RTX", "billingMode": "spot" });
        for kind in ["monitor_startup", "monitor_instance"] {
            let Work::Monitor(monitor) = work(kind, &about).unwrap() else {
                panic!("no monitor");
            };
            assert_eq!(monitor.is_start, kind == "monitor_startup");
        }
        assert!(matches!(
            work("create_instance", &about),
            Ok(Work::Create(_))
        ));
        for kind in [
            "auto_stop_check",
            "migrate_spot_instances",
            "handle_failed_migrations",
        ] {
            assert_eq!(work(kind, &json!(null)), Ok(Work::Periodic));
        }
        assert!(work("dance", &about).unwrap_err().contains("\"dance\""));
        assert!(
            work("monitor_startup", &json!({}))
                .unwrap_err()
                .contains("instanceId")
        );
    }
}
