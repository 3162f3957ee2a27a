//! What was read a moment ago, kept in the process: bounded, asked for once by many, and told from what is.
//!
//! An entry is *fresh* until its time is over or somebody says that it changed ([`Cache::outdate`]). After that
//! it is *stale*: kept for a while, because it is better than nothing when what is behind does not answer.

mod counters;
mod rules;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use counters::Counters;
pub use counters::{CacheStats, EntryStats};
use moka::notification::RemovalCause;
pub use rules::CacheRules;
use tokio::time::Instant;
use turns::{Turn, Turns};

/// Entries that are told of one by one, at most.
const MOST_TOLD: usize = 1000;
/// How long an answer is remembered for those who asked while it was on its way. They have it at once; this
/// is for those whose tasks run late.
const FLIGHT: Duration = Duration::from_secs(1);
/// Those are remembered for so many keys, at most.
const MOST_FLIGHTS: u64 = 1000;
/// Memory of an entry beside its key and value.
const OVERHEAD: usize = 200;

/// What can be kept.
pub trait Cacheable: Clone + Send + Sync + 'static {
    /// Memory that it takes, roughly.
    fn bytes(&self) -> usize;

    /// Whether it says that there is nothing; such answers are kept for a shorter time.
    fn is_absent(&self) -> bool;
}

/// Where an answer is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It was here, and is what is.
    Hit,
    /// It was fetched.
    Miss,
    /// It was here, and may not be what is.
    Stale,
}

impl Source {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Served<V> {
    /// The answer.
    pub value: V,
    /// Since it was fetched.
    pub age: Duration,
    /// Where it is from.
    pub source: Source,
}

/// One named cache; clones share it.
pub struct Cache<V>(Arc<Inner<V>>);

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cache {}", self.0.rules.name)
    }
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<V> {
    rules: CacheRules,
    entries: moka::future::Cache<String, Arc<Kept<V>>>,
    /// Answers that are on their way, and who waits for them.
    flights: moka::future::Cache<String, Arc<Kept<V>>>,
    turns: Turns,
    /// Nobody tells what changes at the moment.
    is_doubted: AtomicBool,
    counters: Arc<Counters>,
}

/// What is kept of one answer.
#[derive(Debug)]
struct Kept<V> {
    value: V,
    bytes: usize,
    at: Instant,
    turn: Turn,
    is_being_renewed: AtomicBool,
    uses: AtomicU64,
    /// In ms after `at`.
    last_used: AtomicU64,
}

impl<V: Cacheable> Kept<V> {
    fn new(key: &str, value: V, turn: Turn) -> Self {
        Self {
            bytes: value.bytes() + key.len() + OVERHEAD,
            value,
            at: Instant::now(),
            turn,
            is_being_renewed: AtomicBool::new(false),
            uses: AtomicU64::new(0),
            last_used: AtomicU64::new(0),
        }
    }

    fn served(&self, source: Source) -> Served<V> {
        let age = self.at.elapsed();
        if source != Source::Miss {
            self.uses.fetch_add(1, Ordering::Relaxed);
            self.last_used
                .store(age.as_millis() as u64, Ordering::Relaxed);
        }
        Served {
            value: self.value.clone(),
            age,
            source,
        }
    }
}

