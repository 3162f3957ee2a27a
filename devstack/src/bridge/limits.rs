//! Imitating a plan: sizes, monthly quota, commands per second.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::lock;
use super::request::Command;
use super::resp::Reply;
use super::table::CommandTable;

/// The limits of a plan. In JSON, a missing field has its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one command with its arguments; default 10 MiB.
    pub max_request_bytes: usize,
    /// Bytes of one reply (as RESP2); default 10 MiB.
    pub max_response_bytes: usize,
    /// Bytes of one key; default 32 KiB.
    pub max_key_bytes: usize,
    /// Billed commands after which everything but `INFO` is refused; default none.
    pub monthly_commands: Option<u64>,
    /// Commands above this rate wait, they are not refused; default none.
    pub commands_per_second: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_bytes: 10 * 1024 * 1024,
            max_response_bytes: 10 * 1024 * 1024,
            max_key_bytes: 32 * 1024,
            monthly_commands: None,
            commands_per_second: None,
        }
    }
}

impl Limits {
    /// The error for a command over a limit, or `None`. `billed` is needed with a quota only.
    pub(crate) fn refusal(
        &self,
        command: &Command,
        table: &CommandTable,
        billed: u64,
    ) -> Option<String> {
        let size = command.name.len() + command.args.iter().map(Bytes::len).sum::<usize>();
        if size > self.max_request_bytes {
            return Some(too_large(self.max_request_bytes, size));
        }
        let key = table
            .keys(command)
            .map(Bytes::len)
            .max()
            .unwrap_or_default();
        if key > self.max_key_bytes {
            let limit = self.max_key_bytes;
            return Some(format!(
                "ERR max key size exceeded. Limit: {limit}, Actual: {key}"
            ));
        }
        let quota = self
            .monthly_commands
            .filter(|quota| billed >= *quota && command.name != "INFO")?;
        Some(format!(
            "ERR max requests limit exceeded. Limit: {quota}, Usage: {billed}."
        ))
    }

    /// The reply, or the error Upstash puts in place of one that is too large.
    pub(crate) fn cap(&self, reply: Reply) -> Reply {
        let size = reply.wire_len();
        if size <= self.max_response_bytes {
            return reply;
        }
        Reply::error(too_large(self.max_response_bytes, size))
    }
}

fn too_large(limit: usize, actual: usize) -> String {
    format!("ERR max request size exceeded. Limit: {limit} bytes, Actual: {actual} bytes")
}

/// Spaces commands evenly; whoever comes too early waits for its slot.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    next_slot: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(crate) async fn wait(&self, commands: usize, per_second: Option<NonZeroU32>) {
        let Some(rate) = per_second else { return };
        let cost = Duration::from_secs(1).saturating_mul(commands as u32) / rate.get();
        let slot = {
            let mut next = lock(&self.next_slot);
            let slot = next.map_or_else(Instant::now, |next| next.max(Instant::now()));
            *next = Some(slot + cost);
            slot
        };
        sleep_until(slot).await;
    }
}
