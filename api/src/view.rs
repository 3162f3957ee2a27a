//! Instances and operations as callers read them.

use serde::Serialize;
use serde_json::Value;
use shared::clock::Millis;
use shared::model::money;
use shared::model::operation::{Failure, OperationKind, OperationState};
use shared::model::policy::stop_in_effect;
use shared::model::{AutoStop, Beside, HealthCheck, Prefer, PublishedPort, Role, StopReason};
use shared::model::{BillingMode, CreateOptions, Operation, Phase, PortMapping};
use shared::store::Record;
use url::Url;
use utoipa::ToSchema;

use crate::bill::{self, Bill, SegmentDetails};

/// One instance: what was asked for and what is known.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Instance)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceDetails<'a> {
    id: &'a str,
    name: &'a str,
    status: Phase,
    gpu_num: u8,
    rootfs_size: u32,
    product_name: &'a str,
    template_id: &'a str,
    /// Of what was ordered; before that, of what was asked for.
    billing_mode: BillingMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(flatten)]
    options: OptionDetails<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    novita_instance_id: Option<&'a str>,
    /// The provider's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_status: Option<&'a str>,
    port_mappings: &'a [PortMapping],
    /// US dollars for one GPU and hour, as a decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    spot_price: Option<String>,
    /// The same in the provider's unit, 1/100 000 US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_price: Option<u64>,
    #[serde(flatten)]
    bill: Bill,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cost_segments: Vec<SegmentDetails>,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_stopped_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    ready_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// Why it is stopped, or about to be, although its caller did not ask for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<StopReason>,
    /// When the provider will take, or took, its spot machine back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    spot_reclaim_at: Option<String>,
    /// What is on its way to take over from it, or on its way out after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<BesideDetails<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    failed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    terminated_at: Option<String>,
    /// Why the last step did not get on.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'a Failure>,
    /// Why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check: Option<&'a Value>,
    /// The current operation.
    operation_id: &'a str,
    /// Where webhooks go, without the path, which may hold a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_host: Option<String>,
}

impl<'a> InstanceDetails<'a> {
    pub(crate) fn of(record: &'a Record, last_used: Option<Millis>) -> Self {
        let (spec, status) = (&record.spec, record.status.as_ref());
        let offer = status.and_then(|s| s.current()).map(|a| &a.offer);
        let facts = status.and_then(|s| s.provider.as_ref());
        let times = status.map(|s| &s.timestamps);
        let seconds = |seconds: u64| Millis(seconds.saturating_mul(1000)).iso();
        let price = offer.map(|offer| offer.unit_price);
        Self {
            id: spec.id.as_str(),
            name: &spec.name,
            status: Phase::of(spec, status),
            gpu_num: spec.gpu_num,
            rootfs_size: spec.rootfs_size,
            product_name: &spec.product_name,
            template_id: &spec.template_id,
            billing_mode: offer.map_or(spec.billing_mode, |offer| offer.billing_mode),
            region: offer.map_or(spec.region.as_deref(), |offer| Some(&offer.region)),
            options: OptionDetails::of(&spec.options),
            novita_instance_id: status.and_then(|s| s.provider_id()),
            provider_status: facts
                .map(|f| f.status.as_str())
                .filter(|word| !word.is_empty()),
            port_mappings: facts.map_or(&[], |f| &f.port_mappings),
            spot_price: price.map(money::dollars),
            unit_price: price,
            bill: Bill::of(spec, status, Millis::now()),
            cost_segments: Vec::new(),
            created_at: spec.created_at.iso(),
            started_at: times.and_then(|t| t.running).map(Millis::iso),
            last_started_at: facts.and_then(|f| f.last_started).map(seconds),
            last_stopped_at: facts.and_then(|f| f.last_stopped).map(seconds),
            ready_at: times.and_then(|t| t.ready).map(Millis::iso),
            last_used_at: last_used.map(Millis::iso),
            stop_reason: status
                .and_then(|s| stop_in_effect(spec, s))
                .map(|stop| stop.reason),
            spot_reclaim_at: facts
                .filter(|facts| facts.is_wanted_back() || facts.is_reclaimed())
                .and_then(|facts| facts.spot_reclaim_at)
                .map(seconds),
            beside: status
                .and_then(|s| s.beside.as_ref())
                .map(BesideDetails::of),
            failed_at: times.and_then(|t| t.failed).map(Millis::iso),
            terminated_at: times.and_then(|t| t.terminated).map(Millis::iso),
            last_error: status.and_then(|s| s.last_error.as_ref()),
            failure: status.and_then(|s| s.failure.as_ref()),
            health_check: status
                .and_then(|s| s.health.as_ref())
                .and_then(|health| health.report.as_ref()),
            operation_id: spec.request.operation_id.as_str(),
            webhook_host: spec.webhook_url.as_deref().and_then(origin),
        }
    }

