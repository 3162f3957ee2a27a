//! The budget: no wish is accepted that would pass it, whoever asks at the same time.

use futures_util::future::join_all;
use shared::model::{Claim, Desired, OperationKind, Rate, Reservation, Spec};
use shared::queue::{Queue, Verdict, Write};
use shared::store::{Accepted, Record, Store};

use crate::rig::{LONG_LEASE, Rig, Trouble};
use crate::things::{reconcile, request, reserve, settle, spec};

over_both_transports!(common:
    fifty_creates_at_once_never_pass_the_budget,
    a_repeated_create_reserves_once,
    a_refused_create_leaves_nothing_behind,
    a_stop_releases_and_a_start_reserves_again,
    a_late_stop_does_not_release_what_a_start_reserved,
    the_price_replaces_the_claim,
    passing_four_fifths_is_told_once_per_crossing,
    without_a_claim_nothing_is_reserved,
);
over_both_transports!(troubled: a_create_whose_reply_is_lost_reserves_once);

/// A tenth of a dollar.
const DIME: u64 = 10_000;

/// The same wish, with a claim of so many dimes.
fn claiming(spec: &Spec, dimes: u64, limit: u64) -> Spec {
    let mut spec = spec.clone();
    let (rate, limit) = (dimes * DIME, limit * DIME);
    spec.request.claim = Some(Claim::new(Rate::of_units(rate), Rate::of_units(limit)));
    spec
}

async fn create(store: &Store, spec: &Spec, dimes: u64, limit: u64) -> Accepted {
    store.create(&claiming(spec, dimes, limit)).await.unwrap()
}

async fn reserved(store: &Store) -> String {
    store.reserved().await.unwrap().dollars()
}

/// What is stored for one instance.
async fn part(rig: &Rig, spec: &Spec) -> Option<String> {
    let part = rig
        .ask(["HGET", &rig.keys.budget(), spec.id.as_str()])
        .await;
    part.optional_text().unwrap()
}

async fn record(store: &Store, spec: &Spec) -> Record {
    store.record(&spec.id).await.unwrap().unwrap()
}

/// What a worker writes down as an instance's part.
async fn write(session: &Queue, spec: &Spec, generation: u64, dimes: u64) {
    let job = [reconcile(spec.id.as_str())];
    session.enqueue(&job).await.unwrap();
    let rate = Rate::of_units(dimes * DIME);
    let part = Reservation { generation, rate };
    let mut writes = vec![Write::Reserve(spec.id.clone(), part)];
    for job in reserve(session, 100).await.jobs {
        let settlement = job.settle(Verdict::Done, std::mem::take(&mut writes));
        assert_eq!(settle(session, vec![settlement]).await, [true]);
    }
    assert!(writes.is_empty());
}

