//! `devstack`: everything on one machine, for people and for other programs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use devstack::outside::{self, OutsideOptions};
use devstack::screen::Screen;
use devstack::stack::{Stack, StackOptions, Transport};
use devstack::{bench, demo};
use tokio::signal::unix::{SignalKind, signal};

/// Start Redis, an Upstash bridge, a Novita simulator, a webhook sink, novita-api and novita-worker
#[derive(Debug, Parser)]
#[command(name = "devstack", version)]
struct Cli {
    /// How the processes reach Redis
    #[arg(long, value_enum, default_value_t)]
    transport: Transport,
    /// Replicas of novita-api
    #[arg(long, default_value_t = 1)]
    apis: usize,
    /// Replicas of novita-worker
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Run the demonstration, delete what it made, and exit 0 or 1
    #[arg(long)]
    once: bool,
    /// Measure cold start and idle memory of each production process, and exit
    #[arg(long, conflicts_with = "once")]
    bench: bool,
    /// For other programs: write every address and process id to this file, as JSON, once all is
    /// up, and make no instance to show
    #[arg(long)]
    ports_file: Option<PathBuf>,
    /// Keep Redis's data and the logs here instead of in a temporary directory
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// One more variable for the processes (repeatable)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = parse_variable)]
    env: Vec<(String, String)>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the simulator and the webhook sink only, for a deployment that is started otherwise
    Outside(OutsideOptions),
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("devstack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupted = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    if let Some(Command::Outside(options)) = &cli.command {
        outside::run(options, interrupted()).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let started = tokio::select! {
        code = start_and_show(&cli) => code?,
        () = interrupted() => return Ok(ExitCode::from(130)),
    };
    let (mut stack, shown) = started;
    if cli.once || cli.bench {
        stack.stop().await?;
        return Ok(if shown {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    loop {
        tokio::select! {
            death = stack.first_death() => println!("! {death} (not restarted)"),
            () = interrupted() => break,
        }
    }
    println!("stopping");
    stack.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Brings everything up and shows what was asked for; `false` when the demonstration failed.
async fn start_and_show(cli: &Cli) -> anyhow::Result<(Stack, bool)> {
    let screen = Screen::new();
    screen.wait("starting Redis, bridge, simulator, sink, API and worker");
    let stack = Stack::start(StackOptions {
        transport: cli.transport,
        apis: cli.apis,
        workers: cli.workers,
        data_dir: cli.data_dir.clone(),
        env: cli.env.clone(),
    })
    .await?;
    if let Some(path) = &cli.ports_file {
        let ports = serde_json::to_string_pretty(&stack.ports())?;
        // Readers wait for the file: it must never be seen half-written.
        let partial = path.with_extension("partial");
        std::fs::write(&partial, ports)
            .and_then(|()| std::fs::rename(&partial, path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    demo::addresses(&stack, &screen);
    let shown = if cli.bench {
        bench::run(&stack, &screen).await?;
        true
    } else if cli.once {
        demo::once(&stack, &screen, cli.transport).await?
    } else if cli.ports_file.is_some() {
        screen.idle();
        true
    } else {
        demo::tour(&stack, &screen).await?;
        true
    };
    Ok((stack, shown))
}
