//! How long answers are kept in the process.

use std::time::Duration;

use clap::Args;
use shared::config::Reader;

/// Flags and variables about it.
#[derive(Debug, Clone, Args)]
pub(super) struct CacheArgs {
    /// How long what was read of an instance is reused, in seconds, unless it changes before (60 to 3600)
    #[arg(long, env = "CACHE_TIMEOUT", default_value = "300")]
    cache_timeout: String,
    /// The same for the listing of the whole fleet (10 to 600)
    #[arg(long, env = "COMPREHENSIVE_CACHE_TTL", default_value = "30")]
    comprehensive_cache_ttl: String,
    /// Entries of each cache, at most; with 0 nothing is kept (0 to 100000)
    #[arg(long, env = "MAX_CACHE_SIZE", default_value = "1000")]
    max_cache_size: String,
    /// With `REDIS_ENABLE_FALLBACK`: how long after its time an answer stands in while Redis does not answer,
    /// in seconds (60 to 86400)
    #[arg(long, env = "FALLBACK_STALE_SECONDS", default_value = "3600")]
    fallback_stale_seconds: String,
}

/// The same, read and checked.
#[derive(Debug, Clone, Copy)]
pub struct CacheConfig {
    /// How long an instance, or a page of them, is fresh.
    pub instances: Duration,
    /// How long the listing of the whole fleet is fresh.
    pub fleet: Duration,
    /// Entries of each cache, at most.
    pub max_entries: u64,
    /// How long after its time an answer stands in for one that cannot be had; zero for never.
    pub stale: Duration,
}

impl CacheArgs {
    pub(super) fn read(&self, reader: &mut Reader, has_fallback: bool) -> CacheConfig {
        let stale = &self.fallback_stale_seconds;
        let stale = reader.seconds("FALLBACK_STALE_SECONDS", stale, 60..=86_400);
        let ttl = &self.comprehensive_cache_ttl;
        CacheConfig {
            instances: reader.seconds("CACHE_TIMEOUT", &self.cache_timeout, 60..=3600),
            fleet: reader.seconds("COMPREHENSIVE_CACHE_TTL", ttl, 10..=600),
            max_entries: reader.int("MAX_CACHE_SIZE", &self.max_cache_size, 0..=100_000),
            stale: if has_fallback { stale } else { Duration::ZERO },
        }
    }
}
