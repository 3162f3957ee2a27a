//! Who asks, and what they may: API keys and their scopes.

mod access;
mod keygen;
mod keys;

pub(crate) use access::Access;
pub use keygen::NewKey;
pub use keys::{KeyRing, Scope, Scopes};

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::form_urlencoded;

use crate::error::ApiError;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Parameters that are mistaken for a way to send a key.
const IN_QUERY: [&str; 4] = ["api_key", "apikey", "key", "access_token"];

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The name of the key; `None` where authentication is off.
    pub(crate) name: Option<Arc<str>>,
    scopes: Scopes,
}

/// What is wrong with the credentials of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There are none.
    Missing,
    /// There are some in the query, where logs and proxies keep them.
    InQuery,
    /// They are not those of any caller.
    Wrong,
}

impl Caller {
    /// Whoever reaches a port without authentication.
    fn anybody() -> Self {
        Self {
            name: None,
            scopes: Scopes::all(),
        }
    }

    /// Refuses what the caller may not do.
    pub(crate) fn must_have(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.contains(scope) {
            Ok(())
        } else {
            Err(ApiError::Forbidden(scope))
        }
    }
}

/// Finds out who asks; without a key ring anybody may.
///
/// # Errors
/// The credentials are missing, wrong, or sent in a way that two readers could take differently.
pub(crate) fn authenticate(
    keys: Option<&KeyRing>,
    headers: &HeaderMap,
    query: &str,
) -> Result<Caller, ApiError> {
    let Some(keys) = keys else {
        return Ok(Caller::anybody());
    };
    let bearer = only(headers, &AUTHORIZATION)?.map(bearer);
    let plain = only(headers, &API_KEY)?.map(HeaderValue::as_bytes);
    let presented = match (bearer, plain) {
        (None, None) if is_in_query(query) => return Err(refused(Refusal::InQuery)),
        (None, None) => return Err(refused(Refusal::Missing)),
        (Some(bearer), Some(plain)) if bearer != Some(plain) => None,
        (Some(Some(key)), _) | (None, Some(key)) => Some(key),
        (Some(None), _) => None,
    };
    let found = presented.and_then(|key| keys.find(key));
    found.ok_or_else(|| refused(Refusal::Wrong))
}

fn refused(refusal: Refusal) -> ApiError {
    ApiError::Unauthenticated(refusal)
}

/// The one value of a header. Of two, whoever stands in front of us may have judged the other.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) if value.is_none_or(|value| !value.as_bytes().contains(&b',')) => Ok(value),
        _ => Err(ApiError::Framing("The credentials are sent twice")),
    }
}

/// The token of a bearer scheme.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

fn is_in_query(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| {
        IN_QUERY
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whom these headers make the caller, or the status and code they are refused with.
    fn who(headers: &[(&'static str, &[u8])], query: &str) -> Result<String, (u16, &'static str)> {
        let ring = KeyRing::parse(&format!(
            "reader:read:{};writer:read,write:{}",
            keys::hex_digest(b"key-of-reader"),
            keys::hex_digest(b"key-of-writer")
        ));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        match authenticate(Some(&ring.unwrap()), &map, query) {
            Ok(caller) => Ok(caller.name.unwrap().to_string()),
            Err(error) => {
                let face = error.face();
                Err((face.status.as_u16(), face.code))
            }
        }
    }

    const WRONG: Result<String, (u16, &str)> = Err((401, "UNAUTHORIZED"));
    const TWICE: Result<String, (u16, &str)> = Err((400, "INVALID_REQUEST"));

    #[test]
    fn a_key_is_taken_from_either_header() {
        let reader = Ok("reader".to_owned());
        for value in [
            "Bearer key-of-reader",
            "bearer key-of-reader",
            "BEARER   key-of-reader ",
        ] {
            assert_eq!(who(&[("authorization", value.as_bytes())], ""), reader);
        }
        assert_eq!(who(&[("x-api-key", b"key-of-reader")], ""), reader);
        let both = [
            ("x-api-key", &b"key-of-reader"[..]),
            ("authorization", b"Bearer key-of-reader"),
        ];
        assert_eq!(who(&both, ""), reader);
    }

    #[test]
    fn whatever_is_no_known_key_is_refused() {
        for value in [
            &b""[..],
            b"Bearer",
            b"Bearer ",
            b"Bearer    ",
            b"Basic key-of-reader",
            b"key-of-reader",
            b"Bearer key-of-reade",
            b"Bearer key-of-readers",
            b"Bearer key-of-\xff",
            b"Bearer reader",
        ] {
            assert_eq!(who(&[("authorization", value)], ""), WRONG, "{value:?}");
        }
        let different = [
            ("authorization", &b"Bearer key-of-reader"[..]),
            ("x-api-key", b"key-of-writer"),
        ];
        assert_eq!(who(&different, ""), WRONG);
        let half_good = [
            ("authorization", &b"Basic x"[..]),
            ("x-api-key", b"key-of-writer"),
        ];
        assert_eq!(who(&half_good, ""), WRONG);
        assert_eq!(who(&[], ""), WRONG);
        assert_eq!(who(&[], "api_key=key-of-reader"), WRONG);
    }

    #[test]
    fn credentials_that_are_sent_twice_are_no_credentials() {
        for name in ["authorization", "x-api-key"] {
            let twice = [(name, &b"Bearer key-of-reader"[..]), (name, b"Bearer x")];
            assert_eq!(who(&twice, ""), TWICE);
        }
        let joined = b"Bearer key-of-reader, Bearer key-of-writer";
        assert_eq!(who(&[("authorization", joined)], ""), TWICE);
    }

    #[test]
    fn a_key_may_do_what_its_scopes_say_and_nothing_else() {
        let scopes = Scopes::parse("write").unwrap();
        let caller = Caller { name: None, scopes };
        assert!(caller.must_have(Scope::Write).is_ok());
        assert!(caller.must_have(Scope::Read).is_err());
        assert!(caller.must_have(Scope::Admin).is_err());
        assert!(Caller::anybody().must_have(Scope::Admin).is_ok());
    }
}
