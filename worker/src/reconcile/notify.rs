//! Turns an event into the webhook that tells it. The body is made once, here, and sent as it is.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use shared::clock::Millis;
use shared::model::{Event, EventId, EventKind, InstanceId, Spec, Status};
use shared::queue::{Delivery, Job};
use url::Url;

use crate::config::{WebhookConfig, WebhookFormat};

/// The type of the webhook about a receiver that gets nothing more.
const ENDPOINT_DISABLED: &str = "endpoint.disabled";

/// Knows where webhooks go and in which shape.
#[derive(Debug, Clone)]
pub(crate) struct Notifier {
    default_url: Option<String>,
    format: WebhookFormat,
}

impl Notifier {
    pub(crate) fn new(config: &WebhookConfig) -> Self {
        Self {
            default_url: config.default_url.clone(),
            format: config.format,
        }
    }

    /// Tells nobody.
    #[cfg(test)]
    pub(super) fn silent(format: WebhookFormat) -> Self {
        Self {
            default_url: None,
            format,
        }
    }

    /// The webhook of an event; `None` when nobody asked for one. `status` already counts it.
    pub(super) fn webhook(&self, spec: &Spec, status: &Status, event: &Event) -> Option<Job> {
        let urls = [
            &spec.request.webhook_url,
            &spec.webhook_url,
            &self.default_url,
        ];
        let url = urls.into_iter().flatten().next()?.clone();
        let payload = payload(spec, status, event)?;
        let head = Head {
            id: &event.id,
            kind: event.kind.as_str(),
            at: event.at,
            sequence: status.notices,
            traceparent: spec.request.traceparent.as_ref(),
        };
        Some(self.job(url, &head, payload))
    }

    /// The webhook about an instance that no record accounts for, to whoever is told of everything.
    pub(crate) fn orphan(
        &self,
        id: &EventId,
        instance: &InstanceId,
        at: Millis,
        data: &Value,
    ) -> Option<Job> {
        let url = self.default_url.clone()?;
        let kind = EventKind::OrphanSuspected;
        let mut payload = Map::new();
        for (name, value) in [
            ("instanceId", json!(instance)),
            ("status", json!(kind.notice()?)),
            ("timestamp", json!(at.iso())),
            ("eventId", json!(id)),
            ("type", json!(kind)),
            ("data", data.clone()),
        ] {
            payload.insert(name.to_owned(), value);
        }
        let head = Head {
            id,
            kind: kind.as_str(),
            at,
            sequence: 0,
            traceparent: None,
        };
        Some(self.job(url, &head, payload))
    }

    /// The webhook about a receiver that answered 410, to whoever is told of everything; `None` when that
    /// is the receiver itself, or nobody.
    pub(crate) fn disabled(&self, receiver: &str, at: Millis) -> Option<Job> {
        let url = self.default_url.clone().filter(|url| url != receiver)?;
        let origin = Url::parse(receiver).ok()?.origin().ascii_serialization();
        let id = EventId::generate();
        let mut payload = Map::new();
        for (name, value) in [
            ("status", json!("endpoint_disabled")),
            ("timestamp", json!(at.iso())),
            ("eventId", json!(id)),
            ("type", json!(ENDPOINT_DISABLED)),
            ("data", json!({ "receiver": origin, "reason": "http_410" })),
        ] {
            payload.insert(name.to_owned(), value);
        }
        let head = Head {
            id: &id,
            kind: ENDPOINT_DISABLED,
            at,
            sequence: 0,
            traceparent: None,
        };
        Some(self.job(url, &head, payload))
    }

    fn job(&self, url: String, head: &Head<'_>, payload: Map<String, Value>) -> Job {
        let body = match self.format {
            WebhookFormat::Legacy => Value::Object(payload),
            WebhookFormat::Standard => json!({
                "id": head.id,
                "type": head.kind,
                "timestamp": head.at.iso(),
                "sequence": head.sequence,
                "data": payload,
            }),
        };
        Job::Webhook(Delivery {
            event_id: head.id.clone(),
            url,
            body: body.to_string(),
            asked: None,
            headers: BTreeMap::new(),
            traceparent: head.traceparent.cloned(),
        })
    }
}

/// What every body says of its event.
struct Head<'a> {
    id: &'a EventId,
    kind: &'a str,
    at: Millis,
    sequence: u64,
    traceparent: Option<&'a String>,
}

/// The predecessor's flat members, with `eventId` and `sequence` added.
fn payload(spec: &Spec, status: &Status, event: &Event) -> Option<Map<String, Value>> {
    let mut payload = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            payload.insert(name.to_owned(), value);
        }
    };
    put("instanceId", json!(spec.id));
    put("status", json!(event.kind.notice()?));
    put("timestamp", json!(event.at.iso()));
    put("eventId", json!(event.id));
    put("type", json!(event.kind));
    put("sequence", json!(status.notices));
    put("novitaInstanceId", json!(status.provider_id()));
    put("elapsedTime", json!(event.at.since(spec.request.at)));
    put("reason", json!(event.reason));
    put(
        "error",
        json!(status.failure.as_ref().map(|failure| &failure.message)),
    );
    put("data", event.data.clone());
    put(
        "healthCheck",
        json!(
            status
                .health
                .as_ref()
                .and_then(|health| health.report.as_ref())
        ),
    );
    Some(payload)
}

#[cfg(test)]
mod tests {
    use shared::model::{Actor, Cause, Desired};

    use super::*;
    use crate::reconcile::testing::spec;

    fn told(format: WebhookFormat, url: Option<&str>) -> Option<Value> {
        let spec = spec(Desired::Running);
        let notifier = Notifier {
            default_url: url.map(str::to_owned),
            format,
        };
        let event = Event {
            id: EventId::generate(),
            instance_id: spec.id.clone(),
            number: 9,
            kind: EventKind::Ready,
            at: Millis(1_795_379_156_475),
            reason: "every health check passed".into(),
            cause: Cause::Sweeper,
            actor: Actor::Policy,
            change: None,
            data: Value::Null,
        };
        let status = Status {
            notices: 4,
            ..Status::default()
        };
        match notifier.webhook(&spec, &status, &event)? {
            Job::Webhook(delivery) => {
                assert_eq!(delivery.event_id, event.id);
                Some(serde_json::from_str(&delivery.body).unwrap())
            }
            Job::Reconcile { .. } | Job::Periodic { .. } => panic!("not a webhook"),
        }
    }

    #[test]
    fn the_flat_payload_has_the_predecessors_members_and_a_sequence() {
        let body = told(WebhookFormat::Legacy, Some("http://x/hook")).unwrap();
        assert_eq!(body["status"], "ready");
        assert_eq!(body["timestamp"], "2026-11-22T20:25:56.475Z");
        assert_eq!(body["sequence"], 4);
        assert!(body["instanceId"].is_string() && body.get("novitaInstanceId").is_none());
    }

    #[test]
    fn the_envelope_carries_the_same_payload_as_data() {
        let body = told(WebhookFormat::Standard, Some("http://x/hook")).unwrap();
        assert_eq!(body["type"], "instance.ready");
        assert_eq!(body["sequence"], 4);
        assert_eq!(body["data"]["status"], "ready");
    }

    #[test]
    fn nobody_is_told_when_nobody_asked() {
        assert!(told(WebhookFormat::Legacy, None).is_none());
    }
}
