//! The body of create, checked against every limit the Novita API reference documents.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::catalog::{BillingMode, CudaVersion, Env};
use super::error::ApiError;
use super::ports::{self, Port};

const MAX_ROOT_FS: i64 = 6144;
const MIN_ROOT_FS: i64 = 10;

/// The body as sent; unknown fields are ignored, as there.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CreateBody {
    product_id: Option<String>,
    kind: Option<String>,
    gpu_num: Option<i64>,
    rootfs_size: Option<i64>,
    image_url: Option<String>,
    name: Option<String>,
    image_auth: Option<String>,
    image_auth_id: Option<String>,
    ports: Option<String>,
    #[serde(deserialize_with = "objects")]
    envs: Option<Vec<Env>>,
    #[serde(deserialize_with = "objects")]
    tools: Option<Vec<Tool>>,
    command: Option<String>,
    entrypoint: Option<String>,
    cluster_id: Option<String>,
    #[serde(deserialize_with = "objects")]
    network_storages: Option<Vec<NetworkStorage>>,
    network_id: Option<String>,
    billing_mode: Option<String>,
    month: Option<i64>,
    auto_renew: Option<bool>,
    auto_renew_month: Option<i64>,
    min_cuda_version: Option<String>,
}

/// Objects only: serde alone would also take arrays for them.
fn objects<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let items = Option::<Vec<Map<String, Value>>>::deserialize(deserializer)?;
    let typed = |item| T::deserialize(Value::Object(item)).map_err(D::Error::custom);
    items
        .map(|items| items.into_iter().map(typed).collect())
        .transpose()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) port: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NetworkStorage {
    mount_point: String,
}

/// A create that breaks no rule of form; whether there is such a product is not known yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) product_id: String,
    pub(crate) kind: Kind,
    pub(crate) gpu_num: u32,
    /// GB.
    pub(crate) rootfs_size: u32,
    pub(crate) image_url: String,
    pub(crate) name: String,
    pub(crate) image_auth: ImageAuth,
    pub(crate) ports: Vec<Port>,
    pub(crate) envs: Vec<Env>,
    pub(crate) command: String,
    pub(crate) entrypoint: String,
    /// `None`: the server chooses.
    pub(crate) cluster_id: Option<String>,
    pub(crate) billing: BillingMode,
    /// Months paid ahead; 0 unless monthly.
    pub(crate) months: u32,
    pub(crate) min_cuda: Option<CudaVersion>,
}

/// What is rented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gpu,
    Cpu,
}

/// How the image is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImageAuth {
    None,
    Inline { username: String, password: String },
    Saved { id: String },
}

impl CreateBody {
    /// Checks one field after the other, in the order of the reference.
    pub(crate) fn into_order(self) -> Result<Order, ApiError> {
        let (billing, months) = self.billing()?;
        self.check_renewal()?;
        let ports = ports::parse(self.ports.as_deref().unwrap_or(""), self.tools.as_deref())?;
        self.check_networks()?;
        let image_auth = self.image_auth()?;
        Ok(Order {
            product_id: text("productId", self.product_id, 1, 255)?,
            kind: kind(self.kind.as_deref())?,
            gpu_num: gpu_num(self.gpu_num)?,
            rootfs_size: rootfs_size(self.rootfs_size)?,
            image_url: text("imageUrl", self.image_url, 1, 500)?,
            name: text("name", self.name, 0, 255)?,
            image_auth,
            ports,
            envs: envs(self.envs.unwrap_or_default())?,
            command: text("command", self.command, 0, 2047)?,
            entrypoint: text("entrypoint", self.entrypoint, 0, 2047)?,
            cluster_id: Some(text("clusterId", self.cluster_id, 0, 255)?).filter(|c| !c.is_empty()),
            billing,
            months,
            min_cuda: cuda(self.min_cuda_version)?,
        })
    }

    fn billing(&self) -> Result<(BillingMode, u32), ApiError> {
        let month = self.month.unwrap_or(0);
        let months =
            u32::try_from(month).map_err(|_| ApiError::invalid("month", "must not be negative"))?;
        if months > 0 {
            return Ok((BillingMode::Monthly, months));
        }
        match self.billing_mode.as_deref().unwrap_or("") {
            "" => Ok((BillingMode::OnDemand, 0)),
            word => match BillingMode::from_wire(word) {
                Some(BillingMode::Monthly) => {
                    Err(ApiError::invalid("month", "must be at least 1 for monthly"))
                }
                Some(mode) => Ok((mode, 0)),
                None => Err(ApiError::invalid("billingMode", "unknown value")),
            },
        }
    }

