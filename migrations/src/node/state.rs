//! The predecessor's records, read strictly where a mistake would matter and leniently elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::model::{EnvVar, HealthCheck};

use super::text::{Date, Reason, Text, parse};

/// What the predecessor wrapped around everything it cached.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Wrapped {
    /// What was stored.
    pub data: Value,
    /// When, in ms.
    pub timestamp: u64,
}

impl Wrapped {
    /// Reads stored bytes.
    ///
    /// # Errors
    /// They are not a wrapped value.
    pub fn read(stored: &[u8]) -> Result<Self, Reason> {
        let value = parse(stored)?;
        serde_json::from_value(value).map_err(|error| format!("not a wrapped value: {error}"))
    }
}

/// The record of one instance.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Its local id.
    pub id: String,
    /// Its name, unique nowhere.
    pub name: String,
    /// A word of the predecessor's or of the provider's.
    pub status: String,
    /// The provider's product.
    #[serde(default)]
    pub product_id: String,
    /// The provider's template; `unknown` where the predecessor found the instance by itself.
    #[serde(default)]
    pub template_id: Text,
    /// What was ordered.
    pub configuration: Configuration,
    /// When things became true, as far as nobody overwrote it.
    pub timestamps: Timestamps,
    /// Where its webhooks go.
    #[serde(default)]
    pub webhook_url: Option<String>,
    /// The provider's id.
    #[serde(default)]
    pub novita_instance_id: Option<String>,
    /// The last thing that went wrong; never cleared.
    #[serde(default)]
    pub last_error: Option<String>,
    /// The checks of its last start.
    #[serde(default)]
    pub health_check: Option<Health>,
}

/// What was ordered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// GPUs.
    pub gpu_num: u8,
    /// Root disk in GB.
    pub rootfs_size: u32,
    /// A region code; the provider's name for a cluster where the predecessor found it by itself.
    #[serde(default)]
    pub region: String,
    /// The id of a registry login.
    #[serde(default)]
    pub image_auth: Option<String>,
    /// Its ports.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Its environment, in clear.
    #[serde(default)]
    pub envs: Vec<EnvVar>,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Port {
    /// Its number.
    pub port: u16,
    /// `http`, `https`, `tcp` or `udp`.
    #[serde(rename = "type", default)]
    pub kind: String,
}

/// When things became true.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timestamps {
    /// The create was accepted.
    pub created: Date,
    /// It was started last.
    pub started: Date,
    /// It got ready, or was first seen to run.
    pub ready: Date,
    /// It failed.
    pub failed: Date,
    /// A stop was asked for.
    pub stopping: Date,
    /// The stop was accepted.
    pub stopped: Date,
    /// It was found to be gone.
    pub terminated: Date,
    /// It was used.
    pub last_used: Date,
}

/// The checks of one start.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// How they are made.
    #[serde(default)]
    pub config: Checks,
    /// Every result, oldest first.
    #[serde(default)]
    pub results: Vec<Value>,
    /// When they began.
    #[serde(default)]
    pub started_at: Date,
}

/// How endpoints are checked. Values out of our range are left to the worker's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Checks {
    timeout_ms: Option<u32>,
    retry_attempts: Option<u32>,
    retry_delay_ms: Option<u32>,
    max_wait_time_ms: Option<u32>,
    target_port: Option<u16>,
}

impl Checks {
    /// The same in our words.
    #[must_use]
    pub fn ours(self) -> HealthCheck {
        HealthCheck {
            target_port: self.target_port,
            timeout_ms: self.timeout_ms,
            retry_attempts: self.retry_attempts,
            retry_delay_ms: self.retry_delay_ms,
            max_wait_time_ms: self.max_wait_time_ms,
        }
    }
}

/// A start that was under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Startup {
    /// What its caller follows.
    pub operation_id: String,
    /// The instance.
    pub instance_id: String,
    /// `initiated`, `monitoring` or `health_checking` while it is under way.
    pub status: String,
    /// When it was asked for.
    #[serde(default)]
    pub started_at: Date,
}

impl Startup {
    /// It is under way.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(
            self.status.as_str(),
            "initiated" | "monitoring" | "health_checking"
        )
    }
}

/// What the provider said of an instance when the predecessor last started; gone five minutes later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderCopy {
    /// The provider's id.
    pub id: String,
    /// Its product by name.
    pub product_name: String,
    /// `spot` or `onDemand`.
    pub billing_mode: String,
    /// The provider's cluster.
    pub cluster_id: String,
    /// Its word.
    pub status: String,
}

impl State {
    /// Reads the record of the instance `id`.
    ///
    /// # Errors
    /// Something that is needed is missing, or the record is another's.
    pub fn read(id: &str, data: Value) -> Result<Self, Reason> {
        let state: Self = serde_json::from_value(data)
            .map_err(|error| format!("not the record of an instance: {error}"))?;
        if state.id != id {
            let other = &state.id;
            return Err(format!("the record of {other:?} under the key of {id:?}"));
        }
        if state.configuration.gpu_num == 0 {
            return Err("an instance without a GPU".to_owned());
        }
        Ok(state)
    }

    /// The provider's id, if it is known.
    #[must_use]
    pub fn provider_id(&self) -> Option<&str> {
        self.novita_instance_id
            .as_deref()
            .filter(|id| !id.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn minimal() -> Value {
        json!({
            "id": "inst_1_a", "name": "a", "status": "running", "templateId": 100_234,
            "configuration": { "gpuNum": 1, "rootfsSize": 60 },
            "timestamps": { "created": "__DATE__:2026-11-22T20:53:45.819Z" },
        })
    }

    #[test]
    fn little_is_needed_and_a_template_may_be_a_number() {
        let state = State::read("inst_1_a", minimal()).unwrap();
        assert_eq!(state.template_id.0, "100234");
        assert_eq!(state.provider_id(), None);
    }

    #[test]
    fn what_is_damaged_says_where() {
        let damage = |path: &str, value: Value| {
            let mut state = minimal();
            *state.pointer_mut(path).unwrap() = value;
            State::read("inst_1_a", state).unwrap_err()
        };
        assert!(damage("/id", json!("inst_2_b")).contains("inst_2_b"));
        assert!(damage("/configuration/gpuNum", json!(0)).contains("without a GPU"));
        assert!(damage("/configuration/gpuNum", json!("one")).contains("invalid type"));
        assert!(damage("/timestamps/created", json!("soon")).contains("no time"));
        assert!(damage("/configuration", json!([])).contains("Configuration"));
    }

    #[test]
    fn what_was_wrapped_is_unwrapped() {
        let stored = br#"{"data":1,"timestamp":1000,"ttl":500}"#;
        assert_eq!(Wrapped::read(stored).unwrap().timestamp, 1000);
        assert!(Wrapped::read(b"[]").is_err());
    }
}
