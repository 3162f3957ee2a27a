//! Backup and restore of everything under some names, whichever transport either side has.
//!
//! `take` reads key by key in portions, `file` is what is written, `load` puts it back. Values travel as
//! commands and not as `DUMP` payloads: those are bytes that REST cannot carry, and of one version of
//! Redis alone.

pub mod file;
pub mod load;
pub mod take;

pub use load::restore;
pub use take::backup;
