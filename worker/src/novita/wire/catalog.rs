//! What can be ordered: clusters, products, templates, registry logins.

use serde::{Deserialize, Serialize};

use super::create::{Port, Protocol, Tool};
use super::{BillingMode, Env, HundredThousandthsUsd};
use crate::novita::lenient::{number, or_default, positive};
use crate::novita::words::words;

/// `{"data": [...]}`; null or missing is empty.
#[derive(Deserialize)]
pub(in crate::novita) struct Data<T> {
    data: Option<Vec<T>>,
}

impl<T> From<Data<T>> for Vec<T> {
    fn from(reply: Data<T>) -> Self {
        reply.data.unwrap_or_default()
    }
}

/// A cluster: the only link from a region's name to the id that create wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cluster {
    /// Such as `us-ca-6`. Not derivable from the name.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// Such as `US-CA-06 (California)`.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Names of the GPUs it has.
    #[serde(deserialize_with = "or_default")]
    pub available_gpu_type: Vec<String>,
}

words! {
    /// A product's stock.
    Inventory {
        /// Nothing left.
        None = "none",
        /// Little left.
        Low = "low",
        /// Some left.
        Normal = "normal",
        /// Plenty left.
        High = "high",
    }
}

/// A GPU product. That it is on offer is a hint; create may still find no host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Product {
    /// Opaque.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// Such as `RTX 4090 24GB`.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// vCPUs per GPU.
    #[serde(deserialize_with = "number")]
    pub cpu_per_gpu: u32,
    /// Memory per GPU in GB.
    #[serde(deserialize_with = "number")]
    pub memory_per_gpu: u32,
    /// Disk per GPU in GB.
    #[serde(deserialize_with = "number")]
    pub disk_per_gpu: u32,
    /// Whether it can be ordered now.
    #[serde(deserialize_with = "or_default")]
    pub available_deploy: bool,
    /// The stock; the empty unknown word where the provider does not say.
    pub inventory_state: Inventory,
    /// Smallest root disk in GB.
    #[serde(rename = "minRootFS", deserialize_with = "number")]
    pub min_root_fs: u32,
    /// Largest root disk in GB; 0 where the provider does not say.
    #[serde(rename = "maxRootFS", deserialize_with = "number")]
    pub max_root_fs: u32,
    /// Names of the regions that have it, sometimes with a place in parentheses.
    #[serde(deserialize_with = "or_default")]
    pub regions: Vec<String>,
    /// On-demand price per GPU and hour.
    #[serde(deserialize_with = "positive")]
    pub price: Option<HundredThousandthsUsd>,
    /// Spot price per GPU and hour; `None` where spot is not offered.
    #[serde(deserialize_with = "positive")]
    pub spot_price: Option<HundredThousandthsUsd>,
    /// The billing modes it is sold in.
    #[serde(deserialize_with = "or_default")]
    pub billing_methods: Vec<BillingMode>,
}

/// Which products to list. The default asks for all of them at their on-demand availability.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductQuery {
    /// Makes availability and price those of one cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Only products that can serve so many GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_num: Option<u8>,
    /// Part of the product's name: the match is fuzzy, compare exactly afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_name: Option<String>,
    /// The billing mode whose stock is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_method: Option<BillingMode>,
}

/// A template: what to run. Create has no template parameter, its fields are copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Template {
    /// A decimal number as text.
    #[serde(rename = "Id", alias = "id", deserialize_with = "or_default")]
    pub id: String,
    /// The name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// The image reference.
    #[serde(deserialize_with = "or_default")]
    pub image: String,
    /// The id of a registry login, or empty.
    #[serde(deserialize_with = "or_default")]
    pub image_auth: String,
    /// The container's command, or empty.
    #[serde(deserialize_with = "or_default")]
    pub start_command: String,
    /// Replaces the image's entry point, or empty.
    #[serde(deserialize_with = "or_default")]
    pub entrypoint: String,
    /// Root disk in GB; 0 where the template does not say.
    #[serde(deserialize_with = "number")]
    pub rootfs_size: u32,
    /// Flattened from the groups the provider keeps them in.
    #[serde(deserialize_with = "port_groups")]
    pub ports: Vec<Port>,
    /// Environment variables.
    #[serde(deserialize_with = "or_default")]
    pub envs: Vec<Env>,
    /// Tools such as Jupyter.
    #[serde(deserialize_with = "or_default")]
    pub tools: Vec<Tool>,
    /// Such as `12.4`, or empty.
    #[serde(deserialize_with = "or_default")]
    pub min_cuda_version: String,
}

#[derive(Deserialize)]
pub(in crate::novita) struct TemplateReply {
    pub(in crate::novita) template: Template,
}

#[derive(Deserialize)]
struct PortGroup {
    #[serde(rename = "type")]
    protocol: Protocol,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<GroupedPort>,
}

#[derive(Deserialize)]
struct GroupedPort(#[serde(deserialize_with = "number")] u16);

fn port_groups<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Port>, D::Error> {
    let groups: Vec<PortGroup> = or_default(deserializer)?;
    let flatten = |group: PortGroup| {
        let protocol = group.protocol;
        let port = move |GroupedPort(port): GroupedPort| Port {
            port,
            protocol: protocol.clone(),
        };
        group.ports.into_iter().map(port)
    };
    Ok(groups
        .into_iter()
        .flat_map(flatten)
        .filter(|port| port.port != 0)
        .collect())
}

/// A stored registry login, without the login: instances refer to it by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RegistryAuth {
    /// A UUID.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// The name it was saved under.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}
