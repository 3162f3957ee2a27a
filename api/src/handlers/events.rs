//! The event log of an instance.

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use shared::feed::{FeedId, NoFeedId};
use shared::model::{Actor, Cause, Event, EventKind, PhaseChange};
use utoipa::ToSchema;

use super::instances::{instance_id, record};
use super::query::Query;
use super::{Input, problem};
use crate::app::App;
use crate::error::ApiError;
use crate::reply::Reply;
use crate::sse::Follow;

/// Numbers that every reader of JSON holds exactly.
pub(crate) const MAX_NUMBER: u64 = (1 << 53) - 1;
const DEFAULT_LIMIT: u64 = 100;
pub(crate) const MAX_LIMIT: u64 = 500;

#[derive(Serialize, ToSchema)]
#[schema(as = EventLog)]
pub(crate) struct Log<'a> {
    events: Vec<EventDetails<'a>>,
    /// What to pass as `after` to read on.
    next: u64,
}

/// One entry.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
struct EventDetails<'a> {
    number: u64,
    id: &'a str,
    #[serde(rename = "type")]
    kind: EventKind,
    #[schema(format = DateTime)]
    at: String,
    reason: &'a str,
    cause: &'a Cause,
    actor: Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<PhaseChange>,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: &'a Value,
}

/// A part of what happened to all.
#[derive(Serialize, ToSchema)]
pub(crate) struct FleetLog<'a> {
    events: Vec<NamedEvent<'a>>,
    /// What to pass as `after` to read on.
    next: String,
}

/// An event and whose it is.
#[derive(Serialize, ToSchema)]
#[schema(as = FleetEvent)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NamedEvent<'a> {
    instance_id: &'a str,
    #[serde(flatten)]
    event: EventDetails<'a>,
}

/// `GET /api/instances/{id}/events`: oldest first, from the one after `after` on; as they happen for whoever
/// accepts that.
pub(crate) async fn list(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let id = instance_id(input)?;
    let mut query = Query::of(input);
    let after = query.whole("after", 0..=MAX_NUMBER).unwrap_or(0);
    let limit = query.whole("limit", 1..=MAX_LIMIT);
    query.finish()?;
    record(app, &id).await?;
    if let Some(listens) = &input.listens {
        let after = listens.last().unwrap_or(Ok(after))?;
        return Ok(Reply::streaming(Follow::Instance(id, after)));
    }
    let limit = limit.unwrap_or(DEFAULT_LIMIT) as usize;
    let events = app.store.events(&id, after, limit).await?;
    let log = Log {
        next: events.last().map_or(after, |last| last.number),
        events: events.iter().map(EventDetails::of).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &log))
}

/// `GET /api/events`: the same of all instances, as far back as the feed goes.
pub(crate) async fn of_fleet(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let after = input.parameter("after")?;
    let after = after.map(|text| feed_id("after", &text)).transpose()?;
    if let Some(listens) = &input.listens {
        let last = listens.last().transpose()?;
        return Ok(Reply::streaming(Follow::Fleet(last.or(after))));
    }
    let after = after.unwrap_or_default();
    let entries = app.live.feed().after(after).await?;
    let events = entries.iter().flat_map(|entry| &entry.events);
    let log = FleetLog {
        next: entries.last().map_or(after, |last| last.id).to_string(),
        events: events.map(NamedEvent::of).collect(),
    };
    Ok(Reply::json(StatusCode::OK, &log))
}

fn feed_id(name: &str, text: &str) -> Result<FeedId, ApiError> {
    text.parse().map_err(|why: NoFeedId| {
        ApiError::invalid(vec![problem(name, format!("\"{name}\" {why}"))])
    })
}

impl<'a> EventDetails<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
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
}

impl<'a> NamedEvent<'a> {
    pub(crate) fn of(event: &'a Event) -> Self {
        Self {
            instance_id: event.instance_id.as_str(),
            event: EventDetails::of(event),
        }
    }
}
