//! `novita-api webhooks`: what became of webhooks, and doing them over, from the shell.

mod args;
mod run;
mod text;

use std::io;
use std::process::ExitCode;

use shared::config::{ConfigError, RedisConfig, report};
use shared::redis::RedisError;
use shared::schema::SchemaError;

pub use self::args::WebhooksArgs;

/// Why a command was not done; one line for people.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Connect(#[from] SchemaError),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("no such delivery, or no longer kept: {0}")]
    Unknown(u64),
    #[error("nothing became of the test within {0} seconds: does a worker run?")]
    NoWord(u64),
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Runs one command. Exit code 0: done; 1: failed, with one line on standard error; 78: the
/// configuration is wrong.
pub async fn main(config: Result<RedisConfig, ConfigError>, args: &WebhooksArgs) -> ExitCode {
    let config = match config {
        Ok(config) => config,
        Err(error) => return report(&error),
    };
    match run::run(&config, args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // `| head` has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{}", text::clean(&failure.to_string()));
            ExitCode::FAILURE
        }
    }
}
