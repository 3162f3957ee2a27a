//! Answers under idempotency keys: remembered with the deed, and claimed where there is no single deed.

use std::time::Duration;

use shared::model::{Desired, OperationKind};
use shared::store::{Accepted, Answered, Claimed, KeyClaim, Memo, Promise, Recalled, Store};

use crate::rig::{Rig, Trouble};
use crate::things::{HOUR, request, spec};

over_both_transports!(common:
    a_create_is_accepted_once_per_key,
    a_change_is_accepted_once_per_key,
    what_was_not_accepted_is_not_remembered,
    a_claim_keeps_others_out_until_it_is_answered,
    a_claim_that_was_given_back_or_is_over_can_be_had_again,
    an_answer_of_a_claim_that_is_over_does_not_replace_another,
);
over_both_transports!(troubled:
    a_create_whose_reply_is_lost_is_not_taken_for_a_repetition,
    a_claim_whose_reply_is_lost_is_ours,
);

pub(crate) fn answered(body: &str) -> Answered {
    Answered {
        status: 201,
        location: Some("/api/instances/inst_1".to_owned()),
        operation: Some("op_1".parse().unwrap()),
        body: body.to_owned(),
    }
}

fn memo(asked: &str) -> Memo {
    Memo::new("key".to_owned(), asked.to_owned())
}

fn promise(asked: &str, body: &str) -> Promise {
    Promise {
        memo: memo(asked),
        answer: answered(body),
    }
}

async fn ours(store: &Store, lease: Duration) -> KeyClaim {
    match store.claim(&memo("a"), lease).await.unwrap() {
        Claimed::Ours(claim) => claim,
        Claimed::Known(known) => panic!("{known:?}"),
    }
}

async fn known(store: &Store, asked: &str) -> Recalled {
    match store.claim(&memo(asked), HOUR).await.unwrap() {
        Claimed::Known(known) => known,
        Claimed::Ours(_) => panic!("nobody had it"),
    }
}

async fn a_create_is_accepted_once_per_key(rig: Rig) {
    let store = rig.store();
    let first = promise("a", "first");
    let accepted = store.create_once(&spec("alpha"), &[], Some(&first)).await;
    assert_eq!(accepted.unwrap(), Accepted::Yes);
    let answer = Recalled::Answer(answered("first"));
    for (asked, expected) in [("a", answer.clone()), ("b", Recalled::Other)] {
        let again = promise(asked, "again");
        let known = store.create_once(&spec("beta"), &[], Some(&again)).await;
        assert_eq!(known.unwrap(), Accepted::Known(expected));
    }
    assert_eq!(store.page(0, 10).await.unwrap().total, 1);
    assert_eq!(store.recall(&memo("a")).await.unwrap(), Some(answer));
}

async fn a_change_is_accepted_once_per_key(rig: Rig) {
    let store = rig.store();
    let spec = spec("alpha");
    store.create(&spec).await.unwrap();
    let record = store.record(&spec.id).await.unwrap().unwrap();
    let stopped = spec.wanting(Desired::Stopped, request(OperationKind::Stop));
    let first = promise("a", "first");
    let accepted = store.change_once(&record, &stopped, Some(&first)).await;
    assert_eq!(accepted.unwrap(), Accepted::Yes);
    // Also for one that has read the record anew.
    let record = store.record(&spec.id).await.unwrap().unwrap();
    let gone = stopped.wanting(Desired::Deleted, request(OperationKind::Delete));
    let again = promise("a", "again");
    let known = store.change_once(&record, &gone, Some(&again)).await;
    let answer = Recalled::Answer(answered("first"));
    assert_eq!(known.unwrap(), Accepted::Known(answer));
    let record = store.record(&spec.id).await.unwrap().unwrap();
    assert_eq!(record.spec.desired, Desired::Stopped);
}

async fn what_was_not_accepted_is_not_remembered(rig: Rig) {
    let store = rig.store();
    store.create(&spec("alpha")).await.unwrap();
    let promise = promise("a", "first");
    let taken = store.create_once(&spec("alpha"), &[], Some(&promise)).await;
    assert!(matches!(taken.unwrap(), Accepted::NameTaken(_)));
    assert_eq!(store.recall(&memo("a")).await.unwrap(), None);
    let free = store.create_once(&spec("beta"), &[], Some(&promise)).await;
    assert_eq!(free.unwrap(), Accepted::Yes);
}

async fn a_create_whose_reply_is_lost_is_not_taken_for_a_repetition(rig: Rig) {
    let store = rig.store();
    store.create(&spec("warm")).await.unwrap();
    rig.arm(Trouble::LostReply, "EVALSHA");
    let promise = promise("a", "first");
    let accepted = store.create_once(&spec("alpha"), &[], Some(&promise)).await;
    assert_eq!(accepted.unwrap(), Accepted::Yes);
    assert_eq!(store.page(0, 10).await.unwrap().total, 2);
}

async fn a_claim_keeps_others_out_until_it_is_answered(rig: Rig) {
    let store = rig.store();
    let claim = ours(&store, HOUR).await;
    assert_eq!(known(&store, "a").await, Recalled::InFlight);
    assert_eq!(known(&store, "b").await, Recalled::Other);
    store.keep(claim, &answered("done")).await.unwrap();
    let answer = Recalled::Answer(answered("done"));
    assert_eq!(known(&store, "a").await, answer);
    let late = store.remember(&memo("a"), &answered("late")).await;
    assert_eq!(late.unwrap(), Some(answer));
}

async fn a_claim_whose_reply_is_lost_is_ours(rig: Rig) {
    let store = rig.store();
    // The script is known from here on.
    let _ = store
        .claim(&Memo::new("warm".into(), "a".into()), HOUR)
        .await;
    rig.arm(Trouble::LostReply, "EVALSHA");
    let claim = ours(&store, HOUR).await;
    rig.arm(Trouble::LostReply, "EVALSHA");
    store.keep(claim, &answered("done")).await.unwrap();
    assert_eq!(known(&store, "a").await, Recalled::Answer(answered("done")));
}

async fn a_claim_that_was_given_back_or_is_over_can_be_had_again(rig: Rig) {
    let store = rig.store();
    let claim = ours(&store, HOUR).await;
    store.give_back(claim).await.unwrap();
    let _short = ours(&store, Duration::from_millis(1)).await;
    while store.recall(&memo("a")).await.unwrap().is_some() {}
    let _ = ours(&store, HOUR).await;
}

async fn an_answer_of_a_claim_that_is_over_does_not_replace_another(rig: Rig) {
    let store = rig.store();
    let late = ours(&store, Duration::from_millis(1)).await;
    while store.recall(&memo("a")).await.unwrap().is_some() {}
    let claim = ours(&store, HOUR).await;
    store.keep(late, &answered("late")).await.unwrap();
    assert_eq!(known(&store, "a").await, Recalled::InFlight);
    store.keep(claim, &answered("done")).await.unwrap();
    assert_eq!(known(&store, "a").await, Recalled::Answer(answered("done")));
}
