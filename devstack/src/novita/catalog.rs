//! What the simulated Novita sells and knows: clusters, products, templates, registry auths.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::input::{self, BadInput};

const DEFAULT: &str = include_str!("default_catalog.json");

/// Everything on offer; the JSON accepted by `POST /_sim/products`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Catalog {
    /// The clusters; their ids cannot be derived from their names.
    pub clusters: Vec<Cluster>,
    /// The products, each with its clusters, prices and stock.
    pub products: Vec<Product>,
    /// The templates.
    pub templates: Vec<Template>,
    /// The saved registry credentials.
    pub repository_auths: Vec<RepositoryAuth>,
    /// Hosts from which an image is pulled only with one of `repositoryAuths`; without, the
    /// instance stays in `pulling` with a `statusError`.
    pub private_registries: Vec<String>,
}

/// A place with machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// What create wants, such as `us-ca-6`.
    pub id: String,
    /// What products list, such as `US-CA-06 (California)`.
    pub name: String,
    /// The newest CUDA its hosts run, as `major.minor`.
    pub max_cuda_version: CudaVersion,
    /// Network volumes are offered.
    pub support_network_storage: bool,
    /// VPC networks are offered.
    pub support_instance_network: bool,
}

/// A machine type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Product {
    /// Opaque, such as `4090.16c62g`.
    pub id: String,
    /// Such as `RTX 4090 24GB`.
    pub name: String,
    /// vCPUs per GPU.
    pub cpu_per_gpu: u32,
    /// Memory per GPU, GB.
    pub memory_per_gpu: u32,
    /// Disk per GPU, GB.
    pub disk_per_gpu: u32,
    /// Smallest root file system, GB.
    #[serde(rename = "minRootFS")]
    pub min_root_fs: u32,
    /// Largest root file system, GB.
    #[serde(rename = "maxRootFS")]
    pub max_root_fs: u32,
    /// On demand, where a cluster does not say otherwise.
    pub price: Price,
    /// Spot, where a cluster does not say otherwise; `"0"`: not offered.
    pub spot_price: Price,
    /// Prepaid prices.
    pub monthly_price: Vec<MonthlyPrice>,
    /// How it can be paid.
    pub billing_methods: Vec<BillingMode>,
    /// `false`: listed, but no order is taken.
    pub deployable: bool,
    /// Where it is, at what price, and how much of it.
    pub offers: Vec<Offer>,
}

/// One product in one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// The cluster.
    pub cluster_id: String,
    /// GPUs free at the beginning.
    pub stock: u32,
    /// On demand price here.
    #[serde(default)]
    pub price: Option<Price>,
    /// Spot price here.
    #[serde(default)]
    pub spot_price: Option<Price>,
}

/// A price for a term paid ahead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MonthlyPrice {
    /// Per GPU for the whole term, 1/100 000 USD.
    pub price: Price,
    /// Length of the term.
    pub month: u32,
}

/// How an instance is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BillingMode {
    /// By the second.
    OnDemand,
    /// Ahead.
    Monthly,
    /// By the second, cheaper, until it is wanted back.
    Spot,
}

impl BillingMode {
    /// The word on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "onDemand",
            Self::Monthly => "monthly",
            Self::Spot => "spot",
        }
    }

    /// `None` for any other word, among them `on-demand`.
    pub(crate) fn from_wire(word: &str) -> Option<Self> {
        [Self::OnDemand, Self::Monthly, Self::Spot]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

/// 1/100 000 USD, per GPU and hour unless said otherwise; a decimal string on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Price(pub u64);

impl Price {
    /// In dollars.
    #[must_use]
    pub fn usd(self) -> f64 {
        self.0 as f64 / 100_000.0
    }
}

impl TryFrom<String> for Price {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!("expected a price as a string of 1/100 000 USD such as \"35000\", got {text:?}")
        })
    }
}

impl From<Price> for String {
    fn from(price: Price) -> String {
        price.0.to_string()
    }
}

/// `major.minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CudaVersion(u32, u32);

impl TryFrom<String> for CudaVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            Some(Self(major.parse().ok()?, minor.parse().ok()?))
        };
        parse().ok_or_else(|| format!("expected a version such as \"12.4\", got {text:?}"))
    }
}

impl From<CudaVersion> for String {
    fn from(version: CudaVersion) -> String {
        format!("{}.{}", version.0, version.1)
    }
}

