//! What a key of the predecessor's holds, by its name alone.

/// A kind of key. Names after the `cache:` prefix are the predecessor's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The record of an instance, by its local id.
    State(String),
    /// A start that is under way, by the local id.
    Startup(String),
    /// A job, by its id.
    Job(String),
    /// An index of jobs.
    Index(Index),
    /// A copy of what the provider said. Its key is the provider's id and nothing else, so what it is
    /// turns out when it is read.
    Bare,
    /// A cache, by its name: it is filled again by whoever needs it.
    Cache(&'static str),
    /// A lock or a mark of the predecessor's own housekeeping.
    Mark,
    /// A key of ours, or of another deployment of ours.
    Ours,
    /// Nothing that the predecessor is known to write.
    Unknown,
}

/// An index of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Index {
    /// Sorted set of what waits.
    Queue,
    /// Sorted set of what waits for its next try, by that time.
    Retry,
    /// Hash of what was being worked on.
    Processing,
    /// Sorted set of what is done, or was given up.
    Ended,
}

const STATE: &str = "cache:instance-states-persistent:";
const STARTUP: &str = "cache:startup-operations:";
const JOB: &str = "jobs:data:";
/// Part of every key of ours.
const OUR_TAG: &str = ":{0}:";
/// Where records of instances that the predecessor found by itself begin.
const ORPHANED: &str = "orphaned_";

impl Family {
    /// What `key` holds, and whether it bears the prefix: the predecessor's service never wrote it, its
    /// migration script always did.
    #[must_use]
    pub fn of(key: &str, prefix: &str) -> (Self, bool) {
        if key.contains(OUR_TAG) {
            return (Self::Ours, false);
        }
        let rest = key.strip_prefix(prefix);
        match rest.and_then(|rest| rest.strip_prefix(':')) {
            Some(rest) => (Self::named(rest), true),
            None => (Self::named(key), false),
        }
    }

    fn named(key: &str) -> Self {
        if let Some(id) = key.strip_prefix(STATE) {
            return Self::State(id.to_owned());
        }
        if let Some(id) = key.strip_prefix(STARTUP) {
            return Self::Startup(id.to_owned());
        }
        if let Some(id) = key.strip_prefix(JOB) {
            return Self::Job(id.to_owned());
        }
        match key {
            "jobs:queue" => Self::Index(Index::Queue),
            "jobs:retry" => Self::Index(Index::Retry),
            "jobs:processing" => Self::Index(Index::Processing),
            "jobs:completed" | "jobs:failed" => Self::Index(Index::Ended),
            "sync:startup:lock" | "sync:startup:last" | "jobs:stats" => Self::Mark,
            _ if key.starts_with("cache:migration-times:") => Self::Cache("migration-times"),
            _ if key.starts_with("cache:templates:") => Self::Cache("templates"),
            _ if key.starts_with("cache:products:") => Self::Cache("products"),
            _ if key.starts_with("cache:instances:") => Self::Cache("instances"),
            _ if key.starts_with("cache:") => Self::Cache("other"),
            _ if is_provider_id(key) => Self::Bare,
            _ => Self::Unknown,
        }
    }

    /// The word under which it is counted.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::State(id) if is_orphaned(id) => "orphaned states".into(),
            Self::State(_) => "instance states".into(),
            Self::Startup(_) => "startup operations".into(),
            Self::Job(_) => "jobs".into(),
            Self::Index(_) => "job indexes".into(),
            Self::Bare => "provider copies".into(),
            Self::Cache(name) => format!("cache {name}"),
            Self::Mark => "housekeeping".into(),
            Self::Ours => "ours".into(),
            Self::Unknown => "unknown".into(),
        }
    }
}

/// The predecessor found this instance in the account and made a record of it by itself.
#[must_use]
pub fn is_orphaned(id: &str) -> bool {
    id.starts_with(ORPHANED)
}

/// Letters and digits, as the provider makes its ids.
fn is_provider_id(key: &str) -> bool {
    (8..=64).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(key: &str) -> Family {
        Family::of(key, "novita_api").0
    }

    #[test]
    fn every_family_is_known_with_and_without_the_prefix() {
        for (key, expected) in [
            (
                "cache:instance-states-persistent:inst_1_a",
                Family::State("inst_1_a".into()),
            ),
            (
                "cache:startup-operations:inst_1_a",
                Family::Startup("inst_1_a".into()),
            ),
            ("jobs:data:job_1", Family::Job("job_1".into())),
            ("jobs:queue", Family::Index(Index::Queue)),
            ("jobs:failed", Family::Index(Index::Ended)),
            ("cache:templates:a:b", Family::Cache("templates")),
            (
                "cache:instanceDetailsCache:instance-1",
                Family::Cache("other"),
            ),
            ("0416234aa28fea1fb", Family::Bare),
            ("sync:startup:last", Family::Mark),
            ("something:else", Family::Unknown),
        ] {
            assert_eq!(Family::of(key, "novita_api"), (expected.clone(), false));
            let prefixed = format!("novita_api:{key}");
            assert_eq!(
                Family::of(&prefixed, "novita_api"),
                (expected, true),
                "{key}"
            );
        }
    }

    #[test]
    fn our_own_keys_are_none_of_the_predecessors() {
        assert_eq!(family("novita_api:{0}:spec"), Family::Ours);
        assert_eq!(family("other:{0}:jobs"), Family::Ours);
        assert_eq!(family("novita_api"), Family::Unknown);
    }
}
