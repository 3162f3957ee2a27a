//! Creates and deletes while processes are killed at every line that matters: exactly once in effect?
//!
//! Without arguments a sample, as part of the suite. `--seeds N` runs every fail point with N seeds and
//! `--lost N` N requests of whose orders 30 % are lost after the effect; `--lifecycles [N]` lets N instances
//! live random lives. `--seed N --point P` repeats one run. The last line printed is JSON.
//!
//! The processes are those of `make build-fail-points`, which can be told where to kill themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say so"
)]

mod caller;
mod crew;
mod life;
mod lives;
mod plan;
mod request;
mod run;
mod tally;
mod world;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::process::ExitCode;

use futures_util::{FutureExt, StreamExt, stream};

use crate::plan::{Case, Trouble};
use crate::run::Outcome;
use crate::tally::Tally;
use crate::world::World;

/// Requests in one run with lost orders.
const LOST_AT_ONCE: u64 = 50;
/// Runs at a time for each core: most of a run is waiting for a lease or a window to end.
const RUNS_PER_CORE: usize = 12;
const LIVES: u64 = 10_000;

/// What is to be done.
struct Errand {
    cases: Vec<Case>,
    lives: u64,
    lanes: usize,
    seed: u64,
}

impl Errand {
    /// Words that are none of ours are `cargo test`'s for its own harness: they mean nothing here.
    fn of(arguments: &[String]) -> Self {
        let place = |name: &str| arguments.iter().position(|word| word == name);
        let value = |name: &str| arguments.get(place(name)? + 1);
        let number = |name: &str| {
            let word = value(name)?;
            Some(
                word.parse::<u64>()
                    .unwrap_or_else(|_| panic!("{name} takes a number")),
            )
        };
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let errand = |cases, lives| Self {
            cases,
            lives,
            lanes: number("--lanes").map_or(RUNS_PER_CORE * cores, |lanes| lanes as usize),
            seed: number("--seed").unwrap_or(1),
        };
        if place("--lifecycles").is_some() {
            let given = value("--lifecycles").and_then(|word| word.parse().ok());
            return errand(Vec::new(), given.unwrap_or(LIVES));
        }
        let troubles = match value("--point") {
            Some(name) => vec![Trouble::named(name).unwrap_or_else(|| panic!("no point {name}"))],
            None => Trouble::all(),
        };
        let is_sample = ["--seeds", "--lost", "--seed", "--point"]
            .iter()
            .all(|w| place(w).is_none());
        let (seeds, lost, lives) = if is_sample {
            (1..2, 30, 100)
        } else if let Some(seed) = number("--seed") {
            (seed..seed + 1, LOST_AT_ONCE, 0)
        } else {
            (
                0..number("--seeds").unwrap_or(1),
                number("--lost").unwrap_or(0),
                0,
            )
        };
        errand(cases(&troubles, &seeds, lost), lives)
    }
}

/// The longest first, so that no lane ends with them alone.
fn cases(troubles: &[Trouble], seeds: &std::ops::Range<u64>, lost: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for trouble in troubles {
        if *trouble == Trouble::LostOrders {
            let runs = lost.div_ceil(LOST_AT_ONCE);
            cases.extend((0..runs).map(|n| Case {
                trouble: *trouble,
                seed: seeds.start + n,
                requests: LOST_AT_ONCE.min(lost - n * LOST_AT_ONCE) as usize,
            }));
            continue;
        }
        cases.extend(seeds.clone().map(|seed| Case::one(*trouble, seed)));
    }
    cases.sort_by_key(|case| std::cmp::Reverse(case.weight()));
    cases
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    let errand = Errand::of(&arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if runtime.block_on(direct(errand)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn direct(errand: Errand) -> bool {
    let world = World::start().await;
    let mut tally = Tally::default();
    let runs = stream::iter(&errand.cases).map(async |case| {
        let run = AssertUnwindSafe(run::run(&world, case)).catch_unwind();
        (case, run.await.unwrap_or_else(|_| Outcome::of_panic()))
    });
    let mut runs = pin!(runs.buffer_unordered(errand.lanes));
    let runs = async {
        while let Some((case, outcome)) = runs.next().await {
            tally.add(case, &outcome);
        }
    };
    let lives = async {
        match errand.lives {
            0 => None,
            lives => Some(lives::run(lives, errand.seed).await),
        }
    };
    let ((), lives) = tokio::join!(runs, lives);
    if let Some(outcome) = lives {
        tally.add_lives(&outcome);
    }
    tally.add_trespasses(world.trespasses().await);
    println!("{}", tally.explanation());
    println!("{}", tally.report());
    tally.is_well()
}
