//! Environment variables of callers, which are secrets: encrypted wherever they are stored.
//!
//! ChaCha20-Poly1305 under a key that HKDF-SHA-256 derives from `ENVS_SECRET`, with a random nonce and
//! the instance's id as associated data, so that nothing can be moved from one record to another.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::model::{EnvVar, InstanceId};
use crate::store::to_json;

/// Tells this use of a secret from every other.
const SALT: &[u8] = b"novita-gpu/envs/salt/v1";
const INFO: &[u8] = b"novita-gpu/envs/key/v1";
/// What the first byte of the stored text says: how the rest is to be read.
const VERSION: u8 = 1;

/// The key of one deployment. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct EnvsKey(LessSafeKey);

/// Why stored variables cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There are none, although there should be.
    #[error("they are missing")]
    Missing,
    /// Another key, another instance's, or damaged.
    #[error("they were not encrypted for this instance under this ENVS_SECRET")]
    Foreign,
}

/// The cipher could not be used; no input is known to cause it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the variables could not be encrypted")]
pub struct Unsealable;

impl EnvsKey {
    /// The key that belongs to a secret.
    #[must_use]
    pub fn derive(secret: &str) -> Option<Self> {
        let salted = Salt::new(HKDF_SHA256, SALT).extract(secret.as_bytes());
        let derived = salted.expand(&[INFO], &CHACHA20_POLY1305).ok()?;
        Some(Self(LessSafeKey::new(UnboundKey::from(derived))))
    }

    /// The variables of an instance as they are stored; different each time.
    pub fn seal(&self, instance: &InstanceId, envs: &[EnvVar]) -> Result<String, Unsealable> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = to_json(envs).into_bytes();
        let (nonce_used, aad) = (Nonce::assume_unique_for_key(nonce), of(instance));
        let key = &self.0;
        key.seal_in_place_append_tag(nonce_used, aad, &mut sealed)
            .map_err(|_| Unsealable)?;
        let stored = [&[VERSION][..], &nonce, &sealed].concat();
        Ok(STANDARD.encode(stored))
    }

    /// The variables of an instance from what is stored.
    pub fn open(&self, instance: &InstanceId, stored: &str) -> Result<Vec<EnvVar>, Unreadable> {
        self.opened(instance, stored).ok_or(Unreadable::Foreign)
    }

    fn opened(&self, instance: &InstanceId, stored: &str) -> Option<Vec<EnvVar>> {
        let stored = STANDARD.decode(stored).ok()?;
        let (version, rest) = stored.split_first()?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        if *version != VERSION {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let text = self
            .0
            .open_in_place(nonce, of(instance), &mut sealed)
            .ok()?;
        serde_json::from_slice(text).ok()
    }
}

fn of(instance: &InstanceId) -> Aad<&[u8]> {
    Aad::from(instance.as_str().as_bytes())
}

impl fmt::Debug for EnvsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvsKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envs() -> Vec<EnvVar> {
        vec![EnvVar {
            key: "TOKEN".into(),
            value: "hunter2 🚀\nline".into(),
        }]
    }

    #[test]
    fn what_was_sealed_is_opened_by_the_same_secret_for_the_same_instance_alone() {
        let (key, id) = (EnvsKey::derive("a secret").unwrap(), InstanceId::generate());
        let stored = key.seal(&id, &envs()).unwrap();
        let clear = STANDARD.decode(&stored).unwrap();
        assert!(!stored.contains("hunter2"));
        assert!(!clear.windows(7).any(|part| part == b"hunter2"));
        assert_eq!(key.open(&id, &stored), Ok(envs()));
        let same = EnvsKey::derive("a secret").unwrap();
        assert_eq!(same.open(&id, &stored), Ok(envs()));

        let other = EnvsKey::derive("another secret").unwrap();
        assert_eq!(other.open(&id, &stored), Err(Unreadable::Foreign));
        let moved = key.open(&InstanceId::generate(), &stored);
        assert_eq!(moved, Err(Unreadable::Foreign));
    }

    #[test]
    fn the_same_variables_never_look_the_same_twice() {
        let (key, id) = (EnvsKey::derive("a secret").unwrap(), InstanceId::generate());
        assert_ne!(key.seal(&id, &envs()), key.seal(&id, &envs()));
    }

    #[test]
    fn one_changed_bit_anywhere_is_noticed() {
        let (key, id) = (EnvsKey::derive("a secret").unwrap(), InstanceId::generate());
        let stored = STANDARD.decode(key.seal(&id, &envs()).unwrap()).unwrap();
        for position in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[position] ^= 1;
            let opened = key.open(&id, &STANDARD.encode(damaged));
            assert_eq!(opened, Err(Unreadable::Foreign), "byte {position}");
        }
        for text in ["", "!", "AQ==", "AQAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(key.open(&id, text), Err(Unreadable::Foreign), "{text}");
        }
    }
}
