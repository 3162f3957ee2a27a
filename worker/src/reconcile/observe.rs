//! Following an instance that the provider has: to running, to ready, and after that.

use serde_json::json;
use shared::model::status::Health;
use shared::model::{EventKind, ProviderFacts};

use super::draft::{Draft, Next};
use super::remove::provider_id;
use super::{Reconciler, facts, failure};
use crate::health::{self, Endpoint, EndpointKind, OverallStatus};
use crate::novita::{Instance, Novita, NovitaError, ProviderStatus};

impl<N: Novita> Reconciler<N> {
    /// Asks the provider how the current attempt is.
    pub(super) async fn observe(&self, draft: &mut Draft<'_>) -> Next {
        let Some(id) = provider_id(draft) else {
            return Next::NOW;
        };
        match self.provider.get(&id).await {
            Ok(instance) => {
                draft.progress();
                draft.status.removal = None;
                self.seen(draft, &instance)
            }
            Err(NovitaError::NotFound(_)) => self.prove_absence(draft, &id).await,
            Err(error) => draft.provider_setback(&error),
        }
    }

    fn seen(&self, draft: &mut Draft<'_>, instance: &Instance) -> Next {
        let before = draft
            .status
            .provider
            .replace(facts::of(instance, draft.now));
        let is_ready = draft.status.timestamps.ready.is_some();
        let problem = facts::describe(&instance.status_error);
        match &instance.status {
            _ if !problem.is_empty() && !is_ready => {
                draft.discard(failure("PROVIDER_FAILURE", problem))
            }
            ProviderStatus::Running if is_ready => Next::In(self.config.poll_slow),
            ProviderStatus::Running => self.running(draft),
            ProviderStatus::Removed => {
                draft.gone();
                Next::NOW
            }
            status if is_booting(status) => self.booting(draft),
            _ => {
                drifted(draft, before.as_ref());
                Next::In(self.config.poll_slow)
            }
        }
    }

    /// Not running yet: wait, unless it takes too long to be worth paying for.
    fn booting(&self, draft: &mut Draft<'_>) -> Next {
        let since = draft.status.current().and_then(|attempt| attempt.acked_at);
        let waited = since.map_or(0, |since| draft.now.since(since));
        if waited > self.config.startup_max.as_millis() as u64 {
            let message = format!("not running {} s after it was created", waited / 1000);
            return draft.discard(failure("STARTUP_TIMEOUT", message));
        }
        Next::In(self.config.poll_fast)
    }

    /// Running, and not known to be ready.
    fn running(&self, draft: &mut Draft<'_>) -> Next {
        if draft.status.timestamps.running.is_none() {
            draft.status.timestamps.running = Some(draft.now);
            draft.event(EventKind::Running, "the provider says it runs", json!({}));
        }
        if endpoints(draft).is_empty() {
            draft.ready("it runs and has no endpoint to check");
            return Next::In(self.config.poll_slow);
        }
        if draft.status.health.is_none() {
            draft.status.health = Some(Health {
                started_at: draft.now,
                checks: 0,
                report: None,
            });
            draft.event(
                EventKind::HealthChecking,
                "its endpoints are being checked",
                json!({}),
            );
        }
        Next::NOW
    }

    /// Checks every endpoint once.
    pub(super) async fn check_health(&self, draft: &mut Draft<'_>) -> Next {
        let endpoints = endpoints(draft);
        let report = health::check(&self.outbound, &endpoints, self.config.health_timeout).await;
        let is_healthy = report
            .as_ref()
            .is_none_or(|report| report.overall_status == OverallStatus::Healthy);
        let now = draft.now;
        let health = draft.status.health.get_or_insert(Health {
            started_at: now,
            checks: 0,
            report: None,
        });
        health.checks += 1;
        health.report = report.and_then(|report| serde_json::to_value(report).ok());
        let (checks, waited) = (health.checks, now.since(health.started_at));
        if is_healthy {
            draft.ready("it runs and every health check passed");
            return Next::In(self.config.poll_slow);
        }
        if waited > self.config.health_max.as_millis() as u64 {
            let message = format!(
                "its endpoints did not get healthy within {} s",
                waited / 1000
            );
            return draft.discard(failure("HEALTH_CHECK_TIMEOUT", message));
        }
        let doublings = checks.min(self.config.health_attempts).saturating_sub(1);
        Next::In(self.config.health_delay * 2_u32.pow(doublings))
    }
}

/// On its way to running, by the provider's own words.
fn is_booting(status: &ProviderStatus) -> bool {
    matches!(
        status,
        ProviderStatus::Pending
            | ProviderStatus::ToCreate
            | ProviderStatus::Creating
            | ProviderStatus::Pulling
            | ProviderStatus::ToStart
            | ProviderStatus::Starting
    )
}

/// A word that nobody here asked for: recorded once, and otherwise left alone.
fn drifted(draft: &mut Draft<'_>, before: Option<&ProviderFacts>) {
    let word = draft
        .status
        .provider
        .as_ref()
        .map(|facts| facts.status.clone())
        .unwrap_or_default();
    if before.is_some_and(|before| before.status == word) {
        return;
    }
    tracing::warn!(instance = %draft.spec.id, provider_status = %word, "unexpected provider status");
    metrics::counter!("instance_drifts_total").increment(1);
    let reason = format!("the provider says {word:?}, which nobody asked for");
    draft.event(
        EventKind::Drifted,
        reason,
        json!({ "providerStatus": word }),
    );
}

fn endpoints(draft: &Draft<'_>) -> Vec<Endpoint> {
    let mappings = draft
        .status
        .provider
        .as_ref()
        .map(|facts| facts.port_mappings.as_slice());
    mappings
        .unwrap_or_default()
        .iter()
        .map(|mapping| Endpoint {
            port: mapping.port,
            kind: if mapping.kind == "http" {
                EndpointKind::Http
            } else {
                EndpointKind::Tcp
            },
            endpoint: mapping.endpoint.clone(),
        })
        .collect()
}
