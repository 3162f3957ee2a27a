//! The public surface on one screen: path and method to endpoint.

use http::Method;
use matchit::InsertError;

use crate::error::ApiError;
use crate::page::Asset;
use crate::wish::Wish;

/// Everything that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    CreateInstance,
    ListInstances,
    ReadInstance,
    ListEvents,
    ListFleetEvents,
    ChangeInstance(Wish),
    ChangeNamedInstance(Wish),
    StopAllInstances,
    ListFleet,
    SyncFleet,
    TouchInstance,
    AutoStopStats,
    TriggerAutoStop,
    CheckFailedMigrations,
    MigrationStatus,
    TriggerMigration,
    ReadOperation,
    ListJobs,
    QueueStats,
    RetryDeadJobs,
    ReadJob,
    DropJob,
    RetryJob,
    PauseQueue,
    ResumeQueue,
    ListDeliveries,
    ReadDelivery,
    ReplayDelivery,
    ReplayDeliveries,
    TestWebhook,
    Health,
    Live,
    Ready,
    OpenApi,
    CacheStats,
    OneCacheStats,
    ClearCaches,
    CleanUpCaches,
    RemoveCacheEntry,
    ResetCaches,
    CacheSchedule,
    RunCacheSchedule,
    /// The web page.
    Page(Asset),
}

