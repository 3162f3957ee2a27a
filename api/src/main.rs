//! `novita-api`: the stateless HTTP front door.

use std::process::ExitCode;

use api::{ApiConfig, Cli, CliCommand, NewKey, webhooks_cli};
use shared::config::{ConfigCommand, parse, print_effective, report};
use shared::probe;
use shared::telemetry::start_logging;

/// Exit code of a wrong command line, as clap has it.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let cli: Cli = parse();
    if let Some(CliCommand::Webhooks(args)) = &cli.command {
        return webhooks_cli::main(cli.args.read_redis(), args).await;
    }
    if let Some(CliCommand::Keygen { name, scopes }) = &cli.command {
        return keygen(name, scopes);
    }
    if let Some(CliCommand::Healthcheck) = cli.command {
        return match cli.args.read_common() {
            Ok(common) => probe::main(common.host, common.metrics_port).await,
            Err(error) => report(&error),
        };
    }
    let (config, effective) = match ApiConfig::read(&cli.args) {
        Ok(read) => read,
        Err(error) => return report(&error),
    };
    if let Some(CliCommand::Config(ConfigCommand::Check)) = cli.command {
        print_effective(&effective);
        return ExitCode::SUCCESS;
    }
    start_logging(&config.common);
    match api::start(&config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a new key as two lines of a `.env` file: the caller's, and ours.
fn keygen(name: &str, scopes: &str) -> ExitCode {
    match NewKey::generate(name, scopes) {
        Ok(NewKey { key, entry }) => {
            println!("API_KEY={key}\nAPI_KEYS={entry}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(USAGE)
        }
    }
}
