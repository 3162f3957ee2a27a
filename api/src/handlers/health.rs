//! `/health` for people, `/livez` and `/readyz` for machines.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};
use shared::cache::CacheStats;
use shared::clock::Millis;
use shared::fleet::{FleetStore, PassReport};
use shared::queue::{Heartbeat, QueueStats, Workers};
use shared::redis::RedisError;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::caches::CacheName;
use crate::error::ApiError;
use crate::reply::Reply;
use crate::system::{Cpu, load_average, resident_mib};

const REDIS_BUDGET: Duration = Duration::from_secs(2);
const CACHED: Duration = Duration::from_secs(1);
/// Members of the short report.
const SHORT: [&str; 4] = ["status", "timestamp", "uptime", "services"];

/// The last report, so that many probes cost Redis one look a second.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) started: Instant,
    cpu: Cpu,
    last: Mutex<Option<(Instant, Report)>>,
}

/// What is told of one look.
#[derive(Debug, Clone)]
struct Report {
    full: Reply,
    /// For callers without a key.
    short: Reply,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            cpu: Cpu::new(),
            last: Mutex::new(None),
        }
    }
}

/// `GET /livez`: the process answers, whatever else is wrong.
pub(crate) fn live() -> Reply {
    Reply::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// `GET /readyz`: may this process be sent requests?
pub(crate) async fn ready(app: &App) -> Result<Reply, ApiError> {
    match app.readiness.failing().await {
        None => Ok(Reply::json(StatusCode::OK, &json!({"status": "ok"}))),
        Some(check) => Err(ApiError::NotReady(check)),
    }
}

/// `GET /health`: 200 while requests can be served and get done, 503 otherwise. Callers that may not read
/// are told no more than that, and by which part.
pub(crate) async fn health(app: &App, caller: Option<&Caller>) -> Reply {
    let report = report(app).await;
    let may_read = caller.is_some_and(|caller| caller.must_have(Scope::Read).is_ok());
    if may_read { report.full } else { report.short }
}

async fn report(app: &App) -> Report {
    let mut last = app.health.last.lock().await;
    if let Some((at, report)) = last.as_ref()
        && at.elapsed() < CACHED
    {
        return report.clone();
    }
    let look = Look::take(app).await;
    let overall = look.overall();
    let status = match overall {
        Overall::Healthy | Overall::Degraded => StatusCode::OK,
        Overall::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    let full = look.report(app, overall);
    let short: Map<_, _> = SHORT
        .iter()
        .map(|member| ((*member).to_owned(), full[*member].clone()))
        .collect();
    let report = Report {
        full: Reply::json(status, &full),
        short: Reply::json(status, &short),
    };
    *last = Some((Instant::now(), report.clone()));
    report
}

/// What one look at Redis told.
struct Look {
    at: Millis,
    took: Duration,
    /// The queue, or in one word why it could not be read.
    queue: Result<Seen, &'static str>,
    /// All caches of this process together.
    caches: CacheStats,
}

/// The queue and who works on it.
struct Seen {
    stats: QueueStats,
    workers: Workers,
    /// How the provider's list was read last.
    fleet: PassReport,
}

impl Seen {
    async fn read(app: &App) -> Result<Self, RedisError> {
        let (redis, keys) = (app.store.redis(), app.store.keys());
        let fleet = FleetStore::new(redis.clone(), keys.clone());
        let (stats, workers, fleet) = tokio::try_join!(
            QueueStats::read(redis, keys),
            Workers::read(redis, keys),
            fleet.report()
        )?;
        Ok(Self {
            stats,
            workers,
            fleet,
        })
    }

    fn alive(&self) -> impl Iterator<Item = &(String, Heartbeat)> {
        self.workers.alive(self.stats.now)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overall {
    Healthy,
    /// Served, but something is missing.
    Degraded,
    /// Not served, or nobody does the work.
    Unhealthy,
}

impl Overall {
    fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Look {
    async fn take(app: &App) -> Self {
        let started = Instant::now();
        let queue = match timeout(REDIS_BUDGET, Seen::read(app)).await {
            Ok(read) => read.map_err(|error| error.kind()),
            Err(_) => Err("timeout"),
        };
        Self {
            at: Millis::now(),
            took: started.elapsed(),
            queue,
            caches: app.caches.sum().await,
        }
    }

    fn overall(&self) -> Overall {
        let Ok(queue) = &self.queue else {
            return Overall::Unhealthy;
        };
        let live = queue.alive().count();
        if live == 0 && queue.stats.due > 0 {
            Overall::Unhealthy
        } else if live == 0 || live < queue.workers.0.len() || self.provider() == Some(false) {
            Overall::Degraded
        } else {
            Overall::Healthy
        }
    }

    /// The worker that spoke to the provider most recently.
    fn reporter(&self) -> Option<(&str, &Heartbeat)> {
        let queue = self.queue.as_ref().ok()?;
        queue
            .alive()
            .filter(|(_, beat)| beat.provider_up.is_some())
            .max_by_key(|(_, beat)| beat.at)
            .map(|(session, beat)| (session.as_str(), beat))
    }

    fn provider(&self) -> Option<bool> {
        self.reporter().and_then(|(_, beat)| beat.provider_up)
    }

    fn report(&self, app: &App, overall: Overall) -> Value {
        let is_up = self.queue.is_ok();
        let has_workers = self
            .queue
            .as_ref()
            .is_ok_and(|queue| queue.stats.due == 0 || queue.alive().next().is_some());
        let redis = word(is_up);
        let traffic = app.traffic.summary();
        json!({
            "status": overall.as_str(),
            "timestamp": self.at.iso(),
            "uptime": app.health.started.elapsed().as_secs_f64(),
            "version": shared::VERSION,
            "services": {
                "novitaApi": self.provider().map_or("unknown", word),
                "jobQueue": word(has_workers),
                "cache": redis,
                "migrationService": word(has_workers),
                "failedMigrationService": word(has_workers),
                "redis": redis,
            },
            "dependencies": {
                "redis": self.redis(app),
                "novitaApi": self.novita(),
                "jobQueue": self.job_queue(has_workers),
                "cache": {
                    "status": redis,
                    "cacheCount": CacheName::ALL.len(),
                    "totalEntries": self.caches.entries,
                    "hitRatio": rounded(self.caches.hit_ratio()),
                },
            },
            "redis": {
                "available": is_up,
                "healthy": is_up,
                "cacheManager": {
                    "available": is_up,
                    "configuration": {
                        "defaultBackend": if is_up || !app.has_fallback { "redis" } else { "fallback" },
                        "enableFallback": app.has_fallback,
                        "cacheCount": CacheName::ALL.len(),
                        "redisConnected": is_up,
                    },
                    "spooled": 0,
                },
            },
            "sync": self.sync(),
            "performance": {
                "requestsPerMinute": traffic.requests,
                "averageResponseTime": rounded(traffic.average_ms),
                "errorRate": rounded(traffic.error_rate),
                // Workers count what they do in their own metrics; it is not known here.
                "jobProcessingRate": null,
            },
            "system": {
                "memory": {"rss": resident_mib()},
                "cpu": {"usage": app.health.cpu.usage(), "loadAverage": load_average()},
            },
        })
    }

    fn redis(&self, app: &App) -> Value {
        let mut redis = json!({
            "status": word(self.queue.is_ok()),
            "transport": app.store.redis().transport_name(),
            "responseTime": rounded(self.took.as_secs_f64() * 1000.0),
            "lastChecked": self.at.iso(),
        });
        if let Err(why) = self.queue {
            redis["error"] = why.into();
        }
        redis
    }

    fn novita(&self) -> Value {
        match self.reporter() {
            Some((session, beat)) => json!({
                "status": beat.provider_up.map_or("unknown", word),
                "responseTime": beat.provider_ms,
                "breaker": beat.provider_breaker,
                "lastChecked": beat.at.iso(),
                "reportedBy": session,
            }),
            None => json!({
                "status": "unknown",
                "responseTime": null,
                "breaker": null,
                "lastChecked": null,
                "reportedBy": null,
            }),
        }
    }

    /// How the provider's list was read last.
    fn sync(&self) -> Value {
        let fleet = self.queue.as_ref().map(|queue| &queue.fleet);
        let read = fleet.ok().filter(|fleet| fleet.complete_at.0 > 0);
        json!({
            "available": read.is_some(),
            "lastSync": read.map(|fleet| fleet.complete_at.iso()),
            "ageMs": read.map(|fleet| self.at.since(fleet.complete_at)),
            "complete": read.is_some_and(|fleet| fleet.gap.is_empty()),
        })
    }

    fn job_queue(&self, has_workers: bool) -> Value {
        let Ok(queue) = &self.queue else {
            return json!({"status": "down"});
        };
        json!({
            "status": word(has_workers),
            "queueSize": queue.stats.due,
            "processing": queue.stats.leased,
            "delayed": queue.stats.delayed,
            "dead": queue.stats.dead,
            "oldestDueMs": queue.stats.oldest_due_ms,
            "workers": queue.alive().count(),
            "lastChecked": self.at.iso(),
        })
    }
}

fn word(is_up: bool) -> &'static str {
    if is_up { "up" } else { "down" }
}

/// To three decimals.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
