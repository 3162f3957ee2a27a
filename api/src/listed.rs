//! Instances as the provider's list shows them.

use serde::Serialize;
use serde_json::{Value, json};
use shared::clock::Millis;
use shared::model::{PortMapping, Sighting};

/// Where the knowledge comes from, and what the provider's list adds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Origin<'a> {
    source: &'static str,
    data_consistency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_synced_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spot_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_error: Option<Value>,
    /// As the provider writes numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_num: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// Unix seconds; 0 when it is not wanted back.
    #[serde(skip_serializing_if = "Option::is_none")]
    spot_reclaim_time: Option<String>,
}

/// An instance of the account that no record of ours holds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Foreign<'a> {
    id: &'a str,
    novita_instance_id: &'a str,
    name: &'a str,
    /// The provider's own word.
    status: &'a str,
    provider_status: &'a str,
    gpu_num: u32,
    rootfs_size: u32,
    product_name: &'a str,
    region: &'a str,
    billing_mode: &'a str,
    port_mappings: &'a [PortMapping],
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_started_at: Option<String>,
    #[serde(flatten)]
    origin: Origin<'a>,
}

impl<'a> Origin<'a> {
    /// The list did not show it, of which the last whole one was read at `complete_at`.
    pub(crate) fn local(complete_at: Millis) -> Self {
        Self {
            source: "local",
            data_consistency: "consistent",
            last_synced_at: (complete_at.0 > 0).then(|| complete_at.iso()),
            cluster_id: None,
            cluster_name: None,
            image_url: None,
            spot_status: None,
            status_error: None,
            cpu_num: None,
            memory: None,
            kind: None,
            spot_reclaim_time: None,
        }
    }

    /// What the list adds, of which the last whole one was read at `complete_at`.
    pub(crate) fn listed(sighting: &'a Sighting, complete_at: Millis) -> Self {
        let text = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        let facts = &sighting.facts;
        let problem = facts.status_error.as_str();
        let seen_at = facts.seen_at.max(complete_at);
        let (state, message) = problem.split_once(": ").unwrap_or(("", problem));
        Self {
            source: "novita",
            data_consistency: "consistent",
            last_synced_at: Some(seen_at.iso()),
            cluster_id: text(&sighting.cluster_id),
            cluster_name: text(&sighting.cluster_name),
            image_url: text(&sighting.image_url),
            spot_status: Some(&facts.spot_status),
            status_error: Some(json!({ "state": state, "message": message })),
            cpu_num: Some(sighting.cpu_num.to_string()),
            memory: Some(sighting.memory.to_string()),
            kind: Some("gpu"),
            spot_reclaim_time: Some(facts.spot_reclaim_at.unwrap_or_default().to_string()),
        }
    }

    /// The same beside a record of ours.
    pub(crate) fn merged(self, data_consistency: &'static str) -> Self {
        Self {
            source: "merged",
            data_consistency,
            ..self
        }
    }
}

impl<'a> Foreign<'a> {
    /// The same of one that is not ours.
    pub(crate) fn of(sighting: &'a Sighting, complete_at: Millis) -> Self {
        let iso = |seconds: u64| Millis(seconds.saturating_mul(1000)).iso();
        Self {
            id: &sighting.provider_id,
            novita_instance_id: &sighting.provider_id,
            name: &sighting.name,
            status: &sighting.facts.status,
            provider_status: &sighting.facts.status,
            gpu_num: sighting.gpu_num,
            rootfs_size: sighting.rootfs_size,
            product_name: &sighting.product_name,
            region: &sighting.cluster_name,
            billing_mode: &sighting.billing_mode,
            port_mappings: &sighting.facts.port_mappings,
            created_at: sighting.created_at.map(iso),
            last_started_at: sighting.facts.last_started.map(iso),
            origin: Origin::listed(sighting, complete_at),
        }
    }
}
