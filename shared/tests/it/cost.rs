//! What each script costs in billed commands: exactly what its header declares.

use shared::clock::Millis;
use shared::envs::EnvsKey;
use shared::model::{Claim, Desired, EnvVar, OperationKind, Rate, Spec, Status};
use shared::queue::{
    BATCH, Job, JobId, JobKind, JobState, Queue, QueueAdmin, QueueStats, Scope, Verdict,
};
use shared::store::{Accepted, Claimed, Memo, Promise};

use crate::meter::{cost, held, hold, jobs, pass_time, session, wake_all};
use crate::recall::answered;
use crate::rig::{LONG_LEASE, Rig, Trouble};
use crate::things::{
    HOUR, conclude, dead, failed, instance, request, reserve, settle, spec, take, webhook,
};
use crate::wake_ups::asleep;

over_both_transports!(alone:
    enqueueing_costs_what_its_header_declares,
    accepting_costs_what_its_header_declares,
    reserving_budget_costs_what_its_header_declares,
    reserving_costs_what_its_header_declares,
    extending_and_checkpoints_cost_what_their_headers_declare,
    administration_costs_what_its_headers_declare,
    pausing_costs_what_its_headers_declare,
    remembering_answers_costs_what_its_headers_declare,
    f27_a_look_of_an_idle_worker_costs_three_commands,
);

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
    assert_eq!(later(jobs("z", 5)).await, 3 + 1 + 3, "the same once more");
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
    let sealing = store.clone().with_envs_key(EnvsKey::derive("secret"));
    let secretive = self::spec("secretive");
    let envs = [EnvVar {
        key: "A".into(),
        value: "b".into(),
    }];
    let (billed, _) = cost(&rig, sealing.create_once(&secretive, &envs, None)).await;
    assert_eq!(billed, 9 + 1, "a new instance with variables");
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
        10,
        "a change of an instance that is held"
    );
    assert_eq!(change(Accepted::Conflict).await, 4, "a conflict");

    let waiting = self::spec("beta");
    store.create(&waiting).await.unwrap();
    let record = store.record(&waiting.id).await.unwrap().unwrap();
    let gone = waiting.wanting(Desired::Deleted, request(OperationKind::Delete));
    let (billed, accepted) = cost(&rig, store.change(&record, &gone)).await;
    assert_eq!(accepted.unwrap(), Accepted::Yes);
    assert_eq!(billed, 12, "a change of an instance whose job waits");
}

async fn remembering_answers_costs_what_its_headers_declare(rig: Rig) {
    let store = rig.store();
    store.create(&spec("warm")).await.unwrap();
    let warm = Memo::new("warm".to_owned(), "asked".to_owned());
    store.claim(&warm, HOUR).await.unwrap();
    let promise = |key: &str| Promise {
        memo: Memo::new(key.to_owned(), "asked".to_owned()),
        answer: answered("{}"),
    };
    let create = async |name: &str, key: &str| {
        let (spec, promise) = (spec(name), promise(key));
        let (billed, _) = cost(&rig, store.create_once(&spec, &[], Some(&promise))).await;
        billed
    };
    assert_eq!(create("alpha", "k1").await, 9 + 2, "a new instance");
    assert_eq!(create("alpha", "k2").await, 5 + 1, "a taken name");
    let other = Promise {
        answer: answered("other"),
        ..promise("k1")
    };
    let beta = spec("beta");
    let known = store.create_once(&beta, &[], Some(&other));
    assert_eq!(cost(&rig, known).await.0, 3, "a known key");

    let memo = Memo::new("k3".to_owned(), "asked".to_owned());
    assert_eq!(cost(&rig, store.recall(&memo)).await.0, 1, "a look");
    let (billed, claimed) = cost(&rig, store.claim(&memo, HOUR)).await;
    assert_eq!(billed, 3, "a claim");
    let Claimed::Ours(claim) = claimed.unwrap() else {
        panic!("not ours");
    };
    assert_eq!(
        cost(&rig, store.claim(&memo, HOUR)).await.0,
        2,
        "a claim too late"
    );
    let answer = answered("{}");
    let kept = store.keep(claim, &answer);
    assert_eq!(cost(&rig, kept).await.0, 3, "a kept answer");
}

