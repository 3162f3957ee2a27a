//! What is outside of a deployment, alone: the provider and a webhook receiver on fixed ports of
//! loopback. For a deployment that somebody else started, such as containers that share their
//! network with this process.

use std::future::Future;
use std::time::Duration;

use clap::Args;

use crate::novita::{Simulator, SimulatorOptions};
use crate::sink::{Sink, Webhook};
use crate::stack::{NOVITA_KEY, SIMULATED_SPEED};

/// Where they listen, on loopback.
#[derive(Debug, Args)]
pub struct OutsideOptions {
    /// Port of the simulated provider
    #[arg(long, default_value_t = 8090)]
    simulator_port: u16,
    /// Port of the webhook receiver
    #[arg(long, default_value_t = 8091)]
    sink_port: u16,
    /// The key that the simulated provider accepts
    #[arg(long, default_value = NOVITA_KEY)]
    api_key: String,
}

/// Serves, and prints a line for every webhook, until `stop` is there.
///
/// # Errors
/// A port is taken.
pub async fn run(options: &OutsideOptions, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let simulator = Simulator::start(SimulatorOptions {
        port: options.simulator_port,
        api_keys: vec![options.api_key.clone()],
        speed: SIMULATED_SPEED,
        // A deployment that outlives this process must not meet the same ids again.
        seed: rand::random(),
        ..SimulatorOptions::default()
    })
    .await?;
    let sink = Sink::start(options.sink_port).await?;
    println!("provider  {}", simulator.url());
    println!("webhooks  {}", sink.url());
    tokio::select! {
        () = show(&sink) => {}
        () = stop => {}
    }
    Ok(())
}

async fn show(sink: &Sink) {
    let mut shown = 0;
    loop {
        // Nothing within an hour is no failure.
        let received = sink.wait_for(|all| all.len() > shown, Duration::from_secs(3600));
        let Ok(webhooks) = received.await else {
            continue;
        };
        for webhook in webhooks.iter().skip(shown) {
            println!("{}", line(webhook));
        }
        shown = webhooks.len();
    }
}

fn line(webhook: &Webhook) -> String {
    let payload: serde_json::Value = serde_json::from_str(&webhook.body).unwrap_or_default();
    let word = |name: &str| payload[name].as_str().unwrap_or("?").to_owned();
    let (id, status) = (word("instanceId"), word("status"));
    format!("webhook   {} {id} {status}", webhook.path)
}
