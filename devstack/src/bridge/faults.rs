//! Faults on request: what a bad network, a proxy or the service itself can do to a client.

use std::collections::HashMap;

use serde::Deserialize;

use super::request::Command;
use super::resp::Reply;

const MAX_REMEMBERED: usize = 1024;

/// One kind of misbehaviour, for a number of requests.
///
/// JSON: `{"kind":"status","status":502,"times":2,"command":"EVALSHA"}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Fault {
    /// What happens; in JSON the tag `kind` and its fields.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// How many requests it happens to; in JSON 1 when missing.
    #[serde(default = "once")]
    pub times: u32,
    /// Only requests that contain this command, in any case; `None` is every request.
    #[serde(default)]
    pub command: Option<String>,
}

fn once() -> u32 {
    1
}

/// What a fault does to a request that has passed authentication.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Waits before executing.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// Closes the connection without executing or answering.
    ResetBefore,
    /// Executes, then closes the connection without answering.
    ResetAfter,
    /// Answers as a proxy in front would, with an HTML body, without executing.
    Status {
        /// HTTP status, for instance 429 or 502.
        status: u16,
        /// `Retry-After`, in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Empties the script cache first, as a failover would: `EVALSHA` then answers `NOSCRIPT`.
    FlushScripts,
    /// A replica that lags: the first answer to a read is remembered, and the same read is
    /// answered from memory. Applies only to requests that do nothing but read and do not carry
    /// the newest sync token.
    StaleReads,
    /// Executes, and sends only the first half of the body before closing the connection.
    TruncatedBody,
}

/// What the choice of a fault depends on.
pub(crate) struct Request<'a> {
    pub(crate) commands: &'a [Command],
    /// Only reads, without the newest sync token.
    pub(crate) may_be_stale: bool,
}

/// The faults still to happen, in the order they were injected.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<Fault>,
    remembered: HashMap<Vec<Command>, Vec<Reply>>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        if fault.times > 0 {
            self.armed.push(fault);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }

    /// The fault for this request, counted down.
    pub(crate) fn take(&mut self, request: &Request<'_>) -> Option<FaultKind> {
        let fault = self
            .armed
            .iter_mut()
            .find(|fault| fault.applies_to(request))?;
        fault.times = fault.times.saturating_sub(1);
        let kind = fault.kind.clone();
        self.armed.retain(|fault| fault.times > 0);
        Some(kind)
    }

    pub(crate) fn recall(&self, commands: &[Command]) -> Option<Vec<Reply>> {
        self.remembered.get(commands).cloned()
    }

    pub(crate) fn remember(&mut self, commands: Vec<Command>, replies: &[Reply]) {
        if self.remembered.len() < MAX_REMEMBERED {
            self.remembered.insert(commands, replies.to_vec());
        }
    }
}

impl Fault {
    fn applies_to(&self, request: &Request<'_>) -> bool {
        let named = self.command.as_ref().is_none_or(|name| {
            request
                .commands
                .iter()
                .any(|command| command.name.eq_ignore_ascii_case(name))
        });
        named && (self.kind != FaultKind::StaleReads || request.may_be_stale)
    }
}
