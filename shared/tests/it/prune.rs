//! Forgetting closed records, and nothing else.

use std::time::Duration;

use shared::clock::Millis;
use shared::model::{Desired, OperationKind, Spec, Status};
use shared::queue::{Queue, Settlement, Verdict, Write};
use shared::store::{Accepted, Store};

use crate::meter::cost;
use crate::rig::{LONG_LEASE, Rig, Trouble};
use crate::things::{event, reconcile, request, reserve, settle, spec};

over_both_transports!(common:
    a_record_closed_long_ago_is_forgotten_with_all_that_belongs_to_it,
    what_is_not_closed_or_not_for_long_is_never_forgotten,
    f6_one_that_something_is_still_to_be_done_about_is_kept,
    many_are_forgotten_in_portions_past_those_that_stay,
);
over_both_transports!(troubled: a_lost_reply_forgets_nothing_twice);
over_both_transports!(alone: forgetting_costs_what_its_header_declares);

/// Later than anything here.
fn later() -> Millis {
    Millis::now().plus(3_600_000)
}

async fn accept(store: &Store, spec: &Spec) {
    assert_eq!(store.create(spec).await.unwrap(), Accepted::Yes);
}

fn over(at: Option<Millis>) -> Box<Status> {
    let mut status = Box::<Status>::default();
    status.timestamps.terminated = at;
    status
}

/// A worker's last word on these instances, with one event each.
async fn close(session: &Queue, specs: &[Spec]) {
    let mut settlements: Vec<Settlement> = Vec::new();
    for job in reserve(session, 100).await.jobs {
        let closed = specs
            .iter()
            .find(|spec| job.id == reconcile(spec.id.as_str()).id());
        let writes = closed.map_or_else(Vec::new, |spec| {
            vec![
                Write::Status(spec.id.clone(), over(Some(Millis(5)))),
                Write::Event(Box::new(event(&spec.id, 1))),
                Write::Close(spec.id.clone()),
                Write::ReleaseName(spec.name.clone(), spec.id.clone()),
            ]
        });
        settlements.push(job.settle(Verdict::Done, writes));
    }
    settle(session, settlements).await;
}

/// Everything stored under the rig's prefix that is left, but for the queue's own.
async fn left(rig: &Rig, spec: &Spec) -> Vec<&'static str> {
    let (keys, id) = (&rig.keys, spec.id.as_str());
    let operation = spec.request.operation_id.as_str();
    let mut left = Vec::new();
    for (what, question) in [
        ("spec", ["HEXISTS", &keys.spec(), id]),
        ("status", ["HEXISTS", &keys.status(), id]),
        ("operation", ["HEXISTS", &keys.ops(), operation]),
        ("use", ["HEXISTS", &keys.last_used(), id]),
    ] {
        if rig.ask(question).await.int().unwrap() == 1 {
            left.push(what);
        }
    }
    if rig
        .ask(["EXISTS", &keys.events(&spec.id)])
        .await
        .int()
        .unwrap()
        == 1
    {
        left.push("events");
    }
    let closed = rig.ask(["ZSCORE", &keys.closed(), id]).await;
    if closed.optional_text().unwrap().is_some() {
        left.push("closed");
    }
    left
}

async fn a_record_closed_long_ago_is_forgotten_with_all_that_belongs_to_it(rig: Rig) {
    let (store, session) = (rig.store(), rig.session(LONG_LEASE));
    let first = spec("alpha");
    accept(&store, &first).await;
    let mut last = first.clone();
    for wish in [
        OperationKind::Stop,
        OperationKind::Start,
        OperationKind::Delete,
    ] {
        let record = store.record(&first.id).await.unwrap().unwrap();
        last = record.spec.wanting(Desired::Deleted, request(wish));
        assert_eq!(store.change(&record, &last).await.unwrap(), Accepted::Yes);
    }
    let operations = rig.ask(["HLEN", &rig.keys.ops()]).await;
    assert_eq!(operations.int().unwrap(), 4);
    store.touch(&first.id, None).await.unwrap();
    close(&session, std::slice::from_ref(&last)).await;
    assert_eq!(
        left(&rig, &last).await,
        ["spec", "status", "operation", "use", "events", "closed"]
    );
    assert_eq!(store.prune(later(), 10).await.unwrap(), 1);
    assert_eq!(left(&rig, &last).await, Vec::<&str>::new());
    assert_eq!(store.touch(&first.id, None).await.unwrap(), None);
    assert_eq!(left(&rig, &last).await, Vec::<&str>::new(), "nor is a use");
    let operations = rig.ask(["HLEN", &rig.keys.ops()]).await;
    assert_eq!(operations.int().unwrap(), 0, "those before it too");
    assert_eq!(store.prune(later(), 10).await.unwrap(), 0, "repeated");
}

