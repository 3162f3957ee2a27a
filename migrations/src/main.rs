//! `redis-migration`: see `--help`.

use std::process::ExitCode;

use migrations::{Cli, Command, Layout, layout};
use shared::config::{self, RedisConfig};
use shared::redis::{Redis, RedisError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli: Cli = config::parse();
    let config = match cli.read() {
        Ok(config) => config,
        Err(error) => return config::report(&error),
    };
    match ask(&config).await {
        Ok(layout) => tell(&layout, cli.command.unwrap_or(Command::Plan)),
        Err(error) => {
            eprintln!("redis-migration: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn ask(config: &RedisConfig) -> Result<Layout, RedisError> {
    layout(&Redis::new(&config.options)?, config).await
}

fn tell(layout: &Layout, command: Command) -> ExitCode {
    match command {
        Command::Status => println!("{layout}"),
        Command::Plan => println!("plan: {layout}"),
    }
    match layout {
        Layout::Empty | Layout::Current => ExitCode::SUCCESS,
        Layout::Foreign(_) => ExitCode::from(3),
    }
}
