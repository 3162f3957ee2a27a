//! The caches of this process, for people: how they do, and how to empty them. Nothing but entries of caches is
//! ever removed here; what they keep can be read again.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;
use shared::cache::{CacheStats, EntryStats};
use shared::clock::Millis;
use utoipa::ToSchema;

use super::{Input, problem};
use crate::app::App;
use crate::caches::CacheName;
use crate::error::ApiError;
use crate::json;
use crate::reply::Reply;
use crate::validate::Fields;

/// Longest name of a cache, and longest confirmation.
const MAX_NAME: usize = 64;
/// What the predecessor called a schedule.
const NO_SCHEDULE: &str = "None: entries end by themselves";

/// What happened in a cache, under the predecessor's names.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = CacheMetrics)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    hits: u64,
    misses: u64,
    /// Answers that were out of date.
    stale: u64,
    sets: u64,
    deletes: u64,
    evictions: u64,
    /// Entries.
    total_size: u64,
    /// Their memory, roughly.
    bytes: u64,
    /// Age of the oldest entry, in ms.
    oldest_age: u64,
}

impl Metrics {
    fn of(stats: &CacheStats) -> Self {
        Self {
            hits: stats.hits,
            misses: stats.misses,
            stale: stats.stale,
            sets: stats.sets,
            deletes: stats.deletes,
            evictions: stats.evictions,
            total_size: stats.entries,
            bytes: stats.bytes,
            oldest_age: stats.oldest_ms,
        }
    }
}

/// One entry.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CacheEntry)]
#[serde(rename_all = "camelCase")]
struct Entry {
    /// Its memory, roughly.
    size: u64,
    /// How long it is fresh, in ms.
    ttl: u64,
    /// Since it was read, in ms.
    age: u64,
    access_count: u64,
    /// In ms since 1970.
    last_accessed: u64,
}

impl Entry {
    fn of(stats: &EntryStats, now: Millis) -> Self {
        let ms = |span: std::time::Duration| span.as_millis() as u64;
        Self {
            size: stats.bytes,
            ttl: ms(stats.ttl),
            age: ms(stats.age),
            access_count: stats.uses,
            last_accessed: now.0.saturating_sub(ms(stats.unused)),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CacheDetails)]
struct Details {
    metrics: Metrics,
    /// By key; a thousand at most.
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CacheManager)]
#[serde(rename_all = "camelCase")]
struct Manager {
    cache_names: Vec<&'static str>,
    stats: BTreeMap<&'static str, Details>,
    metrics: BTreeMap<&'static str, Metrics>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CacheService)]
#[serde(rename_all = "camelCase")]
struct Service {
    size: u64,
    hit_ratio: f64,
    metrics: Metrics,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CacheSummary)]
#[serde(rename_all = "camelCase")]
struct Summary {
    total_caches: usize,
    total_entries: u64,
    total_hits: u64,
    total_misses: u64,
    overall_hit_ratio: f64,
}

/// How the caches of this process do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CacheStats)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    #[schema(format = DateTime)]
    timestamp: String,
    cache_manager: Manager,
    services: BTreeMap<&'static str, Service>,
    summary: Summary,
}

/// How one cache does.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OneCacheStats)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportOfOne {
    cache_name: String,
    #[schema(format = DateTime)]
    timestamp: String,
    size: u64,
    hit_ratio: f64,
    stats: Details,
    metrics: Metrics,
}

/// That something was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CacheAnswer)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Done {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries_removed: Option<u64>,
    #[schema(format = DateTime)]
    timestamp: String,
}

impl Done {
    fn reply(message: String, entries_removed: Option<u64>) -> Reply {
        let done = Self {
            message,
            entries_removed,
            timestamp: Millis::now().iso(),
        };
        Reply::json(StatusCode::OK, &done)
    }
}

/// When caches are emptied by themselves: never, for their entries end one by one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CacheSchedule)]
pub(crate) struct Schedule {
    scheduler: Scheduler,
    #[schema(format = DateTime)]
    timestamp: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CacheScheduler)]
#[serde(rename_all = "camelCase")]
struct Scheduler {
    is_running: bool,
    execution_count: u64,
    last_execution: &'static str,
    next_execution: Option<String>,
    schedule: &'static str,
}

/// `GET /api/cache/stats`.
pub(crate) async fn stats(app: &App) -> Result<Reply, ApiError> {
    let now = Millis::now();
    let mut manager = Manager {
        cache_names: Vec::new(),
        stats: BTreeMap::new(),
        metrics: BTreeMap::new(),
    };
    let (mut services, mut all) = (BTreeMap::new(), CacheStats::default());
    for name in CacheName::ALL {
        let stats = app.caches.stats(name).await;
        let metrics = Metrics::of(&stats);
        let word = name.as_str();
        manager.cache_names.push(word);
        manager.stats.insert(word, details(app, name, metrics, now));
        manager.metrics.insert(word, metrics);
        services.insert(
            word,
            Service {
                size: stats.entries,
                hit_ratio: stats.hit_ratio(),
                metrics,
            },
        );
        all = all.plus(&stats);
    }
    let report = Report {
        timestamp: now.iso(),
        summary: Summary {
            total_caches: manager.cache_names.len(),
            total_entries: all.entries,
            total_hits: all.hits + all.stale,
            total_misses: all.misses,
            overall_hit_ratio: all.hit_ratio(),
        },
        cache_manager: manager,
        services,
    };
    Ok(Reply::json(StatusCode::OK, &report))
}

