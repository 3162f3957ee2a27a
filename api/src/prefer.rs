//! `Prefer: wait=N` (RFC 7240): the answer to a wish comes when it is fulfilled, or after N seconds.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use shared::model::operation::{Failure, OperationKind, OperationState};
use shared::model::{Operation, OperationId, Phase, Status, money};
use shared::store::Record;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::ApiError;
use crate::reply::Reply;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The longest wait; a longer one is cut to this.
const MAX_SECONDS: u64 = 60;

/// How far a wish got while its caller waited.
#[derive(Serialize, ToSchema)]
#[schema(as = WishProgress)]
#[serde(rename_all = "camelCase")]
struct Progress<'a> {
    status: Phase,
    operation_state: OperationState,
    #[serde(skip_serializing_if = "Option::is_none")]
    novita_instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    /// US dollars for one GPU and hour, as a decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    spot_price: Option<String>,
    /// The same in the provider's unit, 1/100 000 US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_price: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

impl<'a> Progress<'a> {
    fn of(record: &'a Record, operation: &'a Operation) -> Self {
        let (spec, status) = (&record.spec, record.status.as_ref());
        let offer = status.and_then(Status::current).map(|a| &a.offer);
        let offer = offer.filter(|_| operation.kind == OperationKind::Create);
        let price = offer.map(|offer| offer.unit_price);
        Self {
            status: Phase::of(spec, status),
            operation_state: operation.state,
            novita_instance_id: status.and_then(Status::provider_id),
            product_id: offer.map(|offer| offer.product_id.as_str()),
            region: offer.map(|offer| offer.region.as_str()),
            spot_price: price.map(money::dollars),
            unit_price: price,
            error: operation.error.as_ref(),
        }
    }
}

/// The answer to a request that set something going: now, or when its caller prefers to have it.
pub(crate) async fn answer(app: &App, headers: &HeaderMap, reply: Reply) -> Reply {
    let (Some(wait), Some(operation)) = (wait(headers), reply.operation.clone()) else {
        return reply;
    };
    let applied = format!("wait={}", wait.as_secs());
    let deadline = Instant::now() + wait;
    let reply = match timeout_at(deadline, done(app, &operation)).await {
        Ok(Some(Ok(told))) => told.onto(reply),
        // What was accepted is accepted, whether it can be followed or not.
        Ok(Some(Err(error))) => {
            tracing::debug!(%error, %operation, "a caller cannot be kept waiting");
            reply
        }
        // Not in time; or this process is to end, and its callers shall not keep it.
        Ok(None) | Err(_) => reply,
    };
    reply.with(APPLIED, applied)
}

/// A wish that got as far as its caller wanted to know.
struct Told {
    record: Record,
    operation: Operation,
}

impl Told {
    fn onto(self, reply: Reply) -> Reply {
        let progress = Progress::of(&self.record, &self.operation);
        let reply = reply.extended(&progress);
        // A create is done when it exists; everything else when it is so.
        match self.operation.kind {
            OperationKind::Create => reply,
            OperationKind::Start
            | OperationKind::Stop
            | OperationKind::Restart
            | OperationKind::Delete => reply.with_status(StatusCode::OK),
        }
    }
}

/// Waits until an operation is done; `None` once this process is to end.
async fn done(app: &App, id: &OperationId) -> Option<Result<Told, ApiError>> {
    let looking = async {
        let mut watch = app.changes.watch();
        watch.ready().await;
        loop {
            match look(app, id).await {
                Ok(told) if is_done(&told) => return Ok(told),
                Ok(told) => watch.instance(&told.operation.instance_id).await,
                Err(error) => return Err(error),
            }
        }
    };
    tokio::select! {
        told = looking => Some(told),
        () = app.draining.cancelled() => None,
    }
}

async fn look(app: &App, id: &OperationId) -> Result<Told, ApiError> {
    let unknown = || ApiError::NoOperation(id.to_string());
    let operation = app.store.operation(id).await?.ok_or_else(unknown)?;
    let record = app.store.record(&operation.instance_id).await?;
    let record = record.ok_or_else(unknown)?;
    Ok(Told { record, operation })
}

fn is_done(told: &Told) -> bool {
    let status = told.record.status.as_ref();
    let exists = status.and_then(Status::provider_id).is_some();
    let is_made = told.operation.kind == OperationKind::Create && exists;
    is_made || told.operation.state != OperationState::Pending
}

/// How long the caller prefers to wait, if it says so. What is no such number is no preference of ours, as
/// the RFC has it.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(PREFER).iter();
    let texts = values.filter_map(|value: &HeaderValue| value.to_str().ok());
    let preferences = texts.flat_map(|text| text.split(','));
    let seconds = preferences.filter_map(|preference| {
        let preference = preference.split(';').next()?;
        let (name, value) = preference.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let is_plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        let is_wait = name.trim().eq_ignore_ascii_case("wait") && is_plain;
        is_wait.then(|| value.parse().unwrap_or(MAX_SECONDS).min(MAX_SECONDS))
    });
    // The first one counts.
    let seconds = seconds.into_iter().next()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(values: &[&'static str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_static(value));
        }
        super::wait(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        for text in [
            "wait=10",
            "WAIT = 10",
            "wait=\"10\"",
            "respond-async, wait=10; x=y",
        ] {
            assert_eq!(wait(&[text]), Some(10), "{text}");
        }
        assert_eq!(wait(&["return=minimal", "wait=10", "wait=20"]), Some(10));
        assert_eq!(wait(&["wait=61"]), Some(60));
        assert_eq!(wait(&["wait=99999999999999999999"]), Some(60));
    }

    #[test]
    fn what_is_no_wait_is_ignored() {
        assert_eq!(wait(&[]), None);
        for text in [
            "wait", "wait=", "wait=0", "wait=-1", "wait=+1", "wait=1.5", "await=10",
        ] {
            assert_eq!(wait(&[text]), None, "{text}");
        }
    }
}