async fn fifty_creates_at_once_never_pass_the_budget(rig: Rig) {
    let store = rig.store();
    let specs: Vec<Spec> = (0..50).map(|n| spec(&format!("at-once-{n}"))).collect();
    let creates = specs.iter().map(|spec| create(&store, spec, 3, 50));
    let mut accepted = 0;
    for verdict in join_all(creates).await {
        match verdict {
            Accepted::Yes => accepted += 1,
            Accepted::OverBudget(all) => assert_eq!(all.dollars(), "4.80"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, 16, "16 of $0.30 fit into $5.00");
    assert_eq!(reserved(&store).await, "4.80");
    assert_eq!(store.page(0, 100).await.unwrap().total, 16);
}

async fn a_repeated_create_reserves_once(rig: Rig) {
    let (store, spec) = (rig.store(), spec("alpha"));
    for _ in 0..3 {
        let accepted = create(&store, &spec, 3, 4).await;
        assert_eq!(accepted, Accepted::Yes);
    }
    assert_eq!(reserved(&store).await, "0.30");
}

async fn a_create_whose_reply_is_lost_reserves_once(rig: Rig) {
    let (store, spec) = (rig.store(), spec("alpha"));
    store.create(&self::spec("warm")).await.unwrap();
    rig.arm(Trouble::LostReply, "EVALSHA");
    let accepted = create(&store, &spec, 3, 4).await;
    assert_eq!(accepted, Accepted::Yes);
    assert_eq!(reserved(&store).await, "0.30");
}

async fn a_refused_create_leaves_nothing_behind(rig: Rig) {
    let (store, dear) = (rig.store(), spec("alpha"));
    let verdict = create(&store, &dear, 5, 4).await;
    assert_eq!(verdict, Accepted::OverBudget(Rate::ZERO));
    assert_eq!(store.record(&dear.id).await.unwrap(), None);
    let operation = store.operation(&dear.request.operation_id).await.unwrap();
    assert_eq!(operation, None);
    let cheap = spec("alpha");
    let verdict = create(&store, &cheap, 4, 4).await;
    assert_eq!(
        verdict,
        Accepted::Yes,
        "the name is free, and the limit itself fits"
    );
    let taken = spec("alpha");
    let verdict = create(&store, &taken, 0, 4).await;
    assert_eq!(verdict, Accepted::NameTaken(cheap.id.to_string()));
    assert_eq!(part(&rig, &taken).await, None);
}

async fn a_stop_releases_and_a_start_reserves_again(rig: Rig) {
    let (store, session) = (rig.store(), rig.session(LONG_LEASE));
    let (first, second) = (spec("first"), spec("second"));
    create(&store, &first, 3, 4).await;
    let refused = create(&store, &second, 3, 4).await;
    assert_eq!(refused, Accepted::OverBudget(Rate::of_units(3 * DIME)));
    write(&session, &first, 2, 0).await;
    assert_eq!(reserved(&store).await, "0.00");
    assert_eq!(part(&rig, &first).await, None);
    let accepted = create(&store, &second, 3, 4).await;
    assert_eq!(accepted, Accepted::Yes);

    let stopped = record(&store, &first).await;
    let start = stopped
        .spec
        .wanting(Desired::Running, request(OperationKind::Start));
    let start = claiming(&start, 3, 4);
    let again = async || store.change(&stopped, &start).await;
    let refused = again().await.unwrap();
    assert_eq!(refused, Accepted::OverBudget(Rate::of_units(3 * DIME)));
    assert_eq!(record(&store, &first).await, stopped, "nothing is begun");
    write(&session, &second, 1, 0).await;
    assert_eq!(again().await.unwrap(), Accepted::Yes);
    assert_eq!(reserved(&store).await, "0.30");
    assert_eq!(again().await.unwrap(), Accepted::Yes, "repeated");
    assert_eq!(reserved(&store).await, "0.30");
}

async fn a_late_stop_does_not_release_what_a_start_reserved(rig: Rig) {
    let (store, session, spec) = (rig.store(), rig.session(LONG_LEASE), spec("alpha"));
    create(&store, &spec, 3, 4).await;
    let stopping = record(&store, &spec).await;
    let start = spec.wanting(Desired::Running, request(OperationKind::Start));
    let accepted = store.change(&stopping, &claiming(&start, 3, 4)).await;
    assert_eq!(accepted.unwrap(), Accepted::Yes);
    write(&session, &spec, 1, 0).await;
    assert_eq!(reserved(&store).await, "0.30");
    write(&session, &spec, 2, 2).await;
    assert_eq!(reserved(&store).await, "0.20");
    assert_eq!(part(&rig, &spec).await.unwrap(), "120000|2");
}

async fn the_price_replaces_the_claim(rig: Rig) {
    let (store, session) = (rig.store(), rig.session(LONG_LEASE));
    let (first, second) = (spec("first"), spec("second"));
    create(&store, &first, 5, 10).await;
    create(&store, &second, 4, 10).await;
    write(&session, &first, 1, 2).await;
    assert_eq!(reserved(&store).await, "0.60");
    // The truth counts, also when it is more than anybody allowed.
    write(&session, &second, 1, 30).await;
    assert_eq!(reserved(&store).await, "3.20");
}

async fn passing_four_fifths_is_told_once_per_crossing(rig: Rig) {
    let (store, session) = (rig.store(), rig.session(LONG_LEASE));
    let mut specs = Vec::new();
    let warned = async |name: &str| {
        let spec = spec(name);
        let accepted = create(&store, &spec, 3, 10).await;
        assert_eq!(accepted, Accepted::Yes, "{name}");
        let stored = record(&store, &spec).await.spec;
        (spec, stored.request.claim.unwrap().warns)
    };
    for (name, expected) in [("a", false), ("b", false), ("c", true)] {
        let (spec, warning) = warned(name).await;
        assert_eq!(warning, expected, "{name}");
        specs.push(spec);
    }
    let spec = spec("d");
    create(&store, &spec, 1, 10).await;
    let stored = record(&store, &spec).await.spec;
    assert!(!stored.request.claim.unwrap().warns, "it was told already");
    write(&session, &specs[0], 1, 0).await;
    assert!(warned("e").await.1, "once more");
    // A warned spec changes like any other.
    let stored = record(&store, &specs[2]).await;
    let next = stored
        .spec
        .wanting(Desired::Deleted, request(OperationKind::Delete));
    assert_eq!(store.change(&stored, &next).await.unwrap(), Accepted::Yes);
}

async fn without_a_claim_nothing_is_reserved(rig: Rig) {
    let (store, spec) = (rig.store(), spec("alpha"));
    store.create(&spec).await.unwrap();
    assert_eq!(part(&rig, &spec).await, None);
    assert_eq!(reserved(&store).await, "0.00");
}
