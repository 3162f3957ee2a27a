//! `/_bridge/…`: switches and counters for tests. Not part of Upstash; needs no token.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::encode::error;
use super::faults::Fault;
use super::limits::Limits;
use super::lock;
use super::service::Service;
use crate::http::{Body, empty, json as json_response};

/// The path below which this module answers.
pub(crate) const PREFIX: &str = "/_bridge/";

/// Answers a request below [`PREFIX`]; `path` is what follows it.
pub(crate) async fn answer(
    service: &Service,
    path: &str,
    request: &Request<Bytes>,
) -> Response<Body> {
    match (request.method(), path) {
        (&Method::POST, "faults") => accept(request.body(), |fault: Fault| {
            lock(&service.faults).add(fault);
        }),
        (&Method::DELETE, "faults") => {
            lock(&service.faults).clear();
            json_response(StatusCode::OK, &json!({}))
        }
        (&Method::POST, "limits") => accept(request.body(), |limits: Limits| {
            *lock(&service.executor.limits) = limits;
        }),
        (&Method::GET, "commands") => match service.billed().await {
            Ok(billed) => json_response(StatusCode::OK, &json!(billed)),
            Err(_) => Service::unavailable(),
        },
        _ => empty(StatusCode::NOT_FOUND),
    }
}

fn accept<T: DeserializeOwned>(body: &[u8], apply: impl FnOnce(T)) -> Response<Body> {
    match serde_json::from_slice(body) {
        Ok(value) => {
            apply(value);
            json_response(StatusCode::OK, &json!({}))
        }
        Err(wrong) => error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    }
}
