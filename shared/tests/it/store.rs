//! Accepting wishes, and reading them back.

use shared::clock::Millis;
use shared::model::{
    Desired, InstanceId, OperationId, OperationKind, OperationState, Spec, Status,
};
use shared::queue::{Verdict, Write};
use shared::store::{Accepted, Store, StoreError};

use crate::rig::{LONG_LEASE, Rig, Trouble};
use crate::things::{request, reserve, reserve_one, settle, spec};

over_both_transports!(common:
    an_accepted_instance_is_on_record_and_due,
    a_record_shows_what_a_worker_wrote,
    what_was_never_accepted_is_not_there,
    a_record_that_cannot_be_read_is_named,
    a_page_is_newest_first_and_counts_all,
    a_name_is_held_by_one_instance,
    a_repeated_create_is_accepted_once,
    a_repeated_create_does_not_undo_a_later_wish,
    a_repeated_create_does_not_take_a_released_name_again,
    a_repeated_create_is_accepted_even_if_the_name_went_to_another_instance,
    an_operation_overtaken_before_any_worker_looked_is_superseded,
    a_change_of_a_stale_record_is_a_conflict,
    a_repeated_change_is_accepted,
);
over_both_transports!(troubled: a_create_whose_reply_is_lost_is_accepted_once);

fn deletion(spec: &Spec) -> Spec {
    spec.wanting(Desired::Deleted, request(OperationKind::Delete))
}

async fn accept(store: &Store, spec: &Spec) {
    assert_eq!(store.create(spec).await.unwrap(), Accepted::Yes);
}

async fn holder(rig: &Rig, name: &str) -> Option<String> {
    let holder = rig.ask(["HGET", &rig.keys.names(), name]).await;
    holder.optional_text().unwrap()
}

/// A worker's last word on a deleted instance: the name is free again.
async fn release_name(rig: &Rig, spec: &Spec) {
    let session = rig.session(LONG_LEASE);
    let job = reserve_one(&session).await;
    let released = Write::ReleaseName(spec.name.clone(), spec.id.clone());
    assert_eq!(
        settle(&session, vec![job.settle(Verdict::Done, vec![released])]).await,
        [true]
    );
}

async fn an_accepted_instance_is_on_record_and_due(rig: Rig) {
    let (store, spec) = (rig.store(), spec("alpha"));
    accept(&store, &spec).await;
    let record = store.record(&spec.id).await.unwrap().unwrap();
    assert_eq!(record.spec, spec);
    assert_eq!(record.status, None);
    let operation = store
        .operation(&spec.request.operation_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(operation, spec.operation());
    assert_eq!(operation.state, OperationState::Pending);
    let job = reserve_one(&rig.session(LONG_LEASE)).await;
    assert_eq!(job.id.as_str(), format!("instance:{}", spec.id));
}

async fn a_record_shows_what_a_worker_wrote(rig: Rig) {
    let (store, session, spec) = (rig.store(), rig.session(LONG_LEASE), spec("alpha"));
    accept(&store, &spec).await;
    let job = reserve_one(&session).await;
    let status = Status {
        observed_generation: 1,
        ..Status::default()
    };
    let ended = spec
        .operation()
        .ended(OperationState::Succeeded, None, Millis(9));
    let writes = vec![
        Write::Status(spec.id.clone(), Box::new(status.clone())),
        Write::Operation(Box::new(ended.clone())),
    ];
    settle(&session, vec![job.settle(Verdict::Done, writes)]).await;
    let record = store.record(&spec.id).await.unwrap().unwrap();
    assert_eq!(record.status, Some(status));
    let operation = store.operation(&ended.id).await.unwrap();
    assert_eq!(operation, Some(ended));
}

async fn an_operation_overtaken_before_any_worker_looked_is_superseded(rig: Rig) {
    let (store, session, spec) = (rig.store(), rig.session(LONG_LEASE), spec("alpha"));
    accept(&store, &spec).await;
    let record = store.record(&spec.id).await.unwrap().unwrap();
    let deletion = deletion(&spec);
    let accepted = store.change(&record, &deletion).await.unwrap();
    assert_eq!(accepted, Accepted::Yes);
    let create = || async {
        let operation = store.operation(&spec.request.operation_id).await;
        operation.unwrap().unwrap()
    };
    assert_eq!(create().await.state, OperationState::Pending);

    let job = reserve_one(&session).await;
    let status = Status {
        observed_generation: deletion.generation,
        operation: Some(deletion.operation()),
        ..Status::default()
    };
    let write = Write::Status(spec.id.clone(), Box::new(status));
    settle(&session, vec![job.settle(Verdict::Done, vec![write])]).await;
    let overtaken = create().await;
    assert_eq!(overtaken.state, OperationState::Superseded);
    assert_eq!(overtaken.finished_at, Some(deletion.request.at));
    let taken_up = store.operation(&deletion.request.operation_id).await;
    assert_eq!(taken_up.unwrap().unwrap().state, OperationState::Pending);
}

async fn what_was_never_accepted_is_not_there(rig: Rig) {
    let store = rig.store();
    assert_eq!(store.record(&InstanceId::generate()).await.unwrap(), None);
    assert_eq!(
        store.operation(&OperationId::generate()).await.unwrap(),
        None
    );
    let page = store.page(0, 10).await.unwrap();
    assert!(page.records.is_empty());
    assert_eq!(page.total, 0);
}

async fn a_record_that_cannot_be_read_is_named(rig: Rig) {
    let store = rig.store();
    rig.ask(["HSET", &rig.keys.spec(), "inst_1", "{\"id\":7}"])
        .await;
    let error = store.record(&"inst_1".parse().unwrap()).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Corrupt { what: "spec", .. }),
        "{error}"
    );
    assert!(error.to_string().contains("inst_1"), "{error}");
}

