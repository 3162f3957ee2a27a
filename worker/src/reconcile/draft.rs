//! A step in the making: the status as it will be, and the events that tell why.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::clock::Millis;
use shared::fleet::Seen;
use shared::model::budget::WARNING_PERCENT;
use shared::model::operation::Failure;
use shared::model::spot::Behind;
use shared::model::{
    Attempt, AttemptState, Cause, Event, EventId, EventKind, Operation, OperationKind,
    OperationState, Spec, Status, Warnings,
};
use shared::queue::{Hash, Verdict, Write};

use super::cause;
use super::notify::Notifier;
use super::ties::held;
use crate::metrics;

/// When the instance is to be looked at next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// After this long.
    In(Duration),
    /// When the provider shows another word for it, or after this long.
    Watch(Duration),
    /// When the provider's list shows something new of it, or after this long.
    Settled(Duration),
    /// Only when somebody wishes something of it.
    Never,
    /// Soon, and nothing of this step is kept: it began with an outdated read, or another worker has
    /// the instance.
    Abandoned,
}

impl Next {
    /// At once: there is another step to do.
    pub(super) const NOW: Self = Self::In(Duration::ZERO);
    /// When the provider's list shows something new of it.
    pub(super) const SETTLED: Self = Self::Settled(SETTLED);

    /// The same, and after so many milliseconds at the latest.
    pub(super) fn within(self, ms: u64) -> Self {
        let most = Duration::from_millis(ms);
        match self {
            Self::In(wait) => Self::In(wait.min(most)),
            Self::Watch(wait) => Self::Watch(wait.min(most)),
            Self::Settled(wait) => Self::Settled(wait.min(most)),
            Self::Never | Self::Abandoned => self,
        }
    }

    /// The longer of two waits, of which the second is for a read that failed.
    pub(super) fn or_later(self, other: Self) -> Self {
        match (self, other) {
            (Self::In(one) | Self::Watch(one), Self::In(another)) => Self::In(one.max(another)),
            (this, _) => this,
        }
    }
}

/// Before one is looked at of which the list shows nothing new; that costs the provider no call.
const SETTLED: Duration = Duration::from_secs(3600);
/// Before a step that was abandoned is begun anew.
const ABANDONED_WAIT: Duration = Duration::from_millis(300);

