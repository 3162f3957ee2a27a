//! `novita-worker`: configuration, connections, then work until a signal.

use std::process::ExitCode;

use shared::{admin, config, probe, schema, shutdown, telemetry};
use worker::config::{Cli, CliCommand, WorkerConfig};
use worker::{fleet_cli, queue_cli};

#[tokio::main]
async fn main() -> ExitCode {
    let cli: Cli = config::parse();
    if let Some(CliCommand::Queue(args)) = &cli.command {
        return queue_cli::main(cli.read_redis(), args).await;
    }
    if let Some(CliCommand::Fleet(command)) = &cli.command {
        return fleet_cli::main(cli.read_redis(), *command).await;
    }
    if let Some(CliCommand::Healthcheck) = cli.command {
        return match cli.read_common() {
            Ok(common) => probe::main(common.host, common.metrics_port).await,
            Err(error) => config::report(&error),
        };
    }
    let (config, effective) = cli.read();
    let config = match config {
        Ok(config) => config,
        Err(error) => return config::report(&error),
    };
    if let Some(CliCommand::Config(config::ConfigCommand::Check)) = cli.command {
        config::print_effective(&effective);
        return ExitCode::SUCCESS;
    }
    telemetry::start_logging(&config.common);
    match start(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start(config: WorkerConfig) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    let metrics = telemetry::start_metrics()?;
    config::log_ignored_variables();
    let redis = tokio::select! {
        redis = schema::connect(&config.redis) => redis?,
        () = stop.cancelled() => return Ok(()),
    };
    let addr = (config.common.host, config.common.metrics_port).into();
    let listener = admin::bind("admin", addr).await?;
    worker::run(config, redis, listener, metrics, stop).await
}
