//! What went wrong with a call, sorted by what it allows the caller to conclude.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::reason::{Reason, ReasonClass};

/// Provider messages are cut to this many characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// A failed call. The one question that must never be guessed, whether the provider may have
/// carried it out all the same, is answered by [`may_have_applied`](Self::may_have_applied).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NovitaError {
    /// No connection was made (refused, DNS, TLS, connect time-out), so nothing was sent.
    #[error("the provider could not be reached: {0}")]
    NotSent(String),
    /// The API key or the account behind it is not accepted.
    #[error("the provider does not accept the API key: {0}")]
    Unauthorized(Refusal),
    /// 429. On create it may mean a quota, which no waiting cures.
    #[error("the provider limits the rate: {refusal}")]
    RateLimited {
        /// What `Retry-After` asked for; not known to be sent by the provider.
        retry_after: Option<Duration>,
        /// The answer.
        refusal: Refusal,
    },
    /// What the call named does not exist. One such answer is a hint, not a proof.
    #[error("the provider does not know it: {0}")]
    NotFound(Refusal),
    /// The call does not fit the instance's state, or it does and took effect nevertheless: the
    /// provider is known to answer so to a start it then performs. Read the instance.
    #[error("the provider says it does not fit the instance's state: {0}")]
    InvalidStateChange(Refusal),
    /// Refused for another reason.
    #[error("the provider refused: {0}")]
    Refused(Refusal),
    /// Sent, and no answer that settles what became of it.
    #[error("no clear answer from the provider: {0}")]
    Unclear(Unclear),
    /// Not sent, because we hold our own calls back: nobody's failure.
    #[error(transparent)]
    Held(#[from] Held),
}

/// A call that was not sent yet, for a reason of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("held back for {} ms: {by}", wait.as_millis())]
pub struct Held {
    /// After so long it may be sent.
    pub wait: Duration,
    /// Why.
    pub by: HeldBy,
}

/// What holds calls back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeldBy {
    /// The limit that all replicas share.
    #[error("the limit of calls is used up")]
    Limit,
    /// The provider answered 429 a moment ago, to any replica.
    #[error("the provider limited the rate")]
    Hold,
    /// The provider failed calls of this kind.
    #[error("the breaker is open")]
    Breaker,
    /// The limit cannot be asked for.
    #[error("Redis does not tell the limit")]
    Redis,
}

impl HeldBy {
    /// A label for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Hold => "hold",
            Self::Breaker => "breaker",
            Self::Redis => "redis",
        }
    }
}

/// An error answer of the provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({status}): {message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The code; the empty unknown word when the answer was not the provider's JSON.
    pub reason: Reason,
    /// The provider's words, for people, without control characters and cut short.
    pub message: String,
}

/// Why a call's outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// No complete answer in time.
    #[error("timed out")]
    Timeout,
    /// The connection broke.
    #[error("connection lost: {0}")]
    Connection(String),
    /// A status outside 200 to 499, or a redirect.
    #[error("{refusal}")]
    Status {
        /// The answer.
        refusal: Refusal,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// A success whose body cannot be used.
    #[error("unusable body: {0}")]
    Body(String),
}

impl NovitaError {
    /// False only if the provider provably did not carry the call out: nothing was sent, or it
    /// was refused with a code from the list. A create that may have been applied must be looked
    /// up by its name before anything else is created.
    ///
    /// `CONFLICT` counts as "may have": names are unique per attempt, so a name conflict means
    /// that this very attempt exists.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::RateLimited { .. } | Self::Held(_) => false,
            Self::Unauthorized(refusal) | Self::NotFound(refusal) | Self::Refused(refusal) => {
                refusal.reason == Reason::Conflict || refusal.reason.class() == ReasonClass::Unknown
            }
            Self::InvalidStateChange(_) | Self::Unclear(_) => true,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::NotSent(_) | Self::RateLimited { .. } | Self::Unclear(_) | Self::Held(_)
        )
    }

    /// How long the provider asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::Unclear(Unclear::Status { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }

    /// A label for metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "not_sent",
            Self::Unauthorized(_) => "unauthorized",
            Self::RateLimited { .. } => "rate_limited",
            Self::NotFound(_) => "not_found",
            Self::InvalidStateChange(_) => "invalid_state",
            Self::Refused(_) => "refused",
            Self::Unclear(Unclear::Timeout) => "timeout",
            Self::Unclear(Unclear::Connection(_)) => "connection_lost",
            Self::Unclear(Unclear::Status { .. }) => "server_error",
            Self::Unclear(Unclear::Body(_)) => "bad_body",
            Self::Held(_) => "held",
        }
    }

    /// Classifies an answer whose status is not a success.
    ///
    /// A server error settles nothing whatever its body says. Otherwise the code decides, then
    /// two messages that come without a dependable code, then the status.
    pub(super) fn from_answer(
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let refusal = Refusal::parse(status, &json, body);
        if !status.is_client_error() {
            return Self::Unclear(Unclear::Status {
                refusal,
                retry_after,
            });
        }
        match refusal.reason.class() {
            ReasonClass::Pacing => Self::RateLimited {
                retry_after,
                refusal,
            },
            ReasonClass::Credentials => Self::Unauthorized(refusal),
            ReasonClass::Gone => Self::NotFound(refusal),
            ReasonClass::NextOffer | ReasonClass::Account | ReasonClass::Caller => {
                Self::Refused(refusal)
            }
            ReasonClass::State | ReasonClass::Unknown => match said(&json) {
                Some(Said::InvalidStateChange) => Self::InvalidStateChange(refusal),
                Some(Said::NotFound) => Self::NotFound(refusal),
                None => Self::from_status(status, retry_after, refusal),
            },
        }
    }

    fn from_status(status: StatusCode, retry_after: Option<Duration>, refusal: Refusal) -> Self {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Unauthorized(refusal),
            StatusCode::NOT_FOUND => Self::NotFound(refusal),
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited {
                retry_after,
                refusal,
            },
            _ => Self::Refused(refusal),
        }
    }
}

