//! What a create call says.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize, Serializer};

use super::{BillingMode, Env, ProviderId};
use crate::novita::lenient::{number, or_default};
use crate::novita::words::words;

words! {
    /// How a port is published.
    Protocol {
        /// Through the provider's HTTPS proxy.
        Http = "http",
        /// At a random high port of a proxy host.
        Tcp = "tcp",
    }
}

/// A port of the instance to publish.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Port {
    /// 1 to 65535, except 2222 to 2224, which the provider keeps.
    pub port: u16,
    /// How.
    pub protocol: Protocol,
}

/// A tool the provider starts in the instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tool {
    /// `Jupyter` is the only one documented.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its port. Templates have a number here, create wants text.
    #[serde(deserialize_with = "number", serialize_with = "as_text")]
    pub port: u16,
    /// How the port is published.
    #[serde(rename = "type")]
    pub protocol: Protocol,
}

/// The body of a create call. Every accepted one makes a new, paid instance.
///
/// Limits (Novita API reference): name ≤ 255; `gpu_num` 1 to 8; `rootfs_size` 10 to 6144 GB;
/// image ≤ 500; command and entry point ≤ 2047; ≤ 100 variables with names ≤ 511 and values
/// ≤ 4095; ports and tools together ≤ 15.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRequest {
    /// Not unique at the provider; our marker.
    pub name: String,
    /// From [`Product::id`](super::Product::id).
    pub product_id: String,
    /// From [`Cluster::id`](super::Cluster::id). Left empty, the provider picks one at random.
    pub cluster_id: String,
    /// GPUs.
    pub gpu_num: u8,
    /// Root disk in GB.
    pub rootfs_size: u32,
    /// The image reference.
    pub image_url: String,
    /// From [`RegistryAuth::id`](super::RegistryAuth::id).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_auth_id: Option<String>,
    /// Ports to publish; sent as one text, `8888/http,22/tcp`.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "one_text")]
    pub ports: Vec<Port>,
    /// Environment variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub envs: Vec<Env>,
    /// Tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// The container's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Replaces the image's entry point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<String>,
    /// How it is paid for.
    pub billing_mode: BillingMode,
    /// Such as `12.4`; narrows the choice of hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_cuda_version: Option<String>,
}

/// A [`CreateRequest`] as it is sent.
#[derive(Serialize)]
pub(in crate::novita) struct CreateBody<'a> {
    kind: &'static str,
    #[serde(flatten)]
    request: &'a CreateRequest,
}

impl<'a> From<&'a CreateRequest> for CreateBody<'a> {
    fn from(request: &'a CreateRequest) -> Self {
        Self {
            kind: "gpu",
            request,
        }
    }
}

/// The answer to a create call; nothing but the id is in it.
#[derive(Deserialize)]
pub(in crate::novita) struct Created {
    #[serde(default, deserialize_with = "or_default")]
    pub(in crate::novita) id: String,
}

/// The body of start, stop, restart and delete.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::novita) struct InstanceIdBody<'a> {
    pub(in crate::novita) instance_id: &'a ProviderId,
}

fn as_text<S: Serializer>(port: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&port.to_string())
}

fn one_text<S: Serializer>(ports: &[Port], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::new();
    for Port { port, protocol } in ports {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{port}/{protocol}");
    }
    serializer.serialize_str(&text)
}
