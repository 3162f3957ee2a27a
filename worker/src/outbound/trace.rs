//! What ties a call to the request that caused it.

use http::{HeaderMap, HeaderName, HeaderValue};

tokio::task_local! {
    static CURRENT: CallContext;
}

/// Trace headers passed on with a call. The default passes none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallContext {
    /// W3C Trace Context `traceparent`.
    pub traceparent: Option<String>,
    /// `X-Correlation-ID`.
    pub correlation_id: Option<String>,
}

impl CallContext {
    /// What the work at hand was called for; nothing outside of any scope.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// Does work for this.
    pub(crate) async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    /// Adds the headers that are set; a value that cannot be a header is left out, because losing
    /// a trace is better than losing the call.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let pairs = [
            (HeaderName::from_static("traceparent"), &self.traceparent),
            (
                HeaderName::from_static("x-correlation-id"),
                &self.correlation_id,
            ),
        ];
        for (name, value) in pairs {
            if let Some(value) = value.as_deref().and_then(|v| HeaderValue::from_str(v).ok()) {
                headers.insert(name, value);
            }
        }
    }
}
