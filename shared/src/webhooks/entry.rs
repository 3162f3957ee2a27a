//! One line of the log of deliveries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Millis;
use crate::model::EventId;
use crate::queue::{Asked, Delivery, Job, Purpose};

/// One attempt to deliver a webhook, or the reason why none was made; complete enough to make another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The event: `webhook-id`.
    pub event_id: EventId,
    /// The receiver; may hold a secret in its path, so it is neither logged nor listed.
    pub url: String,
    /// The exact body.
    pub body: String,
    /// Headers of its receiver's own; may be secret like the URL.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Who wanted it, if not an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// When it ended, by Redis's clock as the worker reckons it.
    pub at: Millis,
    /// Which attempt it was, from 1; how many there had been, if none was made.
    pub attempt: u32,
    /// What became of the delivery with it.
    pub fate: Fate,
    /// Why it was not delivered, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The status of the answer, when one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took in all, in ms.
    pub took_ms: u64,
    /// When the next attempt is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Millis>,
    /// A worker vanished with this delivery before, so the receiver may have had it already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_repeat: bool,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(as = DeliveryFate)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// It is tried again.
    Scheduled,
    /// Every attempt failed; or the only one, of a test.
    Exhausted,
    /// The receiver answered 410 and gets nothing more.
    Gone,
    /// Not sent, because its receiver wants nothing more.
    Skipped,
    /// Not sent for so long that it is told to nobody any more.
    Expired,
}

impl Fate {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Delivered,
        Self::Scheduled,
        Self::Exhausted,
        Self::Gone,
        Self::Skipped,
        Self::Expired,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Scheduled => "scheduled",
            Self::Exhausted => "exhausted",
            Self::Gone => "gone",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
        }
    }

    /// Nobody has it, and nobody tries any more.
    #[must_use]
    pub fn is_lost(self) -> bool {
        match self {
            Self::Exhausted | Self::Gone | Self::Skipped | Self::Expired => true,
            Self::Delivered | Self::Scheduled => false,
        }
    }
}

impl Entry {
    /// What somebody asked for it for; `None` when an event caused it.
    #[must_use]
    pub fn purpose(&self) -> Option<Purpose> {
        self.asked.map(|asked| asked.purpose)
    }

    /// The same delivery once more, because somebody asks for it.
    #[must_use]
    pub fn again(self, asked: Asked) -> Job {
        Job::Webhook(Delivery {
            event_id: self.event_id,
            url: self.url,
            body: self.body,
            headers: self.headers,
            traceparent: None,
            asked: Some(asked),
        })
    }
}
