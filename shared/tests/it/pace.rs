//! The pace that all replicas share. Six calls a minute: five tokens at once, and one more every ten
//! seconds, which no test lasts.

use std::ops::RangeInclusive;
use std::time::Duration;

use shared::pace::{Grant, Lane, Pace, Report};
use shared::redis::Redis;

use crate::meter::cost;
use crate::rig::{Rig, Trouble};

const LIMIT: u32 = 6;
const SECOND: Duration = Duration::from_secs(1);

over_both_transports!(common:
    each_lane_leaves_the_bucket_to_those_before_it,
    the_bucket_fills_with_time_up_to_a_burst,
    a_burst_is_ten_seconds_worth,
    two_sessions_share_one_limit,
    a_429_holds_every_session_and_lets_money_saving_calls_pass,
    what_the_provider_asked_for_holds_money_saving_calls_too,
    holds_have_an_end_whatever_the_provider_asks_for,
    holds_grow_while_the_provider_complains_and_are_short_again_after_a_quiet_minute,
    the_rate_halves_once_per_hold_and_not_below_a_tenth,
    the_rate_grows_back_by_a_twentieth_in_ten_seconds,
    a_clock_that_was_set_back_stops_nothing,
);

over_both_transports!(troubled: a_429_whose_report_was_lost_counts_once);

over_both_transports!(alone: a_lot_costs_what_its_header_declares);

fn pace(rig: &Rig) -> Pace {
    Pace::new(&rig.redis, &rig.keys, LIMIT)
}

async fn take(pace: &Pace, lane: Lane, wanted: u32) -> Grant {
    pace.take(lane, wanted, &[]).await.unwrap()
}

async fn report(pace: &Pace, retry_after: Option<Duration>) -> Grant {
    let report = Report::new(retry_after);
    pace.take(Lane::Observe, 0, &[report]).await.unwrap()
}

/// Moves what the pace remembers under this field into the past.
async fn pass(rig: &Rig, field: &str, time: Duration) {
    let ms = format!("-{}", time.as_millis());
    rig.ask(["HINCRBY", &rig.keys.pace(), field, &ms]).await;
}

/// Ends a hold, with nothing called for so long since.
async fn end_hold(rig: &Rig, since: Duration) {
    let clock = rig.ask(["TIME"]).await.optional_texts().unwrap();
    let number = |text: &Option<String>| text.as_ref().unwrap().parse::<u64>().unwrap();
    let now = number(&clock[0]) * 1000 + number(&clock[1]) / 1000;
    let ended = (now - since.as_millis() as u64).to_string();
    rig.ask(["HSET", &rig.keys.pace(), "hold", &ended]).await;
}

fn assert_within(what: &str, time: Duration, seconds: RangeInclusive<u64>) {
    let bounds = SECOND * *seconds.start() as u32..=SECOND * *seconds.end() as u32;
    assert!(bounds.contains(&time), "{what}: {time:?}");
}

async fn each_lane_leaves_the_bucket_to_those_before_it(rig: Rig) {
    let pace = pace(&rig);
    for (lane, tokens) in [(Lane::Observe, 3), (Lane::Create, 1), (Lane::Save, 1)] {
        let grant = take(&pace, lane, 10).await;
        assert_eq!(
            (grant.tokens, grant.wait),
            (tokens, Duration::ZERO),
            "{lane:?}"
        );
        assert_eq!(take(&pace, lane, 10).await.tokens, 0, "{lane:?}");
    }
    for (lane, wait) in [
        (Lane::Observe, 21..=30),
        (Lane::Create, 11..=20),
        (Lane::Save, 1..=10),
    ] {
        let denied = take(&pace, lane, 1).await;
        assert_eq!(denied.tokens, 0, "{lane:?}");
        assert_within(lane.as_str(), denied.wait, wait);
    }
}

async fn the_bucket_fills_with_time_up_to_a_burst(rig: Rig) {
    let pace = pace(&rig);
    assert_eq!(take(&pace, Lane::Save, 10).await.tokens, 5);
    pass(&rig, "at", 20 * SECOND).await;
    assert_eq!(take(&pace, Lane::Create, 10).await.tokens, 1);
    assert_eq!(take(&pace, Lane::Save, 10).await.tokens, 1);
    pass(&rig, "at", 3600 * SECOND).await;
    assert_eq!(take(&pace, Lane::Save, 10).await.tokens, 5);
}

async fn a_burst_is_ten_seconds_worth(rig: Rig) {
    let pace = Pace::new(&rig.redis, &rig.keys, 60);
    assert_eq!(take(&pace, Lane::Observe, 100).await.tokens, 6);
    let denied = take(&pace, Lane::Observe, 100).await;
    assert_eq!(denied.rate_milli, 60_000);
    assert!(denied.left_milli >= 4000, "{denied:?}");
}

async fn two_sessions_share_one_limit(rig: Rig) {
    let one = pace(&rig);
    let other = Pace::new(&Redis::new(&rig.options).unwrap(), &rig.keys, LIMIT);
    let mut taken = 0;
    for _ in 0..5 {
        taken += take(&one, Lane::Save, 1).await.tokens;
        taken += take(&other, Lane::Save, 1).await.tokens;
    }
    assert_eq!(taken, 5);
}

