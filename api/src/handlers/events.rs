//! The event log of an instance.

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use shared::model::{Actor, Cause, Event, EventKind, PhaseChange};

use super::Input;
use super::instances::{instance_id, record};
use super::query::Query;
use crate::app::App;
use crate::error::ApiError;
use crate::reply::Reply;

/// Numbers that every reader of JSON holds exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;
const DEFAULT_LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 500;

#[derive(Serialize)]
struct Log<'a> {
    events: Vec<EventDetails<'a>>,
    /// What to pass as `after` to read on.
    next: u64,
}

/// One entry.
#[derive(Serialize)]
struct EventDetails<'a> {
    number: u64,
    id: &'a str,
    #[serde(rename = "type")]
    kind: EventKind,
    at: String,
    reason: &'a str,
    cause: &'a Cause,
    actor: Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<PhaseChange>,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: &'a Value,
}

/// `GET /api/instances/{id}/events`: oldest first, from the one after `after` on.
pub(crate) async fn list(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let id = instance_id(input)?;
    let mut query = Query::of(input);
    let after = query.whole("after", 0..=MAX_NUMBER).unwrap_or(0);
    let limit = query.whole("limit", 1..=MAX_LIMIT);
    query.finish()?;
    record(app, &id).await?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT) as usize;
    let events = app.store.events(&id, after, limit).await?;
    let log = Log {
        next: events.last().map_or(after, |last| last.number),
        events: events.iter().map(details).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &log))
}

fn details(event: &Event) -> EventDetails<'_> {
    EventDetails {
        number: event.number,
        id: event.id.as_str(),
        kind: event.kind,
        at: event.at.iso(),
        reason: &event.reason,
        cause: &event.cause,
        actor: event.actor,
        change: event.change,
        data: &event.data,
    }
}
