//! Bare requests with `reqwest`: what a delivery would be without a queue, a signature and a guard.

use std::process::Stdio;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::header::CONTENT_TYPE;
use tokio::process::Command;

use crate::deployment::body;
use crate::plan::{AT_A_TIME, RECEIVERS};
use crate::receiver::Receiver;

/// Flags of the child process.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Requests {
    /// Without the number at its end
    #[arg(long)]
    url: String,
    #[arg(long)]
    count: usize,
    /// A connection for every request, as a delivery has one
    #[arg(long)]
    own_connections: bool,
}

/// What the child process does.
pub(crate) async fn run(requests: &Requests) -> anyhow::Result<()> {
    // The client wants a TLS provider even where only plain HTTP is spoken.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder().no_proxy();
    if requests.own_connections {
        client = client.pool_max_idle_per_host(0);
    }
    let client = client.build()?;
    stream::iter(0..requests.count)
        .map(anyhow::Ok)
        .try_for_each_concurrent(AT_A_TIME, async |number| {
            let url = format!("{}/{}", requests.url, number % RECEIVERS);
            let request = client.post(url).header(CONTENT_TYPE, "application/json");
            let answer = request.body(body(number)).send().await?;
            answer.error_for_status()?.bytes().await?;
            Ok(())
        })
        .await
}

/// Sends them from a process of their own.
pub(crate) async fn send(
    receiver: &Receiver,
    count: usize,
    own_connections: bool,
) -> anyhow::Result<()> {
    let url = receiver.well(0);
    let url = url.strip_suffix("/0").context("no number")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["requests", "--url", url, "--count", &count.to_string()]);
    if own_connections {
        command.arg("--own-connections");
    }
    let status = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await?;
    ensure!(status.success(), "the requests ended with {status}");
    Ok(())
}
