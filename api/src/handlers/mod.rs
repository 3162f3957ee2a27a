//! What each endpoint does: read the input, one effect on Redis, reply.

pub(crate) mod changes;
pub(crate) mod events;
pub(crate) mod fleet;
pub(crate) mod health;
pub(crate) mod instances;
pub(crate) mod jobs;
pub(crate) mod migration;
pub(crate) mod operations;
mod query;
pub(crate) mod queue;
pub(crate) mod usage;
pub(crate) mod webhooks;

use bytes::Bytes;
use url::form_urlencoded;

use crate::error::{ApiError, Problem};

/// What a handler is given.
#[derive(Debug)]
pub(crate) struct Input {
    /// The id in the path; empty where there is none.
    pub(crate) id: String,
    /// The query as sent.
    pub(crate) query: String,
    /// The body; empty where none is read.
    pub(crate) body: Bytes,
}

impl Input {
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
