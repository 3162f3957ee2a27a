//! The fleet as the provider lists it, compared with what is recorded.

pub mod sweep;
