//! The status vocabulary of an instance and which status follows by itself.

use serde::{Deserialize, Serialize};

use super::clock::SimDuration;
use super::settings::Settings;

macro_rules! statuses {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// The documented statuses, `pending` (observed, undocumented), and any other word a test
        /// wants a client to meet.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub(crate) enum Status {
            $($variant,)+
            Other(String),
        }

        impl Status {
            pub(crate) fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for Status {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($name => Self::$variant,)+
                    _ => Self::Other(word),
                }
            }
        }
    };
}

statuses! {
    Pending = "pending",
    ToCreate = "toCreate",
    Creating = "creating",
    Pulling = "pulling",
    Running = "running",
    ToStart = "toStart",
    Starting = "starting",
    ToStop = "toStop",
    Stopping = "stopping",
    Exited = "exited",
    ToRestart = "toRestart",
    Restarting = "restarting",
    ToReset = "toReset",
    Resetting = "resetting",
    Migrating = "migrating",
    Freezing = "freezing",
    ToRemove = "toRemove",
    Removing = "removing",
    Removed = "removed",
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.as_str().to_owned()
    }
}

impl Status {
    /// Whether compute is charged. Where the Novita API reference says "unknown" it is.
    pub(crate) fn is_billed(&self) -> bool {
        match self {
            Self::Pending
            | Self::ToCreate
            | Self::Creating
            | Self::Exited
            | Self::ToRemove
            | Self::Removing
            | Self::Removed => false,
            Self::Pulling
            | Self::Running
            | Self::ToStart
            | Self::Starting
            | Self::ToStop
            | Self::Stopping
            | Self::ToRestart
            | Self::Restarting
            | Self::ToReset
            | Self::Resetting
            | Self::Migrating
            | Self::Freezing
            | Self::Other(_) => true,
        }
    }

    /// On the way out or gone: a second delete finds nothing.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self, Self::ToRemove | Self::Removing | Self::Removed)
    }

    /// On the way up: a `statusError` keeps it there.
    pub(crate) fn is_coming_up(&self) -> bool {
        matches!(
            self,
            Self::Pending
                | Self::ToCreate
                | Self::Creating
                | Self::Pulling
                | Self::ToStart
                | Self::Starting
                | Self::ToRestart
                | Self::Restarting
                | Self::ToReset
                | Self::Resetting
        )
    }

    /// What comes next without anyone asking, and after how long.
    pub(crate) fn successor(&self, settings: &Settings) -> Option<(SimDuration, Self)> {
        let delays = &settings.delays;
        let next = match self {
            Self::Pending => (delays.pending, Self::ToCreate),
            Self::ToCreate => (delays.to_create, Self::Creating),
            Self::Creating => (delays.creating, Self::Pulling),
            Self::Pulling => (delays.pulling, Self::Running),
            Self::ToStart => (delays.to_start, Self::Starting),
            Self::Starting if settings.pull_on_start => (delays.starting, Self::Pulling),
            Self::Starting => (delays.starting, Self::Running),
            Self::ToStop => (delays.to_stop, Self::Stopping),
            Self::Stopping => (delays.stopping, Self::Exited),
            Self::ToRestart | Self::ToReset => (delays.to_restart, Self::Restarting),
            Self::Restarting | Self::Resetting => (delays.restarting, Self::Running),
            Self::Migrating if settings.migration_fails => (delays.migrating, Self::Exited),
            Self::Migrating => (delays.migrating, Self::Running),
            Self::ToRemove => (delays.to_remove, Self::Removing),
            Self::Removing => (delays.removing, Self::Removed),
            Self::Running | Self::Exited | Self::Freezing | Self::Removed | Self::Other(_) => {
                return None;
            }
        };
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(from: Status, settings: &Settings) -> Vec<String> {
        let mut seen = Vec::new();
        let mut current = Some(from);
        while let Some(status) = current {
            seen.push(status.as_str().to_owned());
            current = status.successor(settings).map(|(_, next)| next);
        }
        seen
    }

    #[test]
    fn each_action_walks_its_documented_statuses() {
        let settings = Settings::default();
        assert_eq!(
            walk(Status::Pending, &settings),
            ["pending", "toCreate", "creating", "pulling", "running"]
        );
        assert_eq!(
            walk(Status::ToStop, &settings),
            ["toStop", "stopping", "exited"]
        );
        assert_eq!(
            walk(Status::ToStart, &settings),
            ["toStart", "starting", "running"]
        );
        assert_eq!(
            walk(Status::ToRestart, &settings),
            ["toRestart", "restarting", "running"]
        );
        assert_eq!(walk(Status::Migrating, &settings), ["migrating", "running"]);
        assert_eq!(
            walk(Status::ToRemove, &settings),
            ["toRemove", "removing", "removed"]
        );
    }

    #[test]
    fn a_failing_migration_ends_stopped_and_a_start_may_pull() {
        let settings = Settings {
            migration_fails: true,
            pull_on_start: true,
            ..Settings::default()
        };
        assert_eq!(walk(Status::Migrating, &settings), ["migrating", "exited"]);
        assert_eq!(
            walk(Status::ToStart, &settings),
            ["toStart", "starting", "pulling", "running"]
        );
    }

    #[test]
    fn unknown_words_survive() {
        let status = Status::from("hibernating".to_owned());
        assert_eq!(status.as_str(), "hibernating");
        assert_eq!(Status::from("exited".to_owned()), Status::Exited);
    }
}