pub(crate) static RESOURCES: [Resource; 51] = [
    Resource {
        pattern: "/api/instances",
        methods: &[
            (Verb::Get, Endpoint::ListInstances),
            (Verb::Post, Endpoint::CreateInstance),
        ],
    },
    Resource {
        pattern: "/api/instances/{id}",
        methods: &[
            (Verb::Get, Endpoint::ReadInstance),
            (Verb::Delete, Endpoint::ChangeInstance(Wish::Delete)),
        ],
    },
    Resource {
        pattern: "/api/instances/{id}/events",
        methods: &[(Verb::Get, Endpoint::ListEvents)],
    },
    Resource {
        pattern: "/api/instances/{id}/start",
        methods: &[(Verb::Post, Endpoint::ChangeInstance(Wish::Start))],
    },
    Resource {
        pattern: "/api/instances/{id}/stop",
        methods: &[(Verb::Post, Endpoint::ChangeInstance(Wish::Stop))],
    },
    Resource {
        pattern: "/api/instances/{id}/restart",
        methods: &[(Verb::Post, Endpoint::ChangeInstance(Wish::Restart))],
    },
    Resource {
        pattern: "/api/instances/{id}/last-used",
        methods: &[(Verb::Put, Endpoint::TouchInstance)],
    },
    Resource {
        pattern: "/api/instances/auto-stop/stats",
        methods: &[(Verb::Get, Endpoint::AutoStopStats)],
    },
    Resource {
        pattern: "/api/instances/auto-stop/trigger",
        methods: &[(Verb::Post, Endpoint::TriggerAutoStop)],
    },
    Resource {
        pattern: "/api/instances/migration/check-failed",
        methods: &[(Verb::Post, Endpoint::CheckFailedMigrations)],
    },
    Resource {
        pattern: "/api/instances/migration/scheduler/status",
        methods: &[(Verb::Get, Endpoint::MigrationStatus)],
    },
    Resource {
        pattern: "/api/instances/migration/scheduler/trigger",
        methods: &[(Verb::Post, Endpoint::TriggerMigration)],
    },
    Resource {
        pattern: "/api/instances/start",
        methods: &[(Verb::Post, Endpoint::ChangeNamedInstance(Wish::Start))],
    },
    Resource {
        pattern: "/api/instances/stop",
        methods: &[(Verb::Post, Endpoint::ChangeNamedInstance(Wish::Stop))],
    },
    Resource {
        pattern: "/api/instances/restart",
        methods: &[(Verb::Post, Endpoint::ChangeNamedInstance(Wish::Restart))],
    },
    Resource {
        pattern: "/api/instances/delete",
        methods: &[(Verb::Post, Endpoint::ChangeNamedInstance(Wish::Delete))],
    },
    Resource {
        pattern: "/api/instances/stop-all",
        methods: &[(Verb::Post, Endpoint::StopAllInstances)],
    },
    Resource {
        pattern: "/api/instances/comprehensive",
        methods: &[(Verb::Get, Endpoint::ListFleet)],
    },
    Resource {
        pattern: "/api/instances/sync",
        methods: &[(Verb::Post, Endpoint::SyncFleet)],
    },
    Resource {
        pattern: "/api/operations/{id}",
        methods: &[(Verb::Get, Endpoint::ReadOperation)],
    },
    Resource {
        pattern: "/api/events",
        methods: &[(Verb::Get, Endpoint::ListFleetEvents)],
    },
    Resource {
        pattern: "/api/jobs",
        methods: &[(Verb::Get, Endpoint::ListJobs)],
    },
    // The ids of jobs have a colon, so none of them is called `stats` or `dead`.
    Resource {
        pattern: "/api/jobs/stats",
        methods: &[(Verb::Get, Endpoint::QueueStats)],
    },
    Resource {
        pattern: "/api/jobs/dead/retry",
        methods: &[(Verb::Post, Endpoint::RetryDeadJobs)],
    },
    Resource {
        pattern: "/api/jobs/{id}",
        methods: &[
            (Verb::Get, Endpoint::ReadJob),
            (Verb::Delete, Endpoint::DropJob),
        ],
    },
    Resource {
        pattern: "/api/jobs/{id}/retry",
        methods: &[(Verb::Post, Endpoint::RetryJob)],
    },
    Resource {
        pattern: "/api/queue/pause",
        methods: &[(Verb::Post, Endpoint::PauseQueue)],
    },
    Resource {
        pattern: "/api/queue/resume",
        methods: &[(Verb::Post, Endpoint::ResumeQueue)],
    },
    Resource {
        pattern: "/api/webhooks/deliveries",
        methods: &[(Verb::Get, Endpoint::ListDeliveries)],
    },
    // Deliveries have numbers, so none of them is called `replay`.
    Resource {
        pattern: "/api/webhooks/deliveries/replay",
        methods: &[(Verb::Post, Endpoint::ReplayDeliveries)],
    },
    Resource {
        pattern: "/api/webhooks/deliveries/{id}",
        methods: &[(Verb::Get, Endpoint::ReadDelivery)],
    },
    Resource {
        pattern: "/api/webhooks/deliveries/{id}/replay",
        methods: &[(Verb::Post, Endpoint::ReplayDelivery)],
    },
    Resource {
        pattern: "/api/webhooks/test",
        methods: &[(Verb::Post, Endpoint::TestWebhook)],
    },
    Resource {
        pattern: "/api/cache/stats",
        methods: &[(Verb::Get, Endpoint::CacheStats)],
    },
    Resource {
        pattern: "/api/cache/{id}/stats",
        methods: &[(Verb::Get, Endpoint::OneCacheStats)],
    },
    Resource {
        pattern: "/api/cache/clear",
        methods: &[(Verb::Post, Endpoint::ClearCaches)],
    },
    Resource {
        pattern: "/api/cache/cleanup",
        methods: &[(Verb::Post, Endpoint::CleanUpCaches)],
    },
    Resource {
        pattern: "/api/cache/{id}/{key}",
        methods: &[(Verb::Delete, Endpoint::RemoveCacheEntry)],
    },
    Resource {
        pattern: "/api/cache/hard-reset",
        methods: &[(Verb::Post, Endpoint::ResetCaches)],
    },
    Resource {
        pattern: "/api/cache/scheduler/status",
        methods: &[(Verb::Get, Endpoint::CacheSchedule)],
    },
    Resource {
        pattern: "/api/cache/scheduler/trigger",
        methods: &[(Verb::Post, Endpoint::RunCacheSchedule)],
    },
    Resource {
        pattern: "/health",
        methods: &[(Verb::Get, Endpoint::Health)],
    },
    Resource {
        pattern: "/livez",
        methods: &[(Verb::Get, Endpoint::Live)],
    },
    Resource {
        pattern: "/readyz",
        methods: &[(Verb::Get, Endpoint::Ready)],
    },
    Resource {
        pattern: "/openapi.json",
        methods: &[(Verb::Get, Endpoint::OpenApi)],
    },
    Resource {
        pattern: "/",
        methods: &[(Verb::Get, Endpoint::Page(Asset::Index))],
    },
    Resource {
        pattern: "/webhooks.js",
        methods: &[(Verb::Get, Endpoint::Page(Asset::WebhooksScript))],
    },
    Resource {
        pattern: "/app.js",
        methods: &[(Verb::Get, Endpoint::Page(Asset::Script))],
    },
    Resource {
        pattern: "/style.css",
        methods: &[(Verb::Get, Endpoint::Page(Asset::Style))],
    },
    Resource {
        pattern: "/docs",
        methods: &[(Verb::Get, Endpoint::Page(Asset::Docs))],
    },
    Resource {
        pattern: "/docs.js",
        methods: &[(Verb::Get, Endpoint::Page(Asset::DocsScript))],
    },
];