    /// The same, with what it cost at which time.
    pub(crate) fn with_segments(self, record: &Record) -> Self {
        Self {
            cost_segments: bill::segments(record.status.as_ref(), Millis::now()),
            ..self
        }
    }
}

/// A second instance of the same record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecondInstance)]
#[serde(rename_all = "camelCase")]
struct BesideDetails<'a> {
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    novita_instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'a Failure>,
}

impl<'a> BesideDetails<'a> {
    fn of(beside: &'a Beside) -> Self {
        let attempt = beside.attempt.as_ref();
        let facts = beside.boot.provider.as_ref();
        Self {
            role: beside.role,
            novita_instance_id: attempt.and_then(|attempt| attempt.provider_id.as_deref()),
            provider_status: facts.map(|facts| facts.status.as_str()),
            last_error: beside.boot.last_error.as_ref(),
        }
    }
}

/// What else was asked for, as far as it was; commands stay out, as they may hold secrets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InstanceOptions)]
#[serde(rename_all = "camelCase")]
struct OptionDetails<'a> {
    /// US dollars for the whole instance and hour, as a decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_price_per_hour: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    regions: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    on_demand_fallback: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefer: Option<Prefer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<&'a [PublishedPort]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_auth_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check_config: Option<HealthCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auto_stop: Option<AutoStop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_lifetime_hours: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protected: Option<bool>,
}

impl<'a> OptionDetails<'a> {
    fn of(options: &'a CreateOptions) -> Self {
        Self {
            max_price_per_hour: options.max_price_per_hour.map(money::dollars),
            regions: &options.regions,
            on_demand_fallback: options.on_demand_fallback.then_some(true),
            prefer: Some(options.prefer).filter(|prefer| *prefer != Prefer::default()),
            ports: options.ports.as_deref(),
            image_auth_id: options.image_auth_id.as_deref(),
            health_check_config: options.health_check,
            auto_stop: Some(options.auto_stop).filter(|asked| *asked != AutoStop::default()),
            max_lifetime_hours: options.max_lifetime_hours,
            protected: options.protected.then_some(true),
        }
    }
}

/// One operation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Operation)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationDetails<'a> {
    operation_id: &'a str,
    instance_id: &'a str,
    kind: OperationKind,
    state: OperationState,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
    links: Links,
}

/// Where to look next.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperationLinks)]
struct Links {
    #[serde(rename = "self")]
    itself: String,
    instance: String,
}

impl<'a> OperationDetails<'a> {
    pub(crate) fn of(operation: &'a Operation) -> Self {
        Self {
            operation_id: operation.id.as_str(),
            instance_id: operation.instance_id.as_str(),
            kind: operation.kind,
            state: operation.state,
            created_at: operation.created_at.iso(),
            finished_at: operation.finished_at.map(Millis::iso),
            error: operation.error.as_ref(),
            links: Links {
                itself: format!("/api/operations/{}", operation.id),
                instance: format!("/api/instances/{}", operation.instance_id),
            },
        }
    }
}

fn origin(url: &str) -> Option<String> {
    Some(Url::parse(url).ok()?.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_shows_only_its_origin() {
        let shown = origin("https://hooks.example.com:8443/secret/path?token=t").unwrap();
        assert_eq!(shown, "https://hooks.example.com:8443");
    }
}