async fn reserving_budget_costs_what_its_header_declares(rig: Rig) {
    let session = session(&rig).await;
    let store = rig.store();
    store.create(&spec("warm")).await.unwrap();
    let claim = |units| Some(Claim::new(Rate::of_units(units), Rate::of_units(100)));
    let create = async |spec: &Spec, units| {
        let mut spec = spec.clone();
        spec.request.claim = claim(units);
        let (billed, accepted) = cost(&rig, store.create(&spec)).await;
        (billed, accepted.unwrap())
    };
    let alpha = spec("alpha");
    let accepted = create(&alpha, 60).await;
    assert_eq!(accepted, (9 + 3, Accepted::Yes), "a new instance");
    let (billed, refused) = create(&spec("beta"), 60).await;
    assert!(matches!(refused, Accepted::OverBudget(_)), "{refused:?}");
    assert_eq!(billed, 4, "over budget");

    let _ = reserve(&session, 10).await;
    wake_all(&rig).await;
    let change = async |units| {
        let record = store.record(&alpha.id).await.unwrap().unwrap();
        let mut start = request(OperationKind::Start);
        start.claim = claim(units);
        let next = record.spec.wanting(Desired::Running, start);
        let (billed, accepted) = cost(&rig, store.change(&record, &next)).await;
        (billed, accepted.unwrap())
    };
    assert_eq!(change(70).await, (10 + 2, Accepted::Yes), "a change");
    assert_eq!(change(120).await.0, 5, "a change over budget");
    // One command less: the job is marked already as wanted again.
    for _ in 0..19 {
        assert_eq!(change(70).await, (9 + 2, Accepted::Yes), "once more");
    }
    let accepted = change(70).await;
    assert_eq!(accepted, (9 + 2 + 1, Accepted::Yes), "one is forgotten");
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
    assert_eq!(billed, 5, "repeated");
}

async fn extending_and_checkpoints_cost_what_their_headers_declare(rig: Rig) {
    let session = session(&rig).await;
    let jobs = hold(&session, "a", BATCH).await;
    let (one, all) = (held(&jobs[..1]), held(&jobs));
    let extend = async |held: &[(JobId, String)]| cost(&rig, session.extend(held)).await.0;
    assert_eq!(extend(&one).await, 5, "one lease");
    assert_eq!(extend(&all).await, 5, "a thousand leases");
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
        7,
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
    // The server learns the scripts.
    QueueStats::read(&rig.redis, &rig.keys).await.unwrap();
    admin.list(JobState::Dead, 0, 10).await.unwrap();
    admin.show(&webhook("w").id()).await.unwrap();
    admin.retry(&webhook("w").id()).await.unwrap();
    admin.resume(Scope::All).await.unwrap();
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
    assert_eq!(parked, 4 + 1 + 1 + 3, "two that are parked");
    assert_eq!(
        cost(&rig, admin.resume(webhooks)).await.0,
        3 + 2 + 1,
        "resume, and wake"
    );
    assert_eq!(cost(&rig, admin.resume(webhooks)).await.0, 3, "not paused");
    let (billed, exchange) = cost(&rig, reserve(&session, 2)).await;
    assert_eq!(exchange.jobs.len(), 2);
    assert_eq!(billed, 7 + 1 + 2 + 1 + 1 + 1, "what resumes");
    for job in exchange.jobs {
        conclude(&session, job, Verdict::Done).await;
    }
    late_costs_what_its_headers_declare(&rig, &session, &admin).await;
    assert_eq!(cost(&rig, admin.pause(Scope::All)).await.0, 4, "pause all");
    assert_eq!(
        cost(&rig, reserve(&session, 2)).await.0,
        3 + 1,
        "nothing is handed out"
    );
}

/// What a holder costs whose lease ended, and whose job waits among the paused since.
async fn late_costs_what_its_headers_declare(rig: &Rig, session: &Queue, admin: &QueueAdmin) {
    let job = hold(session, "late", 1).await.remove(0);
    let (id, instance, status) = (job.id.clone(), instance("late0"), Status::default());
    admin.pause(Scope::Kind(JobKind::Instance)).await.unwrap();
    let park = async || {
        pass_time(rig, &format!("l:{id}")).await;
        assert!(reserve(session, 1).await.jobs.is_empty());
        wake_all(rig).await;
        session.woken();
    };
    park().await;
    let held = held(std::slice::from_ref(&job));
    assert_eq!(cost(rig, session.extend(&held)).await.0, 5 + 1, "extend");
    park().await;
    let written = session.checkpoint(&id, &job.token, &instance, None, &status);
    assert_eq!(cost(rig, written).await.0, 7 + 1, "checkpoint");
    park().await;
    let settlement = vec![job.settle(Verdict::Done, Vec::new())];
    let (billed, applied) = cost(rig, settle(session, settlement)).await;
    assert_eq!(applied, [true]);
    assert_eq!(billed, 3 + 3 + 1 + 2 + 1, "settle, and sleep no more");
}

async fn f27_a_look_of_an_idle_worker_costs_three_commands(rig: Rig) {
    let session = session(&rig).await;
    let (billed, peek) = cost(&rig, session.peek(Millis(1))).await;
    assert!(!peek.unwrap().is_due);
    assert_eq!(billed, 3);
}
