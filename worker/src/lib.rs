//! Library of this binary.

pub mod health;
pub mod novita;
pub mod outbound;
pub mod webhook;