/// A template as `GET /template` shows it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Template {
    /// A decimal number in a string.
    #[serde(rename = "Id")]
    pub id: String,
    /// The owner.
    pub user: String,
    /// For people.
    pub name: String,
    /// For people.
    pub readme: String,
    /// A URL.
    pub logo: String,
    /// `instance` or `serverless`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `private`, `official` or `community`.
    pub channel: String,
    /// The image.
    pub image: String,
    /// The **id** of a registry auth, for private images.
    pub image_auth: String,
    /// The command.
    pub start_command: String,
    /// The entrypoint.
    pub entrypoint: String,
    /// GB.
    pub rootfs_size: u32,
    /// Volumes; the simulator has none.
    pub volumes: Vec<serde_json::Value>,
    /// Ports by type, a third shape beside those of create and edit.
    pub ports: Vec<TemplatePorts>,
    /// Environment.
    pub envs: Vec<Env>,
    /// Tools; the simulator has none.
    pub tools: Vec<serde_json::Value>,
    /// `""`: any.
    pub min_cuda_version: String,
    /// Unix seconds.
    pub created_at: String,
    /// Unix seconds.
    pub updated_at: String,
}

/// Some ports of one type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplatePorts {
    /// `http` or `tcp`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The ports.
    pub ports: Vec<u16>,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Env {
    /// Its name.
    #[serde(default)]
    pub key: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// Saved credentials of an image registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryAuth {
    /// A UUID.
    pub id: String,
    /// For people.
    pub name: String,
    /// Login.
    pub username: String,
    /// In clear, as clients have received it.
    pub password: String,
}

impl Catalog {
    /// The catalogue the simulator starts with.
    pub(crate) fn built_in() -> Result<Self, BadInput> {
        let catalog: Self = input::parse(DEFAULT.as_bytes())?;
        catalog.check()?;
        Ok(catalog)
    }

    /// Fails on what no shop could sell, naming the field.
    pub(crate) fn check(&self) -> Result<(), BadInput> {
        let mut clusters = HashSet::new();
        for (i, cluster) in self.clusters.iter().enumerate() {
            if !clusters.insert(cluster.id.as_str()) {
                return Err(BadInput::field(
                    &format!("clusters[{i}].id"),
                    "appears twice",
                ));
            }
        }
        let mut products = HashSet::new();
        for (i, product) in self.products.iter().enumerate() {
            if !products.insert(product.id.as_str()) {
                return Err(BadInput::field(
                    &format!("products[{i}].id"),
                    "appears twice",
                ));
            }
            for (j, offer) in product.offers.iter().enumerate() {
                if !clusters.contains(offer.cluster_id.as_str()) {
                    let field = format!("products[{i}].offers[{j}].clusterId");
                    return Err(BadInput::field(&field, "no such cluster"));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn product(&self, id: &str) -> Option<&Product> {
        self.products.iter().find(|product| product.id == id)
    }

    pub(crate) fn cluster(&self, id: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.id == id)
    }
}

impl Product {
    pub(crate) fn offer(&self, cluster_id: &str) -> Option<&Offer> {
        self.offers
            .iter()
            .find(|offer| offer.cluster_id == cluster_id)
    }

    /// The price by the hour in one cluster; monthly instances are priced as on demand.
    pub(crate) fn hourly(&self, offer: Option<&Offer>, mode: BillingMode) -> Price {
        match mode {
            BillingMode::Spot => offer.and_then(|o| o.spot_price).unwrap_or(self.spot_price),
            BillingMode::OnDemand | BillingMode::Monthly => {
                offer.and_then(|o| o.price).unwrap_or(self.price)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_is_sound_and_its_cheapest_choice_is_not_the_first() {
        let catalog = Catalog::built_in().unwrap();
        let cheapest = catalog
            .products
            .iter()
            .filter(|p| p.name == "RTX 4090 24GB" && p.deployable)
            .flat_map(|p| {
                p.offers
                    .iter()
                    .map(|o| (p.hourly(Some(o), BillingMode::OnDemand), o))
            })
            .min_by_key(|(price, _)| *price)
            .map(|(_, offer)| offer.cluster_id.clone());
        assert_ne!(cheapest, catalog.clusters.first().map(|c| c.id.clone()));
        assert!(catalog.products.iter().any(|p| !p.deployable));
        assert!(catalog.products.iter().any(|p| p.spot_price == Price(0)));
    }

    #[test]
    fn an_offer_in_an_unknown_cluster_is_named() {
        let mut catalog = Catalog::built_in().unwrap();
        catalog.products[1].offers[0].cluster_id = "mars-1".to_owned();
        let complaint = catalog.check().unwrap_err();
        assert!(
            complaint.0.starts_with("products[1].offers[0].clusterId"),
            "{complaint}"
        );
    }

    #[test]
    fn cuda_versions_order_by_number() {
        let version = |text: &str| CudaVersion::try_from(text.to_owned()).unwrap();
        assert!(version("12.10") > version("12.4"));
        assert!(CudaVersion::try_from("12".to_owned()).is_err());
    }
}
