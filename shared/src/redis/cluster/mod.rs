//! Redis Cluster over RESP. All keys of a deployment share one slot, so one node at a time serves it:
//! the last one that did, until a redirection names another.
//!
//! The cluster client of the `redis` crate is not used. It repeats whole batches, repeats after a
//! broken connection from the same budget as after `MOVED`, and sends one `ASKING` before a batch;
//! here nothing is sent again unless the server said that it was not carried out.

mod endpoint;
mod nodes;

use std::time::Duration;

use endpoint::Endpoint;
use nodes::{Node, Nodes};

use super::command::Command;
use super::error::{RedisError, ServerError};
use super::reply::Reply;
use super::{Batch, BatchReply};

/// Redirections of one call. Two are usual (`MOVED`, then `ASK`); more mean that the nodes do not
/// agree yet, and waiting helps better than hurrying.
const MAX_REDIRECTIONS: usize = 5;

/// A handle to a cluster; clones share its connections.
#[derive(Clone)]
pub(super) struct Cluster {
    nodes: Nodes,
}

impl Cluster {
    pub(super) fn new(
        seeds: &[String],
        connect: Duration,
        command: Duration,
    ) -> Result<Self, RedisError> {
        let nodes = Nodes::new(seeds, connect, command)?;
        Ok(Self { nodes })
    }

    /// Sends a batch to the node that owns its keys, in order. A redirected batch of several commands
    /// is sent again as a whole, so that all see one node: several come only from
    /// [`super::Redis::read`], where that is harmless.
    ///
    /// An answer that says "later" (`TRYAGAIN`, `CLUSTERDOWN`) fails the call, so that it is repeated.
    pub(super) async fn execute(&self, batch: Batch<'_>) -> Result<BatchReply, RedisError> {
        let mut node = self.nodes.reach().await?;
        for _ in 0..=MAX_REDIRECTIONS {
            let mut replies = self.send(&node, batch).await?;
            if let Some(owner) = redirection("MOVED", &replies, &node)? {
                node = self.nodes.open(owner).await?;
                self.nodes.prefer(&node);
                continue;
            }
            if let Some(importer) = redirection("ASK", &replies, &node)? {
                let importer = self.nodes.open(importer).await?;
                self.ask(&importer, batch, &mut replies).await?;
            }
            if !replies
                .iter()
                .any(|reply| has_code(reply, &["MOVED", "ASK"]))
            {
                return self.judge(&node, replies);
            }
        }
        Err(node.unreachable("the nodes do not agree on who owns the keys".into()))
    }

    /// A connection of its own that listens to `channel` on any node: `PUBLISH` reaches all of them.
    pub(super) async fn listen(&self, channel: &str) -> Result<redis::aio::PubSub, RedisError> {
        let node = self.nodes.reach().await?;
        let listening = node.resp.listen(channel).await;
        listening.inspect_err(|_| self.nodes.demote(&node))
    }

    async fn send(&self, node: &Node, batch: Batch<'_>) -> Result<BatchReply, RedisError> {
        let result = node.resp.execute(batch).await;
        result.inspect_err(|_| self.nodes.demote(node))
    }

    /// Replaces each `ASK` by what the node that imports the slot answers. The other replies stand:
    /// the keys that the owner still has are not at the importer, where they would seem to be missing.
    async fn ask(
        &self,
        importer: &Node,
        batch: Batch<'_>,
        replies: &mut BatchReply,
    ) -> Result<(), RedisError> {
        let mut open: Vec<_> = replies
            .iter_mut()
            .zip(batch)
            .filter(|(reply, _)| has_code(reply, &["ASK"]))
            .collect();
        // `ASKING` is good for one command; nothing comes between the commands of one batch.
        let asked: Vec<Command> = open
            .iter()
            .flat_map(|(_, command)| [Command::new("ASKING"), (*command).clone()])
            .collect();
        let answers = self.send(importer, &asked).await?;
        for ((reply, _), answer) in open.iter_mut().zip(answers.into_iter().skip(1).step_by(2)) {
            **reply = answer;
        }
        Ok(())
    }

    fn judge(&self, node: &Node, replies: BatchReply) -> Result<BatchReply, RedisError> {
        let passing =
            |reply: &&Result<Reply, ServerError>| matches!(reply, Err(error) if error.is_passing());
        let Some(Err(error)) = replies.iter().find(passing) else {
            return Ok(replies);
        };
        // It may be cut off while the others go on without it.
        if matches!(
            error.code.as_str(),
            "CLUSTERDOWN" | "MASTERDOWN" | "READONLY"
        ) {
            self.nodes.demote(node);
        }
        Err(RedisError::Server(error.clone()))
    }
}

/// A key beside the keys of a script that never exists, so that no script runs while their slot is
/// being moved: the nodes answer `TRYAGAIN` to it instead. Without it a node that still has all the keys
/// would begin, and break off in the middle, half done, once the script looks at a set that it emptied
/// (Redis Cluster specification on multi-key operations; the breaking off was seen with Redis 7.0).
pub(super) fn fence(keys: &[String]) -> Option<String> {
    keys.first().map(|key| format!("{key}:never"))
}

fn has_code(reply: &Result<Reply, ServerError>, codes: &[&str]) -> bool {
    matches!(reply, Err(error) if codes.contains(&error.code.as_str()))
}

/// Where the first reply with this code points: `MOVED <slot> <endpoint>`, `ASK <slot> <endpoint>`.
fn redirection(
    code: &str,
    replies: &[Result<Reply, ServerError>],
    from: &Node,
) -> Result<Option<Endpoint>, RedisError> {
    let Some(Err(error)) = replies.iter().find(|reply| has_code(reply, &[code])) else {
        return Ok(None);
    };
    let target = error.message.split(' ').nth(1).unwrap_or_default();
    Endpoint::parse(target, &from.endpoint.host)
        .map(Some)
        .ok_or_else(|| RedisError::Protocol(format!("{code} to nowhere: {target:?}")))
}
