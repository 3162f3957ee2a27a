//! The events of all instances in one order.

use shared::feed::{FEED_PAGE, Feed, FeedId};
use shared::queue::{Verdict, Write};

use crate::rig::{LONG_LEASE, Rig};
use crate::things::{event, instance, reconcile, settle, take};

over_both_transports!(common:
    what_happened_to_all_is_read_in_order_and_in_parts,
    a_feed_without_entries_has_no_place,
    a_feed_that_is_none_costs_no_result,
);

/// Settles a step of this instance that logged these events.
async fn log(rig: &Rig, name: &str, numbers: std::ops::RangeInclusive<u64>) {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, reconcile(name)).await;
    let logged = |number| Write::Event(Box::new(event(&instance(name), number)));
    let writes = numbers.map(logged).collect();
    settle(&session, vec![job.settle(Verdict::Done, writes)]).await;
}

async fn what_happened_to_all_is_read_in_order_and_in_parts(rig: Rig) {
    let feed = Feed::new(&rig.redis, &rig.keys);
    log(&rig, "i1", 1..=2).await;
    let oldest = feed.newest().await.unwrap();
    log(&rig, "i2", 1..=1).await;
    log(&rig, "i1", 3..=3).await;
    let told = |entries: &[shared::feed::FeedEntry]| -> Vec<(String, u64)> {
        let events = entries.iter().flat_map(|entry| &entry.events);
        events
            .map(|event| (event.instance_id.to_string(), event.number))
            .collect()
    };
    let all = feed.after(FeedId::default()).await.unwrap();
    let of = |name: &str, number| (name.to_owned(), number);
    assert_eq!(
        told(&all),
        [of("i1", 1), of("i1", 2), of("i2", 1), of("i1", 3)]
    );
    assert!(all.is_sorted_by(|one, other| one.id < other.id));
    assert_eq!(feed.oldest().await.unwrap(), oldest);
    assert_eq!(feed.newest().await.unwrap(), all[2].id);
    let later = feed.after(oldest).await.unwrap();
    assert_eq!(told(&later), [of("i2", 1), of("i1", 3)]);
    assert!(feed.after(all[2].id).await.unwrap().is_empty());
    assert!(all.len() < FEED_PAGE);
}

async fn a_feed_without_entries_has_no_place(rig: Rig) {
    let feed = Feed::new(&rig.redis, &rig.keys);
    assert_eq!(feed.newest().await.unwrap(), FeedId::default());
    assert_eq!(feed.oldest().await.unwrap(), FeedId::default());
    assert!(feed.after(FeedId::default()).await.unwrap().is_empty());
}

async fn a_feed_that_is_none_costs_no_result(rig: Rig) {
    rig.ask(["SET", &rig.keys.feed(), "something else"]).await;
    log(&rig, "i1", 1..=1).await;
    let events = rig.store().events(&instance("i1"), 0, 10).await.unwrap();
    assert_eq!(events.len(), 1);
}
