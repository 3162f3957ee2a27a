//! What a command came to: for people, for programs, and as an exit code.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;
use shared::redis::RedisError;
use shared::store::StoreError;

use crate::lock::Holder;

/// What a command came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// For people, one line each.
    pub lines: Vec<String>,
    /// The same and more for programs; an object.
    pub json: Value,
    /// How the process ends.
    pub exit: Exit,
}

/// How the process ends. `--help` lists the codes, so none ever changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Redis or a file did not do its part; nothing is half done that a second run does not complete.
    Failed = 1,
    /// The stored layout is not one that this build knows.
    Layout = 3,
    /// Another operator holds the lock.
    Locked = 4,
    /// A verification found differences.
    Differs = 5,
    /// Done, but for records that were put aside with a reason.
    Quarantined = 6,
    /// Refused, because something would be lost.
    Refused = 7,
}

/// Why a command was not carried out, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Redis did not do its part.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// A stored record cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file did not do its part.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another operator is at work.
    #[error("{0}")]
    Locked(Holder),
    /// The stored layout is not one that this build knows.
    #[error("{0}")]
    Layout(String),
    /// It would lose something.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// A failure of the file at `path`.
    pub fn file(path: &Path) -> impl Fn(std::io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File {
            path: path.clone(),
            cause,
        }
    }

    /// The file at `path` is not what it should be.
    pub fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            why: why.into(),
        }
    }
}

impl Exit {
    /// The code for a command that failed.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Redis(_)
            | Failure::Store(_)
            | Failure::File { .. }
            | Failure::Damaged { .. } => Self::Failed,
            Failure::Locked(_) => Self::Locked,
            Failure::Layout(_) => Self::Layout,
            Failure::Refused(_) => Self::Refused,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Answer {
    /// An answer of so many lines.
    #[must_use]
    pub fn new(lines: Vec<String>, json: Value, exit: Exit) -> Self {
        Self { lines, json, exit }
    }

    /// Prints it: the lines, or one line of JSON. What was done stays done when nobody reads it to its end
    /// (`redis-migration plan | head`), so that the exit code tells of the work and not of the printing.
    pub fn tell(&self, json: bool) {
        let text = if json {
            self.json.to_string() + "\n"
        } else {
            self.lines.iter().flat_map(|line| [line, "\n"]).collect()
        };
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            eprintln!("redis-migration: the answer could not be printed: {error}");
        }
    }
}
