//! `redis-migration`: see `--help`.

use std::process::ExitCode;

use migrations::answer::Exit;
use migrations::cli::Cli;
use migrations::command;
use shared::config;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli: Cli = config::parse();
    let settings = match cli.read() {
        Ok(settings) => settings,
        Err(error) => return config::report(&error),
    };
    let json = settings.json;
    match command::carry_out(settings).await {
        Ok(answer) => {
            answer.tell(json);
            answer.exit.into()
        }
        Err(error) => {
            eprintln!("redis-migration: {error}");
            Exit::of(&error).into()
        }
    }
}
