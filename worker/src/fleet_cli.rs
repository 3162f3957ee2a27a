//! `novita-worker fleet`: how the passes over the provider's list go, and the end of a recovery.

use std::process::ExitCode;

use clap::Subcommand;
use shared::clock::Millis;
use shared::config::{ConfigError, RedisConfig, report};
use shared::fleet::{FleetStore, PassReport};
use shared::model::Recovery;
use shared::redis::RedisError;
use shared::schema::{self, SchemaError};

/// What to look at or to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum FleetCommand {
    /// Tell how the last pass over the provider's list of instances went
    Status,
    /// End the rebuilding of lost records: what has no record is then treated by the orphan policy
    EndRecovery,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Connect(#[from] SchemaError),
    #[error(transparent)]
    Redis(#[from] RedisError),
}

/// Runs one command. Exit code 0: done; 1: failed, with one line on standard error; 78: the
/// configuration is wrong.
pub async fn main(config: Result<RedisConfig, ConfigError>, command: FleetCommand) -> ExitCode {
    let config = match config {
        Ok(config) => config,
        Err(error) => return report(&error),
    };
    match run(&config, command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: &RedisConfig, command: FleetCommand) -> Result<(), Failure> {
    let redis = schema::connect(config).await?;
    let store = FleetStore::new(redis, config.keys.clone());
    match command {
        FleetCommand::Status => print(&store.remembered().await?.report),
        FleetCommand::EndRecovery => {
            store.end_recovery(Millis::now()).await?;
            println!("ended; the next pass treats what has no record by ORPHAN_POLICY");
        }
    }
    Ok(())
}

fn print(report: &PassReport) {
    if report.number == 0 {
        println!("no pass yet");
        return;
    }
    let recovery = match report.recovery {
        Recovery::Off => "off".to_owned(),
        Recovery::On { since, .. } => format!("on since {}", since.iso()),
        Recovery::Ended { at } => format!("ended by hand at {}", at.iso()),
    };
    let gap = if report.gap.is_empty() {
        "whole"
    } else {
        report.gap.as_str()
    };
    println!("passes          {}", report.number);
    println!("last pass       {}", report.started_at.iso());
    println!("its list        {gap}");
    println!("last whole one  {}", report.complete_at.iso());
    println!("ours, foreign   {}, {}", report.ours, report.foreign);
    println!("recovery        {recovery}");
}
