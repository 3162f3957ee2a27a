//! A record for an instance that has none, made from what the provider has and nothing else.

use serde_json::json;
use shared::clock::Millis;
use shared::model::spec::Request;
use shared::model::status::{Power, Timestamps};
use shared::model::{
    Attempt, AttemptState, BillingMode, Cause, CreateOptions, Desired, Event, EventId, EventKind,
    InstanceId, Offer, OperationId, OperationKind, OperationState, Phase, PhaseChange, Spec,
    Status,
};
use ulid::Ulid;

use crate::marker::Marker;
use crate::novita::{BillingMode as NovitaBilling, Instance, ProviderStatus};
use crate::reconcile::{provider_facts, region_code};

/// What stands where the provider does not know.
const UNKNOWN: &str = "unknown";

/// A record to be written in one step, unless there is one by then.
#[derive(Debug, Clone, PartialEq)]
pub struct Rebuilt {
    /// What is wanted: what is.
    pub spec: Spec,
    /// What is.
    pub status: Status,
    /// The first entry of the event log.
    pub event: Event,
}

/// The record of an instance: wanted is what the provider says it does, and every clock begins anew.
///
/// `instance` is the provider's answer to a look by id, `marker` its parsed name. Unknown are its
/// template, its owner's webhook URL and the region it was asked for in. It counts as one that was
/// ready once, so that no failure of its boot ever discards it. The same arguments give the same
/// record, ids included, so that a kill between two tries cannot make two.
#[must_use]
pub fn rebuilt(instance: &Instance, marker: &Marker, now: Millis) -> Rebuilt {
    let spec = spec(instance, marker, now);
    let mut status = status(instance, marker, now);
    let done = spec.operation().ended(OperationState::Succeeded, None, now);
    status.operation = Some(done);
    let change = PhaseChange {
        from: status.logged_phase,
        to: Phase::of(&spec, Some(&status)),
    };
    status.logged_phase = change.to;
    let event = Event {
        id: EventId::from(ulid_at(marker, now)),
        instance_id: spec.id.clone(),
        number: 1,
        kind: EventKind::RecordRebuilt,
        at: now,
        reason: "its record was lost; this one is made from what the provider has".to_owned(),
        cause: Cause::Sweeper,
        actor: Cause::Sweeper.actor(),
        change: Some(change),
        data: json!({
            "novitaInstanceId": instance.id,
            "attempt": marker.attempt,
            "providerStatus": instance.status.as_str(),
        }),
    };
    Rebuilt {
        spec,
        status,
        event,
    }
}

/// A name for a rebuilt record whose own is taken: its id, which no other can have.
#[must_use]
pub fn fallback_name(id: &InstanceId) -> String {
    id.to_string()
}

fn spec(instance: &Instance, marker: &Marker, now: Millis) -> Spec {
    let id = marker.instance_id();
    Spec {
        name: name(instance, marker).unwrap_or_else(|| fallback_name(&id)),
        id,
        product_name: known(&instance.product_name),
        template_id: UNKNOWN.to_owned(),
        gpu_num: instance.gpu_num.clamp(1, 8) as u8,
        rootfs_size: instance.rootfs_size,
        region: None,
        billing_mode: billing(&instance.billing_mode),
        options: CreateOptions::default(),
        webhook_url: None,
        desired: observed(&instance.status),
        generation: 1,
        created_at: Millis(marker.instance.timestamp_ms()),
        request: Request {
            operation_id: OperationId::from(ulid_at(marker, now)),
            kind: OperationKind::Create,
            at: now,
            webhook_url: None,
            health_check: None,
            claim: None,
            traceparent: None,
        },
        past_operations: Vec::new(),
    }
}

fn status(instance: &Instance, marker: &Marker, now: Millis) -> Status {
    let is_stopped = instance.status == ProviderStatus::Exited;
    Status {
        observed_generation: 1,
        attempts: vec![attempt(instance, marker, now)],
        provider: Some(provider_facts(instance, now)),
        // Its stop is done, so that nobody is told of one now.
        power: is_stopped.then(|| Power::begun(1, now)),
        was_ready: true,
        first_seen: Some(now),
        timestamps: Timestamps {
            created: Some(now),
            stopped: is_stopped.then_some(now),
            ..Timestamps::default()
        },
        events: 1,
        ..Status::default()
    }
}

fn attempt(instance: &Instance, marker: &Marker, now: Millis) -> Attempt {
    Attempt {
        number: marker.attempt,
        marker: instance.name.clone(),
        offer: Offer {
            product_id: instance.product_id.clone(),
            product_name: known(&instance.product_name),
            cluster_id: instance.cluster_id.clone(),
            region: region_code(&instance.cluster_name).to_owned(),
            billing_mode: billing(&instance.billing_mode),
            unit_price: instance.instance_price.map_or(0, |price| price.0),
        },
        ports: u32::try_from(instance.port_mappings.len()).unwrap_or(u32::MAX),
        state: AttemptState::Acked,
        intent_at: now,
        provider_id: Some(instance.id.clone()),
        acked_at: Some(now),
        absences: 0,
        reason: None,
    }
}

/// Running, unless it is stopped or on its way there. What is in no such state is neither started nor
/// stopped by a reconcile.
fn observed(status: &ProviderStatus) -> Desired {
    match status {
        ProviderStatus::Exited | ProviderStatus::ToStop | ProviderStatus::Stopping => {
            Desired::Stopped
        }
        _ => Desired::Running,
    }
}

/// The part of the provider's name that was made from the caller's: `None` when nothing is left of it.
fn name(instance: &Instance, marker: &Marker) -> Option<String> {
    let slug = instance.name.strip_suffix(&marker.name(""))?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name: String = slug
        .chars()
        .map(|c| if is_allowed(c) { c } else { '-' })
        .collect();
    (!name.is_empty()).then_some(name)
}

fn known(text: &str) -> String {
    let text = if text.is_empty() { UNKNOWN } else { text };
    text.to_owned()
}

fn billing(mode: &NovitaBilling) -> BillingMode {
    match mode {
        NovitaBilling::Spot => BillingMode::Spot,
        NovitaBilling::OnDemand | NovitaBilling::Monthly | NovitaBilling::Unknown(_) => {
            BillingMode::OnDemand
        }
    }
}

/// An id of this very moment that belongs to the instance.
fn ulid_at(marker: &Marker, now: Millis) -> Ulid {
    Ulid::from_parts(now.0, marker.instance.random())
}
