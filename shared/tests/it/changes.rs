//! Who waits for a change is told of it.

use std::time::Duration;

use shared::changes::Changes;
use shared::fleet::{Changes as FleetChanges, FleetStore, PassReport};
use shared::queue::{Verdict, Write};
use tokio::time::timeout;

use crate::rig::{LONG_LEASE, PATIENCE, Rig};
use crate::things::{event, instance, reconcile, settle, take, webhook};

over_both_transports!(common:
    news_of_an_instance_reach_who_waits_for_it_and_nobody_else,
    the_end_of_a_pass_reaches_who_waits_for_it,
    a_status_is_news,
);

/// Long enough for a message that was published before.
const SHORT: Duration = Duration::from_millis(200);

async fn news_of_an_instance_reach_who_waits_for_it_and_nobody_else(rig: Rig) {
    let changes = Changes::new(&rig.redis, &rig.keys);
    let (mut one, mut other) = (changes.watch(), changes.watch());
    for watch in [&mut one, &mut other] {
        timeout(PATIENCE, watch.ready()).await.unwrap();
        // Being connected is a hint already.
        timeout(PATIENCE, watch.fleet()).await.unwrap();
    }
    let session = rig.session(LONG_LEASE);
    let mut settlements = Vec::new();
    for name in ["i1", "i3"] {
        let job = take(&session, reconcile(name)).await;
        let news = vec![Write::Event(Box::new(event(&instance(name), 1)))];
        settlements.push(job.settle(Verdict::Done, news));
    }
    settle(&session, settlements).await;
    timeout(PATIENCE, one.instance(&instance("i3")))
        .await
        .unwrap();
    let nothing = timeout(SHORT, other.instance(&instance("i2"))).await;
    assert!(nothing.is_err());
}

async fn the_end_of_a_pass_reaches_who_waits_for_it(rig: Rig) {
    let changes = Changes::new(&rig.redis, &rig.keys);
    let mut watch = changes.watch();
    timeout(PATIENCE, watch.ready()).await.unwrap();
    timeout(PATIENCE, watch.fleet()).await.unwrap();
    let session = rig.session(LONG_LEASE);
    let pass = take(&session, webhook("msg_pass")).await;
    let fleet = FleetStore::new(rig.redis.clone(), rig.keys.clone());
    let commit = async |report| {
        let changes = FleetChanges {
            report,
            ..FleetChanges::default()
        };
        assert!(fleet.commit(&pass.id, &pass.token, changes).await.unwrap());
    };
    commit(None).await;
    assert!(
        timeout(SHORT, watch.fleet()).await.is_err(),
        "it is not over"
    );
    commit(Some(PassReport::default())).await;
    timeout(PATIENCE, watch.fleet()).await.unwrap();
}

async fn a_status_is_news(rig: Rig) {
    let changes = Changes::new(&rig.redis, &rig.keys);
    let mut watch = changes.watch();
    timeout(PATIENCE, watch.ready()).await.unwrap();
    timeout(PATIENCE, watch.fleet()).await.unwrap();
    let session = rig.session(LONG_LEASE);
    let job = take(&session, reconcile("i1")).await;
    let status = vec![Write::Status(instance("i1"), Box::default())];
    settle(&session, vec![job.settle(Verdict::Done, status)]).await;
    timeout(PATIENCE, watch.instance(&instance("i1")))
        .await
        .unwrap();
}
