//! The work queue: job ids with due times, handed to one holder at a time under a fenced lease.
//!
//! At-least-once: a job whose holder dies comes back when its lease ends. A holder that was replaced
//! cannot change anything any more, because every write carries its token. The scripts in
//! `redis/lua` hold the rules; this module gives them types.

mod exchange;
mod job;
mod stats;

pub use exchange::{BATCH, Call, Checkpoint, Exchange, Queue};
pub use job::{Delivery, Job, JobId, Priority, Reservation, Settlement, Verdict, Write};
pub use stats::{HEARTBEAT_INTERVAL_MS, Heartbeat, QueueStats};
