//! What looks at the fleet write down, and what that costs.

use shared::clock::Millis;
use shared::fleet::{Changes, Entry, FleetStore, PassReport, Watched};
use shared::model::{
    Actor, Cause, Event, EventId, EventKind, Finding, InstanceId, ProviderFacts, Recovery,
    Sighting, Stage, Status, Suspect,
};
use shared::queue::{Hash, Verdict, Write};

use crate::meter::{cost, session, wake_all};
use crate::rig::Rig;
use crate::things::{conclude, reconcile, reserve, settle, spec, take, webhook};

over_both_transports!(alone:
    looks_and_restored_records_cost_what_their_headers_declare,
);

over_both_transports!(common:
    what_a_pass_wrote_is_read_back,
    a_pass_that_lost_its_lease_writes_nothing,
    a_lost_record_is_restored_once_and_never_over_another,
);

fn store(rig: &Rig) -> FleetStore {
    FleetStore::new(rig.redis.clone(), rig.keys.clone())
}

fn entry(instance: &InstanceId, word: &str, is_due: bool) -> Entry {
    let sighting = Sighting {
        provider_id: "p1".into(),
        name: "n".into(),
        facts: ProviderFacts {
            status: word.into(),
            seen_at: Millis(5),
            ..ProviderFacts::default()
        },
        ..Sighting::default()
    };
    Entry {
        field: instance.to_string(),
        shown: Some((vec![sighting], format!("mark {word}"))),
        due: is_due.then(|| instance.clone()),
    }
}

fn suspect() -> Suspect {
    Suspect {
        name: "n".into(),
        finding: Finding::Unrecorded,
        first_seen: Millis(1),
        passes: 1,
        last_pass: 1,
        last_seen: Millis(1),
        announced: None,
        stage: Stage::Marked,
    }
}

async fn what_a_pass_wrote_is_read_back(rig: Rig) {
    let (store, session) = (store(&rig), rig.session(crate::rig::LONG_LEASE));
    let record = spec("alpha");
    rig.store().create(&record).await.unwrap();
    let held = take(&session, reconcile(record.id.as_str())).await;
    let writes = vec![
        Write::Set(Hash::Bound, "p1".into(), record.id.to_string()),
        Write::Set(
            Hash::Watch,
            record.id.to_string(),
            Watched {
                provider_id: "p1".into(),
                word: "pulling".into(),
            }
            .stored(),
        ),
    ];
    let done = held.settle(Verdict::Done, writes);
    settle(&session, vec![done]).await;
    let pass = take(&session, webhook("msg_pass")).await;
    let report = PassReport {
        number: 7,
        complete_at: Millis(9),
        recovery: Recovery::Off,
        ..PassReport::default()
    };
    let changes = Changes {
        entries: vec![entry(&record.id, "running", true)],
        suspects: vec![("p2".into(), suspect())],
        webhooks: vec![webhook("msg_orphan")],
        report: Some(report.clone()),
        ..Changes::default()
    };
    assert!(store.commit(&pass.id, &pass.token, changes).await.unwrap());
    let remembered = store.remembered().await.unwrap();
    assert_eq!(remembered.report, report);
    assert_eq!(remembered.marks[record.id.as_str()], "mark running");
    assert_eq!(remembered.bound["p1"], record.id);
    assert_eq!(remembered.suspects["p2"], suspect());
    assert!(remembered.birth.is_some());
    let watched = store.watched().await.unwrap();
    assert_eq!(watched[&record.id].word, "pulling");
    let scene = rig.store().scene(&record.id).await.unwrap().unwrap();
    let (seen, at) = scene.seen.of("p1").unwrap();
    assert_eq!((seen.facts.status.as_str(), at), ("running", Millis(9)));
    let due = reserve(&session, 10).await.jobs;
    assert_eq!(due.len(), 2, "the instance and the webhook");
    store.end_recovery(Millis(11)).await.unwrap();
    let ended = store.remembered().await.unwrap().report.recovery;
    assert_eq!(ended, Recovery::Ended { at: Millis(11) });
    let gone = Changes {
        entries: vec![Entry {
            field: record.id.to_string(),
            shown: None,
            due: None,
        }],
        cleared: vec!["p2".into()],
        ..Changes::default()
    };
    assert!(store.commit(&pass.id, &pass.token, gone).await.unwrap());
    let remembered = store.remembered().await.unwrap();
    assert!(remembered.marks.is_empty() && remembered.suspects.is_empty());
    assert_eq!(store.all().await.unwrap().1, report);
}

