//! Library of this binary.

pub mod health;
pub mod outbound;
pub mod webhook;
