//! The words by which administrators name what they mean: states of jobs, scopes of a pause.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::job::JobKind;

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Runnable now.
    Due,
    /// A worker holds it.
    Leased,
    /// Waits for its time.
    Delayed,
    /// Would be due, but its kind is paused.
    Paused,
    /// Given up.
    Dead,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Due,
        Self::Leased,
        Self::Delayed,
        Self::Paused,
        Self::Dead,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Leased => "leased",
            Self::Delayed => "delayed",
            Self::Paused => "paused",
            Self::Dead => "dead",
        }
    }
}

/// A word that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {0}")]
pub struct UnknownWord(String);

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| UnknownWord(Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// What is paused or resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole queue.
    All,
    /// One kind of job.
    Kind(JobKind),
}

impl Scope {
    /// The word in the markers of the timers.
    pub(super) fn marker(self) -> &'static str {
        match self {
            Self::All => "*",
            Self::Kind(kind) => kind.as_str(),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Kind(kind) => kind.as_str(),
        })
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Scope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        if matches!(text, "all" | "*") {
            return Ok(Self::All);
        }
        let kind = JobKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.map(Self::Kind).ok_or_else(|| {
            UnknownWord(format!(
                "all, {}",
                JobKind::ALL.map(JobKind::as_str).join(", ")
            ))
        })
    }
}