async fn a_pass_that_lost_its_lease_writes_nothing(rig: Rig) {
    let (store, session) = (store(&rig), rig.session(crate::rig::LONG_LEASE));
    let pass = take(&session, webhook("msg_pass")).await;
    let changes = Changes {
        entries: vec![entry(&InstanceId::generate(), "running", true)],
        report: Some(PassReport::default()),
        ..Changes::default()
    };
    assert!(!store.commit(&pass.id, "another", changes).await.unwrap());
    assert!(store.all().await.unwrap().0.is_empty());
    assert!(reserve(&session, 10).await.jobs.is_empty());
}

fn event(id: &InstanceId) -> Event {
    Event {
        id: EventId::generate(),
        instance_id: id.clone(),
        number: 1,
        kind: EventKind::RecordRebuilt,
        at: Millis(1),
        reason: "lost".into(),
        cause: Cause::Sweeper,
        actor: Actor::Policy,
        change: None,
        data: serde_json::Value::Null,
    }
}

async fn a_lost_record_is_restored_once_and_never_over_another(rig: Rig) {
    let (records, session) = (rig.store(), rig.session(crate::rig::LONG_LEASE));
    let lost = spec("alpha");
    let restore = async |name: &str| {
        let status = Status::default();
        records
            .restore(&lost, &status, &event(&lost.id), name)
            .await
            .unwrap()
    };
    assert!(restore("other").await);
    assert!(!restore("other").await, "there is one by now");
    let back = records.record(&lost.id).await.unwrap().unwrap();
    assert_eq!(back.spec, lost);
    assert_eq!(records.page(0, 10).await.unwrap().total, 1);
    assert_eq!(records.events(&lost.id, 0, 10).await.unwrap().len(), 1);
    assert_eq!(reserve(&session, 10).await.jobs.len(), 1);
    // Another instance took the name meanwhile.
    let twin = spec("alpha");
    let status = Status::default();
    let other = twin.id.to_string();
    let rebuilt = event(&twin.id);
    let restored = records.restore(&twin, &status, &rebuilt, &other);
    assert!(restored.await.unwrap());
    let back = records.record(&twin.id).await.unwrap().unwrap();
    assert_eq!(back.spec.name, other);
    assert_eq!(records.id_of("alpha").await.unwrap(), Some(lost.id.clone()));
}

async fn looks_and_restored_records_cost_what_their_headers_declare(rig: Rig) {
    let (store, session) = (store(&rig), session(&rig).await);
    let pass = take(&session, webhook("msg_pass")).await;
    wake_all(&rig).await;
    let one = InstanceId::generate();
    // So that the script is known.
    let nothing = Changes::default();
    store.commit(&pass.id, &pass.token, nothing).await.unwrap();
    let commit = async |token: &str, changes: Changes| {
        let committed = store.commit(&pass.id, token, changes);
        cost(&rig, committed).await.0
    };
    assert_eq!(commit("another", Changes::default()).await, 3, "refused");
    assert_eq!(commit(&pass.token, Changes::default()).await, 4, "nothing");
    let full = Changes {
        entries: vec![entry(&one, "running", true)],
        suspects: vec![("p2".into(), suspect())],
        ..Changes::default()
    };
    let enqueue = 5 - 2;
    assert_eq!(commit(&pass.token, full).await, 4 + 3 + enqueue, "changes");
    let gone = Changes {
        entries: vec![Entry {
            field: one.to_string(),
            shown: None,
            due: None,
        }],
        cleared: vec!["p2".into()],
        ..Changes::default()
    };
    assert_eq!(commit(&pass.token, gone).await, 4 + 3, "removed");
    let over = Changes {
        report: Some(PassReport::default()),
        ..Changes::default()
    };
    assert_eq!(commit(&pass.token, over).await, 4 + 1 + 1, "it is over");
    let records = rig.store();
    let warm = spec("warm");
    let status = Status::default();
    let restore = async |name: &str| {
        let lost = spec(name);
        let (event, other) = (event(&lost.id), lost.id.to_string());
        cost(&rig, records.restore(&lost, &status, &event, &other))
            .await
            .0
    };
    records
        .restore(&warm, &status, &event(&warm.id), "w")
        .await
        .unwrap();
    assert_eq!(restore("beta").await, 12 + enqueue, "a free name");
    assert_eq!(restore("beta").await, 14 + enqueue, "a taken name");
    let rebuilt = event(&warm.id);
    let again = records.restore(&warm, &status, &rebuilt, "w");
    assert_eq!(cost(&rig, again).await.0, 3, "there is one");
    conclude(&session, pass, Verdict::Done).await;
}
