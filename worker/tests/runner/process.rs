//! Poison for whole processes: bodies that the real worker cannot read, and a job that kills it.

use std::process::Stdio;
use std::time::Duration;

use devstack::stack::{Stack, StackOptions, Transport, eventually};
use shared::queue::{Delivery, Job, JobId, JobState, Queue, QueueAdmin, Reservation, StoredJob};
use shared::redis::{Command, Keys, Redis, Repeat, Target};
use tokio::process::{Child, Command as Program};
use tokio_util::sync::CancellationToken;
use worker::pulse::{ProviderHealth, Pulse};
use worker::runner::{self, RunnerOptions};

use crate::rig::{Doing, PATIENCE, Rig, SHORT_LEASE, connect, done, quick, webhook, webhooks};

/// Where the process is to work that the poison kills.
const VICTIM_VARIABLE: &str = "RUNNER_TEST_VICTIM";
const POISON: &str = "webhook:poison";

/// Puts a body where no producer of this version would, and makes it due.
async fn plant(redis: &Redis, keys: &Keys, id: &str, body: &str) {
    let commands = [
        Command::new("HSET").arg(keys.jobs()).args([id, body]),
        Command::new("ZADD")
            .arg(keys.timers())
            .args(["1", &format!("d:{id}")]),
    ];
    redis.read(&commands).await.unwrap();
}

async fn dead(admin: &QueueAdmin, id: &str) -> StoredJob {
    let id = JobId::stored(id.to_owned());
    eventually(&format!("{id} dead"), PATIENCE, async || {
        match admin.show(&id).await.unwrap() {
            Some(job) if job.state == JobState::Dead => Ok(job),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn bodies_that_cannot_be_read_and_unknown_kinds_end_in_the_dead_letter_of_a_living_worker() {
    let options = StackOptions {
        apis: 0,
        transport: Transport::Resp,
        ..StackOptions::default()
    };
    let mut stack = Stack::start(options).await.unwrap();
    let url = stack.redis().url();
    let (redis, keys) = (connect(Target::Resp { url }), Keys::new("novita_api"));
    let admin = QueueAdmin::new(redis.clone(), keys.clone());
    let poison = [
        (
            "webhook:cut",
            r#"2{"kind":"webhook","eventId":"evt_1","ur"#,
            "EOF",
        ),
        ("webhook:empty", "", "EOF"),
        (
            "webhook:other",
            r#"2{"kind":"webhook","eventId":7}"#,
            "invalid type",
        ),
        ("dance:1", r#"1{"kind":"dance"}"#, "unknown variant `dance`"),
        (
            "no kind at all",
            r#"1{"kind":"dance"}"#,
            "unknown variant `dance`",
        ),
        (
            "cron:moonphase",
            r#"3{"kind":"periodic","name":"moonphase"}"#,
            "unknown variant `moonphase`",
        ),
    ];
    for (id, body, _) in poison {
        plant(&redis, &keys, id, body).await;
    }
    // The worker is woken by a job that it can do, and finds all of them.
    let delivery = Job::Webhook(Delivery {
        event_id: "evt_good".parse().unwrap(),
        url: format!("{}/hook", stack.sink().url()),
        body: "{}".to_owned(),
        asked: None,
        headers: std::collections::BTreeMap::new(),
        traceparent: None,
    });
    let queue = Queue::new(redis.clone(), keys.clone(), SHORT_LEASE);
    queue
        .enqueue(std::slice::from_ref(&delivery))
        .await
        .unwrap();
    for (id, _, reason) in poison {
        let job = dead(&admin, id).await;
        let told = job.errors.first().map_or("", String::as_str);
        assert!(
            told.contains("unreadable body") && told.contains(reason),
            "{job:?}"
        );
        assert_eq!(
            job.attempts, 3,
            "another worker may be able to read it: {job:?}"
        );
    }
    eventually("a delivery", PATIENCE, async || {
        admin
            .show(&delivery.id())
            .await
            .unwrap()
            .map_or(Ok(()), |job| Err(format!("{job:?}")))
    })
    .await
    .unwrap();
    assert!(stack.workers()[0].pid().is_some());
    stack.stop().await.unwrap();
}

/// This test again, as a process of its own that works at the same Redis.
fn victim(rig: &Rig) -> Child {
    Program::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "process::a_job_that_kills_its_process_is_given_up_and_its_neighbours_are_done",
        ])
        .env(VICTIM_VARIABLE, rig.server.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Works until it dies.
async fn be_a_victim(url: String) {
    let (redis, keys) = (connect(Target::Resp { url }), Keys::new("runner"));
    let queue = Queue::new(redis.clone(), keys.clone(), SHORT_LEASE);
    let session = queue.session().to_owned();
    let pulse = Pulse::new(&redis, keys, session, 10, ProviderHealth::default());
    let handler = Doing(move |job: Reservation, _| async move {
        if job.id.as_str() == POISON {
            std::process::abort();
        }
        // At work when the poison strikes, so that it is lost with the process.
        tokio::time::sleep(Duration::from_millis(100)).await;
        done(job)
    });
    let options = RunnerOptions {
        max_attempts: 3,
        ..quick()
    };
    runner::run(
        queue,
        handler.into(),
        options,
        pulse,
        CancellationToken::new(),
    )
    .await;
}

#[tokio::test]
async fn a_job_that_kills_its_process_is_given_up_and_its_neighbours_are_done() {
    if let Ok(url) = std::env::var(VICTIM_VARIABLE) {
        return be_a_victim(url).await;
    }
    let rig = Rig::resp().await;
    rig.enqueue(&webhooks(5)).await;
    rig.enqueue(&[webhook("poison")]).await;
    for n in 1..=3 {
        let ended = tokio::time::timeout(PATIENCE, victim(&rig).wait()).await;
        let status = ended
            .unwrap_or_else(|_| panic!("process {n} never met the poison"))
            .unwrap();
        assert!(!status.success(), "{status}");
        rig.enqueue(&[webhook(&format!("bystander_{n}"))]).await;
    }
    let mut survivor = victim(&rig);
    let dead = rig.until_dead(POISON).await;
    assert_eq!((dead.crashes, dead.failures), (3, 1), "{dead:?}");
    assert_eq!(dead.errors, ["3 workers vanished while they worked on it"]);

    // All the others were recovered each time, and are done.
    eventually("the others done", PATIENCE, async || {
        let bodies = Command::new("HKEYS").arg(rig.keys.jobs());
        let left = rig.redis.run(bodies, Repeat::Harmless).await.unwrap();
        let mut left: Vec<_> = left
            .optional_texts()
            .unwrap()
            .into_iter()
            .flatten()
            .collect();
        left.retain(|field| !field.ends_with(POISON));
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await
    .unwrap();
    assert!(
        survivor.try_wait().unwrap().is_none(),
        "the last process lives"
    );
    survivor.kill().await.unwrap();
}
