//! The nodes that we know of, and how to get hold of one that answers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::select_ok;
use url::Url;

use super::super::command::Command;
use super::super::error::RedisError;
use super::super::resp::Resp;
use super::endpoint::Endpoint;

/// Nodes that are remembered beside the seeds. Any of them can name the one that matters.
const MAX_NODES: usize = 32;
/// How much longer each less promising node waits before it is tried too.
const HEAD_START: Duration = Duration::from_millis(100);

/// One node; its connection is opened when needed.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) endpoint: Endpoint,
    pub(super) resp: Resp,
    /// It told of its cluster once, so it is part of one.
    is_member: Arc<AtomicBool>,
}

impl Node {
    fn is_ready(&self) -> bool {
        self.resp.is_connected() && self.is_member.load(Ordering::Relaxed)
    }

    pub(super) fn unreachable(&self, cause: String) -> RedisError {
        RedisError::Unreachable {
            address: self.endpoint.to_string(),
            cause,
        }
    }
}

/// Clones share what they learn.
#[derive(Clone)]
pub(super) struct Nodes {
    dial: Arc<Dial>,
    /// The most promising first; never empty, because it holds every seed.
    known: Arc<Mutex<VecDeque<Node>>>,
}

/// What connections to all nodes have in common.
struct Dial {
    /// Scheme and credentials; the host is another for each node.
    base: Url,
    seeds: Vec<Endpoint>,
    connect: Duration,
    command: Duration,
}

impl Dial {
    fn node(&self, endpoint: Endpoint) -> Result<Node, RedisError> {
        let mut url = self.base.clone();
        let is_host = Url::parse(&format!("redis://{endpoint}"))
            .is_ok_and(|found| url.set_host(found.host_str()).is_ok());
        if !is_host || url.set_port(Some(endpoint.port)).is_err() {
            return Err(RedisError::Protocol(format!("{endpoint:?} is no address")));
        }
        let resp = Resp::new(url.as_str(), self.connect, self.command)?;
        Ok(Node {
            endpoint,
            resp,
            is_member: Arc::default(),
        })
    }
}

impl Nodes {
    pub(super) fn new(
        seeds: &[String],
        connect: Duration,
        command: Duration,
    ) -> Result<Self, RedisError> {
        let urls: Result<Vec<Url>, _> = seeds.iter().map(|seed| Url::parse(seed)).collect();
        let urls =
            urls.map_err(|error| RedisError::Refused(format!("not a Redis URL: {error}")))?;
        let Some(base) = urls.first().cloned() else {
            return Err(RedisError::Refused("a cluster without a node".into()));
        };
        let dial = Dial {
            base,
            seeds: urls.iter().map(endpoint).collect(),
            connect,
            command,
        };
        let known: Result<_, _> = dial
            .seeds
            .iter()
            .cloned()
            .map(|seed| dial.node(seed))
            .collect();
        Ok(Self {
            known: Arc::new(Mutex::new(known?)),
            dial: Arc::new(dial),
        })
    }

    /// A connected node of the cluster: the most promising one if it is connected, else whichever is
    /// first to be.
    pub(super) async fn reach(&self) -> Result<Node, RedisError> {
        let known: Vec<Node> = self.lock().iter().cloned().collect();
        if let Some(first) = known.first().filter(|node| node.is_ready()) {
            return Ok(first.clone());
        }
        let names: Vec<_> = known.iter().map(|node| node.endpoint.to_string()).collect();
        let races = known.into_iter().zip(0_u32..).map(|(node, rank)| {
            Box::pin(async move {
                tokio::time::sleep(HEAD_START * rank).await;
                let is_new = !node.is_ready();
                node.resp.connect().await.map(|_| (node, is_new))
            })
        });
        match select_ok(races).await {
            Ok(((node, is_new), _)) => {
                if is_new {
                    self.survey(&node).await?;
                }
                Ok(node)
            }
            Err(RedisError::Unreachable { cause, .. }) => Err(RedisError::Unreachable {
                address: names.join(", "),
                cause,
            }),
            Err(error) => Err(error),
        }
    }

    /// The node at this endpoint, connected.
    pub(super) async fn open(&self, endpoint: Endpoint) -> Result<Node, RedisError> {
        let known = self
            .lock()
            .iter()
            .find(|node| node.endpoint == endpoint)
            .cloned();
        let node = match known {
            Some(node) => node,
            None => self.dial.node(endpoint)?,
        };
        if !node.is_ready() {
            node.resp.connect().await?;
            self.survey(&node).await?;
        }
        Ok(node)
    }

    /// Makes it the one to begin with.
    pub(super) fn prefer(&self, node: &Node) {
        let mut known = self.lock();
        known.retain(|other| other.endpoint != node.endpoint);
        known.push_front(node.clone());
    }

    /// Makes it the last one to be tried.
    pub(super) fn demote(&self, node: &Node) {
        let mut known = self.lock();
        if let Some(place) = known
            .iter()
            .position(|other| other.endpoint == node.endpoint)
            && let Some(node) = known.remove(place)
        {
            known.push_back(node);
        }
    }

    /// Learns of the other nodes from a new connection, for the day when this node is gone.
    async fn survey(&self, node: &Node) -> Result<(), RedisError> {
        let question = Command::new("CLUSTER").arg("SLOTS");
        let answer = node.resp.execute(&[question]).await;
        // Nothing of the caller's was sent yet, so nothing is unclear.
        let answer = answer.map_err(|error| match error {
            RedisError::Unclear(cause) => node.unreachable(cause),
            other => other,
        })?;
        match answer.into_iter().next() {
            Some(Ok(slots)) => {
                node.is_member.store(true, Ordering::Relaxed);
                self.learn(node, Endpoint::of_slots(slots, &node.endpoint.host))
            }
            Some(Err(error)) if error.is_passing() => Err(RedisError::Server(error)),
            // Several servers that are no cluster would each hold a part of the truth.
            Some(Err(error)) => Err(RedisError::Refused(format!(
                "{} does not tell of its cluster: {error}",
                node.endpoint
            ))),
            None => Err(RedisError::Protocol("no reply".into())),
        }
    }

    /// Keeps the nodes that still count, in their order, and adds those that are new.
    fn learn(&self, source: &Node, listed: Vec<Endpoint>) -> Result<(), RedisError> {
        let mut wanted: Vec<Endpoint> = Vec::new();
        // A node that is importing its first slot is not in the list yet.
        let told =
            std::iter::once(source.endpoint.clone()).chain(listed.into_iter().take(MAX_NODES));
        for endpoint in self.dial.seeds.iter().cloned().chain(told) {
            if !wanted.contains(&endpoint) {
                wanted.push(endpoint);
            }
        }
        let mut known = self.lock();
        known.retain(|node| wanted.contains(&node.endpoint));
        wanted.retain(|endpoint| known.iter().all(|node| node.endpoint != *endpoint));
        for endpoint in wanted {
            let node = if endpoint == source.endpoint {
                source.clone()
            } else {
                self.dial.node(endpoint)?
            };
            known.push_back(node);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Node>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host and port of a seed. `url` writes an IPv6 address with brackets, nodes do without.
fn endpoint(url: &Url) -> Endpoint {
    let host = url.host_str().unwrap_or_default();
    Endpoint {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(6379),
    }
}
