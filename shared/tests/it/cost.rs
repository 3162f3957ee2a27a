//! What each script costs in billed commands: exactly what its header declares.

use std::collections::BTreeMap;

use shared::model::{Desired, OperationKind, Status};
use shared::queue::{
    BATCH, Job, JobId, Queue, QueueStats, Reservation, Settlement, Verdict, Write,
};
use shared::store::Accepted;

use crate::rig::{LONG_LEASE, Rig, Trouble};
use crate::things::{
    HOUR, conclude, dead, event, failed, instance, reconcile, request, reserve, settle, spec, take,
    webhook,
};

over_both_transports!(alone:
    enqueueing_costs_what_its_header_declares,
    accepting_costs_what_its_header_declares,
    reserving_costs_what_its_header_declares,
    settling_costs_what_its_header_declares,
    settling_a_mixture_costs_what_its_header_declares,
    what_a_settlement_brings_costs_what_its_header_declares,
    extending_and_checkpoints_cost_what_their_headers_declare,
    the_queue_in_numbers_costs_seven_commands,
);

/// Commands that are not billed: Upstash REST reference. `CLIENT` only ever sets up a connection.
const FREE: [&str; 9] = [
    "auth", "client", "hello", "select", "command", "config", "info", "ping", "quit",
];

/// Calls by command since the server started.
async fn calls(rig: &Rig) -> BTreeMap<String, u64> {
    let info = rig.ask(["INFO", "commandstats"]).await.text().unwrap();
    let mut calls = BTreeMap::new();
    for line in info.lines() {
        let Some((name, stats)) = line.trim_start_matches("cmdstat_").split_once(":calls=") else {
            continue;
        };
        if !FREE.contains(&name.split('|').next().unwrap()) {
            let count = stats.split(',').next().unwrap().parse().unwrap();
            calls.insert(name.to_owned(), count);
        }
    }
    calls
}

/// The billed commands of one action. The scripts must be known to the server.
async fn cost<T>(rig: &Rig, action: impl Future<Output = T>) -> (u64, T) {
    let before: u64 = calls(rig).await.values().sum();
    let result = action.await;
    let after: u64 = calls(rig).await.values().sum();
    (after - before, result)
}

/// Everybody but the next to ask is awake.
async fn wake_all(rig: &Rig) {
    rig.ask(["DEL", &rig.keys.idle()]).await;
}

async fn pass_time(rig: &Rig, member: &str) {
    rig.ask(["ZADD", &rig.keys.timers(), "XX", "1", member])
        .await;
}

/// A session, on a server that knows every script.
async fn session(rig: &Rig) -> Queue {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, webhook("msg_warm")).await;
    let held = held(std::slice::from_ref(&job));
    session.extend(&held).await.unwrap();
    let status = Status::default();
    let warm = instance("warm");
    session
        .checkpoint(&job.id, &job.token, &warm, None, &status)
        .await
        .unwrap();
    conclude(&session, job, Verdict::Done).await;
    wake_all(rig).await;
    session
}

fn jobs(prefix: &str, count: usize) -> Vec<Job> {
    (0..count)
        .map(|n| reconcile(&format!("{prefix}{n}")))
        .collect()
}

fn held(jobs: &[Reservation]) -> Vec<(JobId, String)> {
    jobs.iter()
        .map(|job| (job.id.clone(), job.token.clone()))
        .collect()
}

/// Enqueues so many jobs and takes them.
async fn hold(session: &Queue, prefix: &str, count: usize) -> Vec<Reservation> {
    session.enqueue(&jobs(prefix, count)).await.unwrap();
    let jobs = reserve(session, count).await.jobs;
    assert_eq!(jobs.len(), count);
    jobs
}

async fn enqueueing_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    let enqueue = async |jobs: Vec<Job>| cost(&rig, session.enqueue(&jobs)).await.0;
    assert_eq!(enqueue(jobs("a", 1)).await, 5, "one new job");
    assert_eq!(enqueue(jobs("b", 10)).await, 3 + 2 * 10, "ten new jobs");
    assert_eq!(enqueue(jobs("a", 1)).await, 3 + 4, "one that waits in line");
    let _ = reserve(&session, 11).await;
    wake_all(&rig).await;
    assert_eq!(enqueue(jobs("a", 1)).await, 2 + 3, "one that is held");
    assert_eq!(
        enqueue(jobs("a", 1)).await,
        2 + 2,
        "one that is held and wanted again already"
    );
    for _ in 0..6 {
        let _ = reserve(&rig.session(LONG_LEASE), 1).await;
    }
    assert_eq!(enqueue(jobs("c", 1)).await, 5 + 1, "one sleeper woken");
    assert_eq!(
        enqueue(jobs("d", 5)).await,
        3 + 2 * 5 + 4,
        "at most four woken"
    );
}

