//! When an instance was used last.

use shared::clock::Millis;
use shared::model::InstanceId;
use shared::store::{Accepted, MAX_AHEAD, Store};

use crate::meter::cost;
use crate::rig::{Rig, Trouble};
use crate::things::spec;

over_both_transports!(common:
    a_use_is_dated_by_the_clock_of_redis_and_read_back,
    an_earlier_use_changes_nothing,
    a_use_to_come_is_taken_a_day_ahead_at_most,
    what_does_not_exist_is_not_used,
    uses_of_many_are_read_in_their_order,
);
over_both_transports!(troubled: a_use_whose_reply_is_lost_is_noted);
over_both_transports!(alone: a_use_costs_what_its_header_declares);

async fn accepted(store: &Store, name: &str) -> InstanceId {
    let spec = spec(name);
    assert_eq!(store.create(&spec).await.unwrap(), Accepted::Yes);
    spec.id
}

/// Redis's clock.
async fn now(rig: &Rig) -> Millis {
    let time = rig.ask(["TIME"]).await.optional_texts().unwrap();
    let part = |n: usize| time[n].as_ref().unwrap().parse::<u64>().unwrap();
    Millis(part(0) * 1000 + part(1) / 1000)
}

async fn a_use_is_dated_by_the_clock_of_redis_and_read_back(rig: Rig) {
    let store = rig.store();
    let id = accepted(&store, "alpha").await;
    assert_eq!(store.last_used(&id).await.unwrap(), None);
    let before = now(&rig).await;
    let used = store.touch(&id, None).await.unwrap().unwrap();
    assert!((before..=now(&rig).await).contains(&used), "{used:?}");
    assert_eq!(store.last_used(&id).await.unwrap(), Some(used));
    let scene = store.scene(&id).await.unwrap().unwrap();
    assert_eq!(scene.last_used, Some(used));
}

async fn an_earlier_use_changes_nothing(rig: Rig) {
    let store = rig.store();
    let id = accepted(&store, "alpha").await;
    for (told, known) in [(500, 500), (400, 500), (500, 500), (501, 501), (0, 501)] {
        let answer = store.touch(&id, Some(Millis(told))).await.unwrap();
        assert_eq!(answer, Some(Millis(known)), "{told}");
        assert_eq!(store.last_used(&id).await.unwrap(), answer, "{told}");
    }
}

async fn a_use_to_come_is_taken_a_day_ahead_at_most(rig: Rig) {
    let store = rig.store();
    let id = accepted(&store, "alpha").await;
    let most = MAX_AHEAD.as_millis() as u64;
    let soon = now(&rig).await.plus(most / 2);
    assert_eq!(store.touch(&id, Some(soon)).await.unwrap(), Some(soon));
    let before = now(&rig).await;
    let used = store.touch(&id, Some(Millis(u64::MAX / 4))).await.unwrap();
    let expected = before.plus(most)..=now(&rig).await.plus(most);
    assert!(expected.contains(&used.unwrap()), "{used:?}");
}

async fn what_does_not_exist_is_not_used(rig: Rig) {
    let store = rig.store();
    assert_eq!(
        store.touch(&InstanceId::generate(), None).await.unwrap(),
        None
    );
    let uses = rig.ask(["EXISTS", &rig.keys.last_used()]).await;
    assert_eq!(uses.int().unwrap(), 0);
}

async fn uses_of_many_are_read_in_their_order(rig: Rig) {
    let store = rig.store();
    for name in ["a", "b", "c"] {
        accepted(&store, name).await;
    }
    let records = store.page(0, 10).await.unwrap().records;
    let (first, last) = (&records[0].spec.id, &records[2].spec.id);
    store.touch(first, Some(Millis(7))).await.unwrap();
    store.touch(last, Some(Millis(9))).await.unwrap();
    let used = store.last_used_of(&records).await.unwrap();
    assert_eq!(used, [Some(Millis(7)), None, Some(Millis(9))]);
    assert!(store.last_used_of(&[]).await.unwrap().is_empty());
}

async fn a_use_whose_reply_is_lost_is_noted(rig: Rig) {
    let store = rig.store();
    let id = accepted(&store, "alpha").await;
    rig.arm(Trouble::LostReply, "EVALSHA");
    let told = store.touch(&id, Some(Millis(7))).await.unwrap();
    assert_eq!(
        (told, store.last_used(&id).await.unwrap()),
        (Some(Millis(7)), told)
    );
}

async fn a_use_costs_what_its_header_declares(rig: Rig) {
    let store = rig.store();
    let id = accepted(&store, "alpha").await;
    // The server learns the script.
    store.touch(&id, Some(Millis(1))).await.unwrap();
    let touch = async |id: &InstanceId, at| cost(&rig, store.touch(id, Some(Millis(at)))).await.0;
    assert_eq!(touch(&id, 5).await, 6, "a later one");
    assert_eq!(touch(&id, 4).await, 4, "an earlier one");
    assert_eq!(touch(&InstanceId::generate(), 5).await, 3, "of nothing");
    assert_eq!(cost(&rig, store.last_used(&id)).await.0, 1);
}