/// `GET /api/cache/{id}/stats`; a cache that is not known has nothing in it.
pub(crate) async fn stats_of_one(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let now = Millis::now();
    let (stats, entries) = match CacheName::of(&input.id) {
        Some(name) => (app.caches.stats(name).await, entries(app, name, now)),
        None => (CacheStats::default(), BTreeMap::new()),
    };
    let metrics = Metrics::of(&stats);
    let report = ReportOfOne {
        cache_name: input.id.clone(),
        timestamp: now.iso(),
        size: stats.entries,
        hit_ratio: stats.hit_ratio(),
        stats: Details { metrics, entries },
        metrics,
    };
    Ok(Reply::json(StatusCode::OK, &report))
}

fn details(app: &App, name: CacheName, metrics: Metrics, now: Millis) -> Details {
    Details {
        metrics,
        entries: entries(app, name, now),
    }
}

fn entries(app: &App, name: CacheName, now: Millis) -> BTreeMap<String, Entry> {
    let entries = app.caches.entries(name).into_iter();
    entries
        .map(|(key, stats)| (key, Entry::of(&stats, now)))
        .collect()
}

/// `POST /api/cache/clear`: one cache, or all of them.
pub(crate) async fn clear(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let mut fields = Fields::new(json::object(&input.body)?);
    let name = fields.optional_text("cacheName", MAX_NAME, |_| None);
    fields.finish(input.parameter("strict")?.as_deref() == Some("true"))?;
    let Some(name) = name else {
        clear_all(app).await;
        return Ok(Done::reply(
            "All caches cleared successfully".to_owned(),
            None,
        ));
    };
    // The predecessor cleared whatever it was told; what is no cache has nothing to clear.
    if let Some(cache) = CacheName::of(&name) {
        app.caches.clear(cache).await;
    }
    Ok(Done::reply(
        format!("Cache '{name}' cleared successfully"),
        None,
    ))
}

async fn clear_all(app: &App) {
    for name in CacheName::ALL {
        app.caches.clear(name).await;
    }
}

/// `POST /api/cache/cleanup`: what is not fresh any more.
pub(crate) async fn clean_up(app: &App) -> Result<Reply, ApiError> {
    let mut removed = 0;
    for name in CacheName::ALL {
        removed += app.caches.clean_up(name).await;
    }
    let message = "Cache cleanup completed successfully".to_owned();
    Ok(Done::reply(message, Some(removed)))
}

/// `DELETE /api/cache/{id}/{key}`.
pub(crate) async fn remove(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let (name, key) = (&input.id, &input.key);
    let was_there = match CacheName::of(name) {
        Some(cache) => app.caches.remove(cache, key).await,
        None => false,
    };
    if !was_there {
        return Err(ApiError::NoCacheEntry {
            name: name.clone(),
            key: key.clone(),
        });
    }
    Ok(Done::reply(
        format!("Key '{key}' deleted from cache '{name}'"),
        None,
    ))
}

/// `POST /api/cache/hard-reset`: the same as clearing all, for whoever confirms it by the prefix of our keys. The
/// predecessor emptied all of Redis; here not a key is touched that is not a cache's.
pub(crate) async fn reset(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let mut fields = Fields::new(json::object(&input.body)?);
    let confirmed = fields.optional_text("confirm", MAX_NAME, |_| None);
    fields.finish(false)?;
    if confirmed.as_deref() != Some(&app.prefix) {
        return Err(ApiError::Invalid {
            message: "A hard reset must be confirmed",
            problems: vec![problem(
                "confirm",
                "\"confirm\" must be the prefix of this deployment's keys (REDIS_KEY_PREFIX)"
                    .to_owned(),
            )],
        });
    }
    clear_all(app).await;
    tracing::info!("all caches were reset by request");
    let message = "Hard reset completed successfully. All cached data has been deleted; records and jobs are kept.";
    Ok(Done::reply(message.to_owned(), None))
}

/// `GET /api/cache/scheduler/status`.
pub(crate) fn schedule() -> Reply {
    let schedule = Schedule {
        scheduler: Scheduler {
            is_running: false,
            execution_count: 0,
            last_execution: "Never",
            next_execution: None,
            schedule: NO_SCHEDULE,
        },
        timestamp: Millis::now().iso(),
    };
    Reply::json(StatusCode::OK, &schedule)
}

/// `POST /api/cache/scheduler/trigger`: what the predecessor did every night.
pub(crate) async fn run_schedule(app: &App) -> Result<Reply, ApiError> {
    clear_all(app).await;
    Ok(Done::reply(
        "Cache clear triggered successfully".to_owned(),
        None,
    ))
}
