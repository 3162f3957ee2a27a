//! What each script costs in billed commands: exactly what its header declares.

use std::collections::BTreeMap;

use shared::clock::Millis;
use shared::model::{Desired, OperationKind, Status};
use shared::queue::{
    BATCH, Job, JobId, JobKind, JobState, Queue, QueueAdmin, QueueStats, Reservation, Scope,
    Settlement, Verdict, Write,
};
use shared::store::Accepted;

use crate::rig::{LONG_LEASE, Rig, Trouble};
use crate::things::{
    HOUR, conclude, dead, event, failed, instance, reconcile, request, reserve, settle, spec, take,
    webhook,
};
use crate::wake_ups::asleep;

over_both_transports!(alone:
    enqueueing_costs_what_its_header_declares,
    accepting_costs_what_its_header_declares,
    reserving_costs_what_its_header_declares,
    settling_costs_what_its_header_declares,
    settling_a_mixture_costs_what_its_header_declares,
    what_a_settlement_brings_costs_what_its_header_declares,
    extending_and_checkpoints_cost_what_their_headers_declare,
    administration_costs_what_its_headers_declare,
    pausing_costs_what_its_headers_declare,
    a_look_of_an_idle_worker_costs_three_commands,
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
    assert_eq!(enqueue(jobs("b", BATCH)).await, 5, "a hundred new jobs");
    assert_eq!(enqueue(jobs("a", 1)).await, 5 + 2, "one that waits in line");
    let _ = reserve(&session, 1 + BATCH).await;
    wake_all(&rig).await;
    assert_eq!(enqueue(jobs("b", 10)).await, 3 + 2, "ten that are held");
    let again = enqueue(jobs("b", 10)).await;
    assert_eq!(again, 3 + 1, "ten that are held and wanted again already");
    let later = async |jobs: Vec<Job>| {
        let delayed = session.enqueue_after(&jobs, HOUR);
        cost(&rig, delayed).await.0
    };
    assert_eq!(later(jobs("z", 5)).await, 3 + 1, "five for later");
    assert_eq!(later(jobs("z", 5)).await, 3 + 1 + 2, "the same once more");
    let ensure = async |jobs: Vec<Job>| cost(&rig, session.ensure(&jobs)).await.0;
    assert_eq!(ensure(jobs("z", 2)).await, 2 + 2 * 2, "two that exist");
    assert_eq!(ensure(jobs("y", 1)).await, 2 + 1 + 5, "one that does not");
    let _ = reserve(&session, BATCH).await;
    let buried = take(&session, webhook("msg_dead")).await;
    conclude(&session, buried, dead()).await;
    let revived = cost(&rig, session.enqueue(&[webhook("msg_dead")])).await.0;
    assert_eq!(revived, 5 + 2 + 2, "one that is dead");
    let _ = reserve(&session, BATCH).await;
    wake_all(&rig).await;
    let gone = rig.session(LONG_LEASE);
    assert!(reserve(&gone, 1).await.jobs.is_empty());
    let mut listeners = Vec::new();
    for _ in 0..6 {
        listeners.push(asleep(&rig).await);
    }
    let woken = enqueue(jobs("c", 1)).await;
    assert_eq!(
        woken,
        5 + 1 + 2,
        "one sleeper woken, in place of one that is gone"
    );
    let _ = reserve(&session, 1).await;
    assert_eq!(enqueue(jobs("d", 1)).await, 5 + 1, "one sleeper woken");
    assert_eq!(enqueue(jobs("e", 5)).await, 5 + 4, "at most four woken");
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
    assert_eq!(
        reserved(10, 0).await,
        4 + 1,
        "nothing there: it falls asleep"
    );
    assert_eq!(reserved(10, 0).await, 4, "still nothing there");
    assert_eq!(reserved(0, 0).await, 3 + 1, "nothing wanted: it wakes");
    assert_eq!(reserved(0, 0).await, 3, "still nothing wanted");
    session.enqueue(&jobs("a", 1)).await.unwrap();
    assert_eq!(reserved(1, 1).await, 7, "one");
    session.enqueue(&jobs("b", BATCH)).await.unwrap();
    assert_eq!(reserved(BATCH, BATCH).await, 7, "a full batch");
    session.enqueue(&jobs("c", 3)).await.unwrap();
    assert_eq!(reserved(10, 3).await, 7 + 1, "fewer than wanted");
    assert_eq!(reserved(0, 0).await, 3 + 1, "awake");

    for n in 0..50 {
        pass_time(&rig, &format!("l:instance:b{n}")).await;
    }
    assert_eq!(reserved(50, 50).await, 7 + 2, "expired leases");
    for job in hold(&session, "d", 50).await {
        let id = job.id.clone();
        conclude(&session, job, Verdict::Again(HOUR)).await;
        pass_time(&rig, &format!("d:{id}")).await;
    }
    assert_eq!(reserved(50, 50).await, 7 + 3, "delayed jobs");

    session.enqueue(&jobs("e", 3)).await.unwrap();
    let mut call = session.call(Vec::new(), 3);
    rig.arm(Trouble::LostReply, "EVALSHA");
    session.exchange(&mut call).await.unwrap_err();
    let (billed, exchange) = cost(&rig, session.exchange(&mut call)).await;
    assert_eq!(exchange.unwrap().jobs.len(), 3);
    assert_eq!(billed, 4, "repeated");
}

