//! What an import writes, one by one: the record of an instance, or a webhook that is still to be sent.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::clock::Millis;
use shared::envs::EnvsKey;
use shared::model::{EventId, Spec};
use shared::queue::{Delivery, Job};
use shared::redis::Keys;
use shared::store::{StoreError, to_json};

use super::context::Beside;
use super::jobs::Webhook;
use super::map::{Import, import};
use super::source::Entry;
use super::state::State;
use super::text::Reason;
use crate::digest::hex;

/// Before an imported record is looked at of which nothing is on its way: by then the worker has read the
/// provider's list, which tells as much as a look at each.
const SETTLED_LOOK_MS: u64 = 60_000;

/// One thing to be written.
#[derive(Debug)]
pub enum Item {
    /// The record of an instance.
    State(Box<StateItem>),
    /// A webhook that is still to be sent.
    Webhook(Box<WebhookItem>),
}

/// The record of an instance.
#[derive(Debug)]
pub struct StateItem {
    /// Where it came from.
    pub entry: Entry,
    /// What was read.
    pub state: State,
    /// The same, as it was stored.
    pub source: Value,
    /// When.
    pub written: Millis,
    /// What stands beside it.
    pub beside: Beside,
}

/// A webhook that is still to be sent.
#[derive(Debug)]
pub struct WebhookItem {
    /// Where it came from.
    pub entry: Entry,
    /// The id of its job.
    pub job: String,
    /// What is sent where.
    pub webhook: Webhook,
}

impl Item {
    /// Under which name the import remembers it: one and the same with and without a prefix.
    #[must_use]
    pub fn ledger_key(&self) -> String {
        match self {
            Self::State(item) => format!("state:{}", item.state.id),
            Self::Webhook(item) => format!("job:{}", item.job),
        }
    }

    /// Where it came from.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        match self {
            Self::State(item) => &item.entry,
            Self::Webhook(item) => &item.entry,
        }
    }

    /// What tells whether the source has changed since.
    #[must_use]
    pub fn digest(&self) -> String {
        let text = match self {
            Self::State(item) => item.source.to_string(),
            Self::Webhook(item) => format!("{} {}", item.webhook.url, item.webhook.body),
        };
        hex(&Sha256::digest(text.as_bytes()))
    }

    /// What the import remembers of it: for a record, behind the digests that the script adds.
    #[must_use]
    pub fn note(&self, now: Millis) -> String {
        json!({ "at": now, "digest": self.digest() }).to_string()
    }
}

impl StateItem {
    /// The record of ours.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn import(&self, now: Millis, keeps_envs: bool) -> Result<Import, Reason> {
        let Self {
            state,
            source,
            written,
            beside,
            ..
        } = self;
        import(state, source.clone(), *written, beside, now, keeps_envs)
    }
}

impl WebhookItem {
    /// The job that sends it, and when.
    ///
    /// # Errors
    /// Its id cannot be used.
    pub fn job(&self) -> Result<(Job, Millis), Reason> {
        let event_id: EventId = super::map::event_id(&self.job)?;
        let Webhook {
            url,
            body,
            headers,
            due,
        } = self.webhook.clone();
        let delivery = Delivery {
            event_id,
            url,
            body,
            headers,
            traceparent: None,
            asked: None,
        };
        Ok((Job::Webhook(delivery), due.unwrap_or_default()))
    }
}

/// The name of a record whose own is taken: its id, which no other can have.
#[must_use]
pub fn fallback_name(spec: &Spec) -> String {
    spec.id.to_string()
}

/// A record's arguments for `import.lua`, in its order.
///
/// # Errors
/// The environment cannot be encrypted.
pub(super) fn arguments(
    import: &Import,
    now: Millis,
    key: Option<&EnvsKey>,
) -> Result<Vec<String>, StoreError> {
    let Import { spec, status, .. } = import;
    let other_name = fallback_name(spec);
    let renamed = Spec {
        name: other_name.clone(),
        ..spec.clone()
    };
    let operation = status.operation.clone().unwrap_or_else(|| spec.operation());
    let envs = match key {
        Some(key) if spec.options.has_envs => key.seal(&spec.id, &import.envs)?,
        _ => String::new(),
    };
    let job = Job::Reconcile {
        instance: spec.id.clone(),
    };
    let is_on_its_way = operation.finished_at.is_none();
    let wait = if is_on_its_way { 0 } else { SETTLED_LOOK_MS };
    let number = |at: Option<Millis>| at.map_or_else(String::new, |at| at.0.to_string());
    let held = status.current().filter(|attempt| attempt.state.may_exist());
    let provider_id = held.and_then(|attempt| attempt.provider_id.clone());
    Ok(vec![
        spec.id.to_string(),
        to_json(spec),
        if import.takes_name {
            spec.name.clone()
        } else {
            String::new()
        },
        to_json(&renamed),
        other_name,
        spec.created_at.0.to_string(),
        number(import.closed_at),
        to_json(status),
        operation.id.to_string(),
        to_json(&operation),
        provider_id.unwrap_or_default(),
        to_json(&import.event),
        envs,
        number(import.last_used),
        if status.is_closed() {
            String::new()
        } else {
            job.id().to_string()
        },
        job.stored(),
        now.plus(wait).0.to_string(),
    ])
}

/// The keys of `import.lua`, but for the lists of events.
pub(super) fn script_keys(keys: &Keys) -> Vec<String> {
    let mut all = keys.queue();
    all.extend([
        keys.operator(),
        keys.spec(),
        keys.status(),
        keys.ops(),
        keys.index(),
        keys.closed(),
        keys.names(),
        keys.bound(),
        keys.envs(),
        keys.last_used(),
        keys.imported(),
    ]);
    all
}
