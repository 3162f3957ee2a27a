//! What is stored and spoken about: specs, statuses, operations, events and their identifiers.
//!
//! Every stored value is JSON with camel-case names. Readers ignore unknown members and fill in
//! missing optional ones, so that old and new processes can run side by side.

pub mod event;
pub mod ids;
pub mod operation;
pub mod orphan;
pub mod phase;
pub mod spec;
pub mod status;

pub use event::{Event, EventKind};
pub use ids::{EventId, IdError, InstanceId, OperationId};
pub use operation::{Operation, OperationKind, OperationState};
pub use orphan::{Finding, OrphanPolicy, Recovery, Stage, Suspect};
pub use phase::Phase;
pub use spec::{BillingMode, Desired, Spec};
pub use status::{Attempt, AttemptState, Ending, Offer, PortMapping, ProviderFacts, Status};