/// Collects what a step changes; everything takes effect together when it is settled.
pub(super) struct Draft<'a> {
    pub(super) spec: &'a Spec,
    pub(super) status: Status,
    pub(super) now: Millis,
    began: Instant,
    notifier: &'a Notifier,
    pub(super) writes: Vec<Write>,
    /// What the provider's list last showed of it.
    pub(super) seen: Seen,
    /// When it was used last.
    pub(super) last_used: Option<Millis>,
    /// The provider's ids that the record held when the step began.
    pub(super) held: Vec<String>,
    /// What is put aside while the step is about the instance beside the serving one.
    pub(super) behind: Option<Behind>,
    /// What is waited for is the instance beside.
    pub(super) watches_beside: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        spec: &'a Spec,
        status: Option<Status>,
        now: Millis,
        notifier: &'a Notifier,
    ) -> Self {
        let status = status.unwrap_or_default();
        let mut draft = Self {
            spec,
            held: held(&status),
            status,
            now,
            began: Instant::now(),
            notifier,
            writes: Vec::new(),
            seen: Seen::default(),
            last_used: None,
            behind: None,
            watches_beside: false,
        };
        draft.status.first_seen.get_or_insert(now);
        draft.take_up_operation();
        draft
    }

    /// Redis's clock at this very moment, as this process reckons it.
    pub(super) fn moment(&self) -> Millis {
        self.now.plus(self.began.elapsed().as_millis() as u64)
    }

    /// Makes the spec's request the operation being worked on; a pending older one was overtaken.
    fn take_up_operation(&mut self) {
        let current = self.spec.operation();
        if let Some(old) = self.status.operation.take() {
            if old.id == current.id {
                self.status.operation = Some(old);
                return;
            }
            if old.state == OperationState::Pending {
                let ended = old.ended(OperationState::Superseded, None, self.now);
                self.writes.push(Write::Operation(Box::new(ended)));
            }
        }
        let kind = current.kind;
        self.status.operation = Some(current);
        self.status.observed_generation = self.spec.generation;
        // Whatever a policy was about to do, its caller has wished since.
        self.status.policy = None;
        self.status.warnings = Warnings::default();
        if kind == OperationKind::Start {
            self.status.uptime.began = None;
        }
        if kind == OperationKind::Delete {
            self.event(EventKind::Deleting, "its removal was asked for", json!({}));
        }
        if let Some(claim) = self.spec.request.claim.filter(|claim| claim.warns) {
            let (percent, limit) = (WARNING_PERCENT, claim.limit.dollars());
            let reason = format!("more than {percent} % of {limit} US dollars an hour are taken");
            let data = json!({ "limitPerHour": limit, "claimPerHour": claim.rate.dollars() });
            self.event(EventKind::BudgetWarning, reason, data);
        }
    }

    /// The status as it is stored, whichever instance the step is about.
    pub(super) fn stored(&self) -> Cow<'_, Status> {
        match &self.behind {
            None => Cow::Borrowed(&self.status),
            Some(behind) => {
                let mut status = self.status.clone();
                status.leave_view(behind.clone());
                Cow::Owned(status)
            }
        }
    }

    /// Something is told in this step already. It is to be settled before anything else is written
    /// down, or it would be lost if this worker vanished in between.
    pub(super) fn has_news(&self) -> bool {
        !self.writes.is_empty()
    }

    /// The attempt being worked on, to change it.
    pub(super) fn attempt_mut(&mut self) -> Option<&mut Attempt> {
        self.status.attempts.last_mut()
    }

    /// Moves the current attempt to `state`, with a reason when it did not end well.
    pub(super) fn move_attempt(&mut self, state: AttemptState, reason: Option<Failure>) {
        if let Some(attempt) = self.attempt_mut() {
            attempt.state = state;
            attempt.reason = reason;
        }
    }

    /// A change that takes effect when the step is settled.
    pub(super) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Appends an event to the log and, when its kind is told to callers, enqueues its webhook.
    pub(super) fn event(&mut self, kind: EventKind, reason: impl Into<String>, data: Value) {
        self.event_by(cause::of(kind, self.spec, &self.status), kind, reason, data);
    }

    /// The same, where something other than usual led to it.
    pub(super) fn event_by(
        &mut self,
        cause: Cause,
        kind: EventKind,
        reason: impl Into<String>,
        mut data: Value,
    ) {
        if let (Some(_), Some(data)) = (&self.behind, data.as_object_mut()) {
            data.insert("beside".to_owned(), Value::Bool(true));
        }
        self.status.events += 1;
        let event = Event {
            id: EventId::generate(),
            instance_id: self.spec.id.clone(),
            number: self.status.events,
            kind,
            at: self.now,
            reason: reason.into(),
            actor: cause::actor(kind, &cause, &self.status),
            cause,
            change: None,
            data,
        };
        // How a replacement gets on is not told: its caller still has the one that it replaces.
        if kind.notice().is_some() && self.behind.is_none() {
            self.status.notices += 1;
            if let Some(job) = self.notifier.webhook(self.spec, &self.status, &event) {
                self.writes.push(Write::Enqueue(job, Duration::ZERO));
            }
        }
        tracing::info!(
            instance = %self.spec.id,
            event = kind.as_str(),
            number = event.number,
            "{}", event.reason
        );
        self.writes.push(Write::Event(Box::new(event)));
    }

    /// Ends the operation being worked on; one that has ended stays as it is.
    pub(super) fn end_operation(&mut self, state: OperationState, error: Option<Failure>) {
        let pending = |operation: &Operation| operation.state == OperationState::Pending;
        if let Some(operation) = self
            .status
            .operation
            .take_if(|operation| pending(operation))
        {
            let ended = operation.ended(state, error, self.now);
            metrics::operation_ended(&ended);
            self.writes.push(Write::Operation(Box::new(ended.clone())));
            self.status.operation = Some(ended);
        }
    }

    /// Lets another instance have the name.
    pub(super) fn release_name(&mut self) {
        self.writes.push(Write::ReleaseName(
            self.spec.name.clone(),
            self.spec.id.clone(),
        ));
    }

    /// Nothing will be ordered for it any more.
    pub(super) fn forget_envs(&mut self) {
        if self.spec.options.has_envs {
            let id = self.spec.id.to_string();
            self.writes.push(Write::Unset(Hash::Envs, id));
        }
    }

    /// Nothing of the instance is left: it leaves the listing.
    pub(super) fn close(&mut self) {
        self.writes.push(Write::Close(self.spec.id.clone()));
    }

    /// The step did not get on, for a reason that may pass: remembered, and counted for the backoff.
    pub(super) fn setback(&mut self, error: Failure) {
        self.status.setbacks = self.status.setbacks.saturating_add(1);
        self.status.last_error = Some(error);
    }

    /// The step got on.
    pub(super) fn progress(&mut self) {
        self.status.setbacks = 0;
        self.status.last_error = None;
    }

    /// What the step came to, for the queue.
    pub(super) fn finish(mut self, next: Next) -> (Verdict, Vec<Write>) {
        if next != Next::Abandoned {
            let operation = self.status.operation.as_ref();
            operation.inspect(|it| metrics::operation_seen(it, self.now));
            self.account();
            self.keep_bound();
            self.keep_watch(next);
        }
        let Self {
            spec,
            mut status,
            now,
            mut writes,
            ..
        } = self;
        let verdict = match next {
            Next::In(after) | Next::Watch(after) | Next::Settled(after) => Verdict::Again(after),
            Next::Never => Verdict::Done,
            Next::Abandoned => return (Verdict::Again(ABANDONED_WAIT), Vec::new()),
        };
        status.uptime.look_due = match verdict {
            Verdict::Again(after) => Some(now.plus(after.as_millis() as u64)),
            _ => None,
        };
        writes.push(Write::Status(spec.id.clone(), Box::new(status)));
        (verdict, writes)
    }
}
