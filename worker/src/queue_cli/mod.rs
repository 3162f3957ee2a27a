//! `novita-worker queue`: the work queue from the shell, for people and for scripts.

mod args;
mod run;
mod table;
mod text;
mod time;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use shared::config::{ConfigError, RedisConfig, report};
use shared::queue::JobState;
use shared::redis::RedisError;
use shared::schema::SchemaError;

pub use self::args::QueueArgs;

/// Why a command was not done; one line for people.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Connect(#[from] SchemaError),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("no such job: {0}")]
    Unknown(String),
    #[error("{id} is {state}, not dead")]
    NotDead { id: String, state: JobState },
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Runs one command. Exit code 0: done; 1: failed, with one line on standard error; 78: the
/// configuration is wrong.
pub async fn main(config: Result<RedisConfig, ConfigError>, args: &QueueArgs) -> ExitCode {
    let config = match config {
        Ok(config) => config,
        Err(error) => return report(&error),
    };
    match run::run(&config, args).await {
        Ok(()) => ExitCode::SUCCESS,
        // `| head` has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{}", table::clean(&failure.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Where results go, in one of two forms.
#[derive(Debug, Clone, Copy)]
struct Output {
    is_json: bool,
}

impl Output {
    /// Writes one result: as a line of JSON, or as the text that ends with a line break.
    fn show<T: Serialize>(self, view: &T, text: impl FnOnce(&T) -> String) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.is_json {
            serde_json::to_writer(&mut stdout, view)?;
            writeln!(stdout)?;
        } else {
            stdout.write_all(text(view).as_bytes())?;
        }
        stdout.flush()
    }
}
