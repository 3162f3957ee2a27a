//! Backup and restore.

use std::time::Duration;

use devstack::bridge::{Bridge, BridgeOptions};
use devstack::redis::{RedisOptions, RedisServer};
use devstack::stack::eventually;
use shared::redis::Reply;
use shared::schema::LOADING;

use crate::rig::{Rig, Said, TOKEN, Transport, ask, client, everything};

over_both_transports!(
    what_was_backed_up_is_restored_over_the_other_transport,
    expiries_are_kept_and_what_has_expired_stays_away,
    nothing_is_restored_over_live_data_without_force,
    a_restore_that_was_cut_off_is_completed_by_a_second_run,
    a_damaged_backup_changes_nothing,
);

const FILE: &str = "backup.jsonl";

/// Every type, small and large, UTF-8 or not, under the deployment's keys.
async fn fill(rig: &Rig) {
    rig.tool(&["run"]).await.ending(0);
    let base = rig.keys.base().to_owned();
    let key = |name: &str| format!("{base}{name}");
    for at in 0..500 {
        let at = at.to_string();
        rig.ask(["HSET", &key("hash"), &at, &"value ".repeat(40)])
            .await;
        rig.ask(["RPUSH", &key("list"), &at]).await;
        rig.ask(["ZADD", &key("zset"), &format!("{at}.5"), &at])
            .await;
        rig.ask(["SADD", &key("set"), &at]).await;
        rig.ask(["SET", &key(&format!("string:{at}")), &at]).await;
    }
    rig.ask(["SET", &key("empty"), ""]).await;
    rig.ask(["SET", &key("large"), &"0123456789abcdef".repeat(20_000)])
        .await;
    let binary =
        "redis.call('RPUSH', KEYS[1], '\\0\\255', 'text') redis.call('SET', KEYS[2], '\\254')";
    rig.ask(["EVAL", binary, "2", &key("bytes"), &key("byte")])
        .await;
    rig.ask(["SET", "somebody's", "own"]).await;
}

/// Another deployment, reached over the transport that the first is not reached over.
async fn other(rig: &Rig) -> Rig {
    Rig::start(match rig.transport {
        Transport::Resp => Transport::Upstash,
        Transport::Upstash => Transport::Resp,
    })
    .await
}

/// The tool against the other deployment, in the folder of the first.
async fn there(rig: &Rig, other: &Rig, args: &[&str]) -> Said {
    let mut command = other.command(args);
    command.current_dir(rig.dir.path());
    command.output().await.unwrap().into()
}

async fn what_was_backed_up_is_restored_over_the_other_transport(rig: Rig) {
    fill(&rig).await;
    let taken = rig.tool(&["--json", "backup", FILE]).await.ending(0).json();
    let other = other(&rig).await;
    let restored = there(&rig, &other, &["--json", "restore", FILE]).await;
    assert_eq!(restored.ending(0).json()["known"], 0);
    ask(&other.redis, ["SET", "somebody's", "own"]).await;
    let (before, after) = (rig.everything().await, other.everything().await);
    assert_eq!(after.changed_since(&before), [""; 0]);
    assert_eq!(
        taken["keys"].as_u64().unwrap() as usize,
        before.0.len() - 2,
        "{taken}"
    );
    other.tool(&["verify"]).await.ending(0);
}

async fn expiries_are_kept_and_what_has_expired_stays_away(rig: Rig) {
    let base = rig.keys.base().to_owned();
    let (long, short) = (format!("{base}long"), format!("{base}short"));
    rig.ask(["SET", &long, "x", "PX", "3600000"]).await;
    rig.ask(["SET", &short, "x", "PX", "3000"]).await;
    let taken = rig.tool(&["--json", "backup", FILE]).await.ending(0).json();
    assert_eq!(
        taken["keys"], 2,
        "the backup took longer than the key lived"
    );
    let other = other(&rig).await;
    eventually("the expiry", Duration::from_secs(20), async || {
        match rig.ask(["EXISTS", &short]).await {
            Reply::Int(0) => Ok(()),
            there => Err(format!("{there:?}")),
        }
    })
    .await
    .unwrap();
    there(&rig, &other, &["restore", FILE]).await.ending(0);
    let ttl = ask(&other.redis, ["PTTL", &long]).await.int().unwrap();
    assert!((3_500_000..=3_600_000).contains(&ttl), "{ttl}");
    let expired = ask(&other.redis, ["EXISTS", &short]).await;
    assert_eq!(expired, Reply::Int(0), "it lives again");
}

