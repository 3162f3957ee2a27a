//! The log of deliveries as callers and administrators see it: of URLs only the origin.

use serde::Serialize;
use serde_json::Value;
use url::Url;
use utoipa::ToSchema;

use super::entry::{Entry, Fate};
use super::log::LogPage;
use super::replay::Replayed;
use crate::clock::Millis;
use crate::model::EventId;
use crate::queue::Purpose;

/// One page of the log, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Deliveries)]
pub struct LogView {
    /// Its lines.
    pub deliveries: Vec<EntryView>,
    /// What to pass as `before` to read on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Delivery)]
#[serde(rename_all = "camelCase")]
pub struct EntryView {
    /// Its number, by which it is shown and replayed.
    pub id: u64,
    /// The event: `webhook-id`.
    #[schema(value_type = String)]
    pub event_id: EventId,
    /// The event's type, if its body has one.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whose event it is, if it is an instance's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Scheme, host and port of the receiver; absent when the stored URL is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// `auto`, `replay` or `test`.
    pub trigger: &'static str,
    /// When it ended, ISO 8601.
    #[schema(format = DateTime)]
    pub at: String,
    /// Which attempt it was.
    pub attempt: u32,
    /// What became of the delivery.
    pub fate: Fate,
    /// Why it was not delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The answer's status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took in all.
    pub duration_ms: u64,
    /// When the next attempt is due, ISO 8601.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// The receiver may have had it before, because a worker vanished with it.
    pub may_repeat: bool,
    /// What was sent; only where one line is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

/// What a replay of a range came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Replayed)]
pub struct ReplayedView {
    /// Deliveries that are due.
    pub replayed: usize,
    /// More of them in the range.
    pub remaining: usize,
}

/// A delivery that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WebhookSent)]
#[serde(rename_all = "camelCase")]
pub struct SentView {
    /// By which to find it in the log.
    #[schema(value_type = String)]
    pub event_id: EventId,
}

impl From<LogPage> for LogView {
    fn from(page: LogPage) -> Self {
        let lines = page.entries.into_iter();
        Self {
            deliveries: lines
                .map(|(id, entry)| EntryView::new(id, entry, false))
                .collect(),
            next: page.next,
        }
    }
}

impl From<Replayed> for ReplayedView {
    fn from(done: Replayed) -> Self {
        Self {
            replayed: done.replayed,
            remaining: done.remaining,
        }
    }
}

impl EntryView {
    /// The line of this number, with what was sent or without.
    #[must_use]
    pub fn new(id: u64, entry: Entry, with_payload: bool) -> Self {
        let payload: Value = serde_json::from_str(&entry.body).unwrap_or_default();
        let of = |value: &Value| value.as_str().map(str::to_owned);
        let instance = of(&payload["instanceId"]).or_else(|| of(&payload["data"]["instanceId"]));
        Self {
            id,
            kind: of(&payload["type"]),
            instance_id: instance,
            receiver: Url::parse(&entry.url)
                .ok()
                .map(|url| url.origin().ascii_serialization()),
            trigger: match entry.purpose() {
                None => "auto",
                Some(Purpose::Replay) => "replay",
                Some(Purpose::Test) => "test",
            },
            at: entry.at.iso(),
            attempt: entry.attempt,
            fate: entry.fate,
            reason: entry.reason,
            status: entry.status,
            duration_ms: entry.took_ms,
            next_attempt_at: entry.next_at.map(Millis::iso),
            may_repeat: entry.may_repeat,
            payload: with_payload.then_some(payload),
            event_id: entry.event_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_shows_what_it_is_about_and_of_its_url_no_secret() {
        let entry = Entry {
            event_id: "msg_1".parse().unwrap(),
            url: "https://u:s3cret@h.example:8443/s3cret?k=s3cret".into(),
            body: r#"{"type":"instance.ready","data":{"instanceId":"inst_1"}}"#.into(),
            headers: std::collections::BTreeMap::new(),
            asked: None,
            at: Millis(1_795_379_156_475),
            attempt: 2,
            fate: Fate::Scheduled,
            reason: Some("http_503".into()),
            status: Some(503),
            took_ms: 12,
            next_at: Some(Millis(1_795_379_216_475)),
            may_repeat: false,
        };
        let shown = serde_json::to_value(EntryView::new(7, entry, false)).unwrap();
        assert_eq!(
            shown,
            json!({
                "id": 7, "eventId": "msg_1", "type": "instance.ready", "instanceId": "inst_1",
                "receiver": "https://h.example:8443", "trigger": "auto",
                "at": "2026-11-22T20:25:56.475Z", "attempt": 2, "fate": "scheduled",
                "reason": "http_503", "status": 503, "durationMs": 12,
                "nextAttemptAt": "2026-11-22T20:26:56.475Z", "mayRepeat": false,
            })
        );
    }
}
