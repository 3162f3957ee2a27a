//! Request bodies: of the right type, not too large, in time.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::ApiError;

/// A refused body is read on for this long, so that its sender gets to read the answer.
const DISCARD_WITHIN: Duration = Duration::from_secs(1);
const DISCARD_AT_MOST: usize = 64 * 1024;
const MAX_MEDIA_TYPE: usize = 256;

/// Reads a JSON body as bytes; nothing at all counts as an empty one.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    limit: usize,
    deadline: Instant,
) -> Result<Bytes, ApiError> {
    let is_absent = body.is_end_stream() && !headers.contains_key(CONTENT_TYPE);
    if !is_absent && !is_json(headers) {
        discard(headers, body);
        return Err(ApiError::MediaType);
    }
    if body.size_hint().lower() > limit as u64 {
        discard(headers, body);
        return Err(ApiError::BodyTooLarge { limit });
    }
    let collected = timeout_at(deadline, Limited::new(&mut body, limit).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(headers, body);
            Err(ApiError::BodyTooLarge { limit })
        }
        Ok(Err(error)) => Err(ApiError::BodyBroken(error.to_string())),
        Err(_) => Err(ApiError::BodyTimeout),
    }
}

/// Closing a socket with unread bytes resets it, and the answer may be lost with it.
pub(crate) fn discard(headers: &HeaderMap, body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    // Who waits for `100 Continue` has sent nothing, and reading would invite it.
    if headers.contains_key(EXPECT) {
        return;
    }
    tokio::spawn(async move {
        let rest = Limited::new(body, DISCARD_AT_MOST).collect();
        // Whatever becomes of the rest, nobody needs it.
        let _ = timeout(DISCARD_WITHIN, rest).await;
    });
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_json = match (types.next(), types.next()) {
        (Some(value), None) => is_json_type(value),
        (None, _) | (Some(_), Some(_)) => false,
    };
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    is_json && headers.get_all(CONTENT_ENCODING).iter().all(is_plain)
}

fn is_json_type(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    let names_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => charset
            .trim()
            .trim_matches('"')
            .eq_ignore_ascii_case("utf-8"),
        _ => true,
    };
    is_json && text.len() <= MAX_MEDIA_TYPE && parts.all(names_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_utf8_is_the_only_type() {
        for text in [
            "application/json",
            "APPLICATION/JSON",
            "application/json; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(is_json_type(&HeaderValue::from_static(text)), "{text}");
        }
        for text in [
            "text/plain",
            "application/jsonp",
            "application/json; charset=utf-16",
            "application/json, text/plain",
            "application/x-www-form-urlencoded",
            "",
        ] {
            assert!(!is_json_type(&HeaderValue::from_static(text)), "{text}");
        }
    }
}
