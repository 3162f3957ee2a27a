//! Identifiers: printable, prefixed, and each its own type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 128 letters, digits, hyphens or underscores")]
pub struct IdError;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new identifier: the prefix and a ULID, so that ids sort by the time they were made.
            #[must_use]
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "{}"), Ulid::generate()))
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The ULID behind the prefix; `None` for identifiers made by the predecessor.
            #[must_use]
            pub fn ulid(&self) -> Option<Ulid> {
                Ulid::from_string(self.0.strip_prefix($prefix)?).ok()
            }
        }

        impl From<Ulid> for $name {
            fn from(ulid: Ulid) -> Self {
                Self(format!(concat!($prefix, "{}"), ulid))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                is_identifier(text).then(|| Self(text.to_owned())).ok_or(IdError)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id_type!(
    /// One managed instance. Ids of the predecessor (`inst_<ms>_<base36>`) are accepted too.
    InstanceId,
    "inst_"
);
id_type!(
    /// One create, start, stop or delete as its caller sees it.
    OperationId,
    "op_"
);
id_type!(
    /// One event; also the `webhook-id` of its deliveries, which therefore has no full stop.
    EventId,
    "msg_"
);

fn is_identifier(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_id_carries_its_ulid_and_parses_back() {
        let id = InstanceId::generate();
        let ulid = id.ulid().unwrap();
        assert_eq!(InstanceId::from(ulid), id);
        assert_eq!(id.as_str().parse::<InstanceId>().unwrap(), id);
    }

    #[test]
    fn ids_of_the_predecessor_are_accepted_and_have_no_ulid() {
        let id: InstanceId = "inst_1795379400539_ndlmkpy".parse().unwrap();
        assert_eq!(id.ulid(), None);
    }

    #[test]
    fn what_could_break_a_key_or_a_path_is_refused() {
        for text in ["", "a/b", "a b", "a:b", "ü", "a\n", &"x".repeat(129)] {
            assert_eq!(text.parse::<InstanceId>(), Err(IdError), "{text:?}");
        }
    }
}
