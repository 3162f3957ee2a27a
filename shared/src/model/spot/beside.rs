//! What exists beside the instance that serves: its replacement, or what it has replaced.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Millis;
use crate::model::cost::Cost;
use crate::model::operation::Failure;
use crate::model::spec::{BillingMode, Spec};
use crate::model::status::{
    Attempt, AttemptState, Ending, Health, Power, ProviderFacts, Removal, Status,
};

/// A second instance of the same record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beside {
    /// What it is there for.
    pub role: Role,
    /// The generation of the spec that it was begun for.
    pub generation: u64,
    /// When it was begun.
    pub began: Millis,
    /// How it is to be paid for.
    pub billing_mode: BillingMode,
    /// The cluster that lost the one before it: others are tried first.
    pub avoided_cluster: String,
    /// Those that were created and came to nothing.
    #[serde(default)]
    pub spent: u32,
    /// Its order, as long as something may have come of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// What is known of it.
    #[serde(default)]
    pub boot: Boot,
    /// What it has cost in this role.
    #[serde(default)]
    pub cost: Cost,
}

/// What an instance beside the serving one is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// To take over.
    Replacement,
    /// It was replaced, or is not needed any more: to be removed.
    Leaving,
}

/// What is known of one instance at the provider besides its order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Boot {
    /// The provider's last word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderFacts>,
    /// Its health checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Its removal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    /// Calls to it whose effect is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
    /// How it came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// When it was first seen running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Millis>,
    /// When it got ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Millis>,
    /// See [`Status::was_ready`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub was_ready: bool,
    /// See [`Status::setbacks`].
    pub setbacks: u32,
    /// See [`Status::last_error`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Failure>,
}

/// What a status puts aside while it tells of the instance beside the serving one.
#[derive(Debug, Clone, PartialEq)]
pub struct Behind {
    beside: Beside,
    /// The number of the attempt that serves.
    serving: u32,
}

impl Behind {
    /// The order of the instance in view, if there is one.
    #[must_use]
    pub fn attempt<'a>(&self, status: &'a Status) -> Option<&'a Attempt> {
        status
            .current()
            .filter(|attempt| attempt.number != self.serving)
    }

    /// The provider's id of the one that serves.
    #[must_use]
    pub fn serving_id(&self, status: &Status) -> Option<String> {
        let mut attempts = status.attempts.iter();
        let serving = attempts.find(|attempt| attempt.number == self.serving)?;
        serving.provider_id.clone()
    }

    /// How the instance in view is to be paid for.
    #[must_use]
    pub fn billing_mode(&self) -> BillingMode {
        self.beside.billing_mode
    }

    /// The cluster that is tried last.
    #[must_use]
    pub fn avoided_cluster(&self) -> &str {
        &self.beside.avoided_cluster
    }

    /// Since when there is to be one beside.
    #[must_use]
    pub fn began(&self) -> Millis {
        self.beside.began
    }
}

impl Status {
    /// Every order that is remembered, the one beside the serving instance included.
    pub fn all_attempts(&self) -> impl Iterator<Item = &Attempt> {
        let beside = self.beside.as_ref();
        let beside = beside.and_then(|beside| beside.attempt.as_ref());
        self.attempts.iter().chain(beside)
    }

    /// Lets everything that is said of the current attempt be said of the one beside it, so that the
    /// same steps apply. `None` when there is none, or nothing that it could be beside.
    pub fn view_beside(&mut self) -> Option<Behind> {
        let serving = self.current()?.number;
        let mut beside = self.beside.take()?;
        self.attempts.extend(beside.attempt.take());
        self.exchange(&mut beside.boot);
        Some(Behind { beside, serving })
    }

    /// The reverse of [`Status::view_beside`].
    pub fn leave_view(&mut self, behind: Behind) {
        let Behind {
            mut beside,
            serving,
        } = behind;
        let is_serving = |attempt: &Attempt| attempt.number == serving;
        let at = self.attempts.iter().position(is_serving);
        let at = at.unwrap_or(self.attempts.len());
        let mut others = self.attempts.split_off(self.attempts.len().min(at + 1));
        beside.attempt = others.pop_if(|last| last.state.may_exist());
        // What is over is remembered before the one that serves, which stays the last.
        self.attempts.splice(at..at, others);
        self.exchange(&mut beside.boot);
        self.beside = Some(beside);
    }

    /// Leaves the view so that what was in view serves from now on, and what served is leaving.
    pub fn promote(&mut self, behind: Behind, reason: Failure, now: Millis) {
        let Behind {
            mut beside,
            serving,
        } = behind;
        let is_old = |attempt: &Attempt| attempt.number == serving;
        beside.role = Role::Leaving;
        self.cost.absorb(&std::mem::take(&mut beside.cost), now);
        if let Some(old) = self.attempts.iter().position(is_old) {
            let mut old = self.attempts.remove(old);
            if old.state.may_exist() {
                old.state = AttemptState::Discarding;
                old.reason = Some(reason);
                beside.attempt = Some(old);
            } else {
                self.attempts.insert(0, old);
            }
        }
        self.beside = Some(beside);
    }

    /// What the one beside costs after a look at `now`.
    pub fn account_beside(&mut self, spec: &Spec, now: Millis) {
        if let Some(mut behind) = self.view_beside() {
            behind.beside.cost = behind.beside.cost.after(spec, self, now);
            self.leave_view(behind);
        }
    }

    /// There is nothing beside any more: what was is remembered among the orders.
    pub fn file_beside(&mut self, now: Millis) {
        let Some(beside) = self.beside.take() else {
            return;
        };
        self.cost.absorb(&beside.cost, now);
        let before_last = self.attempts.len().saturating_sub(1);
        if let Some(attempt) = beside.attempt {
            self.attempts.insert(before_last, attempt);
        }
    }

    fn exchange(&mut self, boot: &mut Boot) {
        std::mem::swap(&mut self.provider, &mut boot.provider);
        std::mem::swap(&mut self.health, &mut boot.health);
        std::mem::swap(&mut self.removal, &mut boot.removal);
        std::mem::swap(&mut self.power, &mut boot.power);
        std::mem::swap(&mut self.ending, &mut boot.ending);
        std::mem::swap(&mut self.timestamps.running, &mut boot.running);
        std::mem::swap(&mut self.timestamps.ready, &mut boot.ready);
        std::mem::swap(&mut self.was_ready, &mut boot.was_ready);
        std::mem::swap(&mut self.setbacks, &mut boot.setbacks);
        std::mem::swap(&mut self.last_error, &mut boot.last_error);
    }
}
