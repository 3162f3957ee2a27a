//! An instance as the provider's list shows it, whoever made it.

use serde::{Deserialize, Serialize};

use super::status::ProviderFacts;

/// One instance in the provider's list. Passwords and variables are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sighting {
    /// The provider's id.
    pub provider_id: String,
    /// The provider's name for it.
    pub name: String,
    /// What is also kept of an instance that is asked for by id. Connection data in lists is not
    /// reliable.
    pub facts: ProviderFacts,
    /// The provider's product, and its name; both may be empty.
    pub product_id: String,
    /// See `product_id`.
    pub product_name: String,
    /// Where it runs.
    pub cluster_id: String,
    /// The same for people.
    pub cluster_name: String,
    /// How it is paid for, in the provider's word; may be empty.
    pub billing_mode: String,
    /// GPUs.
    pub gpu_num: u32,
    /// Root disk in GB.
    pub rootfs_size: u32,
    /// Processor cores.
    pub cpu_num: u32,
    /// Memory in GB.
    pub memory: u32,
    /// The image it runs.
    pub image_url: String,
    /// Price of one GPU for one hour in 1/100 000 US dollars, where the provider tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<u64>,
    /// It belongs to an instance of ours whose record does not hold it and is to take it in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_claimed: bool,
    /// When the provider made it, in Unix seconds by its own clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
}
