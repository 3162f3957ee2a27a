//! Cross-origin requests: which pages of other origins may read our answers.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Everything that any endpoint takes.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, If-None-Match, \
    Last-Event-ID, Prefer, traceparent, tracestate, X-API-Key, X-Correlation-ID, X-Request-ID";
const RESPONSE_HEADERS: &str = "ETag, Idempotency-Replayed, Location, Preference-Applied, RateLimit, \
    RateLimit-Policy, Retry-After, X-Correlation-ID, X-Request-ID";
/// How long a browser may remember what it was allowed, in seconds.
const MAX_AGE: &str = "600";

/// Which origins may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// None but our own.
    Off,
    /// All, without credentials of the browser's.
    Any,
    /// These, with them.
    Listed(Vec<HeaderValue>),
}

impl Cors {
    /// Adds to an answer what tells the browser about it.
    pub(crate) fn tell(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        if *self == Self::Off {
            return;
        }
        // Also where nothing is allowed: a cache must not serve that to somebody who is.
        answer.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = asked.get(ORIGIN) else {
            return;
        };
        match self {
            Self::Listed(origins) if origins.contains(origin) => {
                answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                set(answer, ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
            }
            Self::Any => set(answer, ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            Self::Listed(_) | Self::Off => return,
        }
        set(answer, ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        if asked.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            set(answer, ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            set(answer, ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            set(answer, ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
