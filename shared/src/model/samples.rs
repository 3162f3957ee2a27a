//! Specs and statuses for tests that care about little of them.

use super::ids::{InstanceId, OperationId};
use super::operation::OperationKind;
use super::options::CreateOptions;
use super::spec::{BillingMode, Desired, Request, Spec};
use super::status::{Attempt, AttemptState, Offer, Status};
use crate::clock::Millis;

pub(crate) fn spec(desired: Desired) -> Spec {
    Spec {
        id: InstanceId::generate(),
        name: "a".into(),
        product_name: "RTX 4090 24GB".into(),
        template_id: "1".into(),
        gpu_num: 1,
        rootfs_size: 60,
        region: None,
        billing_mode: BillingMode::Spot,
        options: CreateOptions::default(),
        webhook_url: None,
        desired,
        generation: 1,
        created_at: Millis(1),
        request: request(OperationKind::Create),
        past_operations: Vec::new(),
    }
}

pub(crate) fn request(kind: OperationKind) -> Request {
    Request {
        operation_id: OperationId::generate(),
        kind,
        at: Millis(1),
        webhook_url: None,
        health_check: None,
        claim: None,
        traceparent: None,
    }
}

/// The provider has it, for this price of one GPU.
pub(crate) fn acked(unit_price: u64) -> Status {
    Status {
        attempts: vec![Attempt {
            number: 1,
            marker: "m".into(),
            offer: Offer {
                product_id: "p".into(),
                product_name: "n".into(),
                cluster_id: "c".into(),
                region: "r".into(),
                billing_mode: BillingMode::Spot,
                unit_price,
            },
            ports: 0,
            state: AttemptState::Acked,
            intent_at: Millis(1),
            provider_id: Some("x".into()),
            acked_at: None,
            absences: 0,
            reason: None,
        }],
        ..Status::default()
    }
}
