//! Configuration from flags, environment and `.env`: one small struct per topic, every problem told
//! at once, nothing bound before all of it is right.
//!
//! Values arrive as text and are read by a [`Reader`], which collects problems and remembers the
//! effective values for `config check`. Secrets are only remembered as masked.

mod common;
mod envs;
mod policy;
mod reader;
mod redis;
mod seeds;
mod spot;

use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, FromArgMatches};

pub use common::{Common, CommonArgs, Environment};
pub use envs::EnvsArgs;
pub use policy::PolicyArgs;
pub use reader::{ConfigError, Reader, Secret};
pub use redis::{RedisArgs, RedisConfig};
pub use spot::SpotArgs;

/// Exit code of a process that is configured wrongly (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

/// Reads flags, then the environment, then `.env` or else `.env.local` of the working
/// directory; an empty variable counts
/// as unset. Help, version and unknown flags end the process as clap does.
#[must_use]
pub fn parse<C: CommandFactory + FromArgMatches>() -> C {
    // A missing file is the normal case; real variables win over it, and the first file over the next.
    for file in [".env", ".env.local"] {
        if dotenvy::from_path(file).is_ok() {
            break;
        }
    }
    let command = C::command().mut_args(|arg| {
        let is_empty = arg
            .get_env()
            .and_then(std::env::var_os)
            .is_some_and(|value| value.is_empty());
        let arg = arg.hide_env_values(true);
        if is_empty {
            arg.env(None::<&'static str>)
        } else {
            arg
        }
    });
    let matches = command.get_matches();
    C::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Prints every problem and gives the exit code for them.
#[must_use]
pub fn report(error: &ConfigError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(EXIT_CONFIG)
}

/// Names of set variables that the predecessor knew and that mean nothing here.
fn ignored_variables() -> Vec<String> {
    let mut names: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| {
            ["AXIOM_", "NOVITA_INTERNAL_", "npm_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        })
        .collect();
    names.sort();
    names
}

/// Says once which set variables mean nothing here.
pub fn log_ignored_variables() {
    let ignored = ignored_variables();
    if !ignored.is_empty() {
        tracing::info!(
            variables = ignored.join(", "),
            "these variables have no meaning here"
        );
    }
}

/// Prints the effective values for `config check`.
pub fn print_effective(values: &[(&'static str, String)]) {
    for (name, value) in values {
        println!("{name}={value}");
    }
}

/// `config check`: what both binaries offer beside running.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ConfigCommand {
    /// Validate the configuration and print the effective values, secrets masked
    Check,
}

/// Every environment variable that a command reads, in the order of its help.
#[must_use]
pub fn variables<C: CommandFactory>() -> Vec<String> {
    C::command()
        .get_arguments()
        .filter(|arg| !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version))
        .filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned))
        .collect()
}
