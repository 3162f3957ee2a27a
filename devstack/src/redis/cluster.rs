//! A real Redis Cluster on loopback: three masters, set up over the protocol, as `redis-cli` may be
//! missing.

use std::time::Duration;

use ::redis::{FromRedisValue, Value};
use anyhow::Context;
use tokio::time::{Instant, sleep};

use super::process::Role;
use super::{RedisOptions, RedisServer};

const NODES: u16 = 3;
const SLOTS: u16 = 16_384;
/// Meeting takes a few seconds, and so does rejoining after a restart.
const AGREE_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Three running masters without replicas that share all slots. Dropping the value kills them.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

/// The move of one slot between two nodes, in the steps that an operator's tool takes. Until
/// [`SlotMove::finish`], both nodes hold a part of the keys.
#[derive(Debug)]
pub struct SlotMove<'a> {
    slot: String,
    from: &'a RedisServer,
    to: &'a RedisServer,
    others: Vec<&'a RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes and waits until all of them say `cluster_state:ok`.
    ///
    /// # Errors
    /// `redis-server` is not installed, no ports are free, or the nodes do not agree in a minute.
    pub async fn start() -> anyhow::Result<Self> {
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(RedisServer::start_as(Role::Node, RedisOptions::default()).await?);
        }
        let first_port = nodes[0].addr().port().to_string();
        for (place, node) in (0..).zip(&nodes) {
            let (first, last) = slots_of(place);
            let (first, last) = (first.to_string(), last.to_string());
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                .await?;
            // Nodes with one epoch in common settle on others later, and until then a slot that
            // has just moved may be taken back.
            let epoch = (place + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await?;
        }
        for node in &nodes[1..] {
            node.command(&["CLUSTER", "MEET", "127.0.0.1", &first_port])
                .await?;
        }
        let cluster = Self { nodes };
        cluster.agreed().await?;
        Ok(cluster)
    }

    /// `redis+cluster://127.0.0.1:<port>,…` with every node.
    #[must_use]
    pub fn url(&self) -> String {
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| node.addr().to_string())
            .collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    /// The nodes, in the order of the slots that they began with.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// One node, to kill or restart it.
    ///
    /// # Panics
    /// There is no such node.
    #[must_use]
    pub fn node(&mut self, place: usize) -> &mut RedisServer {
        &mut self.nodes[place]
    }

    /// Waits until all nodes know each other and say `cluster_state:ok`.
    ///
    /// # Errors
    /// They do not within a minute; the error says what one of them said last.
    pub async fn agreed(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + AGREE_WITHIN;
        for node in &self.nodes {
            while let Err(state) = is_ok(node).await {
                anyhow::ensure!(Instant::now() < deadline, "no agreement: {state}");
                sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// The place of the node that owns the slot of `key`, as that node itself sees it.
    ///
    /// # Errors
    /// No reachable node says that it owns the slot.
    pub async fn owner_of(&self, key: &str) -> anyhow::Result<usize> {
        for (place, node) in self.nodes.iter().enumerate() {
            // An owner answers about its own keys; the others redirect.
            if node.command(&["EXISTS", key]).await.is_ok() {
                return Ok(place);
            }
        }
        anyhow::bail!("nobody owns the slot of {key}")
    }

    /// Begins to move the slot of `key`: from now on the nodes answer `ASK` and `TRYAGAIN`.
    ///
    /// # Errors
    /// A node refuses.
    ///
    /// # Panics
    /// There is no node at one of these places.
    pub async fn begin_move(
        &self,
        key: &str,
        from: usize,
        to: usize,
    ) -> anyhow::Result<SlotMove<'_>> {
        let slot: u16 = asked(&self.nodes[from], &["CLUSTER", "KEYSLOT", key]).await?;
        let others = self.nodes.iter().enumerate();
        let others = others.filter(|(place, _)| *place != from && *place != to);
        let moving = SlotMove {
            slot: slot.to_string(),
            from: &self.nodes[from],
            to: &self.nodes[to],
            others: others.map(|(_, node)| node).collect(),
        };
        let from_id: String = asked(moving.from, &["CLUSTER", "MYID"]).await?;
        let to_id: String = asked(moving.to, &["CLUSTER", "MYID"]).await?;
        moving.set(moving.to, "IMPORTING", &from_id).await?;
        moving.set(moving.from, "MIGRATING", &to_id).await?;
        Ok(moving)
    }
}

impl SlotMove<'_> {
    /// Moves up to `count` keys; how many it found.
    ///
    /// # Errors
    /// A node refuses.
    pub async fn keys(&self, count: usize) -> anyhow::Result<usize> {
        let count = count.to_string();
        let keys: Vec<String> =
            asked(self.from, &["CLUSTER", "GETKEYSINSLOT", &self.slot, &count]).await?;
        let port = self.to.addr().port().to_string();
        for key in &keys {
            self.from
                .command(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"])
                .await?;
        }
        Ok(keys.len())
    }

    /// Moves the keys that are left and makes the other node the owner.
    ///
    /// # Errors
    /// A node refuses.
    pub async fn finish(self) -> anyhow::Result<()> {
        while self.keys(100).await? > 0 {}
        let id: String = asked(self.to, &["CLUSTER", "MYID"]).await?;
        // The new owner first, or for a moment nobody would be one.
        for node in [self.to, self.from]
            .into_iter()
            .chain(self.others.iter().copied())
        {
            self.set(node, "NODE", &id).await?;
        }
        Ok(())
    }

    async fn set(&self, node: &RedisServer, state: &str, id: &str) -> anyhow::Result<()> {
        node.command(&["CLUSTER", "SETSLOT", &self.slot, state, id])
            .await
            .map(drop)
    }
}

fn slots_of(place: u16) -> (u16, u16) {
    let share = SLOTS / NODES;
    let last = if place + 1 == NODES {
        SLOTS
    } else {
        share * (place + 1)
    };
    (share * place, last - 1)
}

/// `Err` with what it says if it is not part of a whole cluster yet.
async fn is_ok(node: &RedisServer) -> Result<(), String> {
    let info = asked::<String>(node, &["CLUSTER", "INFO"]).await;
    let info = info.map_err(|error| error.to_string())?;
    let has = |line: &str| info.lines().any(|other| other == line);
    if has("cluster_state:ok") && has(&format!("cluster_known_nodes:{NODES}")) {
        Ok(())
    } else {
        Err(info)
    }
}

async fn asked<T: FromRedisValue>(node: &RedisServer, words: &[&str]) -> anyhow::Result<T> {
    let value: Value = node.command(words).await?;
    ::redis::from_redis_value(value).with_context(|| format!("{words:?} was answered strangely"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_moves_with_its_keys_and_a_node_comes_back() {
        let mut cluster = RedisCluster::start().await.unwrap();
        let from = cluster.owner_of("{0}:a").await.unwrap();
        let node = &cluster.nodes()[from];
        node.command(&["SET", "{0}:a", "b"]).await.unwrap();

        let to = (from + 1) % cluster.nodes().len();
        let moving = cluster.begin_move("{0}:a", from, to).await.unwrap();
        moving.finish().await.unwrap();
        assert_eq!(cluster.owner_of("{0}:a").await.unwrap(), to);

        cluster.node(to).kill().await.unwrap();
        cluster.node(to).restart().await.unwrap();
        cluster.agreed().await.unwrap();
        let kept = cluster.nodes()[to].command(&["GET", "{0}:a"]).await;
        assert_eq!(kept.unwrap(), Value::BulkString(b"b".to_vec()));
    }
}
