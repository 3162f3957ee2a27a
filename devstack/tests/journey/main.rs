//! Whole stories through every process, over both transports.

mod crash;
mod create;
mod failover;
mod support;
