//! Digests as text.

use bytes::Bytes;

/// Two lower-case digits per byte.
pub(crate) fn encode(bytes: &[u8]) -> String {
    format!("{:x}", Bytes::copy_from_slice(bytes))
}
