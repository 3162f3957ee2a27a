//! Who asked, as far as it must be told back: the ids of a request.

use http::{HeaderMap, HeaderName, HeaderValue};
use ulid::Ulid;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const MAX_ID: usize = 128;

/// The ids that every answer to a request carries.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) request_id: Id,
    pub(crate) correlation_id: Id,
    /// The trace of the caller, if it told one (W3C Trace Context).
    pub(crate) traceparent: Option<String>,
}

impl Context {
    /// The caller's ids where they are usable, else new ones.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            request_id: Id::of(headers, &REQUEST_ID, "req_"),
            correlation_id: Id::of(headers, &CORRELATION_ID, "corr_"),
            traceparent: traceparent(headers),
        }
    }

    /// The id of that trace.
    pub(crate) fn trace_id(&self) -> Option<&str> {
        self.traceparent.as_deref()?.split('-').nth(1)
    }
}

/// The trace that a request belongs to. Of two headers, and of what is none, nothing is believed. Versions to
/// come begin with what this one has, and are passed on as this one.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = value.to_str().ok()?;
    let mut fields = text.splitn(5, '-');
    let mut next = || fields.next();
    let (version, trace, span, flags, rest) = (next()?, next()?, next()?, next()?, next());
    let is_hex = |text: &str, length: usize| {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        text.len() == length && text.bytes().all(is_digit)
    };
    let is_id = |text: &str, length| is_hex(text, length) && text.bytes().any(|b| b != b'0');
    let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || rest.is_none());
    let is_trace = is_known && is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2);
    is_trace.then(|| format!("00-{trace}-{span}-{flags}"))
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
    fn a_trace_is_believed_only_if_it_is_one() {
        const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACEPARENT, HeaderValue::from_static(value));
            }
            Context::of(&headers).traceparent
        };
        assert_eq!(read(&[GOOD]).as_deref(), Some(GOOD));
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more-to-come";
        assert_eq!(read(&[later]).as_deref(), Some(GOOD));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[GOOD, GOOD]), None);
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(&[text]), None, "{text}");
        }
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
