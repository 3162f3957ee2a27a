//! Who is asking: one of the two tokens, or nobody.

use bytes::Bytes;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use super::request::Target;

/// What a valid token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Full,
    ReadOnly,
}

/// The two tokens of a database. Not `Debug`, so that no log can show them.
pub(crate) struct Tokens {
    pub(crate) full: String,
    pub(crate) read_only: Option<String>,
}

impl Tokens {
    /// The `_token` query parameter wins over the header, as on the live service.
    pub(crate) fn access(&self, target: &Target<'_>, headers: &HeaderMap) -> Option<Access> {
        let given = target
            .token()
            .or_else(|| bearer(headers).map(Bytes::copy_from_slice))?;
        if same(&given, &self.full) {
            return Some(Access::Full);
        }
        let read_only = self.read_only.as_ref()?;
        same(&given, read_only).then_some(Access::ReadOnly)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// Compares digests: how long that takes says nothing about the secret.
fn same(given: &[u8], secret: &str) -> bool {
    Sha256::digest(given) == Sha256::digest(secret)
}
