//! The limit and the hold that all processes share.

use std::time::Duration;

use devstack::novita::Route;
use devstack::stack::eventually;
use shared::clock::Millis;
use worker::novita::{HeldBy, Listing, NovitaError};

use crate::rig::{NO_LIMIT, PATIENCE, Rig, held, held_by, rate_limit, went_out};

/// Five calls at once, and one more every ten seconds, which no test lasts.
const SLOW: u32 = 6;

macro_rules! over_both_transports {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            #[tokio::test]
            async fn resp() {
                super::$story(crate::rig::Rig::resp().await).await;
            }

            #[tokio::test]
            async fn upstash() {
                super::$story(crate::rig::Rig::upstash().await).await;
            }
        }
    )+};
}

over_both_transports!(
    a_429_seen_by_one_process_holds_another_one,
    deletes_pass_while_observing_and_ordering_are_starved,
    deletes_pass_while_another_replica_s_429_holds_everything_else,
    deletes_pass_without_redis_and_nothing_else_does,
    a_busy_process_asks_redis_once_for_about_ten_calls,
);

async fn a_429_seen_by_one_process_holds_another_one(rig: Rig) {
    let (one, other) = (rig.process(NO_LIMIT), rig.process(NO_LIMIT));
    // This one holds tokens that are good for a while.
    assert!(went_out(&other.get_unknown().await));
    rig.fault(rate_limit("get", Some(30))).await;
    let limited = one.get_unknown().await;
    assert!(
        matches!(limited, Err(NovitaError::RateLimited { .. })),
        "{limited:?}"
    );
    assert_eq!(held_by(one.get_unknown().await), HeldBy::Hold, "at once");
    let heard = eventually("the hold", PATIENCE, async || {
        match other.get_unknown().await {
            Err(NovitaError::Held(held)) => Ok(held),
            sent => Err(format!("{sent:?}")),
        }
    });
    let held_back = heard.await.unwrap();
    assert_eq!(held_back.by, HeldBy::Hold);
    let wait = held_back.wait.as_secs();
    assert!((5..=38).contains(&wait), "{held_back:?}");
    let before = rig.simulator.requests().await.len();
    assert_eq!(held_by(other.order().await), HeldBy::Hold);
    // What the provider asked for holds deletes too.
    assert_eq!(held_by(other.delete_unknown().await), HeldBy::Hold);
    let listing = other.provider.list_all("n").await;
    let Listing::Incomplete { why, .. } = listing else {
        panic!("{listing:?}")
    };
    assert!(why.held().is_some(), "{why:?}");
    assert_eq!(rig.simulator.requests().await.len(), before);
}

async fn deletes_pass_while_observing_and_ordering_are_starved(rig: Rig) {
    let (process, other) = (rig.process(SLOW), rig.process(SLOW));
    let mut looks = 0;
    let starved = loop {
        let answer = process.get_unknown().await;
        if !went_out(&answer) {
            break held(answer);
        }
        looks += 1;
    };
    assert_eq!((looks, starved.by), (3, HeldBy::Limit));
    assert!(starved.wait > Duration::from_secs(5), "{starved:?}");
    assert_eq!(held_by(other.get_unknown().await), HeldBy::Limit);
    other.order().await.unwrap();
    assert_eq!(held_by(process.order().await), HeldBy::Limit);
    assert!(went_out(&process.delete_unknown().await));
    assert_eq!(rig.calls(Route::Get).await, 3);
    assert_eq!(rig.calls(Route::Create).await, 1);
    assert_eq!(rig.calls(Route::Delete).await, 1);
}

async fn deletes_pass_while_another_replica_s_429_holds_everything_else(rig: Rig) {
    rig.remember("hold", Millis::now().plus(120_000).0).await;
    let process = rig.process(NO_LIMIT);
    assert_eq!(held_by(process.get_unknown().await), HeldBy::Hold);
    assert_eq!(held_by(process.order().await), HeldBy::Hold);
    assert!(went_out(&process.delete_unknown().await));
}

async fn deletes_pass_without_redis_and_nothing_else_does(mut rig: Rig) {
    let process = rig.process(60);
    rig.server.kill().await.unwrap();
    for _ in 0..2 {
        assert!(went_out(&process.delete_unknown().await));
    }
    assert_eq!(held_by(process.get_unknown().await), HeldBy::Redis);
    assert_eq!(held_by(process.order().await), HeldBy::Redis);
    rig.server.restart().await.unwrap();
    let back = eventually("a call", PATIENCE, async || {
        match process.get_unknown().await {
            Err(NovitaError::Held(held)) => Err(format!("{held:?}")),
            _ => Ok(()),
        }
    });
    back.await.unwrap();
}

async fn a_busy_process_asks_redis_once_for_about_ten_calls(rig: Rig) {
    let process = rig.process(NO_LIMIT);
    for _ in 0..100 {
        assert!(went_out(&process.get_unknown().await));
    }
    let asked = process.redis.scripts_run();
    // One, two, four, eight, and then ten at a time; slow machines let some run out.
    assert!((12..=30).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_call_whose_turn_comes_soon_waits_for_it() {
    let rig = Rig::resp().await;
    // Ten calls at once, of which six may look; one more every second.
    let process = rig.process(60);
    let looks = futures_util::future::join_all((0..9).map(|_| process.get_unknown())).await;
    assert!(looks.iter().all(went_out), "{looks:?}");
    let crowd = futures_util::future::join_all((0..20).map(|_| process.get_unknown())).await;
    let late = crowd.into_iter().find(|look| !went_out(look));
    assert_eq!(late.map(held_by), Some(HeldBy::Limit));
}