async fn a_page_is_newest_first_and_counts_all(rig: Rig) {
    let store = rig.store();
    let specs: Vec<Spec> = (0..5).map(|n| spec(&format!("name-{n}"))).collect();
    for (age, spec) in specs.iter().enumerate() {
        accept(&store, spec).await;
        // Two of them may be accepted in one millisecond.
        let at = (age + 1).to_string();
        rig.ask(["ZADD", &rig.keys.index(), &at, spec.id.as_str()])
            .await;
    }
    let names = async |offset, limit| {
        let page = store.page(offset, limit).await.unwrap();
        let names = page.records.into_iter().map(|record| record.spec.name);
        (names.collect::<Vec<_>>(), page.total)
    };
    assert_eq!(
        names(0, 2).await,
        (vec!["name-4".into(), "name-3".into()], 5)
    );
    assert_eq!(names(4, 2).await, (vec!["name-0".into()], 5));
    assert_eq!(names(9, 2).await, (vec![], 5));
    assert_eq!(names(0, 0).await, (vec![], 0));
}

async fn a_name_is_held_by_one_instance(rig: Rig) {
    let (store, first, second) = (rig.store(), spec("alpha"), spec("alpha"));
    accept(&store, &first).await;
    let taken = Accepted::NameTaken(first.id.to_string());
    assert_eq!(store.create(&second).await.unwrap(), taken);
    assert_eq!(store.record(&second.id).await.unwrap(), None);
    assert_eq!(store.page(0, 10).await.unwrap().total, 1);
    release_name(&rig, &first).await;
    accept(&store, &second).await;
    assert_eq!(holder(&rig, "alpha").await, Some(second.id.to_string()));
}

async fn a_repeated_create_is_accepted_once(rig: Rig) {
    let (store, spec) = (rig.store(), spec("alpha"));
    for _ in 0..3 {
        accept(&store, &spec).await;
    }
    assert_eq!(store.page(0, 10).await.unwrap().total, 1);
    let session = rig.session(LONG_LEASE);
    let job = reserve_one(&session).await;
    settle(&session, vec![job.settle(Verdict::Done, Vec::new())]).await;
    assert!(reserve(&session, 1).await.jobs.is_empty());
}

async fn a_repeated_create_does_not_undo_a_later_wish(rig: Rig) {
    let (store, spec) = (rig.store(), spec("alpha"));
    accept(&store, &spec).await;
    let record = store.record(&spec.id).await.unwrap().unwrap();
    let gone = deletion(&spec);
    assert_eq!(store.change(&record, &gone).await.unwrap(), Accepted::Yes);
    accept(&store, &spec).await;
    assert_eq!(store.record(&spec.id).await.unwrap().unwrap().spec, gone);
}

async fn a_repeated_create_does_not_take_a_released_name_again(rig: Rig) {
    let (store, spec) = (rig.store(), spec("alpha"));
    accept(&store, &spec).await;
    release_name(&rig, &spec).await;
    accept(&store, &spec).await;
    assert_eq!(holder(&rig, "alpha").await, None);
}

async fn a_repeated_create_is_accepted_even_if_the_name_went_to_another_instance(rig: Rig) {
    let (store, first, second) = (rig.store(), spec("alpha"), spec("alpha"));
    accept(&store, &first).await;
    release_name(&rig, &first).await;
    accept(&store, &second).await;
    accept(&store, &first).await;
    assert_eq!(holder(&rig, "alpha").await, Some(second.id.to_string()));
}

async fn a_change_of_a_stale_record_is_a_conflict(rig: Rig) {
    let (store, spec) = (rig.store(), spec("alpha"));
    accept(&store, &spec).await;
    let record = store.record(&spec.id).await.unwrap().unwrap();
    let (first, second) = (deletion(&spec), deletion(&spec));
    assert_eq!(store.change(&record, &first).await.unwrap(), Accepted::Yes);
    assert_eq!(
        store.change(&record, &second).await.unwrap(),
        Accepted::Conflict
    );
    assert_eq!(store.record(&spec.id).await.unwrap().unwrap().spec, first);
    let refused = store.operation(&second.request.operation_id).await.unwrap();
    assert_eq!(refused, None);
}

async fn a_repeated_change_is_accepted(rig: Rig) {
    let (store, spec) = (rig.store(), spec("alpha"));
    accept(&store, &spec).await;
    let record = store.record(&spec.id).await.unwrap().unwrap();
    let gone = deletion(&spec);
    for _ in 0..2 {
        assert_eq!(store.change(&record, &gone).await.unwrap(), Accepted::Yes);
    }
    assert_eq!(store.record(&spec.id).await.unwrap().unwrap().spec, gone);
}

async fn a_create_whose_reply_is_lost_is_accepted_once(rig: Rig) {
    let (store, spec) = (rig.store(), spec("beta"));
    accept(&store, &self::spec("alpha")).await;
    rig.arm(Trouble::LostReply, "EVALSHA");
    accept(&store, &spec).await;
    assert_eq!(store.page(0, 10).await.unwrap().total, 2);
    assert_eq!(reserve(&rig.session(LONG_LEASE), 10).await.jobs.len(), 2);
}
