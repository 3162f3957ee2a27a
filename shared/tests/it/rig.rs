//! One Redis as one transport shows it, under a key prefix of its own, with troubles on request.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use devstack::bridge::{Bridge, BridgeOptions, Fault, FaultKind};
use devstack::redis::{RedisOptions as ServerOptions, RedisServer};
use shared::queue::Queue;
use shared::redis::{Command, Keys, Redis, RedisOptions, Repeat, Reply, Target};
use shared::store::Store;

use crate::proxy::Proxy;

/// Far above what anything here takes; reaching it means that it will never happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than any test.
pub(crate) const LONG_LEASE: Duration = Duration::from_secs(300);
/// Over before the test looks again.
pub(crate) const SHORT_LEASE: Duration = Duration::from_millis(20);
pub(crate) const TOKEN: &str = "test-token";
/// How long a command may take before its answer counts as lost.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// How Redis is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Resp,
    Upstash,
}

/// What can happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection ends before the server has the request.
    LostRequest,
    /// The server carries it out, and the connection ends before the answer.
    LostReply,
    /// The connection ends before the server has the request, which can be delivered later: only a
    /// [`Proxy`] does that.
    HeldBack,
    /// Nobody answers while the client waits.
    Silence,
}

/// Runs each story over both transports: `name::resp` and `name::upstash`.
macro_rules! over_both_transports {
    ($rig:ident: $($story:ident),+ $(,)?) => {$(
        mod $story {
            use crate::rig::{Rig, Transport};

            #[tokio::test]
            async fn resp() {
                super::$story(Rig::$rig(Transport::Resp).await).await;
            }

            #[tokio::test]
            async fn upstash() {
                super::$story(Rig::$rig(Transport::Upstash).await).await;
            }
        }
    )+};
}

/// The server and the bridge that most tests share; they end with the test process.
struct Common {
    server: SocketAddr,
    bridge: String,
    _kept: (RedisServer, Bridge, tokio::runtime::Runtime),
}

static COMMON: LazyLock<Common> = LazyLock::new(|| {
    // A runtime of its own: those of the tests end with each test.
    let start = || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (server, bridge) = runtime.block_on(async {
            let server = RedisServer::start(ServerOptions::default()).await.unwrap();
            let bridge = Bridge::start(BridgeOptions::new(server.addr(), TOKEN));
            (server, bridge.await.unwrap())
        });
        Common {
            server: server.addr(),
            bridge: bridge.url(),
            _kept: (server, bridge, runtime),
        }
    };
    std::thread::spawn(start).join().unwrap()
});

/// What stands between the client and the server.
enum Link {
    Common,
    Proxy(Proxy),
    Bridge(Bridge),
}

pub(crate) struct Rig {
    /// The client under test.
    pub(crate) redis: Redis,
    /// Straight to the server, past every trouble: for looking and for turning time.
    pub(crate) direct: Redis,
    pub(crate) keys: Keys,
    pub(crate) transport: Transport,
    pub(crate) options: RedisOptions,
    link: Link,
    own: Option<RedisServer>,
}

impl Rig {
    /// On the server that all tests share.
    #[expect(clippy::unused_async, reason = "made like its siblings, by one macro")]
    pub(crate) async fn common(transport: Transport) -> Self {
        let target = match transport {
            Transport::Resp => resp(COMMON.server),
            Transport::Upstash => upstash(&COMMON.bridge),
        };
        Self::new(transport, target, COMMON.server, Link::Common)
    }

    /// On the shared server, with a line of its own that can be troubled.
    pub(crate) async fn troubled(transport: Transport) -> Self {
        Self::with_own_link(transport, COMMON.server).await
    }

    /// On a server of its own, with a line of its own.
    pub(crate) async fn alone(transport: Transport) -> Self {
        let server = RedisServer::start(ServerOptions::default()).await.unwrap();
        let rig = Self::with_own_link(transport, server.addr()).await;
        Self {
            own: Some(server),
            ..rig
        }
    }

