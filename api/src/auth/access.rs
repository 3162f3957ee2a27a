//! What each endpoint asks of its caller.

use super::Scope;
use crate::router::Endpoint;

/// Who may use an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody: probes have no key.
    Open,
    /// Callers with this scope.
    Scope(Scope),
}

impl Access {
    /// Who may use `endpoint`.
    pub(crate) fn to(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Health
            | Endpoint::Live
            | Endpoint::Ready
            | Endpoint::OpenApi
            | Endpoint::Page(_) => Self::Open,
            Endpoint::ListInstances
            | Endpoint::ReadInstance
            | Endpoint::ListEvents
            | Endpoint::ListFleetEvents
            | Endpoint::ListFleet
            | Endpoint::AutoStopStats
            | Endpoint::MigrationStatus
            | Endpoint::ReadOperation
            | Endpoint::ListJobs
            | Endpoint::QueueStats
            | Endpoint::ListDeliveries
            | Endpoint::ReadDelivery
            | Endpoint::CacheStats
            | Endpoint::OneCacheStats
            | Endpoint::CacheSchedule
            | Endpoint::ReadJob => Self::Scope(Scope::Read),
            Endpoint::CreateInstance
            | Endpoint::ChangeInstance(_)
            | Endpoint::ChangeNamedInstance(_)
            | Endpoint::StopAllInstances
            | Endpoint::SyncFleet
            | Endpoint::TouchInstance
            | Endpoint::TriggerAutoStop
            | Endpoint::CheckFailedMigrations
            | Endpoint::TriggerMigration
            | Endpoint::RetryDeadJobs
            | Endpoint::DropJob
            | Endpoint::ReplayDelivery
            | Endpoint::ReplayDeliveries
            | Endpoint::TestWebhook
            | Endpoint::ClearCaches
            | Endpoint::CleanUpCaches
            | Endpoint::RemoveCacheEntry
            | Endpoint::RunCacheSchedule
            | Endpoint::RetryJob => Self::Scope(Scope::Write),
            Endpoint::PauseQueue | Endpoint::ResumeQueue | Endpoint::ResetCaches => {
                Self::Scope(Scope::Admin)
            }
        }
    }
}