async fn nothing_is_restored_over_live_data_without_force(rig: Rig) {
    fill(&rig).await;
    rig.tool(&["backup", FILE]).await.ending(0);
    rig.tool(&["backup", FILE]).await.ending(7);
    let before = rig.everything().await;
    let extra = format!("{}extra", rig.keys.base());
    rig.ask(["SET", &extra, "x"]).await;
    let refused = rig.tool(&["restore", FILE]).await.ending(7);
    assert!(refused.err.contains("--force"), "{refused:?}");
    assert_eq!(rig.ask(["EXISTS", &extra]).await, Reply::Int(1));
    rig.tool(&["restore", FILE, "--force"]).await.ending(0);
    let now = rig.everything().await;
    assert_eq!(now.changed_since(&before), [""; 0]);
}

async fn a_restore_that_was_cut_off_is_completed_by_a_second_run(rig: Rig) {
    fill(&rig).await;
    rig.tool(&["backup", FILE]).await.ending(0);
    let other = other(&rig).await;
    there(&rig, &other, &["restore", FILE]).await.ending(0);
    let (schema, loading) = (other.keys.schema(), other.keys.loading());
    // As a kill after some batches leaves it: marked, and everything up to some entry written.
    let text = std::fs::read_to_string(rig.dir.path().join(FILE)).unwrap();
    let footer: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let sha256 = footer["sha256"].as_str().unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().rev().nth(1).unwrap()).unwrap();
    ask(&other.redis, ["DEL", last["k"].as_str().unwrap()]).await;
    ask(&other.redis, ["SET", &schema, LOADING]).await;
    let entries = footer["entries"].as_u64().unwrap();
    let done = (entries - 1).to_string();
    ask(
        &other.redis,
        ["HSET", &loading, "sha256", sha256, "entries", &done],
    )
    .await;
    other.tool(&["run"]).await.ending(3);
    let resumed = there(&rig, &other, &["--json", "restore", FILE]).await;
    assert_eq!(resumed.ending(0).json()["known"], entries - 1);
    ask(&other.redis, ["SET", "somebody's", "own"]).await;
    let (before, after) = (rig.everything().await, other.everything().await);
    let changed = after.changed_since(&before);
    // Of a key in several entries only the last was taken away.
    let only = last["k"].as_str().unwrap();
    assert!(
        changed.iter().all(|key| key == only && last["m"] == true),
        "{changed:?}"
    );
}

async fn a_damaged_backup_changes_nothing(rig: Rig) {
    fill(&rig).await;
    rig.tool(&["backup", FILE]).await.ending(0);
    let path = rig.dir.path().join(FILE);
    let whole = std::fs::read(&path).unwrap();
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let bridge = Bridge::start(BridgeOptions::new(server.addr(), TOKEN))
        .await
        .unwrap();
    let empty = Rig {
        transport: rig.transport,
        redis: client(&server),
        server,
        bridge,
        keys: rig.keys.clone(),
        dir: tempfile::tempdir().unwrap(),
    };
    for damage in ["cut", "flip", "later"] {
        let mut damaged = whole.clone();
        match damage {
            "cut" => damaged.truncate(whole.len() / 2),
            "flip" => damaged[whole.len() / 2] ^= 1,
            _ => {
                let text = String::from_utf8(damaged).unwrap();
                damaged = text
                    .replacen("\"version\":1", "\"version\":9", 1)
                    .into_bytes();
            }
        }
        std::fs::write(&path, damaged).unwrap();
        there(&rig, &empty, &["restore", FILE]).await.ending(1);
        assert!(everything(&empty.server).await.is_empty(), "{damage}");
    }
}
