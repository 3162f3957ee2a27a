//! What has to be known of other keys before the record of an instance can be understood.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use shared::model::BillingMode;

use super::jobs::{Create, Monitor};
use super::map::USUAL_BILLING;
use super::state::{ProviderCopy, Startup, State};

/// Facts about instances that stand elsewhere, by the ids they are known under.
#[derive(Debug, Default)]
pub struct Context {
    /// The provider's id → what it said.
    pub copies: HashMap<String, ProviderCopy>,
    /// The local id → a start that is under way.
    pub startups: HashMap<String, Startup>,
    /// The local id → the job that follows its start.
    pub monitors: HashMap<String, Monitor>,
    /// The local id → what its create asked for.
    pub creates: HashMap<String, Create>,
    /// Names under which the provider has, or may have, something that a record holds.
    pub names: HashSet<String>,
}

/// What stands beside the record of one instance: everything that its import needs to know of other keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Beside {
    /// What the provider said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<ProviderCopy>,
    /// A start that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup: Option<Startup>,
    /// The job that follows its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,
    /// What its create asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create: Option<Create>,
    /// Another record holds, or may hold, what the provider has under its name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_name_taken: bool,
}

impl Context {
    /// What stands beside this record.
    #[must_use]
    pub fn beside(&self, state: &State) -> Beside {
        let id = &state.id;
        let copy = state.provider_id().and_then(|id| self.copies.get(id));
        let startup = self.startups.get(id).filter(|startup| startup.is_active());
        Beside {
            copy: copy.cloned(),
            startup: startup.cloned(),
            monitor: self.monitors.get(id).cloned(),
            create: self.creates.get(id).cloned(),
            is_name_taken: state.provider_id().is_none() && self.names.contains(&state.name),
        }
    }
}

impl Beside {
    /// Its caller asked for a start, and somebody follows it.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        self.startup.is_some()
            || self
                .monitor
                .as_ref()
                .is_some_and(|monitor| monitor.is_start)
    }

    /// The product by name; empty where it is not known.
    #[must_use]
    pub fn product_name(&self) -> &str {
        let said = self.copy.as_ref().map(|copy| copy.product_name.as_str());
        let asked = self.create.as_ref().map(|create| &*create.product_name);
        said.filter(|name| !name.is_empty())
            .or(asked)
            .unwrap_or_default()
    }

    /// The provider's cluster; empty where it is not known.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.copy.as_ref().map_or("", |copy| &copy.cluster_id)
    }

    /// The provider's word; empty where it is not known.
    #[must_use]
    pub fn word(&self) -> &str {
        self.copy.as_ref().map_or("", |copy| &copy.status)
    }

    /// How it is paid for.
    #[must_use]
    pub fn billing_mode(&self) -> BillingMode {
        let said = self.copy.as_ref().map(|copy| copy.billing_mode.as_str());
        let said = said.filter(|word| !word.is_empty()).map(|word| match word {
            "spot" => BillingMode::Spot,
            _ => BillingMode::OnDemand,
        });
        let asked = self.create.as_ref().and_then(|create| create.billing_mode);
        said.or(asked).unwrap_or(USUAL_BILLING)
    }
}
