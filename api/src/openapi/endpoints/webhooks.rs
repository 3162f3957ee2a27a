//! What is told of the endpoints about webhooks.

use serde_json::json;
use shared::webhooks::{DeliveryLog, EntryView, Fate, LogView, ReplayedView, SentView};
use utoipa::openapi::Required;
use utoipa::openapi::path::ParameterIn;

use super::{Described, Schemas, number, parameter, text};
use crate::handlers::webhooks::MAX_NUMBER;
use crate::openapi::requests;
use crate::router::Endpoint;

const WEBHOOKS: &str = "webhooks";

/// Everything under `/api/webhooks`.
pub(super) fn describe(endpoint: Endpoint, schemas: &mut Schemas) -> Described {
    let new = |id: &str, summary: &str| Described::new(WEBHOOKS, id, summary);
    match endpoint {
        Endpoint::ListDeliveries => {
            let fates = json!({ "type": "string", "enum": Fate::ALL.map(Fate::as_str) });
            let about = "Only those that came to this";
            let fate = parameter("fate", ParameterIn::Query, Required::False, about, fates);
            new("listDeliveries", "Attempts to deliver, newest first")
                .with(number(
                    "limit",
                    1,
                    DeliveryLog::PAGE as u64,
                    "At most so many; 50 without it",
                ))
                .with(number(
                    "before",
                    1,
                    MAX_NUMBER,
                    "Only earlier ones than this",
                ))
                .with(text("eventId", "Only those of this event"))
                .with(fate)
                .reading("A page of them", schemas.of::<LogView>())
        }
        Endpoint::ReadDelivery => new("readDelivery", "One attempt").reading(
            "What became of it, and what was sent",
            schemas.of::<EntryView>(),
        ),
        Endpoint::ReplayDelivery => new("replayDelivery", "Deliver once more, under the same ids")
            .answering(202, "It is due", schemas.of::<SentView>()),
        Endpoint::ReplayDeliveries => {
            let body = schemas.written("ReplayDeliveries", requests::replay());
            new(
                "replayDeliveries",
                "Deliver what was not delivered in a range of time",
            )
            .taking(body, true)
            .answering(202, "They are due", schemas.of::<ReplayedView>())
        }
        _ => {
            let body = schemas.written("TestWebhook", requests::webhook_test());
            new(
                "testWebhook",
                "Send an event that is none, to see whether its receiver can be reached",
            )
            .taking(body, false)
            .answering(
                202,
                "It is due; the log tells what comes of it",
                schemas.of::<SentView>(),
            )
        }
    }
}
