//! What became of webhooks, and doing them over.

use http::StatusCode;
use shared::clock::Millis;
use shared::webhooks::{
    DeliveryLog, EntryView, Fate, LogView, Range, ReplayedView, Selection, SentView,
};

use super::query::Query;
use super::{Input, problem};
use crate::app::App;
use crate::create::url_to_test;
use crate::error::ApiError;
use crate::json;
use crate::reply::Reply;
use crate::validate::{Fields, Whole};

/// Numbers that every reader of JSON holds exactly.
pub(crate) const MAX_NUMBER: u64 = (1 << 53) - 1;
const DEFAULT_LIMIT: u64 = 50;
/// Longest id in a message.
const MAX_SHOWN_ID: usize = 64;
/// Longer than every ISO 8601 text of a time.
const MAX_TIME: usize = 64;
pub(crate) const REPLAY_LIMIT: Whole = Whole {
    name: "limit",
    label: "Limit",
    units: ["", ""],
    range: 1..=1000,
    default: 1000,
};

/// `GET /api/webhooks/deliveries`: attempts to deliver, newest first.
pub(crate) async fn list(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let mut query = Query::of(input);
    let limit = query.whole("limit", 1..=DeliveryLog::PAGE as u64);
    let before = query.whole("before", 1..=MAX_NUMBER);
    let selection = Selection {
        event: query.parsed("eventId"),
        fate: query.optional_word("fate", &Fate::ALL.map(|fate| (fate.as_str(), fate))),
    };
    query.finish()?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT) as usize;
    let page = app.deliveries.page(before, limit, &selection).await?;
    Ok(Reply::json(StatusCode::OK, &LogView::from(page)))
}

/// `GET /api/webhooks/deliveries/{id}`: one attempt, and what was sent.
pub(crate) async fn read(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let number = number(input)?;
    let entry = app.deliveries.entry(number).await?;
    let entry = entry.ok_or_else(|| unknown(input))?;
    Ok(Reply::json(
        StatusCode::OK,
        &EntryView::new(number, entry, true),
    ))
}

/// `POST /api/webhooks/deliveries/{id}/replay`: the same delivery once more.
pub(crate) async fn replay(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let number = number(input)?;
    let replayed = app.deliveries.replay(number, Millis::now()).await?;
    let event_id = replayed.ok_or_else(|| unknown(input))?;
    tracing::info!(delivery = number, event = %event_id, "a webhook is replayed by request");
    Ok(Reply::json(StatusCode::ACCEPTED, &SentView { event_id }))
}

/// `POST /api/webhooks/deliveries/replay`: what was not delivered in a range of time.
pub(crate) async fn replay_range(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let now = Millis::now();
    let mut fields = Fields::new(json::object(&input.body)?);
    let from = time(&mut fields, "from");
    if from.is_none() {
        fields.require("from");
    }
    let to = time(&mut fields, "to").unwrap_or(now);
    let from = from.unwrap_or_default();
    if from >= to {
        fields.problem("from", "\"from\" must be before \"to\"".to_owned(), None);
    }
    let range = Range {
        from,
        to,
        with_delivered: fields.flag("withDelivered").unwrap_or(false),
        limit: fields.whole(&REPLAY_LIMIT) as usize,
    };
    // A misspelt member would replay something else.
    fields.finish(true)?;
    let replayed = app.deliveries.replay_range(range, now).await?;
    tracing::info!(
        replayed = replayed.replayed,
        remaining = replayed.remaining,
        "webhooks are replayed by request"
    );
    Ok(Reply::json(
        StatusCode::ACCEPTED,
        &ReplayedView::from(replayed),
    ))
}

/// `POST /api/webhooks/test`: an event that is none, to see whether a receiver can be reached.
pub(crate) async fn test(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let mut fields = Fields::new(json::object(&input.body)?);
    let url = url_to_test(&mut fields).or_else(|| app.webhook_url.clone());
    if url.is_none() {
        fields.require("url");
    }
    fields.finish(true)?;
    let event_id = app
        .deliveries
        .test(url.unwrap_or_default(), Millis::now())
        .await?;
    tracing::info!(event = %event_id, "a webhook is tested by request");
    Ok(Reply::json(StatusCode::ACCEPTED, &SentView { event_id }))
}

fn time(fields: &mut Fields, name: &str) -> Option<Millis> {
    let text = fields.optional_text(name, MAX_TIME, |text| {
        let message = format!("\"{name}\" must be a valid ISO date string");
        Millis::parse_iso(text).is_none().then_some(message)
    });
    Millis::parse_iso(&text?)
}

fn number(input: &Input) -> Result<u64, ApiError> {
    let is_plain = !input.id.is_empty() && input.id.bytes().all(|b| b.is_ascii_digit());
    let number = input.id.parse().ok().filter(|n| *n <= MAX_NUMBER);
    number.filter(|_| is_plain).ok_or_else(|| {
        let message = "\"id\" must be the number of a delivery".to_owned();
        ApiError::invalid(vec![problem("id", message)])
    })
}

fn unknown(input: &Input) -> ApiError {
    ApiError::NoDelivery(input.id.chars().take(MAX_SHOWN_ID).collect())
}
