//! What a caller wants: written by the API alone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::budget::Claim;
use super::ids::{InstanceId, OperationId};
use super::operation::{Operation, OperationKind};
use super::options::{CreateOptions, HealthCheck};
use crate::clock::Millis;

/// The state a caller wants an instance to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Desired {
    /// Created, running and healthy.
    Running,
    /// Stopped: its GPU is given back, its disk is kept for as long as the provider keeps it.
    Stopped,
    /// Gone at the provider; irreversible.
    Deleted,
}

/// How the GPU is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum BillingMode {
    /// Cheaper; the provider may take the machine back.
    Spot,
    /// Full price; kept until stopped.
    OnDemand,
}

impl BillingMode {
    /// The provider's and our callers' word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::OnDemand => "onDemand",
        }
    }
}

/// Operations of an instance that can still be asked about, beside the current one.
const PAST_OPERATIONS: usize = 20;

/// Everything a caller asked for about one instance.
///
/// Only the API writes it, by compare-and-set on the stored bytes; [`Spec::generation`] rises by one
/// with every change, so that a worker can tell which wish a status answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Whose wish this is.
    pub id: InstanceId,
    /// The caller's name for it: 1 to 100 letters, digits, hyphens or underscores.
    pub name: String,
    /// The GPU product by its catalogue name, e.g. `RTX 4090 24GB`.
    pub product_name: String,
    /// The provider's template that names image, ports and environment.
    pub template_id: String,
    /// GPUs, 1 to 8.
    pub gpu_num: u8,
    /// Root disk in GB, 20 to 1000.
    pub rootfs_size: u32,
    /// The region to try first, e.g. `CN-HK-01`; `None` leaves it to the worker's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How it is paid for.
    pub billing_mode: BillingMode,
    /// Everything else that was asked for.
    #[serde(default, skip_serializing_if = "CreateOptions::is_empty")]
    pub options: CreateOptions,
    /// Where events are sent; `None` falls back to the worker's default endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// The state wanted now.
    pub desired: Desired,
    /// Counts the changes of this spec, from 1.
    pub generation: u64,
    /// When it was accepted.
    pub created_at: Millis,
    /// The request that made this generation.
    pub request: Request,
    /// The operations of the generations before, oldest first, 20 at most: older ones are forgotten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_operations: Vec<OperationId>,
}

/// The caller's request behind a generation of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The operation its caller follows.
    pub operation_id: OperationId,
    /// What was asked for.
    pub kind: OperationKind,
    /// When.
    pub at: Millis,
    /// Where the webhooks of this operation go, when not where the instance's go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// How its endpoints are checked in this boot, as far as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// What it takes of the deployment's budget, when there is one and it may cost money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The trace that it belongs to (W3C `traceparent`), if its caller told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Spec {
    /// How its endpoints are to be checked: as the current request says, else as the create did.
    #[must_use]
    pub fn health_check(&self) -> HealthCheck {
        let asked = self.request.health_check.unwrap_or_default();
        asked.or(self.options.health_check.unwrap_or_default())
    }

    /// The same instance under a new wish: one generation on.
    #[must_use]
    pub fn wanting(&self, desired: Desired, request: Request) -> Self {
        let mut past_operations = self.past_operations.clone();
        past_operations.push(self.request.operation_id.clone());
        let excess = past_operations.len().saturating_sub(PAST_OPERATIONS);
        past_operations.drain(..excess);
        Self {
            desired,
            request,
            generation: self.generation + 1,
            past_operations,
            ..self.clone()
        }
    }

    /// The operation that this change of `before` pushes out of the memory, if it does.
    #[must_use]
    pub fn forgotten_since(&self, before: &Self) -> Option<OperationId> {
        let oldest = before.past_operations.first()?;
        (self.past_operations.first() != Some(oldest)).then(|| oldest.clone())
    }

    /// The operation of the current generation, as it stands when nobody has worked on it yet.
    #[must_use]
    pub fn operation(&self) -> Operation {
        let Request {
            operation_id,
            kind,
            at,
            ..
        } = self.request.clone();
        Operation::accepted(operation_id, self.id.clone(), kind, self.generation, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::{request, spec};

    #[test]
    fn the_last_twenty_operations_are_remembered_and_each_forgotten_one_is_named() {
        let mut spec = spec(Desired::Running);
        let mut ids = vec![spec.request.operation_id.clone()];
        for change in 1..50 {
            let next = spec.wanting(Desired::Stopped, request(OperationKind::Stop));
            let forgotten =
                (change > PAST_OPERATIONS).then(|| ids[change - PAST_OPERATIONS - 1].clone());
            assert_eq!(next.forgotten_since(&spec), forgotten, "change {change}");
            ids.push(next.request.operation_id.clone());
            spec = next;
            let kept = ids.len().saturating_sub(PAST_OPERATIONS + 1);
            assert_eq!(spec.past_operations, ids[kept..change]);
        }
    }
}
