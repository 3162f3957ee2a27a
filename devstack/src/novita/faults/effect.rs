//! The kinds of faults and their fields.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::input::{self, BadInput};
use crate::novita::clock::SimDuration;
use crate::novita::error::ApiError;
use crate::novita::instance::StatusError;

/// The longest a request is held, whether it is answered then or not.
pub(super) const MAX_HOLD: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Latency,
    Reset,
    Timeout,
    Status,
    RateLimit,
    Malformed,
    TruncatedPage,
    ListLag,
    StatusError,
}

#[derive(Debug, Clone)]
pub(super) enum Effect {
    Latency { delay: Duration, jitter: Duration },
    Instead(Instead),
    Truncated { keep: usize },
    Lag(SimDuration),
    FailedPull(StatusError),
}

/// What the caller gets instead of the answer.
#[derive(Debug, Clone)]
pub(crate) enum Instead {
    /// The connection closes after the hold.
    HangUp { hold: Duration },
    /// Another answer.
    Reply(CannedReply),
}

#[derive(Debug, Clone)]
pub(crate) struct CannedReply {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<HeaderValue>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LatencyParams {
    delay_ms: u64,
    #[serde(default)]
    jitter_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TimeoutParams {
    #[serde(default)]
    hold_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ReplyParams {
    status: Option<u16>,
    reason: Option<String>,
    message: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    retry_after: Option<Value>,
    body: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TruncatedParams {
    keep: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LagParams {
    seconds: SimDuration,
}

/// Reads the fields of one kind and refuses those of another.
pub(super) fn effect(kind: Kind, params: Value) -> Result<Effect, BadInput> {
    Ok(match kind {
        Kind::Latency => {
            let LatencyParams {
                delay_ms,
                jitter_ms,
            } = input::from_json(params)?;
            Effect::Latency {
                delay: hold(Some(delay_ms)),
                jitter: hold(Some(jitter_ms)),
            }
        }
        Kind::Reset => {
            let NoParams {} = input::from_json(params)?;
            Effect::Instead(Instead::HangUp {
                hold: Duration::ZERO,
            })
        }
        Kind::Timeout => {
            let TimeoutParams { hold_ms } = input::from_json(params)?;
            Effect::Instead(Instead::HangUp {
                hold: hold(hold_ms),
            })
        }
        Kind::Status | Kind::RateLimit | Kind::Malformed => {
            Effect::Instead(Instead::Reply(reply(kind, input::from_json(params)?)?))
        }
        Kind::TruncatedPage => {
            let TruncatedParams { keep } = input::from_json(params)?;
            Effect::Truncated { keep }
        }
        Kind::ListLag => {
            let LagParams { seconds } = input::from_json(params)?;
            Effect::Lag(seconds)
        }
        Kind::StatusError => Effect::FailedPull(input::from_json(params)?),
    })
}

fn hold(millis: Option<u64>) -> Duration {
    millis.map_or(MAX_HOLD, Duration::from_millis).min(MAX_HOLD)
}

/// The envelope, unless a raw body is given.
fn reply(kind: Kind, params: ReplyParams) -> Result<CannedReply, BadInput> {
    let (status, reason, message) = match kind {
        Kind::RateLimit => (429, "RATE_LIMIT_EXCEEDED", "rate limit exceeded"),
        Kind::Malformed => (200, "", ""),
        _ => (500, "UNKNOWN", "internal error"),
    };
    let status = StatusCode::from_u16(params.status.unwrap_or(status))
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or_else(|| BadInput::field("status", "expected an HTTP status of 200 or more"))?;
    let retry_after = params.retry_after.map(retry_after).transpose()?;
    let mut error = ApiError::new(
        status,
        params.reason.as_deref().unwrap_or(reason),
        params.message.as_deref().unwrap_or(message),
    );
    error.metadata = params.metadata.or(error.metadata);
    let (content_type, body) = match (params.body, kind) {
        (Some(body), Kind::Malformed) => ("application/json", body),
        (None, Kind::Malformed) => ("application/json", "{\"id\": \"9f3c5a7b".to_owned()),
        (Some(body), _) => ("text/html", body),
        (None, _) => ("application/json", error.to_json().to_string()),
    };
    Ok(CannedReply {
        status,
        retry_after,
        content_type,
        body: body.into(),
    })
}

/// Seconds as a number, or any text: an HTTP date, or nonsense.
fn retry_after(value: Value) -> Result<HeaderValue, BadInput> {
    let text = match value {
        Value::Number(seconds) => seconds.to_string(),
        Value::String(text) => text,
        _ => {
            return Err(BadInput::field(
                "retryAfter",
                "expected a number or a string",
            ));
        }
    };
    HeaderValue::from_str(&text).map_err(|e| BadInput::field("retryAfter", e))
}
