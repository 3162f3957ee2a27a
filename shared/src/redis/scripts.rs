//! The Lua scripts, each with its contract at the top of its file.

use std::sync::LazyLock;

use bytes::Bytes;
use sha1::{Digest, Sha1};

/// Sent in front of a script on Upstash, so that it takes the locks of its keys and not the global
/// one. `redis-server` refuses the flag, so it goes nowhere else.
const KEY_LOCKING: &str = "#!lua flags=allow-key-locking\n";

/// A script by name.
#[derive(Debug)]
pub struct Script {
    /// For metrics and errors.
    pub name: &'static str,
    plain: LazyLock<Source>,
    key_locking: LazyLock<Source>,
    parts: &'static [&'static str],
}

/// The exact text of a script and the SHA-1 of those bytes, by which Redis caches it.
#[derive(Debug)]
pub struct Source {
    /// What `EVAL` gets.
    pub text: String,
    /// What `EVALSHA` gets.
    pub sha: String,
}

impl Source {
    fn new(text: String) -> Self {
        let sha = format!(
            "{:x}",
            Bytes::copy_from_slice(&Sha1::digest(text.as_bytes()))
        );
        Self { text, sha }
    }
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $constant:ident = $name:literal [$($part:literal),+];)+) => {
        $(
            $(#[$doc])*
            pub static $constant: Script = Script {
                name: $name,
                plain: LazyLock::new(|| Source::new($constant.parts.concat())),
                key_locking: LazyLock::new(|| {
                    Source::new(format!("{KEY_LOCKING}{}", $constant.parts.concat()))
                }),
                parts: &[$(include_str!(concat!("lua/", $part))),+],
            };
        )+
    };
}

scripts! {
    /// Writes a wish, its operation and the due key of its instance.
    ACCEPT = "accept" ["queue.lua", "budget.lua", "accept.lua"];
    /// Leases jobs to a worker.
    RESERVE = "reserve" ["queue.lua", "lease.lua", "reserve.lua"];
    /// Applies what reserved jobs came to, and reserves the next.
    SETTLE = "settle" ["queue.lua", "lease.lua", "budget.lua", "stock.lua", "settle.lua"];
    /// Writes down a status in the middle of a step, under the step's lease.
    CHECKPOINT = "checkpoint" ["queue.lua", "checkpoint.lua"];
    /// Extends leases.
    EXTEND = "extend" ["queue.lua", "extend.lua"];
    /// Makes jobs due.
    ENQUEUE = "enqueue" ["queue.lua", "enqueue.lua"];
    /// The queue in numbers.
    STATS = "stats" ["queue.lua", "look.lua", "stats.lua"];
    /// A page of the jobs in one state.
    LIST = "list" ["queue.lua", "look.lua", "list.lua"];
    /// One job.
    SHOW = "show" ["queue.lua", "show.lua"];
    /// Writes down what a look at the provider's fleet found.
    FLEET = "fleet" ["queue.lua", "fleet.lua"];
    /// Writes a record that was lost.
    RESTORE = "restore" ["queue.lua", "restore.lua"];
    /// Takes jobs out of the dead letter.
    EXHUME = "exhume" ["queue.lua", "exhume.lua"];
    /// Forgets instances that were closed long ago.
    PRUNE = "prune" ["queue.lua", "prune.lua"];
    /// Pauses a kind of job, or lets it go on.
    PAUSE = "pause" ["queue.lua", "pause.lua"];
    /// Takes, keeps and leaves the lock under which an operator writes.
    OPERATOR = "operator" ["operator.lua"];
    /// Moves from one layout to another.
    LAYOUT = "layout" ["fence.lua", "layout.lua"];
    /// Writes down which instances records hold.
    HOLD = "hold" ["fence.lua", "hold.lua"];
    /// Writes a batch of a backup.
    LOAD = "load" ["fence.lua", "load.lua"];
    /// Writes what was the predecessor's.
    IMPORT = "import" ["queue.lua", "import.lua"];
    /// Takes that back.
    UNIMPORT = "unimport" ["queue.lua", "budget.lua", "unimport.lua"];
    /// Notes that an instance was used.
    TOUCH = "touch" ["touch.lua"];
    /// Replaces what is remembered under an idempotency key.
    RECALL = "recall" ["recall.lua"];
    /// Takes a part of what a caller may ask.
    RATE = "rate" ["rate.lua"];
    /// Paces the calls to the provider.
    PACE = "pace" ["pace.lua"];
}

impl Script {
    /// The source for this kind of server.
    #[must_use]
    pub fn source(&self, key_locking: bool) -> &Source {
        if key_locking {
            &self.key_locking
        } else {
            &self.plain
        }
    }
}
