//! Answers as bytes: JSON bodies, the error envelope, the headers that every answer carries.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::clock::Millis;
use shared::model::OperationId;
use shared::store::Answered;
use utoipa::ToSchema;

use crate::auth::Refusal;
use crate::context::{CORRELATION_ID, Context, REQUEST_ID};
use crate::error::{ApiError, Problem};
use crate::etag;
use crate::sse::Follow;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const JSON: &str = "application/json; charset=utf-8";
const EVENTS: &str = "text/event-stream";
const CHALLENGE: &str = "Bearer realm=\"novita-api\"";

/// What a handler answers.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: StatusCode,
    media_type: &'static str,
    body: Bytes,
    location: Option<String>,
    /// Headers that only some answers have.
    more: Vec<(HeaderName, String)>,
    /// Whose events follow, in place of a body.
    pub(crate) follow: Option<Follow>,
    /// What was set going.
    pub(crate) operation: Option<OperationId>,
    /// Whether it is remembered for repetitions of its request.
    pub(crate) memory: Memory,
}

/// Where an answer stands that must be given again to whoever repeats its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// It is not remembered.
    None,
    /// It is.
    Known,
}

impl Reply {
    /// A value as JSON.
    pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        // Our own types have text keys and finite numbers only, and those always serialise.
        let body = serde_json::to_vec(value).unwrap_or_default().into();
        Self {
            body,
            ..Self::empty(status)
        }
    }

    fn empty(status: StatusCode) -> Self {
        Self {
            status,
            media_type: JSON,
            body: Bytes::new(),
            location: None,
            more: Vec::new(),
            follow: None,
            operation: None,
            memory: Memory::None,
        }
    }

    /// Bytes that are not JSON.
    pub(crate) fn file(status: StatusCode, media_type: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            media_type,
            body: Bytes::from_static(bytes),
            ..Self::empty(status)
        }
    }

    /// Events as they happen.
    pub(crate) fn streaming(follow: Follow) -> Self {
        Self {
            media_type: EVENTS,
            follow: Some(follow),
            ..Self::empty(StatusCode::OK)
        }
    }

    /// What was answered before.
    pub(crate) fn again(answer: Answered) -> Self {
        // Nothing else was ever stored.
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
        let reply = Self {
            body: answer.body.into(),
            location: answer.location,
            operation: answer.operation,
            memory: Memory::Known,
            ..Self::empty(status)
        };
        reply.with(REPLAYED, "true".to_owned())
    }

    /// The same, to be remembered.
    pub(crate) fn answered(&self) -> Answered {
        Answered {
            status: self.status.as_u16(),
            location: self.location.clone(),
            operation: self.operation.clone(),
            body: String::from_utf8_lossy(&self.body).into_owned(),
        }
    }

    /// The same, telling what was set going.
    pub(crate) fn following(self, operation: &OperationId) -> Self {
        Self {
            operation: Some(operation.clone()),
            ..self
        }
    }

    /// The same under another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with the members of `more` in place of those that it has, or beside them.
    pub(crate) fn extended<T: Serialize>(self, more: &T) -> Self {
        // Both are objects of ours.
        let mut members: Map<String, Value> =
            serde_json::from_slice(&self.body).unwrap_or_default();
        if let Ok(Value::Object(more)) = serde_json::to_value(more) {
            members.extend(more);
        }
        Self {
            body: serde_json::to_vec(&members).unwrap_or_default().into(),
            ..self
        }
    }

    /// The same, and it is remembered now.
    pub(crate) fn known(self) -> Self {
        Self {
            memory: Memory::Known,
            ..self
        }
    }

    /// The same, telling where the new resource is.
    pub(crate) fn at(self, location: String) -> Self {
        Self {
            location: Some(location),
            ..self
        }
    }

    /// Done, and nothing to tell.
    pub(crate) fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// Nothing but what may be asked here.
    pub(crate) fn allowing(methods: String) -> Self {
        Self::no_content().with(ALLOW, methods)
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: String) -> Self {
        self.more.push((name, value));
        self
    }

    /// What is read, with its tag, or no more than the tag if the caller has it already.
    pub(crate) fn unless_known(self, asked: &HeaderMap) -> Self {
        if self.status != StatusCode::OK || self.follow.is_some() {
            return self;
        }
        let tag = etag::of(&self.body);
        let reply = if etag::is_known(&tag, asked) {
            Self::empty(StatusCode::NOT_MODIFIED)
        } else {
            self
        };
        reply.with(ETAG, tag)
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = ErrorEnvelope)]
pub(crate) struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    #[schema(format = DateTime)]
    timestamp: String,
    request_id: &'a str,
    correlation_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    validation_errors: &'a [Problem],
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    /// Milliseconds, as the predecessor had it; the header has seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

/// The response to a request, whatever became of it.
pub(crate) fn response(
    result: &Result<Reply, ApiError>,
    context: &Context,
    is_draining: bool,
) -> Response<Full<Bytes>> {
    let mut response = match result {
        Ok(reply) => {
            let mut response = Response::new(Full::new(reply.body.clone()));
            *response.status_mut() = reply.status;
            if let Some(location) = &reply.location {
                set(response.headers_mut(), LOCATION, location);
            }
            for (name, value) in &reply.more {
                set(response.headers_mut(), name.clone(), value);
            }
            response
        }
        Err(error) => error_response(error, context),
    };
    let is_bare = matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    let headers = response.headers_mut();
    if !is_bare {
        let media_type = result.as_ref().map_or(JSON, |reply| reply.media_type);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REQUEST_ID, context.request_id.header());
    headers.insert(CORRELATION_ID, context.correlation_id.header());
    if is_draining || result.as_ref().is_err_and(ApiError::closes_connection) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn error_response(error: &ApiError, context: &Context) -> Response<Full<Bytes>> {
    let face = error.face();
    let retry_after = face.retry.seconds();
    let envelope = Envelope {
        error: Body {
            code: face.code,
            message: &face.message,
            timestamp: Millis::now().iso(),
            request_id: context.request_id.as_str(),
            correlation_id: context.correlation_id.as_str(),
            validation_errors: error.problems(),
            details: error.details(),
            retryable: retry_after.map(|_| true),
            retry_after: retry_after.map(|seconds| u64::from(seconds) * 1000),
        },
    };
    let body = serde_json::to_vec(&envelope).unwrap_or_default();
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = face.status;
    let headers = response.headers_mut();
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    match error {
        ApiError::MethodNotAllowed { allow } => set(headers, ALLOW, allow),
        ApiError::Unauthenticated(Refusal::Missing | Refusal::InQuery) => {
            set(headers, WWW_AUTHENTICATE, CHALLENGE);
        }
        ApiError::Unauthenticated(Refusal::Wrong) => {
            let challenge = format!("{CHALLENGE}, error=\"invalid_token\"");
            set(headers, WWW_AUTHENTICATE, &challenge);
        }
        _ => {}
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
