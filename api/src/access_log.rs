//! The access log: one line per answered request, without secrets and without bodies.

use http::StatusCode;
use http::request::Parts;
use tokio::time::Instant;

use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;

/// Longest path in a message or a log line.
const MAX_SHOWN_PATH: usize = 256;

/// One line of the access log.
pub(crate) struct Access<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) route: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) started: Instant,
    pub(crate) context: &'a Context,
    pub(crate) caller: Option<&'a Caller>,
    pub(crate) error: Option<ApiError>,
    pub(crate) is_probe: bool,
}

impl Access<'_> {
    pub(crate) fn write(&self) {
        let method = self.head.method.as_str();
        let path = shown(self.head.uri.path());
        let (route, status) = (self.route, self.status.as_u16());
        let duration_ms = self.started.elapsed().as_micros() as f64 / 1000.0;
        let request_id = self.context.request_id.as_str();
        let correlation_id = self.context.correlation_id.as_str();
        let trace_id = self.context.trace_id();
        let caller = self.caller.and_then(|caller| caller.name.as_deref());
        let error = self.error.as_ref().map(chain);
        // The macro wants its level at compile time, so the fields stand here three times.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method,
                    path,
                    route,
                    status,
                    duration_ms,
                    request_id,
                    correlation_id,
                    trace_id,
                    caller,
                    error,
                    "request"
                )
            };
        }
        if self.status.is_server_error() && !self.is_probe {
            line!(error);
        } else if self.is_probe {
            line!(debug);
        } else {
            line!(info);
        }
    }
}

/// An error with everything that caused it.
fn chain(error: &ApiError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The path of a request, as far as it is shown.
pub(crate) fn shown(path: &str) -> String {
    path.chars().take(MAX_SHOWN_PATH).collect()
}
