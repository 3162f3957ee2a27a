//! Answers as bytes: JSON bodies, the error envelope, the headers that every answer carries.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use shared::clock::Millis;

use crate::context::{CORRELATION_ID, Context, REQUEST_ID};
use crate::error::{ApiError, Problem, Retry};

const RETRY_AFTER_SECONDS: u16 = 1;

/// What a handler answers.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: StatusCode,
    body: Bytes,
    location: Option<String>,
}

impl Reply {
    /// A value as JSON.
    pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        // Our own types have text keys and finite numbers only, and those always serialise.
        let body = serde_json::to_vec(value).unwrap_or_default().into();
        Self {
            status,
            body,
            location: None,
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
        Self {
            status: StatusCode::NO_CONTENT,
            body: Bytes::new(),
            location: None,
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    timestamp: String,
    request_id: &'a str,
    correlation_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    validation_errors: &'a [Problem],
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    /// Milliseconds, as the predecessor had it; the header has seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
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
            response
        }
        Err(error) => error_response(error, context),
    };
    let has_body = response.status() != StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if has_body {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
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
    let is_soon = face.retry == Retry::Soon;
    let envelope = Envelope {
        error: Body {
            code: face.code,
            message: &face.message,
            timestamp: Millis::now().iso(),
            request_id: context.request_id.as_str(),
            correlation_id: context.correlation_id.as_str(),
            validation_errors: error.problems(),
            retryable: is_soon.then_some(true),
            retry_after: is_soon.then_some(u32::from(RETRY_AFTER_SECONDS) * 1000),
        },
    };
    let body = serde_json::to_vec(&envelope).unwrap_or_default();
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = face.status;
    let headers = response.headers_mut();
    if is_soon {
        headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    }
    if let ApiError::MethodNotAllowed { allow } = error {
        set(headers, ALLOW, allow);
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