async fn a_429_holds_every_session_and_lets_money_saving_calls_pass(rig: Rig) {
    let one = pace(&rig);
    let other = Pace::new(&Redis::new(&rig.options).unwrap(), &rig.keys, LIMIT);
    report(&one, None).await;
    for lane in [Lane::Observe, Lane::Create] {
        let grant = take(&other, lane, 1).await;
        assert_eq!(grant.tokens, 0, "{lane:?}");
        assert!(
            !grant.hold.is_zero() && grant.hold <= 2 * SECOND,
            "{grant:?}"
        );
        assert_eq!(grant.wait, grant.hold);
    }
    let grant = take(&other, Lane::Save, 1).await;
    assert_eq!((grant.tokens, grant.save_hold), (1, Duration::ZERO));
}

async fn what_the_provider_asked_for_holds_money_saving_calls_too(rig: Rig) {
    let pace = pace(&rig);
    report(&pace, Some(30 * SECOND)).await;
    for lane in Lane::ALL {
        let grant = take(&pace, lane, 1).await;
        assert_eq!(grant.tokens, 0, "{lane:?}");
        assert_within(lane.as_str(), grant.wait, 10..=30);
    }
}

async fn holds_have_an_end_whatever_the_provider_asks_for(rig: Rig) {
    let pace = pace(&rig);
    let grant = report(&pace, Some(Duration::from_secs(86_400))).await;
    assert_within("of everything", grant.hold, 280..=300);
    assert_within("of money-saving calls", grant.save_hold, 40..=60);
}

async fn holds_grow_while_the_provider_complains_and_are_short_again_after_a_quiet_minute(
    rig: Rig,
) {
    let pace = pace(&rig);
    let mut longest = Duration::ZERO;
    for strike in 1..=40_u32 {
        let bound = (SECOND * 2_u32.pow(strike.min(10))).min(60 * SECOND);
        let hold = report(&pace, None).await.hold;
        assert!(hold >= SECOND && hold <= bound, "{strike}: {hold:?}");
        longest = longest.max(hold);
        end_hold(&rig, SECOND).await;
    }
    assert!(longest > 20 * SECOND, "{longest:?}");
    end_hold(&rig, 61 * SECOND).await;
    assert!(report(&pace, None).await.hold <= 2 * SECOND);
}

async fn the_rate_halves_once_per_hold_and_not_below_a_tenth(rig: Rig) {
    let pace = pace(&rig);
    assert_eq!(take(&pace, Lane::Save, 1).await.rate_milli, 6000);
    for expected in [3000, 1500, 750, 600, 600] {
        let rate = report(&pace, None).await.rate_milli;
        // It grows while the test runs.
        assert!((expected..expected + 100).contains(&rate), "{rate}");
        let others = [Report::new(None), Report::new(Some(SECOND))];
        let during = pace.take(Lane::Observe, 0, &others).await.unwrap();
        assert_eq!(during.rate_milli, rate, "in the same hold");
        end_hold(&rig, Duration::ZERO).await;
    }
}

async fn the_rate_grows_back_by_a_twentieth_in_ten_seconds(rig: Rig) {
    let pace = pace(&rig);
    report(&pace, None).await;
    let mut rates = Vec::new();
    for seconds in [10, 20, 100, 3600] {
        end_hold(&rig, seconds * SECOND).await;
        rates.push(take(&pace, Lane::Observe, 0).await.rate_milli);
    }
    // What passes while the test runs counts too.
    for (rate, least) in rates.iter().zip([3300, 3600, 6000, 6000]) {
        assert!((least..=least + 150).contains(rate), "{rates:?}");
    }
}

async fn a_clock_that_was_set_back_stops_nothing(rig: Rig) {
    let pace = pace(&rig);
    assert_eq!(take(&pace, Lane::Save, 5).await.tokens, 5);
    let long_after = 86_400_000_000_000_u64.to_string();
    for field in ["at", "hold", "save_hold"] {
        rig.ask(["HSET", &rig.keys.pace(), field, &long_after])
            .await;
    }
    let grant = take(&pace, Lane::Save, 1).await;
    assert_within("of everything", grant.hold, 290..=300);
    assert_within("of money-saving calls", grant.save_hold, 50..=60);
    end_hold(&rig, Duration::ZERO).await;
    rig.ask(["HDEL", &rig.keys.pace(), "save_hold"]).await;
    pass(&rig, "at", 10 * SECOND).await;
    assert_eq!(take(&pace, Lane::Save, 1).await.tokens, 1);
}

async fn a_429_whose_report_was_lost_counts_once(rig: Rig) {
    let pace = pace(&rig);
    // The server learns the script.
    take(&pace, Lane::Save, 0).await;
    let report = [Report::new(None)];
    rig.arm(Trouble::LostReply, "EVALSHA");
    pace.take(Lane::Observe, 1, &report).await.unwrap_err();
    end_hold(&rig, Duration::ZERO).await;
    let again = pace.take(Lane::Save, 5, &report).await.unwrap();
    assert_eq!(again.hold, Duration::ZERO, "{again:?}");
    assert!(again.rate_milli < 3100, "{again:?}");
    assert_eq!(again.tokens, 5, "a held lane had got none");
}

async fn a_lot_costs_what_its_header_declares(rig: Rig) {
    let pace = pace(&rig);
    take(&pace, Lane::Save, 0).await;
    let lot = async |lane, wanted| cost(&rig, take(&pace, lane, wanted)).await.0;
    assert_eq!(lot(Lane::Observe, 3).await, 4, "three tokens");
    assert_eq!(lot(Lane::Observe, 3).await, 3, "none to be had");
    assert_eq!(cost(&rig, report(&pace, None)).await.0, 4, "a 429");
    assert_eq!(lot(Lane::Create, 1).await, 3, "held");
    assert_eq!(lot(Lane::Save, 1).await, 4, "a token during a hold");
}