async fn accepting_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    let (store, spec) = (rig.store(), spec("alpha"));
    store.create(&self::spec("warm")).await.unwrap();
    assert_eq!(cost(&rig, store.create(&spec)).await.0, 9, "a new instance");
    let (billed, taken) = cost(&rig, store.create(&self::spec("alpha"))).await;
    assert_eq!(taken.unwrap(), Accepted::NameTaken(spec.id.to_string()));
    assert_eq!(billed, 5, "a taken name");
    let _ = reserve(&session, 10).await;
    wake_all(&rig).await;
    let record = store.record(&spec.id).await.unwrap().unwrap();
    let change = async |expected| {
        let gone = spec.wanting(Desired::Deleted, request(OperationKind::Delete));
        let (billed, accepted) = cost(&rig, store.change(&record, &gone)).await;
        assert_eq!(accepted.unwrap(), expected);
        billed
    };
    assert_eq!(
        change(Accepted::Yes).await,
        9,
        "a change of an instance that is held"
    );
    assert_eq!(change(Accepted::Conflict).await, 4, "a conflict");

    let waiting = self::spec("beta");
    store.create(&waiting).await.unwrap();
    let record = store.record(&waiting.id).await.unwrap().unwrap();
    let gone = waiting.wanting(Desired::Deleted, request(OperationKind::Delete));
    let (billed, accepted) = cost(&rig, store.change(&record, &gone)).await;
    assert_eq!(accepted.unwrap(), Accepted::Yes);
    assert_eq!(billed, 11, "a change of an instance whose job waits");
}

async fn reserving_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    let reserved = async |count, expected| {
        let (billed, exchange) = cost(&rig, reserve(&session, count)).await;
        assert_eq!(exchange.jobs.len(), expected);
        billed
    };
    assert_eq!(reserved(10, 0).await, 5, "nothing there");
    assert_eq!(reserved(0, 0).await, 3, "nothing wanted");
    session.enqueue(&jobs("a", 1)).await.unwrap();
    assert_eq!(reserved(1, 1).await, 8, "one");
    session.enqueue(&jobs("b", BATCH)).await.unwrap();
    assert_eq!(reserved(BATCH, BATCH).await, 8, "a full batch");
    session.enqueue(&jobs("c", 3)).await.unwrap();
    assert_eq!(reserved(10, 3).await, 9, "fewer than wanted");

    for n in 0..50 {
        pass_time(&rig, &format!("l:instance:b{n}")).await;
    }
    assert_eq!(reserved(50, 50).await, 8 + 2, "expired leases");
    for job in hold(&session, "d", 50).await {
        let id = job.id.clone();
        conclude(&session, job, Verdict::Again(HOUR)).await;
        pass_time(&rig, &format!("d:{id}")).await;
    }
    assert_eq!(reserved(50, 50).await, 8 + 3, "delayed jobs");

    session.enqueue(&jobs("e", 3)).await.unwrap();
    let mut call = session.call(Vec::new(), 3);
    rig.arm(Trouble::LostReply, "EVALSHA");
    session.exchange(&mut call).await.unwrap_err();
    let (billed, exchange) = cost(&rig, session.exchange(&mut call)).await;
    assert_eq!(exchange.unwrap().jobs.len(), 3);
    assert_eq!(billed, 5, "repeated");
}

async fn settling_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    for (what, verdict, own) in [
        ("done", Verdict::Done, 2),
        ("again", Verdict::Again(HOUR), 2),
        ("retry", failed(HOUR), 2),
        ("dead", dead(), 2),
    ] {
        for count in [1, BATCH] {
            let held = hold(&session, &format!("{what}{count}-"), count).await;
            let mut settlements = Vec::new();
            for job in held {
                settlements.push(job.settle(verdict.clone(), Vec::new()));
            }
            let (billed, applied) = cost(&rig, settle(&session, settlements)).await;
            assert!(applied.into_iter().all(|applied| applied));
            assert_eq!(billed, 3 + 3 + own, "{count} {what}, nothing wanted");
        }
    }
    wake_all(&rig).await;
    let released = hold(&session, "r", 1).await.remove(0);
    let settlement = vec![released.settle(Verdict::Release, Vec::new())];
    assert_eq!(
        cost(&rig, settle(&session, settlement)).await.0,
        3 + 3 + 2 + 1,
        "release"
    );

    let mut held = reserve(&session, 1).await.jobs;
    let expired = held.remove(0);
    pass_time(&rig, "l:instance:r0").await;
    let onlooker = rig.session(LONG_LEASE);
    let _ = reserve(&onlooker, 0).await;
    let late = vec![expired.settle(Verdict::Done, Vec::new())];
    assert_eq!(
        cost(&rig, settle(&session, late)).await.0,
        3 + 3 + 2 + 1,
        "a late one"
    );

    let job = hold(&session, "s", 1).await.remove(0);
    session.enqueue(&jobs("t", 1)).await.unwrap();
    let mut call = session.call(vec![job.settle(Verdict::Done, Vec::new())], 1);
    let (billed, exchange) = cost(&rig, session.exchange(&mut call)).await;
    assert_eq!(exchange.unwrap().jobs.len(), 1);
    assert_eq!(
        billed,
        3 + 8 + 2,
        "one done and the next one taken: the steady state"
    );
}

