//! What could not be had lately is known to all, for as long as it counts.

use std::time::Duration;

use shared::clock::Millis;
use shared::model::{BillingMode, Offer};
use shared::queue::{Hash, Queue, Verdict, Write};
use shared::stock::{StockNote, StockOuts};

use crate::rig::{LONG_LEASE, Rig};
use crate::things::{reserve, settle, take, webhook};

over_both_transports!(common:
    a_sold_out_offer_is_left_alone_for_three_minutes_doubling_to_fifteen,
    many_who_ask_during_one_stock_out_do_not_prolong_it,
    a_closed_cluster_counts_for_all_that_it_has,
    boots_count_from_the_second_failure_within_half_an_hour,
    what_was_delivered_counts_no_more,
    what_is_long_over_is_dropped,
    a_stale_holder_notes_nothing,
    a_damaged_key_costs_the_notes_and_no_result,
);

const MINUTE: u64 = 60_000;

fn offer(product: &str) -> Offer {
    Offer {
        product_id: product.into(),
        product_name: "RTX 4090 24GB".into(),
        cluster_id: "us-ca-6".into(),
        region: "US-CA-06".into(),
        billing_mode: BillingMode::Spot,
        unit_price: 18_000,
    }
}

async fn note(session: &Queue, notes: Vec<StockNote>) {
    let job = take(session, webhook("msg_note")).await;
    let writes = notes.into_iter().map(Write::Stock).collect();
    assert_eq!(
        settle(session, vec![job.settle(Verdict::Done, writes)]).await,
        [true]
    );
}

/// Minutes for which an offer is left alone from now on, rounded to whole ones.
async fn minutes(rig: &Rig, offer: &Offer) -> u64 {
    let now = clock(rig).await;
    let outs = StockOuts::read(&rig.redis, &rig.keys).await.unwrap();
    let until = outs.until(offer, now);
    until.map_or(0, |until| (until.since(now) + MINUTE / 2) / MINUTE)
}

async fn clock(rig: &Rig) -> Millis {
    let mut call = rig.session(LONG_LEASE).call(Vec::new(), 0);
    rig.session(LONG_LEASE)
        .exchange(&mut call)
        .await
        .unwrap()
        .now
}

/// Everything that is noted happened so much earlier.
async fn pass(rig: &Rig, time: Duration) {
    let key = rig.keys.stock_outs();
    for (field, value) in rig.ask(["HGETALL", &key]).await.pairs().unwrap() {
        let [till, times, since] = value
            .split('|')
            .map(|number| number.parse::<u64>().unwrap())
            .collect::<Vec<_>>()[..]
        else {
            panic!("{value}");
        };
        let earlier = |at: u64| at.saturating_sub(time.as_millis() as u64);
        let value = format!("{}|{times}|{}", earlier(till), earlier(since));
        rig.ask(["HSET", &key, &field, &value]).await;
    }
}

async fn a_sold_out_offer_is_left_alone_for_three_minutes_doubling_to_fifteen(rig: Rig) {
    let (session, offer) = (rig.session(LONG_LEASE), offer("4090.a"));
    assert_eq!(minutes(&rig, &offer).await, 0);
    for expected in [3, 6, 12, 15, 15] {
        note(&session, vec![StockNote::sold_out(&offer)]).await;
        assert_eq!(minutes(&rig, &offer).await, expected);
        pass(&rig, Duration::from_secs(15 * 60 + 1)).await;
        assert_eq!(minutes(&rig, &offer).await, 0);
    }
    let on_demand = Offer {
        billing_mode: BillingMode::OnDemand,
        ..offer.clone()
    };
    note(&session, vec![StockNote::sold_out(&offer)]).await;
    assert_eq!(minutes(&rig, &on_demand).await, 0, "another kind of stock");
}

async fn many_who_ask_during_one_stock_out_do_not_prolong_it(rig: Rig) {
    let (session, offer) = (rig.session(LONG_LEASE), offer("4090.b"));
    note(&session, vec![StockNote::sold_out(&offer); 5]).await;
    for _ in 0..5 {
        note(&session, vec![StockNote::sold_out(&offer)]).await;
    }
    assert_eq!(minutes(&rig, &offer).await, 3);
}

