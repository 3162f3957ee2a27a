//! Wishes of callers, written down in one step with all that follows from them.

use super::recall::{Answered, Memo, REMEMBERED_FOR, Recalled};
use super::{Record, Store, StoreError, to_json};
use crate::model::budget::WARNING_PERCENT;
use crate::model::{Claim, EnvVar, Rate, Spec};
use crate::queue::Job;
use crate::redis::scripts::ACCEPT;
use crate::redis::{RedisError, Repeat};

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// Durable, and due.
    Yes,
    /// A live instance of that name exists.
    NameTaken(String),
    /// The spec was changed meanwhile; read it again and decide anew.
    Conflict,
    /// It would take more of the budget than is left; so much is reserved by all.
    OverBudget(Rate),
    /// A request with the same idempotency key came before.
    Known(Recalled),
}

/// What a caller will be told once its wish is accepted; remembered in the same step, so that a repetition
/// of the request is told the same, whatever became of us in between.
#[derive(Debug, Clone)]
pub struct Promise {
    /// Under which key.
    pub memo: Memo,
    /// The answer.
    pub answer: Answered,
}

impl Store {
    /// Accepts a new instance: spec, operation, name, due key and budget in one step.
    pub async fn create(&self, spec: &Spec) -> Result<Accepted, StoreError> {
        self.create_once(spec, &[], None).await
    }

    /// The same, together with its caller's environment variables, which are stored encrypted, and with
    /// what its caller is promised.
    pub async fn create_once(
        &self,
        spec: &Spec,
        envs: &[EnvVar],
        promise: Option<&Promise>,
    ) -> Result<Accepted, StoreError> {
        let sealed = if envs.is_empty() {
            String::new()
        } else {
            let key = self.envs_key.as_ref().ok_or(StoreError::NoEnvsKey)?;
            key.seal(&spec.id, envs)?
        };
        self.accept(None, spec, &sealed, promise).await
    }

    /// Accepts a change of an instance, unless its spec was changed since `record` was read. What it
    /// has reserved of the budget already is not asked for again.
    pub async fn change(&self, record: &Record, spec: &Spec) -> Result<Accepted, StoreError> {
        self.change_once(record, spec, None).await
    }

    /// The same, with what its caller is promised.
    pub async fn change_once(
        &self,
        record: &Record,
        spec: &Spec,
        promise: Option<&Promise>,
    ) -> Result<Accepted, StoreError> {
        self.accept(Some(record), spec, "", promise).await
    }

    async fn accept(
        &self,
        before: Option<&Record>,
        spec: &Spec,
        envs: &str,
        promise: Option<&Promise>,
    ) -> Result<Accepted, StoreError> {
        let mut keys = self.keys.queue();
        keys.extend([
            self.keys.spec(),
            self.keys.ops(),
            self.keys.index(),
            self.keys.names(),
            self.keys.budget(),
            self.keys.envs(),
        ]);
        keys.extend(promise.map(|promise| self.keys.answer(promise.memo.key())));
        let job = Job::Reconcile {
            instance: spec.id.clone(),
        };
        let operation = spec.operation();
        let forgotten = before.and_then(|record| spec.forgotten_since(&record.spec));
        let mut args = vec![
            spec.id.to_string(),
            before.map_or_else(String::new, |record| record.stored_spec.clone()),
            to_json(spec),
            spec.name.clone(),
            operation.id.to_string(),
            to_json(&operation),
            job.id().to_string(),
            job.stored(),
            envs.to_owned(),
            forgotten.map_or_else(String::new, String::from),
            promise.map_or_else(String::new, |p| p.memo.stored(&p.answer)),
            REMEMBERED_FOR.as_millis().to_string(),
        ];
        args.extend(claim_args(spec));
        let reply = self
            .redis
            .script(&ACCEPT, &keys, &args, Repeat::Harmless)
            .await?;
        let mut words = reply.optional_texts()?.into_iter().flatten();
        match (words.next().as_deref(), words.next()) {
            (Some("accepted"), _) => Ok(Accepted::Yes),
            (Some("conflict"), _) => Ok(Accepted::Conflict),
            (Some("name_taken"), Some(holder)) => Ok(Accepted::NameTaken(holder)),
            (Some("known"), Some(stored)) => match promise {
                Some(promise) => Ok(Accepted::Known(promise.memo.recall(&stored)?)),
                None => Err(RedisError::Protocol("an answer nobody asked for".into()).into()),
            },
            (Some("over_budget"), Some(units)) => match units.parse() {
                Ok(units) => Ok(Accepted::OverBudget(Rate::stored(units))),
                Err(_) => Err(RedisError::Protocol("a budget that is no number".into()).into()),
            },
            _ => Err(RedisError::Protocol("accept told no verdict".into()).into()),
        }
    }
}

/// What `accept.lua` needs to know of a claim.
fn claim_args(spec: &Spec) -> Vec<String> {
    let Some(claim) = spec.request.claim else {
        return vec![String::new()];
    };
    let mut warning = spec.clone();
    warning.request.claim = Some(Claim {
        warns: true,
        ..claim
    });
    let limit = claim.limit.units();
    let warns_from = u128::from(limit) * u128::from(WARNING_PERCENT) / 100;
    vec![
        claim.rate.units().to_string(),
        spec.generation.to_string(),
        limit.to_string(),
        warns_from.to_string(),
        to_json(&warning),
    ]
}