async fn settling_a_mixture_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    let mixture = async |prefix: &str| {
        let held = hold(&session, prefix, 10).await;
        let verdicts = [
            Verdict::Done,
            Verdict::Again(HOUR),
            failed(HOUR),
            dead(),
            Verdict::Release,
        ];
        let mut settlements = Vec::new();
        for (job, verdict) in held.into_iter().zip(verdicts.iter().cycle()) {
            settlements.push(job.settle(verdict.clone(), Vec::new()));
        }
        session.call(settlements, 0)
    };
    let mut call = mixture("a").await;
    let (billed, _) = cost(&rig, session.exchange(&mut call)).await;
    assert_eq!(billed, 3 + 3 + 6 + 1, "every verdict at once");

    let _ = reserve(&session, 2).await;
    let mut call = mixture("b").await;
    rig.arm(Trouble::LostReply, "EVALSHA");
    session.exchange(&mut call).await.unwrap_err();
    let (billed, exchange) = cost(&rig, session.exchange(&mut call)).await;
    assert_eq!(exchange.unwrap().applied, [true; 10]);
    assert_eq!(billed, 6, "repeated");
}

async fn what_a_settlement_brings_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    let spec = spec("alpha");
    let status = || Write::Status(spec.id.clone(), Box::default());
    let operation = || Write::Operation(Box::new(spec.operation()));
    let logged = |number| Write::Event(Box::new(event(&spec.id, number)));
    let release_name = || Write::ReleaseName("alpha".into(), spec.id.clone());
    rig.store().create(&spec).await.unwrap();
    let _ = reserve(&session, 10).await;
    let cases: Vec<(&str, u64, Vec<Write>)> = vec![
        ("nothing", 0, vec![]),
        ("a status", 1, vec![status()]),
        ("an operation", 1, vec![operation()]),
        (
            "several statuses and operations",
            2,
            vec![status(), operation(), status(), operation()],
        ),
        ("three events", 6, vec![logged(1), logged(2), logged(3)]),
        ("a closed instance", 2, vec![Write::Close(spec.id.clone())]),
        ("a name", 2, vec![release_name()]),
        (
            "a name that it does not hold any more",
            1,
            vec![release_name()],
        ),
        (
            "two follow-up jobs",
            5,
            vec![Write::Enqueue(webhook("m1")), Write::Enqueue(webhook("m2"))],
        ),
    ];
    for (number, (what, own, writes)) in cases.into_iter().enumerate() {
        let job = hold(&session, &format!("w{number}-"), 1).await.remove(0);
        wake_all(&rig).await;
        let settlement: Vec<Settlement> = vec![job.settle(Verdict::Done, writes)];
        let (billed, applied) = cost(&rig, settle(&session, settlement)).await;
        assert_eq!(applied, [true]);
        assert_eq!(billed, 3 + 3 + 2 + own, "{what}");
    }
}

async fn extending_and_checkpoints_cost_what_their_headers_declare(rig: Rig) {
    let session = session(&rig).await;
    let jobs = hold(&session, "a", BATCH).await;
    let (one, all) = (held(&jobs[..1]), held(&jobs));
    let extend = async |held: &[(JobId, String)]| cost(&rig, session.extend(held)).await.0;
    assert_eq!(extend(&one).await, 4, "one lease");
    assert_eq!(extend(&all).await, 4, "a hundred leases");
    assert_eq!(extend(&[]).await, 0, "none");
    let expire = async || {
        pass_time(&rig, "l:instance:a0").await;
        let _ = reserve(&rig.session(LONG_LEASE), 0).await;
    };
    expire().await;
    assert_eq!(extend(&all).await, 5, "one of them had expired");

    let (status, a0) = (Status::default(), instance("a0"));
    let checkpoint =
        |token, began_with| session.checkpoint(&jobs[0].id, token, &a0, began_with, &status);
    let token = jobs[0].token.as_str();
    assert_eq!(
        cost(&rig, checkpoint(token, None)).await.0,
        6,
        "a checkpoint"
    );
    expire().await;
    assert_eq!(
        cost(&rig, checkpoint(token, None)).await.0,
        7,
        "a late checkpoint"
    );
    assert_eq!(
        cost(&rig, checkpoint("x", None)).await.0,
        3,
        "somebody else's"
    );
    rig.ask(["HSET", &rig.keys.status(), a0.as_str(), "{}"])
        .await;
    assert_eq!(
        cost(&rig, checkpoint(token, None)).await.0,
        4,
        "an outdated one"
    );
}

async fn the_queue_in_numbers_costs_seven_commands(rig: Rig) {
    let session = session(&rig).await;
    let jobs = hold(&session, "a", 10).await;
    assert_eq!(
        cost(&rig, QueueStats::read(&rig.redis, &rig.keys)).await.0,
        7
    );
    let mut settlements = Vec::new();
    for job in jobs {
        settlements.push(job.settle(Verdict::Done, Vec::new()));
    }
    assert_eq!(settle(&session, settlements).await, [true; 10]);
    assert_eq!(
        cost(&rig, QueueStats::read(&rig.redis, &rig.keys)).await.0,
        7
    );
}
