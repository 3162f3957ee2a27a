//! What each endpoint does: read the input, one effect on Redis, reply.

mod cached;
pub(crate) mod caches;
pub(crate) mod changes;
pub(crate) mod events;
pub(crate) mod fleet;
mod fresh;
pub(crate) mod health;
pub(crate) mod instances;
pub(crate) mod jobs;
pub(crate) mod migration;
pub(crate) mod operations;
mod query;
pub(crate) mod queue;
pub(crate) mod usage;
pub(crate) mod webhooks;

use std::fmt::Display;
use std::str::FromStr;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue};
use shared::store::{Memo, Promise};
use url::form_urlencoded;

use crate::error::{ApiError, Problem};
use crate::reply::Reply;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What a handler is given.
#[derive(Debug)]
pub(crate) struct Input {
    /// The id in the path; empty where there is none.
    pub(crate) id: String,
    /// What stands behind it in the path; empty where nothing does.
    pub(crate) key: String,
    /// The query as sent.
    pub(crate) query: String,
    /// The body; empty where none is read.
    pub(crate) body: Bytes,
    /// Under what its answer is remembered, if its caller wants that.
    pub(crate) memo: Option<Memo>,
    /// The trace that it belongs to, if its caller told one.
    pub(crate) traceparent: Option<String>,
    /// It wants events as they happen.
    pub(crate) listens: Option<Listens>,
}

/// A wish for a stream of events.
#[derive(Debug, Clone)]
pub(crate) struct Listens {
    /// What its caller was told last, before it was cut off.
    last: Option<String>,
}

impl Listens {
    /// What its caller was told last.
    fn last<T: FromStr<Err: Display>>(&self) -> Option<Result<T, ApiError>> {
        let name = "Last-Event-ID";
        let read = |text: &String| {
            let wrong = |why| ApiError::invalid(vec![problem(name, format!("\"{name}\": {why}"))]);
            text.parse().map_err(wrong)
        };
        self.last.as_ref().map(read)
    }

    /// Whether these headers ask for a stream.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let accepted = headers.get_all(ACCEPT).iter().filter_map(text);
        let wanted = accepted.flat_map(|value| {
            let kinds = value
                .split(',')
                .map(|kind| kind.trim().to_ascii_lowercase());
            kinds.collect::<Vec<_>>()
        });
        wanted
            .into_iter()
            .any(|kind| kind.starts_with("text/event-stream"))
            .then(|| Self {
                last: headers.get(LAST_EVENT_ID).and_then(text),
            })
    }
}

impl Input {
    /// What is promised to the caller if `reply` is to be remembered.
    fn promise(&self, reply: &Reply) -> Option<Promise> {
        let memo = self.memo.clone()?;
        Some(Promise {
            memo,
            answer: reply.answered(),
        })
    }

    /// The decoded value of a query parameter, which may come once at most.
    fn parameter(&self, name: &str) -> Result<Option<String>, ApiError> {
        let mut values = form_urlencoded::parse(self.query.as_bytes())
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(ApiError::invalid(vec![problem(
                name,
                format!("\"{name}\" must not be given twice"),
            )])),
        }
    }
}

fn problem(field: &str, message: String) -> Problem {
    Problem {
        field: field.to_owned(),
        message,
        value: None,
    }
}
