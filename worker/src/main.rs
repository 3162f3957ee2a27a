//! `novita-worker`: configuration, connections, then work until a signal.

use std::process::ExitCode;

use shared::redis::Redis;
use shared::{config, schema, shutdown, telemetry};
use tokio::net::TcpListener;
use worker::config::{Cli, CliCommand, WorkerConfig};

fn main() -> ExitCode {
    let cli: Cli = config::parse();
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
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(start(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start(config: WorkerConfig) -> anyhow::Result<()> {
    let metrics = telemetry::start_metrics()?;
    config::log_ignored_variables();
    shared::tls::install();
    let stop = shutdown::on_signal()?;
    let redis = Redis::new(&config.redis.options)?;
    schema::ensure(&redis, &config.redis.keys).await?;
    let listener = TcpListener::bind((config.common.host, config.common.metrics_port)).await?;
    tracing::info!(listener = "admin", addr = %listener.local_addr()?, "listening");
    worker::run(config, redis, listener, metrics, stop).await
}
