//! The queue while everything around it dies: workers by SIGKILL again and again, Redis now and then.
//!
//! Without arguments a small storm and a short outage, as part of the suite. `--jobs N`, `--restarts N`
//! and `--outage SECONDS` make them bigger. The last line printed is JSON. This program is also the
//! worker that it kills: see `worker.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say so"
)]

mod causes;
mod crew;
mod line;
mod outage;
mod producer;
mod record;
mod storm;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

/// How big it is to be.
struct Scale {
    jobs: usize,
    restarts: usize,
    outage: Duration,
}

impl Scale {
    /// Words that are none of ours are `cargo test`'s for its own harness: they mean nothing here.
    fn of(arguments: &[String]) -> Self {
        let number = |name: &str, default: u64| {
            let place = arguments.iter().position(|word| word == name);
            place.map_or(default, |place| {
                let value = arguments.get(place + 1).and_then(|word| word.parse().ok());
                value.unwrap_or_else(|| panic!("{name} takes a number"))
            })
        };
        Self {
            jobs: number("--jobs", 1200) as usize,
            restarts: number("--restarts", 1) as usize,
            outage: Duration::from_secs(number("--outage", 3)),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    if let [role, errand] = arguments.as_slice()
        && role == worker::ROLE
    {
        runtime.block_on(worker::work(serde_json::from_str(errand).unwrap()));
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    let scale = Scale::of(&arguments);
    let is_well = runtime.block_on(direct(&scale));
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn direct(scale: &Scale) -> bool {
    let mut is_well = true;
    for how in [outage::How::Killed, outage::How::Frozen] {
        let findings = outage::run(how, scale.outage).await;
        println!("{}", findings.report());
        is_well &= findings.is_well();
    }
    let outcome = storm::run(scale.jobs, scale.restarts).await;
    println!("{}", outcome.explanation());
    println!("{}", outcome.report());
    is_well && outcome.is_well()
}
