//! The predecessor's data become ours.
//!
//! `family` says what a key holds, `text`, `state` and `jobs` read it, `context` has what records do not
//! say of themselves, `life`, `request` and `map` make records of ours. All of that is pure. `source` reads
//! and never writes, `walk` goes through it once, `target` writes, `verify` compares, `undo` takes it back.

pub mod command;
pub mod context;
pub mod family;
pub mod item;
pub mod jobs;
mod ledger;
pub mod life;
pub mod map;
pub mod quarantine;
pub mod report;
mod request;
pub mod source;
pub mod state;
pub mod target;
pub mod text;
pub mod undo;
mod verify;
pub mod walk;
