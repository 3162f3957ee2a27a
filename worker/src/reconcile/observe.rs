//! Following an instance that the provider has: to running, to ready, and after that.

use std::time::Duration;

use serde_json::json;
use shared::model::status::Health;
use shared::model::{BillingMode, EventKind, ProviderFacts, Status};

use super::checks::Checks;
use super::draft::{Draft, Next};
use super::facts::Word;
use super::remove::{provider_id, without_id};
use super::{Reconciler, failure};
use crate::health::{self, OverallStatus};
use crate::novita::{Novita, NovitaError, ProviderStatus};

impl<N: Novita> Reconciler<N> {
    /// Asks the provider how the current attempt is.
    pub(super) async fn observe(&self, draft: &mut Draft<'_>) -> Next {
        let Some(id) = provider_id(draft) else {
            return without_id(draft);
        };
        match self.look(draft, &id).await {
            Ok(facts) => {
                draft.progress();
                draft.status.removal = None;
                self.seen(draft, facts).await
            }
            Err(NovitaError::NotFound(_)) => self.prove_absence(draft, &id).await,
            Err(error) => draft.provider_setback(&error),
        }
    }

    async fn seen(&self, draft: &mut Draft<'_>, facts: ProviderFacts) -> Next {
        let (word, problem) = (facts.word(), facts.status_error.clone());
        let before = draft.status.provider.replace(facts);
        if is_reclaimed(draft) && !draft.status.was_ready {
            let message = "the provider took its spot machine back before it got ready";
            return draft.discard(failure("RECLAIMED", message));
        }
        match Sight::of(&word, &problem, Past::of(&draft.status)) {
            Sight::Broken => draft.discard(failure("PROVIDER_FAILURE", problem)),
            Sight::Settled => Next::SETTLED,
            Sight::Running => self.running(draft).await,
            Sight::Booting => self.booting(draft),
            Sight::Stuck => {
                drifted(draft, before.as_ref());
                self.booting(draft)
            }
            Sight::Drifted => {
                drifted(draft, before.as_ref());
                Next::SETTLED
            }
            Sight::Removed => {
                draft.gone();
                Next::NOW
            }
        }
    }

    /// Not running yet: wait, unless it takes too long to be worth paying for.
    pub(super) fn booting(&self, draft: &mut Draft<'_>) -> Next {
        let since = draft.status.current().and_then(|attempt| attempt.acked_at);
        let waited = since.map_or(0, |since| draft.now.since(since));
        if waited > self.config.startup_max.as_millis() as u64 {
            let message = format!("not running {} s after it was created", waited / 1000);
            return draft.discard(failure("STARTUP_TIMEOUT", message));
        }
        self.watch()
    }

    /// Running, and not known to be ready: checks every endpoint once.
    pub(super) async fn running(&self, draft: &mut Draft<'_>) -> Next {
        let now = draft.now;
        if draft.status.timestamps.running.is_none() {
            draft.status.timestamps.running = Some(now);
            draft.event(EventKind::Running, "the provider says it runs", json!({}));
        }
        let checks = Checks::of(draft.spec, &self.config);
        let endpoints = checks.endpoints(&draft.status);
        let ordered = draft.status.current().map_or(0, |attempt| attempt.ports);
        let expected = checks.wanted(ordered);
        if endpoints.is_empty() && expected == 0 {
            draft.ready("it runs and has no endpoint to check");
            return Next::SETTLED;
        }
        if draft.status.health.is_none() {
            let (reason, data) = ("its endpoints are being checked", json!({}));
            draft.event(EventKind::HealthChecking, reason, data);
        }
        let report = health::check(&self.outbound, &endpoints, checks.timeout).await;
        // Endpoints may show later than the word `running`.
        let all_show = endpoints.len() >= expected;
        let all_healthy = report
            .as_ref()
            .is_some_and(|report| report.overall_status == OverallStatus::Healthy);
        let health = draft.status.health.get_or_insert(Health {
            started_at: now,
            checks: 0,
            report: None,
        });
        health.checks += 1;
        health.report = report.and_then(|report| serde_json::to_value(report).ok());
        let (made, waited) = (health.checks, now.since(health.started_at));
        if all_show && all_healthy {
            draft.ready("it runs and every health check passed");
            return Next::SETTLED;
        }
        self.not_healthy(draft, &checks, made, Duration::from_millis(waited))
    }

