//! The work queue: job ids with due times, handed to one holder at a time under a fenced lease.
//!
//! At-least-once: a job whose holder dies comes back when its lease ends. A holder that was replaced
//! cannot change anything any more, because every write carries its token. The scripts in
//! `redis/lua` hold the rules; this module gives them types.

mod admin;
mod call;
mod exchange;
mod gauges;
mod job;
mod periodic;
mod reservation;
mod state;
mod stats;
pub mod view;
mod workers;

pub use admin::{Exhumed, Page, QueueAdmin, StoredJob};
pub use call::{BATCH, Call};
pub use exchange::{Checkpoint, Exchange, Peek, Queue};
pub use gauges::{Gauges, describe};
pub use job::{Asked, Delivery, Job, JobId, JobKind, Priority, Purpose};
pub use periodic::{Periodic, until_next_slot};
pub use reservation::{Hash, Reservation, Settlement, Verdict, Write};
pub use state::{JobState, Scope, UnknownWord};
pub use stats::QueueStats;
pub use workers::{BreakerState, Heartbeat, Workers};