    async fn with_own_link(transport: Transport, server: SocketAddr) -> Self {
        match transport {
            Transport::Resp => {
                let proxy = Proxy::start(server).await;
                let target = resp(proxy.addr);
                Self::new(transport, target, server, Link::Proxy(proxy))
            }
            Transport::Upstash => {
                let bridge = Bridge::start(BridgeOptions::new(server, TOKEN))
                    .await
                    .unwrap();
                let target = upstash(&bridge.url());
                Self::new(transport, target, server, Link::Bridge(bridge))
            }
        }
    }

    fn new(transport: Transport, target: Target, server: SocketAddr, link: Link) -> Self {
        let options = options(target);
        Self {
            redis: Redis::new(&options).unwrap(),
            direct: Redis::new(&self::options(resp(server))).unwrap(),
            keys: Keys::new(&format!("test_{:016x}", rand::random::<u64>())),
            transport,
            options,
            link,
            own: None,
        }
    }

    /// A session of the queue.
    pub(crate) fn session(&self, lease: Duration) -> Queue {
        Queue::new(self.redis.clone(), self.keys.clone(), lease)
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(self.redis.clone(), self.keys.clone())
    }

    /// The server of [`Rig::alone`].
    pub(crate) fn server(&mut self) -> &mut RedisServer {
        self.own.as_mut().expect("a server of its own")
    }

    /// Arms a trouble for the next request with this command; needs a line of its own.
    pub(crate) fn arm(&self, trouble: Trouble, command: &'static str) {
        match &self.link {
            Link::Common => panic!("others use this line too"),
            Link::Proxy(proxy) => proxy.arm(trouble, command),
            Link::Bridge(bridge) => bridge.inject(Fault {
                kind: match trouble {
                    Trouble::LostRequest => FaultKind::ResetBefore,
                    Trouble::LostReply => FaultKind::ResetAfter,
                    Trouble::HeldBack => panic!("the bridge keeps nothing"),
                    Trouble::Silence => FaultKind::Latency {
                        ms: 2 * COMMAND_TIMEOUT.as_millis() as u64,
                    },
                },
                times: 1,
                command: Some(command.to_owned()),
            }),
        }
    }

    /// The line of its own, over RESP.
    pub(crate) fn proxy(&self) -> &Proxy {
        match &self.link {
            Link::Proxy(proxy) => proxy,
            _ => panic!("no proxy of its own"),
        }
    }

    /// Arms a fault that only the bridge has.
    pub(crate) fn inject(&self, fault: Fault) {
        match &self.link {
            Link::Bridge(bridge) => bridge.inject(fault),
            _ => panic!("no bridge of its own"),
        }
    }

    /// Runs one command straight on the server.
    pub(crate) async fn ask<const N: usize>(&self, words: [&str; N]) -> Reply {
        let command = Command::new(words[0]).args(words[1..].iter().copied());
        self.direct.run(command, Repeat::Never).await.unwrap()
    }

    /// The members of a sorted set with their scores, lowest first.
    pub(crate) async fn scores(&self, key: &str) -> Vec<(String, String)> {
        let reply = self.ask(["ZRANGE", key, "0", "-1", "WITHSCORES"]).await;
        reply.pairs().unwrap()
    }
}

pub(crate) fn options(target: Target) -> RedisOptions {
    RedisOptions {
        target,
        connect_timeout: Duration::from_secs(5),
        command_timeout: COMMAND_TIMEOUT,
        retries: 3,
        retry_delay: Duration::from_millis(10),
    }
}

fn resp(server: SocketAddr) -> Target {
    Target::Resp {
        url: format!("redis://{server}"),
    }
}

fn upstash(url: &str) -> Target {
    Target::Upstash {
        url: url.to_owned(),
        token: TOKEN.to_owned(),
    }
}

/// Asks until there is an answer.
pub(crate) async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let answer = devstack::stack::eventually(what, PATIENCE, async || {
        ask().await.ok_or_else(|| "nothing".to_owned())
    });
    answer.await.unwrap()
}
