//! The checks that hyper leaves to us, and the request target as the router reads it.

use http::header::{HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Version};

use crate::error::ApiError;

const MAX_TARGET: usize = 8 * 1024;

/// A request target in origin form, decoded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Begins with a slash; no escapes, no dot segments, no control characters.
    pub(crate) path: String,
    /// Behind the question mark, as sent.
    pub(crate) query: String,
}

impl Target {
    /// Checks the framing of a request and decodes its path.
    pub(crate) fn of(head: &Parts) -> Result<Self, ApiError> {
        if head.method == Method::CONNECT || head.method == Method::TRACE {
            return Err(ApiError::MethodNotAllowed {
                allow: "GET, HEAD, POST, DELETE".to_owned(),
            });
        }
        check_host(head.version, &head.headers)?;
        check_transfer_encoding(&head.headers)?;
        let uri = &head.uri;
        if uri.scheme().is_some() || uri.authority().is_some() {
            return Err(ApiError::Framing("The request target must be a path"));
        }
        let query = uri.query().unwrap_or_default();
        if uri.path().len() + query.len() >= MAX_TARGET {
            return Err(ApiError::TargetTooLong);
        }
        Ok(Self {
            path: decode(uri.path())?,
            query: query.to_owned(),
        })
    }
}

fn check_host(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(()),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (None, _) => Err(ApiError::Framing("The Host header is missing")),
        (Some(_), Some(_)) => Err(ApiError::Framing("The Host header is sent twice")),
        (Some(_), None) => Err(ApiError::Framing("The Host header is not a host")),
    }
}

fn is_host(bytes: &[u8]) -> bool {
    Authority::try_from(bytes).is_ok_and(|authority| {
        let (whole, host) = (authority.as_str(), authority.host());
        let port_is_fine = whole == host || authority.port_u16().is_some();
        port_is_fine && !host.is_empty() && !whole.contains('@')
    })
}

/// hyper accepts further codings before `chunked`, and leaves the body encoded.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(ApiError::TransferEncoding),
    }
}

/// Percent-decodes a path once. What a proxy in front may have read differently is refused.
fn decode(raw: &str) -> Result<String, ApiError> {
    const UNCLEAR: ApiError = ApiError::Framing("The request path is not valid");
    if !raw.starts_with('/') || !raw.is_ascii() || raw.contains('\\') {
        return Err(UNCLEAR);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(UNCLEAR);
        };
        let byte = (high * 16 + low) as u8;
        if byte.is_ascii_control() || byte == b'/' || byte == b'\\' {
            return Err(UNCLEAR);
        }
        decoded.push(byte);
    }
    let path = String::from_utf8(decoded).map_err(|_| UNCLEAR)?;
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(UNCLEAR);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_exactly_once() {
        assert_eq!(decode("/api/%61bc").unwrap(), "/api/abc");
        assert_eq!(decode("/a/%252e%252e").unwrap(), "/a/%2e%2e");
        assert_eq!(decode("/%C3%B1").unwrap(), "/ñ");
    }

    #[test]
    fn a_path_that_two_servers_could_read_differently_is_refused() {
        for raw in [
            "*",
            "foo",
            "/a/../b",
            "/a/.",
            "/%2e%2e/a",
            "/.%2E/a",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/%00",
            "/%0a",
            "/%7f",
            "/%zz",
            "/%",
            "/%1",
            "/%ff",
            "/%c0%af",
            "/ñ",
        ] {
            assert!(decode(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_that_exists() {
        for host in ["a", "a.b:80", "127.0.0.1:3000", "[::1]:3000"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in ["", "a b/c", "user@a", "a:99999", "a,b c", "\u{e9}"] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