impl Endpoint {
    /// Asked by machines every few seconds; kept out of the ordinary log and the traffic summary.
    pub(crate) fn is_probe(self) -> bool {
        match self {
            Self::Health | Self::Live | Self::Ready => true,
            Self::CreateInstance
            | Self::ListInstances
            | Self::ReadInstance
            | Self::ListEvents
            | Self::ListFleetEvents
            | Self::ChangeInstance(_)
            | Self::ChangeNamedInstance(_)
            | Self::StopAllInstances
            | Self::ListFleet
            | Self::SyncFleet
            | Self::TouchInstance
            | Self::AutoStopStats
            | Self::TriggerAutoStop
            | Self::CheckFailedMigrations
            | Self::MigrationStatus
            | Self::TriggerMigration
            | Self::ReadOperation
            | Self::ListJobs
            | Self::QueueStats
            | Self::RetryDeadJobs
            | Self::ReadJob
            | Self::DropJob
            | Self::RetryJob
            | Self::PauseQueue
            | Self::ResumeQueue
            | Self::ListDeliveries
            | Self::ReadDelivery
            | Self::ReplayDelivery
            | Self::ReplayDeliveries
            | Self::TestWebhook
            | Self::CacheStats
            | Self::OneCacheStats
            | Self::ClearCaches
            | Self::CleanUpCaches
            | Self::RemoveCacheEntry
            | Self::ResetCaches
            | Self::CacheSchedule
            | Self::RunCacheSchedule
            | Self::OpenApi
            | Self::Page(_) => false,
        }
    }

    /// Reads a body; where this is false a body is ignored.
    pub(crate) fn takes_body(self) -> bool {
        match self {
            Self::CreateInstance
            | Self::SyncFleet
            | Self::ChangeInstance(_)
            | Self::ChangeNamedInstance(_)
            | Self::TouchInstance
            | Self::TriggerAutoStop
            | Self::CheckFailedMigrations
            | Self::RetryDeadJobs
            | Self::PauseQueue
            | Self::ResumeQueue
            | Self::ReplayDeliveries
            | Self::TestWebhook
            | Self::ClearCaches
            | Self::ResetCaches => true,
            Self::ListInstances
            | Self::ReadInstance
            | Self::ListEvents
            | Self::ListFleetEvents
            | Self::StopAllInstances
            | Self::ListFleet
            | Self::AutoStopStats
            | Self::MigrationStatus
            | Self::TriggerMigration
            | Self::ReadOperation
            | Self::ListJobs
            | Self::QueueStats
            | Self::ReadJob
            | Self::DropJob
            | Self::RetryJob
            | Self::ListDeliveries
            | Self::ReadDelivery
            | Self::ReplayDelivery
            | Self::CacheStats
            | Self::OneCacheStats
            | Self::CleanUpCaches
            | Self::RemoveCacheEntry
            | Self::CacheSchedule
            | Self::RunCacheSchedule
            | Self::Health
            | Self::Live
            | Self::Ready
            | Self::OpenApi
            | Self::Page(_) => false,
        }
    }
}

