//! Instances as the provider reports them.

use serde::{Deserialize, Serialize};

use super::{BillingMode, Env, HundredThousandthsUsd, Protocol};
use crate::novita::lenient::{number, or_default, positive};
use crate::novita::words::words;

words! {
    /// An instance's state (Novita API reference, status vocabulary). There is no word for
    /// failure: that is a [`StatusError`] beside any of these.
    ProviderStatus {
        /// Not documented; seen right after create.
        Pending = "pending",
        /// Waiting to be created.
        ToCreate = "toCreate",
        /// Being created.
        Creating = "creating",
        /// Pulling the image. Billing starts here.
        Pulling = "pulling",
        /// The container runs; its services may not yet.
        Running = "running",
        /// Waiting to start.
        ToStart = "toStart",
        /// Starting.
        Starting = "starting",
        /// Waiting to stop.
        ToStop = "toStop",
        /// Stopping.
        Stopping = "stopping",
        /// Stopped. Its GPU is free for others.
        Exited = "exited",
        /// Waiting to restart.
        ToRestart = "toRestart",
        /// Restarting.
        Restarting = "restarting",
        /// Waiting for an upgrade.
        ToReset = "toReset",
        /// Being upgraded.
        Resetting = "resetting",
        /// Moving to another node.
        Migrating = "migrating",
        /// Documented by its label alone.
        Freezing = "freezing",
        /// Waiting for deletion.
        ToRemove = "toRemove",
        /// Being deleted.
        Removing = "removing",
        /// Deleted; may be listed for a while.
        Removed = "removed",
    }
}

words! {
    /// Where a spot instance stands. A healthy one shows the empty word or `running`.
    SpotStatus {
        /// Not about to be reclaimed.
        Running = "running",
        /// Will be reclaimed at [`Instance::spot_reclaim_time`].
        Notified = "notified",
        /// Being reclaimed.
        Reclaiming = "reclaiming",
        /// Reclaimed.
        Terminated = "terminated",
    }
}

/// An instance. List items may lack endpoints and connection data that get has. Times are Unix
/// seconds, `None` for never; sizes are GB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Instance {
    /// Never empty in a well-formed answer.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// As given at create; may be empty.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Where it runs.
    #[serde(deserialize_with = "or_default")]
    pub cluster_id: String,
    /// The same for people.
    #[serde(deserialize_with = "or_default")]
    pub cluster_name: String,
    /// Its state.
    pub status: ProviderStatus,
    /// What is wrong with it.
    #[serde(deserialize_with = "or_default")]
    pub status_error: StatusError,
    /// The image reference.
    #[serde(deserialize_with = "or_default")]
    pub image_url: String,
    /// The registry login it pulls with, or empty.
    #[serde(deserialize_with = "or_default")]
    pub image_auth_id: String,
    /// The container's command, or empty.
    #[serde(deserialize_with = "or_default")]
    pub command: String,
    /// vCPUs.
    #[serde(deserialize_with = "number")]
    pub cpu_num: u32,
    /// Memory.
    #[serde(deserialize_with = "number")]
    pub memory: u32,
    /// GPUs.
    #[serde(deserialize_with = "number")]
    pub gpu_num: u32,
    /// Published ports.
    #[serde(deserialize_with = "or_default")]
    pub port_mappings: Vec<PortMapping>,
    /// Its product; get may leave it out.
    #[serde(deserialize_with = "or_default")]
    pub product_id: String,
    /// The same for people; may be empty.
    #[serde(deserialize_with = "or_default")]
    pub product_name: String,
    /// Root disk.
    #[serde(deserialize_with = "number")]
    pub rootfs_size: u32,
    /// Environment variables, secrets included.
    #[serde(deserialize_with = "or_default")]
    pub envs: Vec<Env>,
    /// How it is paid for; may be the empty word.
    pub billing_mode: BillingMode,
    /// Per GPU and hour.
    #[serde(deserialize_with = "positive")]
    pub instance_price: Option<HundredThousandthsUsd>,
    /// When a monthly instance expires.
    #[serde(deserialize_with = "positive")]
    pub end_time: Option<i64>,
    /// Where it stands if it is a spot instance.
    pub spot_status: SpotStatus,
    /// When a spot instance is or was planned to be reclaimed.
    #[serde(deserialize_with = "positive")]
    pub spot_reclaim_time: Option<i64>,
    /// Jobs of the provider that run on it; while there is one, most actions are refused.
    #[serde(deserialize_with = "or_default")]
    pub jobs: Vec<ProviderJob>,
    #[serde(rename = "connectComponentSSH", deserialize_with = "or_default")]
    ssh: Ssh,
    /// Days a stopped instance's disk is kept.
    #[serde(deserialize_with = "number")]
    pub keep_data_day: u32,
    /// When a stopped instance's disk is purged.
    #[serde(deserialize_with = "positive")]
    pub release_data_at: Option<i64>,
    /// Owned by another product of the provider: hands off.
    #[serde(deserialize_with = "or_default")]
    pub is_api_instance: bool,
    /// When it was created, by the provider's clock.
    #[serde(deserialize_with = "positive")]
    pub created_at: Option<i64>,
    /// When it last started.
    #[serde(deserialize_with = "positive")]
    pub last_started_at: Option<i64>,
    /// When it last stopped.
    #[serde(deserialize_with = "positive")]
    pub last_stopped_at: Option<i64>,
}

impl Instance {
    /// The value of an environment variable.
    #[must_use]
    pub fn env(&self, key: &str) -> Option<&str> {
        self.envs
            .iter()
            .find(|env| env.key == key)
            .map(|env| env.value.as_str())
    }

    /// Such as `ssh -p 30123 root@proxy.us-ca-6.gpu-instance.novita.ai`, once it is ready. The
    /// port changes with every start.
    #[must_use]
    pub fn ssh_command(&self) -> Option<&str> {
        Some(self.ssh.ssh_command.as_str()).filter(|command| !command.is_empty())
    }
}

/// What is wrong with an instance, whatever its status; both empty when nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StatusError {
    /// A word such as `oom`.
    #[serde(deserialize_with = "or_default")]
    pub state: String,
    /// For people.
    #[serde(deserialize_with = "or_default")]
    pub message: String,
}

/// A published port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PortMapping {
    /// Inside the instance.
    #[serde(deserialize_with = "number")]
    pub port: u16,
    /// A URL for HTTP, `host:port` for TCP; empty until the instance runs.
    #[serde(deserialize_with = "or_default")]
    pub endpoint: String,
    /// How.
    #[serde(rename = "type")]
    pub protocol: Protocol,
}

/// A job of the provider that runs on an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ProviderJob {
    /// Opaque.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// Such as `instanceMigrate`.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ssh {
    #[serde(deserialize_with = "or_default")]
    ssh_command: String,
}

/// The answer to get: the instance itself, or wrapped, which one client has met.
#[derive(Deserialize)]
#[serde(untagged)]
pub(in crate::novita) enum InstanceReply {
    Wrapped { instance: Box<Instance> },
    Bare(Box<Instance>),
}

/// Which page of the account's instances to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// From 1.
    pub page_num: u32,
    /// Instances per page; the provider may return fewer.
    pub page_size: u32,
    /// Part of the name: the match is fuzzy, compare exactly afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ProviderStatus>,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InstancePage {
    /// `None` when the answer does not have the field at all.
    #[serde(default)]
    pub instances: Option<Vec<Instance>>,
    /// How many there are in all; `None` when the answer does not say.
    #[serde(default, deserialize_with = "total")]
    pub total: Option<u64>,
}

fn total<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    number(deserializer).map(Some)
}
