//! Reconciling one instance: compare what is wanted with what is, do one step, settle.
//!
//! Read `plan` first: it decides what the step is. The other modules do it.

mod beside;
mod cause;
mod checks;
mod claims;
mod cost;
mod draft;
pub(crate) mod facts;
mod find;
mod leftovers;
mod look;
mod moves;
mod notify;
mod observe;
mod offers;
mod order;
mod plan;
mod policy;
mod power;
mod remove;
mod request;
mod search;
mod spot;
mod stock;
mod template;
mod ties;

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Millis;
use shared::fail_point::FailPoint;
use shared::model::operation::Failure;
use shared::model::{InstanceId, PolicyRules, Spec, SpotRules, Status};
use shared::queue::{Checkpoint, JobId, Queue, Reservation, Settlement, Verdict};
use shared::redis::RedisError;
use shared::store::{Record, Scene, Store, StoreError};

use self::draft::{Draft, Next};
pub(crate) use self::facts::of as provider_facts;
pub(crate) use self::notify::Notifier;
pub(crate) use self::offers::region_code;
use self::plan::{Step, plan};
use crate::catalog::Catalog;
use crate::config::ReconcileConfig;
use crate::marker::Marker;
use crate::novita::Novita;
use crate::outbound::{CallContext, Outbound};
use crate::provider::Provider;

/// Before a record that Redis did not hand out is read again.
const UNANSWERED: Duration = Duration::from_secs(1);
/// Before a record that cannot be understood is looked at again.
const UNREADABLE: Duration = Duration::from_secs(60);
/// Looks for a spec that is missing before it counts as gone.
const MISSING_LOOKS: u32 = 5;

/// Does the steps of all instances.
pub(crate) struct Reconciler<N> {
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) provider: Arc<Provider<N>>,
    pub(crate) catalog: Catalog,
    pub(crate) outbound: Outbound,
    pub(crate) notifier: Notifier,
    pub(crate) config: ReconcileConfig,
    pub(crate) policy: PolicyRules,
    pub(crate) spot: SpotRules,
}

/// The hold on an instance under which a step runs.
struct Lease<'a> {
    queue: &'a Queue,
    job: &'a JobId,
    token: &'a str,
    instance: &'a InstanceId,
    /// The stored status that the step began with.
    began_with: Option<&'a str>,
}

impl Lease<'_> {
    /// Makes a status durable in the middle of a step, and the lease whole again. Unless it answers
    /// [`Checkpoint::Written`], nothing was written and nothing may be done any more.
    async fn checkpoint(&self, status: &Status) -> Result<Checkpoint, RedisError> {
        self.queue
            .checkpoint(self.job, self.token, self.instance, self.began_with, status)
            .await
    }
}

impl<N: Novita> Reconciler<N> {
    /// Does one step of an instance.
    pub(crate) async fn reconcile(
        &self,
        job: Reservation,
        instance: &InstanceId,
        now: Millis,
    ) -> Settlement {
        let scene = match self.store.scene(instance).await {
            Ok(Some(scene)) => scene,
            // A read that lags behind may not see a new spec yet; one that stays away is gone for good.
            Ok(None) if job.errors < MISSING_LOOKS => {
                let error = "the spec is missing".to_owned();
                let after = Duration::from_secs(1);
                return job.settle(Verdict::Retry { after, error }, Vec::new());
            }
            Ok(None) => return job.settle(Verdict::Done, Vec::new()),
            Err(error) => return unreadable(job, instance, &error),
        };
        FailPoint::RecordRead.reached();
        let (verdict, writes) = {
            let lease = Lease {
                queue: &self.queue,
                job: &job.id,
                token: &job.token,
                instance,
                began_with: scene.record.stored_status.as_deref(),
            };
            let context = CallContext {
                traceparent: scene.record.spec.request.traceparent.clone(),
                ..CallContext::default()
            };
            context.scope(self.step(&scene, &lease, now)).await
        };
        FailPoint::StepTaken.reached();
        job.settle(verdict, writes)
    }

    async fn step(
        &self,
        scene: &Scene,
        lease: &Lease<'_>,
        now: Millis,
    ) -> (Verdict, Vec<shared::queue::Write>) {
        let Record { spec, status, .. } = &scene.record;
        let mut draft = Draft::new(spec, status.clone(), now, &self.notifier);
        draft.seen = scene.seen.clone();
        draft.last_used = scene.last_used;
        let claim = claims::claim(&draft.status, &scene.seen);
        let step = plan(spec, &draft.status, claim.is_some());
        tracing::debug!(instance = %spec.id, ?step, "reconciling");
        let next = match (step, claim) {
            // Nothing is ordered or closed as long as something may exist beside.
            (Step::Order | Step::Close | Step::Rest, _) if draft.status.beside.is_some() => {
                Next::Never
            }
            (Step::Claim, Some(claim)) => self.take_claim(&mut draft, claim).await,
            (Step::Order, _) => self.order(&mut draft, lease).await,
            (Step::Find, _) => self.find(&mut draft).await,
            (Step::Observe, _) => self.observe(&mut draft).await,
            (Step::Boot, _) => self.boot(&mut draft, lease).await,
            (Step::Halt, _) => self.halt(&mut draft).await,
            (Step::Remove, _) => self.remove(&mut draft).await,
            (Step::Close, _) => self.close(&mut draft).await,
            (Step::Rest | Step::Claim, _) => draft.rest(),
        };
        let next = self.police(&mut draft, next);
        let next = self.mind_spot(&mut draft, lease, next).await;
        let (verdict, mut writes) = draft.finish(next);
        ties::hasten_looks(&mut writes, &self.config);
        (verdict, writes)
    }

    /// The marker of an attempt; `None` for an instance whose id was not made here.
    fn marker(&self, spec: &Spec, attempt: u32) -> Option<Marker> {
        let deployment = self.config.deployment.clone();
        Some(Marker {
            deployment,
            instance: spec.id.ulid()?,
            attempt,
        })
    }
}

fn unreadable(job: Reservation, instance: &InstanceId, error: &StoreError) -> Settlement {
    tracing::error!(%instance, %error, "the record cannot be read");
    let after = match error {
        StoreError::Redis(_) => UNANSWERED,
        _ => UNREADABLE,
    };
    job.settle(
        Verdict::Retry {
            after,
            error: error.to_string(),
        },
        Vec::new(),
    )
}

fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure::new(code, message)
}

#[cfg(test)]
pub(crate) mod testing {
    use shared::clock::Millis;
    use shared::model::spec::Request;
    use shared::model::{
        BillingMode, CreateOptions, Desired, InstanceId, OperationId, OperationKind, Spec,
    };

    /// A spec for tests that care about little of it.
    pub(crate) fn spec(desired: Desired) -> Spec {
        Spec {
            id: InstanceId::generate(),
            name: "train".into(),
            product_name: "RTX 4090 24GB".into(),
            template_id: "100234".into(),
            gpu_num: 1,
            rootfs_size: 60,
            region: None,
            billing_mode: BillingMode::Spot,
            options: CreateOptions::default(),
            webhook_url: None,
            desired,
            generation: 1,
            created_at: Millis(1),
            request: Request {
                operation_id: OperationId::generate(),
                kind: OperationKind::Create,
                at: Millis(1),
                webhook_url: None,
                health_check: None,
                claim: None,
                traceparent: None,
            },
            past_operations: Vec::new(),
        }
    }
}