/// The methods in use; HEAD goes wherever GET does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    fn of(method: &Method) -> Option<Self> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A path and what can be done with it.
#[derive(Debug)]
pub(crate) struct Resource {
    /// The path with placeholders; the route's name in metrics and logs.
    pub(crate) pattern: &'static str,
    pub(crate) methods: &'static [(Verb, Endpoint)],
}

impl Resource {
    /// What `method` means here.
    pub(crate) fn endpoint(&self, method: &Method) -> Result<Endpoint, ApiError> {
        let verb = Verb::of(method);
        let found = self.methods.iter().find(|(known, _)| Some(*known) == verb);
        found.map(|(_, endpoint)| *endpoint).ok_or_else(|| {
            let allow = self.allow();
            ApiError::MethodNotAllowed { allow }
        })
    }

    /// The methods that mean something here.
    pub(crate) fn allow(&self) -> String {
        let known = self.methods.iter().map(|(verb, _)| verb.allow());
        let allow: Vec<_> = known.chain(["OPTIONS"]).collect();
        allow.join(", ")
    }
}

/// Where a path leads.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) resource: &'static Resource,
    /// What stands for `{id}`; empty where nothing does.
    pub(crate) id: String,
    /// What stands for `{key}`; the same.
    pub(crate) key: String,
}

/// Finds resources by path.
#[derive(Debug)]
pub(crate) struct Router(matchit::Router<&'static Resource>);

impl Router {
    /// All resources; fails if two of them contradict each other.
    pub(crate) fn new() -> Result<Self, InsertError> {
        let mut router = matchit::Router::new();
        for resource in &RESOURCES {
            router.insert(resource.pattern, resource)?;
        }
        Ok(Self(router))
    }

    /// Where a decoded path leads.
    pub(crate) fn find(&self, path: &str) -> Option<Place> {
        let found = self.0.at(path).ok()?;
        let part = |name| found.params.get(name).unwrap_or_default().to_owned();
        Some(Place {
            resource: found.value,
            id: part("id"),
            key: part("key"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_resource_and_its_id() {
        let router = Router::new().unwrap();
        let Place { resource, id, .. } = router.find("/api/instances/inst_1").unwrap();
        assert_eq!(
            (resource.pattern, id.as_str()),
            ("/api/instances/{id}", "inst_1")
        );
        assert_eq!(
            resource.endpoint(&Method::HEAD).unwrap(),
            Endpoint::ReadInstance
        );
        for path in [
            "/index.html",
            "/api",
            "/api/instances/",
            "//api/instances",
            "/API/instances",
        ] {
            assert!(router.find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_fixed_name_wins_over_an_id() {
        let router = Router::new().unwrap();
        for (path, pattern, id) in [
            ("/api/jobs/stats", "/api/jobs/stats", ""),
            ("/api/jobs/dead/retry", "/api/jobs/dead/retry", ""),
            ("/api/jobs/dead", "/api/jobs/{id}", "dead"),
            ("/api/jobs/stats/retry", "/api/jobs/{id}/retry", "stats"),
            ("/api/jobs/cron:x/retry", "/api/jobs/{id}/retry", "cron:x"),
            (
                "/api/instances/a/last-used",
                "/api/instances/{id}/last-used",
                "a",
            ),
            (
                "/api/instances/auto-stop/last-used",
                "/api/instances/{id}/last-used",
                "auto-stop",
            ),
            (
                "/api/instances/auto-stop/stats",
                "/api/instances/auto-stop/stats",
                "",
            ),
        ] {
            let place = router.find(path).unwrap();
            assert_eq!(
                (place.resource.pattern, place.id.as_str()),
                (pattern, id),
                "{path}"
            );
        }
    }

    #[test]
    fn a_refused_method_tells_the_ones_that_are_allowed() {
        let router = Router::new().unwrap();
        let Place { resource, .. } = router.find("/api/instances/a").unwrap();
        let Err(ApiError::MethodNotAllowed { allow }) = resource.endpoint(&Method::PATCH) else {
            panic!("allowed");
        };
        assert_eq!(allow, "GET, HEAD, DELETE, OPTIONS");
    }
}
