//! New keys.

use rand::RngExt;

use super::Scopes;
use super::keys::{hex_digest, is_name};

/// Known to whoever looks for secrets in places where none should be.
const PREFIX: &str = "gpk_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// So many characters of that alphabet have 256 bits.
const LENGTH: usize = 43;

/// A key that was just made. It is shown once, and nobody can find it again.
pub struct NewKey {
    /// What the caller sends.
    pub key: String,
    /// What the API is told.
    pub entry: String,
}

impl NewKey {
    /// A key with this name and these scopes, from the system's random numbers.
    ///
    /// # Errors
    /// The name or the scopes are none, in one sentence.
    pub fn generate(name: &str, scopes: &str) -> Result<Self, &'static str> {
        if !is_name(name) {
            return Err("the name must be 1 to 64 letters, digits, dots, hyphens or underscores");
        }
        let scopes = Scopes::parse(scopes).ok_or("the scopes must be of read, write and admin")?;
        let mut rng = rand::rng();
        let secret = (0..LENGTH).map(|_| char::from(ALPHABET[rng.random_range(..ALPHABET.len())]));
        let key: String = PREFIX.chars().chain(secret).collect();
        let entry = format!("{name}:{scopes}:{}", hex_digest(key.as_bytes()));
        Ok(Self { key, entry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::KeyRing;

    #[test]
    fn a_new_key_opens_what_its_entry_says() {
        let new = NewKey::generate("ci", "read,write").unwrap();
        assert_eq!(new.key.len(), 47);
        assert!(new.entry.starts_with("ci:read,write:"));
        let ring = KeyRing::parse(&new.entry).unwrap();
        assert!(ring.find(new.key.as_bytes()).is_some());
        let other = NewKey::generate("ci", "read,write").unwrap();
        assert!(ring.find(other.key.as_bytes()).is_none());
    }

    #[test]
    fn a_name_or_scope_that_could_not_be_read_back_is_refused() {
        assert!(NewKey::generate("a:b", "read").is_err());
        assert!(NewKey::generate("", "read").is_err());
        assert!(NewKey::generate("a", "all").is_err());
        assert!(NewKey::generate("a", "").is_err());
    }
}