async fn a_closed_cluster_counts_for_all_that_it_has(rig: Rig) {
    let (session, asked) = (rig.session(LONG_LEASE), offer("4090.c"));
    note(&session, vec![StockNote::closed(&asked)]).await;
    assert_eq!(minutes(&rig, &offer("another")).await, 3);
    let elsewhere = Offer {
        cluster_id: "eu-de-1".into(),
        ..asked
    };
    assert_eq!(minutes(&rig, &elsewhere).await, 0);
}

async fn boots_count_from_the_second_failure_within_half_an_hour(rig: Rig) {
    let (session, offer) = (rig.session(LONG_LEASE), offer("4090.d"));
    let fail = async || note(&session, vec![StockNote::boot_failed(&offer)]).await;
    fail().await;
    assert_eq!(minutes(&rig, &offer).await, 0, "one may be bad luck");
    pass(&rig, Duration::from_secs(31 * 60)).await;
    fail().await;
    assert_eq!(minutes(&rig, &offer).await, 0, "the first one is long ago");
    pass(&rig, Duration::from_secs(20 * 60)).await;
    fail().await;
    assert_eq!(minutes(&rig, &offer).await, 3);
    fail().await;
    assert_eq!(minutes(&rig, &offer).await, 6);
    note(&session, vec![StockNote::booted(&offer)]).await;
    assert_eq!(minutes(&rig, &offer).await, 0);
}

async fn what_was_delivered_counts_no_more(rig: Rig) {
    let (session, offer) = (rig.session(LONG_LEASE), offer("4090.e"));
    let notes = vec![StockNote::sold_out(&offer), StockNote::closed(&offer)];
    note(&session, notes).await;
    pass(&rig, Duration::from_secs(4 * 60)).await;
    let outs = StockOuts::read(&rig.redis, &rig.keys).await.unwrap();
    let delivered = outs.delivered(&offer);
    assert_eq!(delivered.len(), 2);
    note(&session, delivered).await;
    note(&session, vec![StockNote::sold_out(&offer)]).await;
    assert_eq!(minutes(&rig, &offer).await, 3, "it begins anew");
    let outs = StockOuts::read(&rig.redis, &rig.keys).await.unwrap();
    assert!(outs.delivered(&self::offer("unheard-of")).is_empty());
}

async fn what_is_long_over_is_dropped(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    note(&session, vec![StockNote::sold_out(&offer("4090.f"))]).await;
    pass(&rig, Duration::from_secs(34 * 60)).await;
    let key = rig.keys.stock_outs();
    rig.ask(["HSET", &key, "o:damaged", "what?"]).await;
    note(&session, vec![StockNote::sold_out(&offer("4090.g"))]).await;
    let left = rig.ask(["HKEYS", &key]).await.optional_texts().unwrap();
    assert_eq!(left, [Some("o:4090.g|us-ca-6|spot".to_owned())]);
}

async fn a_stale_holder_notes_nothing(rig: Rig) {
    let (session, offer) = (rig.session(Duration::ZERO), offer("4090.h"));
    let job = take(&session, webhook("msg_stale")).await;
    let thief = rig.session(LONG_LEASE);
    let held = reserve(&thief, 1).await;
    assert_eq!(held.jobs.len(), 1, "the lease is over at once");
    let writes = vec![Write::Stock(StockNote::sold_out(&offer))];
    let applied = settle(&session, vec![job.settle(Verdict::Done, writes)]).await;
    assert_eq!(applied, [false]);
    assert_eq!(minutes(&rig, &offer).await, 0);
}

async fn a_damaged_key_costs_the_notes_and_no_result(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    for key in [rig.keys.stock_outs(), rig.keys.envs()] {
        rig.ask(["SET", &key, "odd"]).await;
    }
    let job = take(&session, webhook("msg_odd")).await;
    let writes = vec![
        Write::Stock(StockNote::sold_out(&offer("4090.i"))),
        Write::Unset(Hash::Envs, "inst_1".into()),
    ];
    let applied = settle(&session, vec![job.settle(Verdict::Done, writes)]).await;
    assert_eq!(applied, [true]);
    assert!(reserve(&session, 1).await.jobs.is_empty());
}