async fn settling_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    for (what, verdict, own) in [
        ("done", Verdict::Done, 1),
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
        3 + 3 + 1 + 1,
        "a late one"
    );

    let job = hold(&session, "s", 1).await.remove(0);
    session.enqueue(&jobs("t", 1)).await.unwrap();
    let mut call = session.call(vec![job.settle(Verdict::Done, Vec::new())], 1);
    let (billed, exchange) = cost(&rig, session.exchange(&mut call)).await;
    assert_eq!(exchange.unwrap().jobs.len(), 1);
    assert_eq!(
        billed,
        3 + 7 + 1,
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
    assert_eq!(billed, 3 + 3 + 5 + 1, "every verdict at once");

    let _ = reserve(&session, 2).await;
    let mut call = mixture("b").await;
    rig.arm(Trouble::LostReply, "EVALSHA");
    session.exchange(&mut call).await.unwrap_err();
    let (billed, exchange) = cost(&rig, session.exchange(&mut call)).await;
    assert_eq!(exchange.unwrap().applied, [true; 10]);
    assert_eq!(billed, 5, "repeated");
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
            3,
            vec![Write::Enqueue(webhook("m1")), Write::Enqueue(webhook("m2"))],
        ),
    ];
    for (number, (what, own, writes)) in cases.into_iter().enumerate() {
        let job = hold(&session, &format!("w{number}-"), 1).await.remove(0);
        wake_all(&rig).await;
        let settlement: Vec<Settlement> = vec![job.settle(Verdict::Done, writes)];
        let (billed, applied) = cost(&rig, settle(&session, settlement)).await;
        assert_eq!(applied, [true]);
        assert_eq!(billed, 3 + 3 + 1 + own, "{what}");
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

async fn administration_costs_what_its_headers_declare(rig: Rig) {
    let session = session(&rig).await;
    let admin = QueueAdmin::new(rig.redis.clone(), rig.keys.clone());
    let stats = async || cost(&rig, QueueStats::read(&rig.redis, &rig.keys)).await.0;
    let list = async |state| cost(&rig, admin.list(state, 0, 10)).await.0;
    let show = async |job: &Job| cost(&rig, admin.show(&job.id())).await.0;
    let _ = (
        stats().await,
        list(JobState::Dead).await,
        show(&webhook("w")).await,
    );
    let _ = (
        admin.retry(&webhook("w").id()).await,
        admin.resume(Scope::All).await,
    );
    assert_eq!(stats().await, 5, "nothing there");
    for (state, expected) in [
        (JobState::Dead, 4),
        (JobState::Due, 5),
        (JobState::Leased, 3),
    ] {
        assert_eq!(list(state).await, expected, "an empty list: {state:?}");
    }
    let job = webhook("msg_1");
    assert_eq!(show(&job).await, 3, "no such job");
    let exhume = async |verb: &str| match verb {
        "retry" => cost(&rig, admin.retry(&job.id())).await.0,
        _ => cost(&rig, admin.drop_dead(&job.id())).await.0,
    };
    assert_eq!(exhume("retry").await, 3, "no such job");

    session.enqueue(std::slice::from_ref(&job)).await.unwrap();
    assert_eq!(stats().await, 5 + 2, "one that is due");
    assert_eq!(list(JobState::Due).await, 5 + 1);
    assert_eq!(show(&job).await, 4, "due");
    assert_eq!(exhume("drop").await, 3 + 4, "not dead; and its state");
    let held = reserve(&session, 1).await.jobs.remove(0);
    assert_eq!(list(JobState::Leased).await, 3 + 1);
    assert_eq!(show(&job).await, 5, "leased");
    conclude(&session, held, failed(HOUR)).await;
    assert_eq!(show(&job).await, 6, "delayed");
    for verb in ["retry", "drop"] {
        pass_time(&rig, "d:webhook:msg_1").await;
        let held = reserve(&session, 1).await.jobs.remove(0);
        conclude(&session, held, dead()).await;
        assert_eq!(show(&job).await, 4, "dead");
        assert_eq!(list(JobState::Dead).await, 4 + 1);
        // HSET, HMGET, ZREM, HDEL, ZADD, ZREM, ZPOPMIN; or ZREM, HDEL.
        let own = if verb == "retry" { 7 } else { 2 };
        assert_eq!(exhume(verb).await, 3 + own, "{verb}");
        let back = reserve(&session, 1).await.jobs;
        for job in back {
            conclude(&session, job, failed(HOUR)).await;
        }
    }
}

async fn pausing_costs_what_its_headers_declare(rig: Rig) {
    let session = session(&rig).await;
    let admin = QueueAdmin::new(rig.redis.clone(), rig.keys.clone());
    let webhooks = Scope::Kind(JobKind::Webhook);
    let _ = admin.resume(webhooks).await.unwrap();
    assert_eq!(cost(&rig, admin.pause(webhooks)).await.0, 4, "pause");
    session
        .enqueue(&[webhook("msg_1"), webhook("msg_2")])
        .await
        .unwrap();
    let parked = cost(&rig, reserve(&session, 2)).await.0;
    assert_eq!(parked, 4 + 1, "two that are parked");
    assert_eq!(cost(&rig, admin.resume(webhooks)).await.0, 3 + 2, "resume");
    assert_eq!(cost(&rig, admin.resume(webhooks)).await.0, 3, "not paused");
    let (billed, exchange) = cost(&rig, reserve(&session, 2)).await;
    assert_eq!(exchange.jobs.len(), 2);
    assert_eq!(billed, 7 + 2 + 1 + 1 + 1, "what resumes");
    assert_eq!(cost(&rig, admin.pause(Scope::All)).await.0, 4, "pause all");
    assert_eq!(
        cost(&rig, reserve(&session, 2)).await.0,
        3 + 1,
        "nothing is handed out"
    );
}

async fn a_look_of_an_idle_worker_costs_three_commands(rig: Rig) {
    let session = session(&rig).await;
    let (billed, peek) = cost(&rig, session.peek(Millis(1))).await;
    assert!(!peek.unwrap().is_due);
    assert_eq!(billed, 3);
}
