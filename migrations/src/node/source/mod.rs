//! Where the predecessor's data are: in a Redis, over either transport, or in a dump file. Only read.

mod dump;
mod elements;
mod live;

use std::path::PathBuf;

use serde_json::Value;
use shared::redis::Redis;

use super::family::{Family, is_orphaned};
use crate::answer::Failure;

pub use dump::Dump;
use live::Live;

/// Where the predecessor's data are.
#[derive(Debug, Clone)]
pub enum Place {
    /// A Redis.
    Redis(Redis),
    /// A file.
    Dump(PathBuf),
}

/// The predecessor's data.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where they are.
    pub place: Place,
    /// The prefix that keys may bear.
    pub prefix: String,
}

/// Which keys a pass is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// All keys but the records of instances and jobs; of these only the names.
    Surroundings,
    /// Jobs.
    Jobs,
    /// The records of instances.
    States,
    /// The records that the predecessor made of what it found.
    Orphans,
}

impl Pass {
    /// The keys that can matter, as Redis's globs say it.
    fn pattern(self) -> &'static str {
        match self {
            Self::Surroundings => "*",
            Self::Jobs => "*jobs:data:*",
            Self::States => "*cache:instance-states-persistent:*",
            Self::Orphans => "*cache:instance-states-persistent:orphaned_*",
        }
    }

    /// This pass has to do with such a key.
    fn is_about(self, family: &Family) -> bool {
        match (self, family) {
            (Self::Surroundings, _) | (Self::Jobs, Family::Job(_)) => true,
            (Self::States, Family::State(id)) => !is_orphaned(id),
            (Self::Orphans, Family::State(id)) => is_orphaned(id),
            _ => false,
        }
    }

    /// Its value is needed.
    fn reads(self, family: &Family) -> bool {
        match family {
            Family::Ours | Family::Mark | Family::Cache(_) => false,
            Family::State(_) | Family::Job(_) => self != Self::Surroundings,
            Family::Startup(_) | Family::Index(_) | Family::Bare | Family::Unknown => true,
        }
    }
}

/// One key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name as it is stored.
    pub key: String,
    /// What it holds.
    pub family: Family,
    /// It bears the prefix.
    pub is_prefixed: bool,
    /// Its value.
    pub value: Raw,
}

/// A value as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Not needed.
    Unread,
    /// A string, or the one field that a job has.
    Text(Vec<u8>),
    /// Members, with scores where they have any: those of an index.
    Members(Vec<(String, Option<u64>)>),
    /// It cannot be what its name says.
    Damaged {
        /// Why.
        reason: String,
        /// As much of it as can be told.
        value: Value,
    },
}

/// One pass over the source.
#[derive(Debug)]
pub enum Reader<'a> {
    /// Over a Redis.
    Live(Live<'a>),
    /// Over a file.
    Dump(Dump),
}

impl Source {
    /// Begins a pass.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn pass(&self, pass: Pass) -> Result<Reader<'_>, Failure> {
        Ok(match &self.place {
            Place::Redis(redis) => Reader::Live(Live::new(redis, &self.prefix, pass)),
            Place::Dump(path) => Reader::Dump(Dump::open(path, &self.prefix, pass)?),
        })
    }
}

impl Reader<'_> {
    /// The next portion, perhaps an empty one; `None` at the end.
    ///
    /// # Errors
    /// The source cannot be read any further.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, Failure> {
        match self {
            Self::Live(live) => Ok(live.next().await?),
            Self::Dump(dump) => dump.next(),
        }
    }
}
