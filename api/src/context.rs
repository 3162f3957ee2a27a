//! Who asked, as far as it must be told back: the ids of a request.

use http::{HeaderMap, HeaderName, HeaderValue};
use ulid::Ulid;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const MAX_ID: usize = 128;

/// The ids that every answer to a request carries.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) request_id: Id,
    pub(crate) correlation_id: Id,
}

impl Context {
    /// The caller's ids where they are usable, else new ones.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            request_id: Id::of(headers, &REQUEST_ID, "req_"),
            correlation_id: Id::of(headers, &CORRELATION_ID, "corr_"),
        }
    }
}

/// 1 to 128 visible ASCII characters: fit for a header, a log line and JSON.
#[derive(Debug, Clone)]
pub(crate) struct Id(HeaderValue);

impl Id {
    fn of(headers: &HeaderMap, name: &HeaderName, prefix: &str) -> Self {
        let is_usable = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=MAX_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
        };
        let given = headers.get(name).filter(is_usable).cloned();
        let id = given.or_else(|| format!("{prefix}{}", Ulid::generate()).parse().ok());
        Self(id.unwrap_or_else(|| HeaderValue::from_static("unknown")))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_id(value: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        Context::of(&headers).request_id.as_str().to_owned()
    }

    #[test]
    fn a_usable_id_is_kept_and_any_other_is_replaced() {
        assert_eq!(request_id(b"my-id/1"), "my-id/1");
        assert_eq!(request_id(&[b'x'; 128]), "x".repeat(128));
        for value in [&b""[..], b"a b", b"\xff\xfe", &[b'x'; 129]] {
            let id = request_id(value);
            assert!(id.starts_with("req_") && id.len() == 30, "{id}");
        }
    }
}