async fn what_is_not_closed_or_not_for_long_is_never_forgotten(rig: Rig) {
    let (store, session) = (rig.store(), rig.session(LONG_LEASE));
    let (live, closed) = (spec("live"), spec("closed"));
    accept(&store, &live).await;
    accept(&store, &closed).await;
    close(&session, std::slice::from_ref(&closed)).await;
    let long_ago = Millis(Millis::now().0 - 3_600_000);
    assert_eq!(store.prune(long_ago, 10).await.unwrap(), 0);
    assert_eq!(left(&rig, &closed).await.len(), 5);
    assert_eq!(store.prune(later(), 10).await.unwrap(), 1);
    assert_eq!(left(&rig, &live).await, ["spec", "operation"]);
    // One that stands among the closed although its record says otherwise.
    rig.ask(["ZADD", &rig.keys.closed(), "1", live.id.as_str()])
        .await;
    for _ in 0..2 {
        assert_eq!(store.prune(later(), 10).await.unwrap(), 0);
        assert_eq!(left(&rig, &live).await, ["spec", "operation", "closed"]);
    }
}

async fn f6_one_that_something_is_still_to_be_done_about_is_kept(rig: Rig) {
    let (store, session, spec) = (rig.store(), rig.session(LONG_LEASE), spec("alpha"));
    accept(&store, &spec).await;
    close(&session, std::slice::from_ref(&spec)).await;
    let job = reconcile(spec.id.as_str());
    session
        .enqueue_after(&[job], Duration::from_secs(3600))
        .await
        .unwrap();
    assert_eq!(store.prune(later(), 10).await.unwrap(), 0);
    assert_eq!(left(&rig, &spec).await.len(), 5);
}

async fn many_are_forgotten_in_portions_past_those_that_stay(rig: Rig) {
    let (store, session) = (rig.store(), rig.session(LONG_LEASE));
    let specs: Vec<Spec> = (0..70).map(|n| spec(&format!("many-{n}"))).collect();
    for spec in &specs {
        accept(&store, spec).await;
    }
    close(&session, &specs).await;
    // The oldest two cannot be read, or are not over.
    rig.ask(["HSET", &rig.keys.spec(), specs[0].id.as_str(), "{"])
        .await;
    rig.ask(["HSET", &rig.keys.status(), specs[1].id.as_str(), "{}"])
        .await;
    for (at, spec) in ["1", "2"].iter().zip(&specs) {
        rig.ask(["ZADD", &rig.keys.closed(), at, spec.id.as_str()])
            .await;
    }
    assert_eq!(store.prune(later(), 40).await.unwrap(), 48, "one portion");
    assert_eq!(store.prune(later(), 1000).await.unwrap(), 20);
    for spec in &specs[..2] {
        assert_eq!(left(&rig, spec).await.len(), 5);
    }
    assert_eq!(left(&rig, &specs[69]).await, Vec::<&str>::new());
}

async fn a_lost_reply_forgets_nothing_twice(rig: Rig) {
    let (store, session, spec) = (rig.store(), rig.session(LONG_LEASE), spec("alpha"));
    accept(&store, &spec).await;
    close(&session, std::slice::from_ref(&spec)).await;
    rig.arm(Trouble::LostReply, "EVALSHA");
    // The first copy forgot it; the second, which is answered, finds nothing to do.
    store.prune(later(), 10).await.unwrap();
    assert_eq!(left(&rig, &spec).await, Vec::<&str>::new());
}

async fn forgetting_costs_what_its_header_declares(rig: Rig) {
    let (store, session) = (rig.store(), rig.session(LONG_LEASE));
    // The server learns the script.
    let warm = spec("warm");
    accept(&store, &warm).await;
    close(&session, std::slice::from_ref(&warm)).await;
    store.prune(later(), 1).await.unwrap();
    for count in [1, 30] {
        let specs: Vec<Spec> = (0..count).map(|n| spec(&format!("{count}-{n}"))).collect();
        for spec in &specs {
            accept(&store, spec).await;
        }
        close(&session, &specs).await;
        let (billed, pruned) = cost(&rig, store.prune(later(), count)).await;
        assert_eq!(pruned.unwrap(), count);
        // Three reads prepare it: those that are closed, their specs and their statuses.
        assert_eq!(billed, 3 + 4 + 7, "{count}");
    }
}
