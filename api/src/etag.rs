//! Conditional reads: an answer that its caller has already is not sent again.

use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use crate::hex;

/// Bytes of the digest that make a tag; nobody gains by a collision.
const TAG_BYTES: usize = 16;

/// The strong tag of a body.
pub(crate) fn of(body: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(body).into();
    format!("\"{}\"", hex::encode(&digest[..TAG_BYTES]))
}

/// Whether the caller has what bears this tag. Tags of ours have no comma, so the list may be split at any.
pub(crate) fn is_known(tag: &str, headers: &HeaderMap) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter();
    let known = values
        .map(HeaderValue::as_bytes)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    known.into_iter().any(|known| {
        let strong = known.strip_prefix(b"W/").unwrap_or(known);
        strong == tag.as_bytes() || known == b"*"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_known(value: &'static [u8]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_bytes(value).unwrap());
        super::is_known("\"abc\"", &headers)
    }

    #[test]
    fn a_tag_is_known_from_every_form_of_the_header() {
        for value in [
            &b"\"abc\""[..],
            b"W/\"abc\"",
            b"\"x\", \"abc\"",
            b"\"x,y\",W/\"abc\"",
            b"*",
        ] {
            assert!(is_known(value), "{value:?}");
        }
        for value in [
            &b""[..],
            b"abc",
            b"\"ab\"",
            b"\"abcd\"",
            b"\xff",
            b"w/\"abc\"",
            b"\"*\"",
        ] {
            assert!(!is_known(value), "{value:?}");
        }
    }

    #[test]
    fn different_bodies_have_different_tags() {
        assert_ne!(of(b"a"), of(b"b"));
        assert_eq!(of(b"a").len(), 34);
    }
}
