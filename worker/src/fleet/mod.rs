//! The fleet as the provider lists it: one list feeds all records.
//!
//! `pass` reads the whole list every so often (`cadence`) and makes due the instances for which it shows
//! something new (`compare`). `watch` looks at what is on its way more often, and at nothing else.
//! `sweep` decides what becomes of instances that nobody accounts for, from what `records` tells, and `act`
//! carries it out.

mod act;
mod announce;
mod cadence;
mod compare;
pub(crate) mod metrics;
mod pass;
mod records;
pub mod sweep;
mod watch;

use std::sync::Arc;

use shared::config::Secret;
use shared::fleet::FleetStore;
use shared::queue::Queue;
use shared::store::Store;

pub(crate) use self::cadence::Cadence;
use crate::config::SweepConfig;
use crate::marker::DeploymentId;
use crate::provider::Provider;
use crate::reconcile::Notifier;

/// Looks at the whole fleet.
pub(crate) struct Fleet<N> {
    pub(crate) store: FleetStore,
    pub(crate) records: Store,
    pub(crate) queue: Queue,
    pub(crate) provider: Arc<Provider<N>>,
    pub(crate) cadence: Cadence,
    pub(crate) deployment: DeploymentId,
    pub(crate) marker_secret: Option<Secret>,
    pub(crate) sweep: SweepConfig,
    pub(crate) notifier: Notifier,
}