/// The two cases the provider tells apart by its message alone.
enum Said {
    InvalidStateChange,
    NotFound,
}

impl Refusal {
    /// Decodes `{code, reason, message, metadata}`; failing that, the first text among `error`,
    /// `error.message` and `message`; failing that, the body as text.
    fn parse(status: StatusCode, json: &Value, body: &[u8]) -> Self {
        let reason = json
            .pointer("/reason")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let message =
            message(json).map_or_else(|| String::from_utf8_lossy(body), std::borrow::Cow::from);
        Self {
            status: status.as_u16(),
            reason: reason.to_owned().into(),
            message: message
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_MESSAGE_CHARS)
                .collect(),
        }
    }
}

fn message(json: &Value) -> Option<&str> {
    ["/message", "/error", "/error/message"]
        .into_iter()
        .find_map(|pointer| json.pointer(pointer).and_then(Value::as_str))
}

/// The only place that reads a message. A body that is not JSON says nothing.
fn said(json: &Value) -> Option<Said> {
    let message = message(json)?.to_lowercase();
    if message.contains("invalid state change") {
        Some(Said::InvalidStateChange)
    } else if message.contains("not found") || message.contains("not fount") {
        Some(Said::NotFound)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> NovitaError {
        NovitaError::from_answer(StatusCode::from_u16(status).unwrap(), None, body.as_bytes())
    }

    fn coded(status: u16, reason: &str, message: &str) -> NovitaError {
        let body = serde_json::json!({
            "code": status, "reason": reason, "message": message, "metadata": {}
        });
        answer(status, &body.to_string())
    }

    #[test]
    fn the_code_decides_then_two_messages_then_the_status() {
        for (error, outcome, may_have_applied) in [
            (
                coded(400, "INSUFFICIENT_RESOURCE", "no host fits the request"),
                "refused",
                false,
            ),
            (coded(400, "BALANCE_NOT_ENOUGH", ""), "refused", false),
            (
                coded(400, "VALIDATOR_PARAM", "template not found in request"),
                "refused",
                false,
            ),
            (
                coded(400, "IMAGE_NOT_FOUND", "image not found"),
                "refused",
                false,
            ),
            (coded(400, "RESOURCE_NOT_FOUND", "x"), "not_found", false),
            (coded(400, "NOT_FOUNT", "x"), "not_found", false),
            (
                coded(403, "INVALID_API_KEY", "invalid api-key"),
                "unauthorized",
                false,
            ),
            (coded(401, "UNAUTHORIZED", ""), "unauthorized", false),
            (coded(429, "RATE_LIMIT_EXCEEDED", ""), "rate_limited", false),
            (coded(429, "CREATE_GPU_NUM_LIMIT", ""), "refused", false),
            (
                coded(400, "OPERATION_LIMIT", "invalid state change"),
                "invalid_state",
                true,
            ),
            (
                coded(400, "CONFLICT", "invalid state change"),
                "invalid_state",
                true,
            ),
            (
                coded(400, "", "Invalid state change"),
                "invalid_state",
                true,
            ),
            (coded(400, "CONFLICT", "name taken"), "refused", true),
            (coded(400, "OPERATION_LIMIT", "limit"), "refused", false),
            (
                coded(400, "NEW_CODE", "instance not fount"),
                "not_found",
                true,
            ),
            (coded(400, "NEW_CODE", "what"), "refused", true),
            (coded(500, "UNKNOWN", "boom"), "server_error", true),
            (
                coded(503, "INSUFFICIENT_RESOURCE", "x"),
                "server_error",
                true,
            ),
            (answer(404, "404 page not found"), "not_found", true),
            (answer(429, ""), "rate_limited", false),
            (answer(403, "<html>blocked</html>"), "unauthorized", true),
            (answer(400, "<html>host not found</html>"), "refused", true),
            (answer(302, ""), "server_error", true),
            (
                answer(502, "<html>bad gateway</html>"),
                "server_error",
                true,
            ),
        ] {
            assert_eq!(error.outcome(), outcome, "{error}");
            assert_eq!(error.may_have_applied(), may_have_applied, "{error}");
        }
    }

    #[test]
    fn every_known_shape_of_error_body_yields_its_message() {
        for (body, message) in [
            (r#"{"code":400,"reason":"REQUEST","message":"a"}"#, "a"),
            (r#"{"error":"b"}"#, "b"),
            (r#"{"error":{"message":"c","code":1}}"#, "c"),
            (r#"{"message":null,"error":"d"}"#, "d"),
            ("plain\r\ntext", "plaintext"),
            ("", ""),
        ] {
            let NovitaError::Refused(refusal) = answer(400, body) else {
                panic!("{body}")
            };
            assert_eq!(refusal.message, message, "{body}");
        }
        let NovitaError::Refused(refusal) = answer(400, &"x".repeat(5000)) else {
            panic!()
        };
        assert_eq!(refusal.message.len(), MAX_MESSAGE_CHARS);
    }
}
