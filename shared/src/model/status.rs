//! What is: written by the worker that holds the instance's lease, and by nobody else.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::budget::Reservation;
use super::cost::Cost;
use super::operation::{Failure, Operation, OperationState};
use super::phase::Phase;
use super::policy::{PolicyStop, Warnings};
use super::spec::BillingMode;
use super::spot::{Beside, SpotState};
use super::uptime::Uptime;
use crate::clock::Millis;
use crate::fleet::Watched;

/// Everything known about one instance. A record without one has not been looked at yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation of the spec that this status answers.
    pub observed_generation: u64,
    /// The operation last worked on, as it stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Every try to create it at the provider, oldest first.
    pub attempts: Vec<Attempt>,
    /// The provider's last word on the current attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderFacts>,
    /// Health checks of the current boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How it ends although its caller asked for something else; closed once nothing is left at the
    /// provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The last start, stop or restart, while it is being worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
    /// It got ready at least once: from then on it holds something of its caller's, and is never
    /// given up for a failure.
    pub was_ready: bool,
    /// The removal, once one was asked for or became necessary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    /// When a worker first looked at it, by Redis's clock: what deadlines count from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Millis>,
    /// When things first became true.
    pub timestamps: Timestamps,
    /// Why it failed, once it is given up with nothing left at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Why the last step did not get on; cleared by one that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Failure>,
    /// Steps in a row that did not get on: feeds the backoff.
    pub setbacks: u32,
    /// Events written so far: the number of the last entry of the event log.
    pub events: u64,
    /// Webhooks caused so far: the `sequence` of the last one.
    pub notices: u64,
    /// The phase that the event log comes to; what callers see is always computed.
    pub logged_phase: Phase,
    /// What it has cost, and costs now.
    pub cost: Cost,
    /// A stop that a policy asked for; counts as long as the caller wants nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyStop>,
    /// The stops that were announced.
    #[serde(skip_serializing_if = "Warnings::is_empty")]
    pub warnings: Warnings,
    /// What policies count from.
    #[serde(skip_serializing_if = "Uptime::is_empty")]
    pub uptime: Uptime,
    /// What is waited for at the provider, if it is something that it will show by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched: Option<Watched>,
    /// What a worker last wrote down as its part of the budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Reservation>,
    /// What is known and was done about its spot machine being taken back.
    #[serde(skip_serializing_if = "SpotState::is_empty")]
    pub spot: SpotState,
    /// A second instance beside the one that the current attempt made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// How a wish ends that was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// The provider does not have it any more, and nobody here asked for that.
    Vanished,
    /// Given up, for this reason.
    Failed(Failure),
}

/// One try to create the instance at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// The name it was, or would be, created under; unique to this attempt.
    pub marker: String,
    /// What was ordered.
    pub offer: Offer,
    /// Ports that were ordered with it.
    #[serde(default)]
    pub ports: u32,
    /// What became of it.
    pub state: AttemptState,
    /// When the intent was written down, just before the provider was called.
    pub intent_at: Millis,
    /// The provider's id, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// When the provider's id became known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acked_at: Option<Millis>,
    /// Complete look-ups that did not find it after the visibility window.
    #[serde(default)]
    pub absences: u32,
    /// Why it was refused or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Failure>,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttemptState {
    /// Written down; the call may or may not have been made. Resolved by looking, never by repeating.
    Intent,
    /// The provider has it, under a known id.
    Acked,
    /// The provider said no: nothing was created.
    Refused,
    /// Looked for and proved not to exist.
    Absent,
    /// Exists but is of no use: being deleted.
    Discarding,
    /// Its deletion was confirmed.
    Gone,
}

impl AttemptState {
    /// Something may exist at the provider, and cost money.
    #[must_use]
    pub fn may_exist(self) -> bool {
        match self {
            Self::Intent | Self::Acked | Self::Discarding => true,
            Self::Refused | Self::Absent | Self::Gone => false,
        }
    }
}

/// What is ordered from the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// The provider's product.
    pub product_id: String,
    /// Its name.
    pub product_name: String,
    /// The provider's cluster.
    pub cluster_id: String,
    /// Our region code, e.g. `CN-HK-01`.
    pub region: String,
    /// How it is paid for.
    pub billing_mode: BillingMode,
    /// Price of one GPU for one hour in 1/100 000 US dollars.
    pub unit_price: u64,
}

/// The provider's last word on an instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderFacts {
    /// The raw status word.
    pub status: String,
    /// What is wrong according to the provider; empty when nothing is.
    pub status_error: String,
    /// Where the ports can be reached; without endpoints until it runs.
    pub port_mappings: Vec<PortMapping>,
    /// The provider's spot state; empty when there is none.
    pub spot_status: String,
    /// When a spot machine is, or was, to be taken back, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_reclaim_at: Option<u64>,
    /// When the provider started it last, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_started: Option<u64>,
    /// When the provider stopped it last, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_stopped: Option<u64>,
    /// When the disk of a stopped one is purged, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_data_at: Option<u64>,
    /// Days for which the disk of a stopped one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_data_days: Option<u32>,
    /// When this was seen.
    pub seen_at: Millis,
}

/// One port as callers reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port inside the instance.
    pub port: u16,
    /// URL for http, `host:port` for tcp; empty until it runs.
    pub endpoint: String,
    /// `http` or `tcp`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Health checks of one boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// When the first check began.
    pub started_at: Millis,
    /// Checks made so far.
    pub checks: u32,
    /// The last report, in the shape that webhooks carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Value>,
}

/// How far a start, stop or restart has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Power {
    /// The generation of the spec that asked for it.
    pub generation: u64,
    /// When a worker took it up.
    pub since: Millis,
    /// Calls made, or about to be made.
    #[serde(default)]
    pub calls: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_at: Option<Millis>,
    /// When the provider had started it last before it was to be restarted, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_before: Option<u64>,
    /// It was seen on its way through the restart.
    #[serde(default)]
    pub was_seen_booting: bool,
}

impl Power {
    /// Taken up now.
    #[must_use]
    pub fn begun(generation: u64, now: Millis) -> Self {
        Self {
            generation,
            since: now,
            calls: 0,
            called_at: None,
            started_before: None,
            was_seen_booting: false,
        }
    }
}

/// How far a removal has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Removal {
    /// Delete calls accepted by the provider.
    pub calls: u32,
    /// When it was first found missing by id; absence counts once a later look agrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<Millis>,
}

/// When things first became true.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timestamps {
    /// The provider has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Millis>,
    /// The provider says it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Millis>,
    /// Every health check passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Millis>,
    /// The provider says it is stopped, as was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Millis>,
    /// It was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Millis>,
    /// Its removal was confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Millis>,
}

impl Status {
    /// The attempt that is being worked on: the newest, if there is one.
    #[must_use]
    pub fn current(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The provider's id of the current attempt.
    #[must_use]
    pub fn provider_id(&self) -> Option<&str> {
        self.current()
            .and_then(|attempt| attempt.provider_id.as_deref())
    }

    /// A boot that was asked for and is not over.
    #[must_use]
    pub fn pending_boot(&self) -> Option<&Operation> {
        self.operation.as_ref().filter(|operation| {
            operation.state == OperationState::Pending && operation.kind.boots()
        })
    }

    /// Nothing more will happen: removed, or failed with nothing left at the provider.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.timestamps.terminated.is_some() || self.timestamps.failed.is_some()
    }
}