    fn check_renewal(&self) -> Result<(), ApiError> {
        let renews = self.auto_renew.unwrap_or(false);
        if renews && !(1..=12).contains(&self.auto_renew_month.unwrap_or(0)) {
            return Err(ApiError::invalid(
                "autoRenewMonth",
                "must be between 1 and 12",
            ));
        }
        Ok(())
    }

    /// There are no network volumes and no VPC networks here, so none can be named.
    fn check_networks(&self) -> Result<(), ApiError> {
        let storages = self.network_storages.as_deref().unwrap_or_default();
        if storages.len() > 30 {
            return Err(ApiError::invalid("networkStorages", "at most 30"));
        }
        if storages
            .iter()
            .any(|storage| storage.mount_point.chars().count() > 4095)
        {
            return Err(ApiError::invalid(
                "networkStorages.mountPoint",
                "at most 4095 characters",
            ));
        }
        if !storages.is_empty() {
            return Err(ApiError::refused(
                "NETWORK_STORAGE_NOT_FOUND",
                "network storage not found",
            ));
        }
        if self.network_id.as_deref().is_some_and(|id| !id.is_empty()) {
            return Err(ApiError::refused("NETWORK_NOT_FOUND", "network not found"));
        }
        Ok(())
    }

    fn image_auth(&self) -> Result<ImageAuth, ApiError> {
        let inline = text("imageAuth", self.image_auth.clone(), 0, 10239)?;
        let saved = text("imageAuthId", self.image_auth_id.clone(), 0, 255)?;
        if !saved.is_empty() {
            return Ok(ImageAuth::Saved { id: saved });
        }
        if inline.is_empty() {
            return Ok(ImageAuth::None);
        }
        let (username, password) = inline
            .split_once(':')
            .ok_or_else(|| ApiError::invalid("imageAuth", "expected username:password"))?;
        Ok(ImageAuth::Inline {
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }
}

fn text(field: &str, value: Option<String>, min: usize, max: usize) -> Result<String, ApiError> {
    let value = value.unwrap_or_default();
    let length = value.chars().count();
    if length < min {
        return Err(ApiError::invalid(field, "is required"));
    }
    if length > max {
        return Err(ApiError::invalid(
            field,
            &format!("at most {max} characters"),
        ));
    }
    Ok(value)
}

fn kind(value: Option<&str>) -> Result<Kind, ApiError> {
    match value.unwrap_or("") {
        "gpu" => Ok(Kind::Gpu),
        "cpu" => Ok(Kind::Cpu),
        "" => Err(ApiError::invalid("kind", "is required")),
        _ => Err(ApiError::invalid("kind", "must be gpu or cpu")),
    }
}

fn gpu_num(value: Option<i64>) -> Result<u32, ApiError> {
    match value.unwrap_or(0) {
        number @ 1..=8 => Ok(number as u32),
        _ => Err(ApiError::invalid("gpuNum", "must be between 1 and 8")),
    }
}

/// A value below 10 is raised to 10; zero is what an absent field looks like.
fn rootfs_size(value: Option<i64>) -> Result<u32, ApiError> {
    match value.unwrap_or(0) {
        0 => Err(ApiError::invalid("rootfsSize", "is required")),
        size @ 1..=MAX_ROOT_FS => Ok(size.max(MIN_ROOT_FS) as u32),
        _ => Err(ApiError::invalid(
            "rootfsSize",
            "must be between 10 and 6144",
        )),
    }
}

fn envs(envs: Vec<Env>) -> Result<Vec<Env>, ApiError> {
    if envs.len() > 100 {
        return Err(ApiError::invalid("envs", "at most 100"));
    }
    for env in &envs {
        if !(1..=511).contains(&env.key.chars().count()) {
            return Err(ApiError::invalid(
                "envs.key",
                "must have 1 to 511 characters",
            ));
        }
        if env.value.chars().count() > 4095 {
            return Err(ApiError::invalid("envs.value", "at most 4095 characters"));
        }
    }
    Ok(envs)
}

fn cuda(value: Option<String>) -> Result<Option<CudaVersion>, ApiError> {
    match value.unwrap_or_default() {
        text if text.is_empty() => Ok(None),
        text => CudaVersion::try_from(text)
            .map(Some)
            .map_err(|problem| ApiError::invalid("minCudaVersion", &problem)),
    }
}
