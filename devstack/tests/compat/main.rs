//! What callers of the predecessor asked and were answered, asked again of our stack: the class of the status,
//! every member of the answer and its type, and the codes of errors must be as they were, but for the
//! differences that are meant.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests state expectations"
)]

mod compare;
mod differences;
mod exchange;
mod replay;

use std::collections::BTreeSet;

use devstack::stack::{Stack, StackOptions};

use differences::DIFFERENCES;
use exchange::Exchange;
use replay::Replay;

#[tokio::test]
async fn callers_of_the_predecessor_are_answered_as_before_but_for_what_is_meant() {
    let stack = Stack::start(StackOptions::default()).await.unwrap();
    let mut replay = Replay::prepare(&stack).await;
    let mut unused: BTreeSet<usize> = (0..DIFFERENCES.len()).collect();
    let mut unmeant = Vec::new();
    for exchange in Exchange::all() {
        let answer = replay.ask(&exchange).await;
        for finding in compare::answers(&exchange, &answer) {
            let meant = DIFFERENCES
                .iter()
                .position(|difference| difference.explains(&exchange, &finding));
            match meant {
                Some(place) => drop(unused.remove(&place)),
                None => unmeant.push(format!(
                    "{} {} {} ({}): {finding}",
                    exchange.number, exchange.request.method, exchange.request.path, exchange.note
                )),
            }
        }
    }
    assert!(unmeant.is_empty(), "not meant:\n{}", unmeant.join("\n"));
    let unused: Vec<_> = unused.into_iter().map(|n| DIFFERENCES[n].why).collect();
    assert!(unused.is_empty(), "no longer different: {unused:#?}");
}

#[test]
fn every_difference_that_is_meant_is_told_to_operators() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/migrating-from-node.md"
    );
    let told = std::fs::read_to_string(path).unwrap();
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    for difference in &DIFFERENCES {
        assert!(
            told.contains(difference.why),
            "not told: {}",
            difference.why
        );
    }
}