    fn not_healthy(
        &self,
        draft: &mut Draft<'_>,
        checks: &Checks,
        made: u32,
        waited: Duration,
    ) -> Next {
        if waited > checks.max_wait {
            let message = format!(
                "its endpoints did not get healthy within {} s",
                waited.as_secs()
            );
            let reason = failure("HEALTH_CHECK_TIMEOUT", message);
            if draft.status.was_ready {
                // What it holds is its caller's: it runs on, and is looked at until it recovers.
                draft.boot_failed(reason);
                return Next::In(self.config.poll_slow);
            }
            return draft.discard(reason);
        }
        Next::In(checks.wait(made))
    }
}

/// What a look at a wanted instance means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// Something is wrong with it, and it never got ready.
    Broken,
    /// It runs and got ready before.
    Settled,
    /// It runs and is not known to be ready.
    Running,
    /// On its way to running for the first time.
    Booting,
    /// Not on that way, and never got ready: it has the same deadline.
    Stuck,
    /// It got ready before and does not run now, which nobody here asked for: hands off.
    Drifted,
    /// Removed by somebody else.
    Removed,
}

/// How far it ever got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Past {
    /// It never got ready.
    Fresh,
    /// It was ready in an earlier boot.
    WasReady,
    /// It is ready in this boot.
    Ready,
}

impl Past {
    fn of(status: &Status) -> Self {
        match status.timestamps.ready {
            Some(_) => Self::Ready,
            None if status.was_ready => Self::WasReady,
            None => Self::Fresh,
        }
    }
}

impl Sight {
    fn of(status: &ProviderStatus, problem: &str, past: Past) -> Self {
        match status {
            ProviderStatus::Removed => Self::Removed,
            ProviderStatus::Running if past == Past::Ready => Self::Settled,
            ProviderStatus::Running if past == Past::WasReady => Self::Running,
            _ if past != Past::Fresh => Self::Drifted,
            _ if !problem.is_empty() => Self::Broken,
            ProviderStatus::Running => Self::Running,
            ProviderStatus::Pending
            | ProviderStatus::ToCreate
            | ProviderStatus::Creating
            | ProviderStatus::Pulling
            | ProviderStatus::ToStart
            | ProviderStatus::Starting => Self::Booting,
            _ => Self::Stuck,
        }
    }
}

/// The provider took its spot machine back.
fn is_reclaimed(draft: &Draft<'_>) -> bool {
    let is_spot = draft
        .status
        .current()
        .is_some_and(|attempt| attempt.offer.billing_mode == BillingMode::Spot);
    let facts = draft.status.provider.as_ref();
    is_spot && facts.is_some_and(ProviderFacts::is_reclaimed)
}

/// A word that nobody here asked for: recorded once, and otherwise left alone.
pub(super) fn drifted(draft: &mut Draft<'_>, before: Option<&ProviderFacts>) {
    let word = draft
        .status
        .provider
        .as_ref()
        .map(|facts| facts.status.clone())
        .unwrap_or_default();
    // What became of a spot machine is told as such.
    let is_explained = draft.status.spot.lost.is_some() || is_reclaimed(draft);
    if is_explained || before.is_some_and(|before| before.status == word) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_was_ready_is_never_given_up_whatever_the_provider_says() {
        let words = [
            "pending",
            "toCreate",
            "creating",
            "pulling",
            "running",
            "toStart",
            "starting",
            "toStop",
            "stopping",
            "exited",
            "toRestart",
            "restarting",
            "toReset",
            "resetting",
            "migrating",
            "freezing",
            "toRemove",
            "removing",
            "somethingNew",
            "",
        ];
        for word in words {
            for problem in ["", "oom: killed"] {
                let word = ProviderStatus::from(word.to_owned());
                let sight = Sight::of(&word, problem, Past::Ready);
                assert!(
                    matches!(sight, Sight::Settled | Sight::Drifted),
                    "{word:?}: {sight:?}"
                );
                let sight = Sight::of(&word, problem, Past::WasReady);
                assert!(
                    matches!(sight, Sight::Running | Sight::Drifted),
                    "{word:?}: {sight:?}"
                );
            }
        }
    }

    #[test]
    fn one_that_never_got_ready_always_has_a_deadline() {
        for (word, sight) in [
            ("pulling", Sight::Booting),
            ("running", Sight::Running),
            ("exited", Sight::Stuck),
            ("freezing", Sight::Stuck),
            ("somethingNew", Sight::Stuck),
        ] {
            assert_eq!(
                Sight::of(&ProviderStatus::from(word.to_owned()), "", Past::Fresh),
                sight
            );
        }
        let broken = Sight::of(&ProviderStatus::Pulling, "oom: killed", Past::Fresh);
        assert_eq!(broken, Sight::Broken);
    }
}
