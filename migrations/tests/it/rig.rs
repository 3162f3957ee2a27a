//! A Redis, a bridge in front of it, and the tool.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};

use devstack::bridge::{Bridge, BridgeOptions};
use devstack::redis::{RedisOptions, RedisServer};
use serde_json::Value;
use shared::redis::{Command, Keys, Redis, RedisOptions as ClientOptions, Repeat, Reply, Target};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "test-token";
pub(crate) const PREFIX: &str = "novita_api";

/// How the tool reaches the deployment's Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Resp,
    Upstash,
}

pub(crate) struct Rig {
    pub(crate) transport: Transport,
    pub(crate) server: RedisServer,
    pub(crate) bridge: Bridge,
    pub(crate) keys: Keys,
    pub(crate) redis: Redis,
    pub(crate) dir: TempDir,
}

/// What the tool said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The same, if it ended with this code.
    pub(crate) fn ending(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs each test over both transports.
macro_rules! over_both_transports {
    ($($test:ident),+ $(,)?) => {
        mod resp {
            $(#[tokio::test] async fn $test() {
                super::$test($crate::rig::Rig::start($crate::rig::Transport::Resp).await).await;
            })+
        }
        mod upstash {
            $(#[tokio::test] async fn $test() {
                super::$test($crate::rig::Rig::start($crate::rig::Transport::Upstash).await).await;
            })+
        }
    };
}

impl Rig {
    pub(crate) async fn start(transport: Transport) -> Self {
        let server = RedisServer::start(RedisOptions::default()).await.unwrap();
        let bridge = Bridge::start(BridgeOptions::new(server.addr(), TOKEN));
        let bridge = bridge.await.unwrap();
        let redis = client(&server);
        Self {
            transport,
            server,
            bridge,
            keys: Keys::new(PREFIX),
            redis,
            dir: TempDir::with_prefix("migrations-").unwrap(),
        }
    }

    /// The variables under which the tool finds the deployment.
    pub(crate) fn env(&self) -> Vec<(&'static str, String)> {
        match self.transport {
            Transport::Resp => vec![("REDIS_URL", self.server.url())],
            Transport::Upstash => vec![
                ("UPSTASH_REDIS_REST_URL", self.bridge.url()),
                ("UPSTASH_REDIS_REST_TOKEN", TOKEN.to_owned()),
            ],
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_redis-migration"));
        command
            .args(args)
            .env_clear()
            .envs(self.env())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn tool(&self, args: &[&str]) -> Said {
        self.command(args).output().await.unwrap().into()
    }

    pub(crate) async fn ask<const N: usize>(&self, words: [&str; N]) -> Reply {
        ask(&self.redis, words).await
    }

    /// Everything that is stored, key by key.
    pub(crate) async fn everything(&self) -> Everything {
        everything(&self.server).await
    }
}

pub(crate) async fn ask<const N: usize>(redis: &Redis, words: [&str; N]) -> Reply {
    let [name, args @ ..] = words.as_slice() else {
        panic!("no command");
    };
    let command = Command::new(name).args(args.iter().copied());
    redis.run(command, Repeat::Never).await.unwrap()
}

pub(crate) fn client(server: &RedisServer) -> Redis {
    Redis::new(&ClientOptions {
        target: Target::Resp { url: server.url() },
        connect_timeout: Duration::from_secs(5),
        command_timeout: Duration::from_secs(20),
        retries: 0,
        retry_delay: Duration::from_millis(100),
    })
    .unwrap()
}

/// Every key with its serialised value; shows names alone.
#[derive(PartialEq, Eq)]
pub(crate) struct Everything(pub(crate) BTreeMap<String, Vec<u8>>);

impl Everything {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys that are not the same in both.
    pub(crate) fn changed_since(&self, before: &Self) -> Vec<String> {
        let keys = self.0.keys().chain(before.0.keys());
        let differs = |key: &&String| self.0.get(*key) != before.0.get(*key);
        keys.filter(differs).cloned().collect()
    }
}

impl std::fmt::Debug for Everything {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Every key with its serialised value.
pub(crate) async fn everything(server: &RedisServer) -> Everything {
    let redis = client(server);
    let keys = ask(&redis, ["KEYS", "*"]).await.optional_texts().unwrap();
    let mut all = BTreeMap::new();
    // Which file was restored lately is the tool's own, and ends by itself.
    let keys = keys.into_iter().flatten();
    for key in keys.filter(|key| !key.ends_with(":loading")) {
        let value = value(&redis, &key).await;
        all.insert(key, value);
    }
    Everything(all)
}

/// A value byte by byte, in an order of its own where Redis has none: that of a hash changes by itself.
async fn value(redis: &Redis, key: &str) -> Vec<u8> {
    let kind = ask(redis, ["TYPE", key]).await.text().unwrap();
    if kind == "hash" {
        let fields = ask(redis, ["HGETALL", key]).await;
        let mut fields = fields.pairs().unwrap();
        fields.sort();
        return format!("{fields:?}").into_bytes();
    }
    match ask(redis, ["DUMP", key]).await {
        Reply::Text(value) => value,
        other => panic!("{key} vanished: {other:?}"),
    }
}
