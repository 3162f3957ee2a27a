//! Answers that may come from a cache tell so.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::header::AGE;
use shared::cache::Source;

use crate::caches::Found;
use crate::error::ApiError;
use crate::reply::Reply;

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Where an answer is from, and how old it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cached {
    pub(super) source: Source,
    age: Duration,
}

impl Cached {
    /// The same answer, which tells it.
    pub(super) fn onto(self, reply: Reply) -> Reply {
        let reply = reply.with(X_CACHE, self.source.as_str().to_owned());
        match self.source {
            Source::Miss => reply,
            Source::Hit | Source::Stale => reply.with(AGE, self.age.as_secs().to_string()),
        }
    }
}

/// What was found, and what to tell about it.
pub(super) fn cached<T>(found: Found<T>) -> Result<(Option<Arc<T>>, Cached), ApiError> {
    let served = found.map_err(|error| ApiError::Store((*error).clone()))?;
    let cached = Cached {
        source: served.source,
        age: served.age,
    };
    Ok((served.value, cached))
}
