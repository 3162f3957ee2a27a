//! Instances live and are told of while a worker is killed every second: is every webhook delivered?
//!
//! Without arguments a sample, as part of the suite; `--events N` goes on until N webhooks were told. What
//! should have been told is what the records count, and what was told is what the receiver got. The last
//! line printed is JSON.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say so"
)]

mod books;
mod crew;
mod lives;
mod secrets;

use std::process::ExitCode;

use devstack::sink::Sink;
use devstack::stack::{Stack, StackOptions, Transport};
use tokio_util::sync::CancellationToken;

use crate::books::Books;
use crate::lives::Lives;

/// As part of the suite.
const SAMPLE: usize = 250;
const ENV: [(&str, &str); 2] = [
    ("MAX_CONCURRENT_JOBS", "50"),
    // No job is to blame for these kills: one that looks guilty would wait for five minutes.
    ("JOB_MAX_ATTEMPTS", "100"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if runtime.block_on(direct(events(&arguments))) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Words that are none of ours are `cargo test`'s for its own harness: they mean nothing here.
fn events(arguments: &[String]) -> usize {
    let place = arguments.iter().position(|word| word == "--events");
    place.map_or(SAMPLE, |place| {
        let value = arguments.get(place + 1).and_then(|word| word.parse().ok());
        value.expect("--events takes a number")
    })
}

async fn direct(events: usize) -> bool {
    let options = StackOptions {
        workers: crew::SIZE,
        transport: Transport::Resp,
        env: ENV
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..StackOptions::default()
    };
    let mut stack = Stack::start(options).await.unwrap();
    let sink = Sink::start(0).await.unwrap();
    lives::make_room(&stack.simulator().url()).await;
    let books = Books::open(&stack.redis().url(), &sink);
    let calm = CancellationToken::new();
    let lives = Lives::new(stack.api_url(), &sink);
    let trouble = async {
        let ids = lives.live_until(events).await;
        let tally = books.balanced(&ids).await;
        calm.cancel();
        tally
    };
    let (tally, kills) = tokio::join!(trouble, crew::harass(&mut stack, &calm));
    let told = secrets::told(&stack).await;
    for line in tally.explanation().into_iter().chain(told.iter().cloned()) {
        println!("{line}");
    }
    println!("{}", tally.report(kills, told.len()));
    tally.is_well() && told.is_empty()
}
