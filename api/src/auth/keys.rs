//! The keys of a deployment, of which only digests are known.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::Caller;
use crate::hex;

const MAX_KEYS: usize = 1000;
const MAX_NAME: usize = 64;

/// What a key may be used for. None includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// See everything.
    Read,
    /// Create, start, stop and delete.
    Write,
    /// Stop the whole deployment from working, or make it forget.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// Its word in a key's entry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// One or more scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    pub(super) fn all() -> Self {
        Self(Scope::ALL.to_vec())
    }

    /// Reads `read,write`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let scope = |word: &str| Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
        text.split(',').map(scope).collect::<Option<_>>().map(Self)
    }

    pub(super) fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|scope| scope.as_str()).collect();
        f.write_str(&words.join(","))
    }
}

/// One key.
#[derive(Clone)]
struct Key {
    name: Arc<str>,
    scopes: Scopes,
    digest: [u8; 32],
}

/// Every key of the deployment: at least one.
#[derive(Clone)]
pub struct KeyRing(Arc<[Key]>);

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl KeyRing {
    /// Reads entries `name:scope[,scope]:sha256`, which spaces, semicolons or line ends separate; `#` begins
    /// a comment that ends with its line. Two keys may bear one name, so that one can replace the other.
    ///
    /// # Errors
    /// What is wrong, one sentence each. None repeats an entry, which may hold a key by mistake.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or(""));
        let is_gap = |c: char| c.is_whitespace() || c == ';';
        let entries: Vec<_> = lines
            .flat_map(|line| line.split(is_gap))
            .filter(|entry| !entry.is_empty())
            .collect();
        let mut problems = Vec::new();
        if entries.is_empty() || entries.len() > MAX_KEYS {
            problems.push(format!("must have 1 to {MAX_KEYS} entries"));
        }
        let mut keys = Vec::new();
        let mut digests = HashSet::new();
        for (number, entry) in (1..).zip(entries) {
            match Key::parse(entry) {
                Ok(key) if !digests.insert(key.digest) => {
                    problems.push(format!(
                        "entry {number} is for the same key as an earlier one"
                    ));
                }
                Ok(key) => keys.push(key),
                Err(why) => problems.push(format!("entry {number} {why}")),
            }
        }
        if problems.is_empty() {
            Ok(Self(keys.into()))
        } else {
            Err(problems)
        }
    }

    /// Names and scopes of all keys, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let keys = self.0.iter();
        let shown: Vec<_> = keys
            .map(|key| format!("{}:{}", key.name, key.scopes))
            .collect();
        shown.join(" ")
    }

    /// Whose key this is. Takes as long for every key of one length, known or not.
    pub(super) fn find(&self, presented: &[u8]) -> Option<Caller> {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        let nobody = self.0.len() as u32;
        let mut found = nobody;
        for (index, key) in (0..).zip(self.0.iter()) {
            found.conditional_assign(&index, key.digest.ct_eq(&digest));
        }
        self.0.get(found as usize).map(|key| Caller {
            name: Some(Arc::clone(&key.name)),
            scopes: key.scopes.clone(),
        })
    }
}

impl Key {
    fn parse(entry: &str) -> Result<Self, &'static str> {
        let mut parts = entry.split(':');
        let (Some(name), Some(scopes), Some(digest), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("is not name:scope[,scope]:sha256");
        };
        if !is_name(name) {
            return Err("has no name of 1 to 64 letters, digits, dots, hyphens or underscores");
        }
        let scopes = Scopes::parse(scopes).ok_or("has a scope that is not read, write or admin")?;
        let digest = parse_digest(digest).ok_or("has no SHA-256 of 64 hexadecimal digits")?;
        Ok(Self {
            name: name.into(),
            scopes,
            digest,
        })
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_plain)
}

fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 2 * digest.len() || !text.is_ascii() {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        let pair = text.get(at..at + 2)?;
        // The parser would take a sign.
        let is_hex = pair.bytes().all(|b| b.is_ascii_hexdigit());
        *byte = u8::from_str_radix(pair, 16).ok().filter(|_| is_hex)?;
    }
    Some(digest)
}

/// The SHA-256 of a key, as it stands in an entry.
pub(super) fn hex_digest(key: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(key).into();
    hex::encode(&digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_in_one_line_or_in_many() {
        let (a, b) = (hex_digest(b"a"), hex_digest(b"b").to_uppercase());
        for text in [
            format!("ci:read:{a} ops:write,admin:{b}"),
            format!("ci:read:{a};ops:write,admin:{b};"),
            format!("# who may\n\nci:read:{a} # until spring\r\nops:write,admin:{b}\n"),
        ] {
            let ring = KeyRing::parse(&text).unwrap();
            assert_eq!(ring.describe(), "ci:read ops:write,admin");
            assert_eq!(&*ring.find(b"b").unwrap().name.unwrap(), "ops");
            assert_eq!(ring.find(b"c"), None);
        }
    }

    #[test]
    fn every_wrong_entry_is_told_by_its_number_and_none_is_repeated() {
        let good = hex_digest(b"a");
        let text = format!(
            "s3cret-key a:b \u{e9}:read:{good} x:all:{good} x:read:{}+1 x::{good} x:read:{good} y:read:{good}",
            &good[2..]
        );
        let problems = KeyRing::parse(&text).unwrap_err();
        let numbers: Vec<_> = problems.iter().map(|problem| &problem[..7]).collect();
        assert_eq!(
            numbers,
            [
                "entry 1", "entry 2", "entry 3", "entry 4", "entry 5", "entry 6", "entry 8"
            ]
        );
        let all = problems.join("\n");
        assert!(!all.contains("s3cret") && !all.contains(&good), "{all}");
        assert!(KeyRing::parse("# nobody\n").is_err());
    }

    #[test]
    fn a_ring_does_not_show_its_digests() {
        let digest = hex_digest(b"a");
        let ring = KeyRing::parse(&format!("ci:read:{digest}")).unwrap();
        assert_eq!(format!("{ring:?}"), "ci:read");
    }
}
