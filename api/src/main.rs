//! `novita-api`: the stateless HTTP front door.

use std::process::ExitCode;

use api::{ApiConfig, Cli, CliCommand, webhooks_cli};
use shared::config::{ConfigCommand, parse, print_effective, report};
use shared::telemetry::start_logging;

#[tokio::main]
async fn main() -> ExitCode {
    let cli: Cli = parse();
    if let Some(CliCommand::Webhooks(args)) = &cli.command {
        return webhooks_cli::main(cli.args.read_redis(), args).await;
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
