//! What operators do to Redis, and no other process does: versioned changes of the layout, the import of
//! the predecessor's data, backup and restore.
//!
//! `cli` says what there is, `command` hands it to the module that does it. Whatever writes does so under
//! `lock`, whose token every script compares, so two operators never write at once and one who was
//! thought dead cannot write late. Everything that writes may be killed at any line and begun again.

#![forbid(unsafe_code)]

pub mod answer;
pub mod backup;
pub mod cli;
pub mod command;
mod digest;
pub mod lock;
pub mod node;
pub mod scan;
pub mod screen;
pub mod steps;