impl<V: Cacheable> Cache<V> {
    /// An empty cache.
    #[must_use]
    pub fn new(rules: CacheRules) -> Self {
        let counters = Arc::new(Counters::new(rules.name));
        let evicted = Arc::clone(&counters);
        let least = rules.max_bytes / rules.max_entries.max(1);
        let room = if rules.max_entries == 0 {
            0
        } else {
            rules.max_bytes
        };
        let entries = moka::future::Cache::builder()
            .name(rules.name)
            .max_capacity(room)
            // Nothing weighs less than its share, so the number of entries is bounded as well.
            .weigher(move |_, kept: &Arc<Kept<V>>| {
                u32::try_from((kept.bytes as u64).max(least)).unwrap_or(u32::MAX)
            })
            .time_to_live(rules.ttl + rules.stale.max(rules.revalidate))
            .eviction_listener(move |_, _, cause| {
                if matches!(cause, RemovalCause::Size | RemovalCause::Expired) {
                    evicted.evicted();
                }
            })
            .build();
        let flights = moka::future::Cache::builder()
            .max_capacity(MOST_FLIGHTS)
            .time_to_live(FLIGHT)
            .build();
        Self(Arc::new(Inner {
            rules,
            entries,
            flights,
            turns: Turns::new(),
            is_doubted: AtomicBool::new(false),
            counters,
        }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.rules.name
    }

    /// What is kept under `key`, or what `load` fetches. However many ask at once, one of them fetches. When it
    /// cannot be had, an entry that is not too old stands in. A value that was fetched before the last
    /// [`Cache::outdate`] of its key is never told as [`Source::Hit`].
    ///
    /// # Errors
    ///
    /// What `load` failed with, when nothing can stand in.
    pub async fn get<E, F>(
        &self,
        key: &str,
        load: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<Served<V>, Arc<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let inner = &self.0;
        let found = inner.entries.get(key).await;
        if let Some(kept) = &found {
            let is_current =
                kept.turn == inner.turns.of(key) && !inner.is_doubted.load(Ordering::Acquire);
            let late = kept.at.elapsed().saturating_sub(inner.ttl(kept));
            if is_current && late.is_zero() {
                inner.counters.hit();
                return Ok(kept.served(Source::Hit));
            }
            if is_current && late < inner.rules.revalidate {
                self.renew_behind(key, kept, load);
                inner.counters.stale();
                return Ok(kept.served(Source::Stale));
            }
        }
        match inner.fetch(key, &load).await {
            Ok(kept) => {
                inner.counters.miss();
                Ok(kept.served(Source::Miss))
            }
            Err(error) => {
                let kept = found.filter(|kept| inner.rules.may_stand_in(kept.at.elapsed()));
                let kept = kept.ok_or(error)?;
                inner.counters.stale();
                Ok(kept.served(Source::Stale))
            }
        }
    }

    /// Has one task fetch what comes after this entry.
    fn renew_behind<E, F>(
        &self,
        key: &str,
        kept: &Arc<Kept<V>>,
        load: impl Fn() -> F + Send + Sync + 'static,
    ) where
        E: Send + Sync + 'static,
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        if kept.is_being_renewed.swap(true, Ordering::AcqRel) {
            return;
        }
        let (inner, kept, key) = (Arc::clone(&self.0), Arc::clone(kept), key.to_owned());
        tokio::spawn(async move {
            // If it fails, the next who asks begins anew.
            let _ = inner.fetch(&key, &load).await;
            kept.is_being_renewed.store(false, Ordering::Release);
        });
    }

    /// What is under this key has changed: it is not told as fresh any more.
    pub fn outdate(&self, key: &str) {
        self.0.turns.advance(key);
    }

    /// Anything may have changed.
    pub fn outdate_all(&self) {
        self.0.turns.advance_all();
    }

    /// Whether changes are told at the moment. While they are not, nothing is told as fresh.
    pub fn doubt(&self, is_doubted: bool) {
        self.0.is_doubted.store(is_doubted, Ordering::Release);
    }

    /// Forgets one entry. Returns whether there was one.
    pub async fn remove(&self, key: &str) -> bool {
        self.outdate(key);
        let was_there = self.0.entries.remove(key).await.is_some();
        if was_there {
            self.0.counters.deleted(1);
        }
        was_there
    }

    /// Forgets everything. Returns how many entries there were.
    pub async fn clear(&self) -> u64 {
        self.outdate_all();
        self.0.entries.run_pending_tasks().await;
        let count = self.0.entries.entry_count();
        self.0.entries.invalidate_all();
        self.0.entries.run_pending_tasks().await;
        self.0.counters.deleted(count);
        count
    }

    /// Forgets what may not be told as fresh any more. Returns how many entries that were.
    pub async fn clean_up(&self) -> u64 {
        let inner = &self.0;
        let mut removed = 0;
        for (key, kept) in &inner.entries {
            let is_current = kept.turn == inner.turns.of(&key);
            if !is_current || kept.at.elapsed() > inner.ttl(&kept) {
                inner.entries.invalidate(key.as_str()).await;
                removed += 1;
            }
        }
        inner.counters.deleted(removed);
        removed
    }

    /// How it did since the process began.
    pub async fn stats(&self) -> CacheStats {
        self.0.entries.run_pending_tasks().await;
        let mut stats = self.0.counters.stats();
        for (_, kept) in &self.0.entries {
            stats.entries += 1;
            stats.bytes += kept.bytes as u64;
            let age = kept.at.elapsed().as_millis() as u64;
            stats.oldest_ms = stats.oldest_ms.max(age);
        }
        stats
    }

    /// Its entries, a thousand at most.
    #[must_use]
    pub fn entries(&self) -> Vec<(String, EntryStats)> {
        let entries = self.0.entries.iter().take(MOST_TOLD);
        let told = entries.map(|(key, kept)| {
            let age = kept.at.elapsed();
            let uses = kept.uses.load(Ordering::Relaxed);
            let last_used = Duration::from_millis(kept.last_used.load(Ordering::Relaxed));
            let stats = EntryStats {
                bytes: kept.bytes as u64,
                ttl: self.0.ttl(&kept),
                age,
                uses,
                unused: age.saturating_sub(last_used),
            };
            (key.as_ref().clone(), stats)
        });
        told.collect()
    }
}

impl<V: Cacheable> Inner<V> {
    fn ttl(&self, kept: &Kept<V>) -> Duration {
        if kept.value.is_absent() {
            self.rules.absent_ttl
        } else {
            self.rules.ttl
        }
    }

    async fn fetch<E, F>(&self, key: &str, load: &impl Fn() -> F) -> Result<Arc<Kept<V>>, Arc<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<V, E>> + Send,
    {
        let wanted = self.turns.of(key);
        loop {
            let flight = self.flights.try_get_with_by_ref(key, self.load(key, load));
            let kept = flight.await;
            self.flights.invalidate(key).await;
            let kept = kept?;
            // Others may have begun it before the last change that we know of; the next one will not.
            if kept.turn.is_since(wanted) {
                return Ok(kept);
            }
        }
    }

    async fn load<E, F>(&self, key: &str, load: &impl Fn() -> F) -> Result<Arc<Kept<V>>, E>
    where
        F: Future<Output = Result<V, E>> + Send,
    {
        let turn = self.turns.of(key);
        let kept = Arc::new(Kept::new(key, load().await?, turn));
        self.entries.insert(key.to_owned(), Arc::clone(&kept)).await;
        self.counters.kept();
        Ok(kept)
    }
}

#[cfg(test)]
mod tests;
