//! What happened in a cache, for metrics and for whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{counter, describe_counter};
use serde::{Deserialize, Serialize};

/// How a cache did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CacheStats {
    /// Answers that were fresh.
    pub hits: u64,
    /// Answers that were fetched.
    pub misses: u64,
    /// Answers that were stale.
    pub stale: u64,
    /// Entries that were kept.
    pub sets: u64,
    /// Entries that somebody removed.
    pub deletes: u64,
    /// Entries for which there was no room, or whose time was over.
    pub evictions: u64,
    /// Entries that are kept.
    pub entries: u64,
    /// Their memory, roughly.
    pub bytes: u64,
    /// Age of the oldest.
    pub oldest_ms: u64,
}

impl CacheStats {
    /// Of all answers, the part that was not fetched; 0 before the first.
    #[must_use]
    pub fn hit_ratio(&self) -> f64 {
        let here = self.hits + self.stale;
        let all = here + self.misses;
        if all == 0 {
            return 0.0;
        }
        here as f64 / all as f64
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            stale: self.stale + other.stale,
            sets: self.sets + other.sets,
            deletes: self.deletes + other.deletes,
            evictions: self.evictions + other.evictions,
            entries: self.entries + other.entries,
            bytes: self.bytes + other.bytes,
            oldest_ms: self.oldest_ms.max(other.oldest_ms),
        }
    }
}

/// One entry of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryStats {
    /// Its memory, roughly.
    pub bytes: u64,
    /// How long it is fresh in all.
    pub ttl: Duration,
    /// Since it was fetched.
    pub age: Duration,
    /// How often it was told.
    pub uses: u64,
    /// Since it was told last, or fetched.
    pub unused: Duration,
}

#[derive(Debug)]
pub(super) struct Counters {
    name: &'static str,
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    sets: AtomicU64,
    deletes: AtomicU64,
    evictions: AtomicU64,
}

impl Counters {
    pub(super) fn new(name: &'static str) -> Self {
        describe_counter!(
            "cache_reads_total",
            "Answers of a cache: fresh (hit), fetched (miss), or out of date (stale)"
        );
        describe_counter!(
            "cache_evictions_total",
            "Entries of a cache for which there was no room, or whose time was over"
        );
        for result in ["hit", "miss", "stale"] {
            counter!("cache_reads_total", "cache" => name, "result" => result).increment(0);
        }
        counter!("cache_evictions_total", "cache" => name).increment(0);
        let zero = || AtomicU64::new(0);
        Self {
            name,
            hits: zero(),
            misses: zero(),
            stale: zero(),
            sets: zero(),
            deletes: zero(),
            evictions: zero(),
        }
    }

    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        counter!("cache_reads_total", "cache" => self.name, "result" => "hit").increment(1);
    }

    pub(super) fn miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
        counter!("cache_reads_total", "cache" => self.name, "result" => "miss").increment(1);
    }

    pub(super) fn stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
        counter!("cache_reads_total", "cache" => self.name, "result" => "stale").increment(1);
    }

    pub(super) fn kept(&self) {
        self.sets.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn deleted(&self, count: u64) {
        self.deletes.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn evicted(&self) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
        counter!("cache_evictions_total", "cache" => self.name).increment(1);
    }

    /// Without what only the entries tell.
    pub(super) fn stats(&self) -> CacheStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            hits: read(&self.hits),
            misses: read(&self.misses),
            stale: read(&self.stale),
            sets: read(&self.sets),
            deletes: read(&self.deletes),
            evictions: read(&self.evictions),
            ..CacheStats::default()
        }
    }
}
