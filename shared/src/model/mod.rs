//! What is stored and spoken about: specs, statuses, operations, events and their identifiers.
//!
//! Every stored value is JSON with camel-case names. Readers ignore unknown members and fill in
//! missing optional ones, so that old and new processes can run side by side.

pub mod budget;
pub mod cost;
pub mod event;
pub mod ids;
pub mod money;
pub mod operation;
pub mod options;
pub mod orphan;
pub mod phase;
pub mod policy;
pub mod replay;
#[cfg(test)]
pub(crate) mod samples;
pub mod sighting;
pub mod spec;
pub mod spot;
pub mod status;
pub mod uptime;

pub use budget::{Claim, Reservation};
pub use cost::Cost;
pub use event::{Actor, Cause, Event, EventKind, PhaseChange};
pub use ids::{EventId, IdError, InstanceId, OperationId};
pub use money::{Amount, Rate};
pub use operation::{Operation, OperationKind, OperationState};
pub use options::{CreateOptions, EnvVar, HealthCheck, PortKind, Prefer, PublishedPort};
pub use orphan::{Finding, OrphanPolicy, Recovery, Stage, Suspect};
pub use phase::Phase;
pub use policy::{
    AutoStop, PolicyRules, PolicyStep, PolicyStop, StopReason, Warned, Warnings, wanted,
};
pub use replay::{ReplayError, replay};
pub use sighting::Sighting;
pub use spec::{BillingMode, Desired, Spec};
pub use spot::{Beside, Role, SpotPolicy, SpotRules, SpotState, SpotStep};
pub use status::{Attempt, AttemptState, Ending, Offer, PortMapping, ProviderFacts, Status};
pub use uptime::Uptime;
