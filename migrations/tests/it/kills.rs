//! SIGKILL at fifty random moments: a second run completes what the first one began, and a verification
//! finds it whole.

use std::time::{Duration, Instant};

use devstack::redis::{RedisOptions, RedisServer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use shared::redis::{Command, Redis};

use crate::rig::{Rig, Transport, ask, client};

/// Kills of each command; together at least fifty.
const KILLS: usize = 17;
/// Records that are written in one run: enough for many batches.
const RECORDS: usize = 400;
/// So that a second run need not wait long for the lock of the first.
const SOON: [&str; 2] = ["--lock-lease-ms=1000", "--lock-wait-ms=30000"];

async fn put(redis: &Redis, commands: Vec<Command>) {
    for commands in commands.chunks(100) {
        redis.read(commands).await.unwrap();
    }
}

fn state(at: usize) -> Value {
    let id = format!("inst_{at}_kill");
    let data = json!({
        "id": id, "name": format!("train-{at}"), "status": "running", "productId": "p",
        "templateId": "1", "configuration": { "gpuNum": 1, "rootfsSize": 60, "region": "r" },
        "timestamps": { "created": "__DATE__:2026-11-22T20:53:45.819Z" },
        "novitaInstanceId": format!("gpu-{at}"),
    });
    json!({ "data": data, "timestamp": 1_795_380_863_520_u64, "ttl": 86_400_000 })
}

/// The predecessor's Redis, with that many instances and as many webhooks to be sent.
async fn source() -> RedisServer {
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let mut commands = Vec::new();
    for at in 0..RECORDS {
        let key = format!("cache:instance-states-persistent:inst_{at}_kill");
        commands.push(Command::new("SET").args([key, state(at).to_string()]));
        let id = format!("job_{at}");
        let payload = json!({ "url": "https://x.example.com", "payload": { "n": at } });
        let job = json!({
            "id": id, "type": "send_webhook", "status": "pending", "payload": payload.to_string(),
        });
        let key = format!("jobs:data:{id}");
        commands.push(Command::new("HSET").args([key, "data".to_owned(), job.to_string()]));
    }
    put(&client(&server), commands).await;
    server
}

/// Runs the tool to its end, to learn how long that takes.
async fn timed(rig: &Rig, args: &[&str]) -> Duration {
    let began = Instant::now();
    rig.tool(args).await.ending(0);
    began.elapsed()
}

/// Begins a run, kills it at a random moment, and completes it. Tells whether the kill came in time.
async fn killed_once(rig: &Rig, args: &[&str], within: Duration, rng: &mut StdRng) -> bool {
    let mut all = args.to_vec();
    all.extend(SOON);
    let mut child = rig.command(&all).spawn().unwrap();
    tokio::time::sleep(within.mul_f64(rng.random_range(0.0..1.0))).await;
    let was_over = child.try_wait().unwrap().is_some();
    child.start_kill().ok();
    child.wait().await.unwrap();
    rig.tool(&all).await.ending(0);
    !was_over
}

fn dice(test: u64) -> StdRng {
    let seed = test.wrapping_mul(0x9E37_79B9).wrapping_add(7);
    StdRng::seed_from_u64(seed)
}

#[tokio::test]
async fn an_import_that_was_killed_is_completed_by_a_second_run() {
    let rig = Rig::start(Transport::Resp).await;
    let source = source().await;
    let url = source.url();
    let args = ["import-node", "--from", &url];
    let takes = timed(&rig, &args).await;
    let (mut rng, mut hits) = (dice(1), 0);
    for kill in 0..KILLS {
        ask(&rig.redis, ["FLUSHALL"]).await;
        hits += usize::from(killed_once(&rig, &args, takes, &mut rng).await);
        let verify = ["--json", "import-node", "verify", "--from", &url];
        let verified = rig.tool(&verify).await.ending(0).json();
        assert_eq!(
            verified["instances"]["known"], RECORDS,
            "kill {kill}: {verified}"
        );
        assert_eq!(
            verified["webhooks"]["known"], RECORDS,
            "kill {kill}: {verified}"
        );
        let jobs = ask(&rig.redis, ["HLEN", &rig.keys.jobs()])
            .await
            .int()
            .unwrap();
        assert_eq!(
            jobs as usize,
            2 * RECORDS,
            "kill {kill}: a job twice, or none"
        );
        let index = ask(&rig.redis, ["ZCARD", &rig.keys.index()])
            .await
            .int()
            .unwrap();
        assert_eq!(index as usize, RECORDS, "kill {kill}");
    }
    assert!(
        hits > KILLS / 2,
        "only {hits} of {KILLS} kills came before the end"
    );
}

#[tokio::test]
async fn a_run_that_was_killed_is_completed_by_a_second_run() {
    let rig = Rig::start(Transport::Resp).await;
    let status = |at: usize| {
        json!({ "attempts": [{
            "number": 1, "marker": "m", "state": "acked", "intentAt": 1,
            "providerId": format!("gpu-{at}"),
            "offer": {
                "productId": "p", "productName": "n", "clusterId": "c", "region": "r",
                "billingMode": "spot", "unitPrice": 1,
            },
        }] })
    };
    let prepare = async || {
        ask(&rig.redis, ["FLUSHALL"]).await;
        ask(&rig.redis, ["SET", &rig.keys.schema(), "1"]).await;
        let records = (0..5 * RECORDS).map(|at| {
            let fields = [format!("inst_{at}"), status(at).to_string()];
            Command::new("HSET").arg(rig.keys.status()).args(fields)
        });
        put(&rig.redis, records.collect()).await;
    };
    prepare().await;
    let takes = timed(&rig, &["run"]).await;
    let (mut rng, mut hits) = (dice(2), 0);
    for kill in 0..KILLS {
        prepare().await;
        hits += usize::from(killed_once(&rig, &["run"], takes, &mut rng).await);
        rig.tool(&["verify"]).await.ending(0);
        let bound = ask(&rig.redis, ["HLEN", &rig.keys.bound()])
            .await
            .int()
            .unwrap();
        assert_eq!(bound as usize, 5 * RECORDS, "kill {kill}");
    }
    assert!(
        hits > KILLS / 2,
        "only {hits} of {KILLS} kills came before the end"
    );
}

#[tokio::test]
async fn a_restore_that_was_killed_is_completed_by_a_second_run() {
    let rig = Rig::start(Transport::Resp).await;
    let base = rig.keys.base().to_owned();
    rig.tool(&["run"]).await.ending(0);
    let mut commands = Vec::new();
    for at in 0..10 * RECORDS {
        // An element that is written twice shows in a list.
        let list = format!("{base}events:{at}");
        commands.push(Command::new("RPUSH").arg(list).args(["a", "b", "c"]));
        let field = [at.to_string(), "value ".repeat(50)];
        commands.push(Command::new("HSET").arg(format!("{base}hash")).args(field));
        let long = format!("{base}long");
        commands.push(Command::new("RPUSH").args([long, at.to_string()]));
    }
    put(&rig.redis, commands).await;
    let before = rig.everything().await;
    rig.tool(&["backup", "backup.jsonl"]).await.ending(0);
    ask(&rig.redis, ["FLUSHALL"]).await;
    let takes = timed(&rig, &["restore", "backup.jsonl"]).await;
    let (mut rng, mut hits) = (dice(3), 0);
    for kill in 0..KILLS {
        ask(&rig.redis, ["FLUSHALL"]).await;
        let args = ["restore", "backup.jsonl"];
        hits += usize::from(killed_once(&rig, &args, takes, &mut rng).await);
        let changed = rig.everything().await.changed_since(&before);
        assert_eq!(changed, [""; 0], "kill {kill}");
        rig.tool(&["verify"]).await.ending(0);
    }
    assert!(
        hits > KILLS / 2,
        "only {hits} of {KILLS} kills came before the end"
    );
}
