//! Ordering an instance: choose, write the intent down, then call, exactly once.

use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::json;
use shared::fail_point::FailPoint;
use shared::model::operation::Failure;
use shared::model::{Attempt, AttemptState, EventKind};
use shared::queue::{Checkpoint, Write};

use super::draft::{Draft, Next};
use super::leftovers::{Left, take_in};
use super::moves::code_of;
use super::offers::Ranking;
use super::request::create_request;
use super::search::{Choice, Found, Obstacle};
use super::{Lease, Reconciler, failure};
use crate::novita::{Novita, NovitaError, ReasonClass, Refusal, Template};

/// Before a catalogue that does not know the product is believed.
pub(super) const CATALOGUE_DOUBT: Duration = Duration::from_secs(5);
/// Refusals in a row that are followed at once by the next offer; further ones pause first.
const REFUSALS_AT_ONCE: usize = 8;
/// That pause.
const REFUSAL_WAIT: Duration = Duration::from_secs(5);
/// Between two searches when every offer is out of stock.
const RESCAN: Duration = Duration::from_secs(30);
/// Before the first look for an order whose answer is unknown.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// Orders that came to nothing are forgotten beyond this many, oldest first.
const ATTEMPTS_KEPT: usize = 20;
/// Instances that were created and never got ready; after so many the wish is given up.
const BOOTS_ALLOWED: usize = 3;

impl<N: Novita> Reconciler<N> {
    /// Chooses the best offer and orders it, unless there is something already.
    pub(super) async fn order(&self, draft: &mut Draft<'_>, lease: &Lease<'_>) -> Next {
        if draft.has_news() {
            return Next::NOW;
        }
        if let Some(reason) = self.given_up(draft) {
            return draft.fail(reason);
        }
        FailPoint::OrderBegun.reached();
        match self.leftovers(draft).await {
            Left::Nothing => {}
            Left::Lagging | Left::Unknown => return self.look_again(draft),
            Left::Held(wait) => return Next::In(wait),
            Left::Found {
                instance,
                one_of_many,
            } => return take_in(draft, &instance, !one_of_many),
        }
        self.order_best(draft, lease).await
    }

    /// Orders the best offer that can be had.
    async fn order_best(&self, draft: &mut Draft<'_>, lease: &Lease<'_>) -> Next {
        let found = match self.template(draft.spec).await {
            Ok(template) => self.search(draft).await.map(|found| (template, found)),
            Err(obstacle) => Err(obstacle),
        };
        match found {
            Ok((template, Found::Best(choice))) => {
                self.send_order(draft, lease, *choice, &template).await
            }
            Ok((_, Found::SoldOut(ranking))) => sold_out(draft, &ranking),
            Ok((_, Found::NoSuchProduct(ranking))) => no_such_product(draft, &ranking),
            Err(Obstacle::Definite(reason)) => draft.fail(reason),
            Err(Obstacle::Passing(reason)) => {
                draft.setback(reason);
                Next::In(RESCAN)
            }
            Err(Obstacle::Provider(error)) => draft.provider_setback(&error),
        }
    }

    /// Why no further order is made, if that is so.
    fn given_up(&self, draft: &Draft<'_>) -> Option<Failure> {
        let gone = |attempt: &&Attempt| attempt.state == AttemptState::Gone;
        let mut boots = draft.status.attempts.iter().filter(gone);
        if boots.clone().count() >= BOOTS_ALLOWED {
            let reason = boots.next_back().and_then(|attempt| attempt.reason.clone());
            let unknown = || failure("STARTUP_FAILED", "it never got ready");
            return Some(reason.unwrap_or_else(unknown));
        }
        let waited = Duration::from_millis(waited(draft));
        if waited < self.config.operation_max {
            return None;
        }
        let regions = self.regions(draft.spec);
        let last = draft.status.last_error.as_ref();
        Some(failure(
            "NO_OPTIMAL_PRODUCT_ANY_REGION",
            format!(
                "nothing could be ordered within {} s in any of: {}; last: {}",
                waited.as_secs(),
                regions.join(", "),
                last.map_or("no offer", |failure| &failure.message)
            ),
        ))
    }

    /// Writes the intent down under the lease and only then calls the provider.
    async fn send_order(
        &self,
        draft: &mut Draft<'_>,
        lease: &Lease<'_>,
        choice: Choice,
        template: &Template,
    ) -> Next {
        // Before the intent, so that no order is ever unclear only because it was held back.
        let permit = match self.provider.admit_create().await {
            Ok(permit) => permit,
            Err(held) => return draft.provider_setback(&held.into()),
        };
        let Choice {
            offer,
            ranking,
            delivered,
        } = choice;
        let number = draft
            .status
            .attempts
            .iter()
            .map(|attempt| attempt.number)
            .max();
        let number = number.unwrap_or(0) + 1;
        let Some(marker) = self.marker(draft.spec, number) else {
            let message = "its id was not made here, so nothing can be ordered for it";
            return draft.fail(failure("NOT_CREATABLE", message));
        };
        let name = marker.name(&draft.spec.name);
        forget_old_attempts(draft);
        draft.progress();
        draft.status.attempts.push(Attempt {
            number,
            marker: name.clone(),
            offer: offer.clone(),
            ports: template.ports.len() as u32,
            state: AttemptState::Intent,
            intent_at: draft.moment(),
            provider_id: None,
            acked_at: None,
            absences: 0,
            reason: None,
        });
        let asked = Instant::now();
        FailPoint::OfferChosen.reached();
        match lease.checkpoint(&draft.stored()).await {
            Ok(Checkpoint::Written) => FailPoint::IntentWritten.reached(),
            Ok(Checkpoint::Lost | Checkpoint::Outdated) => return Next::Abandoned,
            Err(error) => {
                // The intent may have been stored, and was certainly not acted upon.
                let message = format!("the intent could not be written down: {error}");
                draft.move_attempt(
                    AttemptState::Absent,
                    Some(failure("INTENT_NOT_STORED", message)),
                );
                return Next::In(Duration::from_secs(1));
            }
        }
        if asked.elapsed() + self.config.write_timeout >= self.queue.lease() {
            // This process stood still meanwhile, and another may have the instance before the call is
            // over. The order is not sent; it is looked for like any whose fate is unknown.
            return Next::In(FIRST_LOOK);
        }
        let mut data = ranking.log();
        data.extend([
            ("offer".to_owned(), json!(offer)),
            ("attempt".to_owned(), json!(number)),
            ("marker".to_owned(), json!(name)),
        ]);
        draft.event(
            EventKind::OfferChosen,
            format!(
                "{} in {} is the best offer that fits",
                offer.product_name, offer.region
            ),
            data.into(),
        );
        let request = create_request(
            draft.spec,
            &offer,
            template,
            name,
            self.envs(&marker, template),
        );
        match self.provider.create(permit, &request).await {
            Ok(id) => {
                FailPoint::CreateRead.reached();
                draft.created(id.as_str(), "the provider accepted the order");
                for note in delivered {
                    draft.write(Write::Stock(note));
                }
                Next::NOW
            }
            Err(error) => order_failed(draft, &error),
        }
    }

    /// Orders what is to take over from the serving instance. Unlike an order of the first one, it does
    /// not take in what the provider may have: that may be the serving one.
    pub(super) async fn order_beside(&self, draft: &mut Draft<'_>, lease: &Lease<'_>) -> Next {
        if draft.has_news() {
            return Next::NOW;
        }
        self.order_best(draft, lease).await
    }
}

/// The order did not go through, or nobody knows whether it did.
fn order_failed(draft: &mut Draft<'_>, error: &NovitaError) -> Next {
    let reason = failure(code_of(error), error.to_string());
    if error.may_have_applied() {
        draft.event(EventKind::CreateUnclear, reason.message, json!({}));
        return Next::In(FIRST_LOOK);
    }
    match error {
        NovitaError::Refused(refusal) => refused(draft, refusal, reason),
        NovitaError::Unauthorized(_) | NovitaError::NotFound(_) => {
            draft.move_attempt(AttemptState::Refused, Some(reason.clone()));
            draft.fail(reason)
        }
        _ => {
            draft.move_attempt(AttemptState::Absent, Some(reason));
            draft.provider_setback(error)
        }
    }
}

/// The provider said no: another offer, or none.
fn refused(draft: &mut Draft<'_>, refusal: &Refusal, reason: Failure) -> Next {
    draft.move_attempt(AttemptState::Refused, Some(reason.clone()));
    draft.note_refusal(&refusal.reason);
    draft.event(
        EventKind::OfferRefused,
        reason.message.clone(),
        json!({ "code": reason.code }),
    );
    match refusal.reason.class() {
        ReasonClass::NextOffer | ReasonClass::State => {
            let attempts = draft.status.attempts.iter().rev();
            let in_a_row = attempts
                .take_while(|a| a.state == AttemptState::Refused)
                .count();
            if in_a_row > REFUSALS_AT_ONCE {
                Next::In(REFUSAL_WAIT)
            } else {
                Next::NOW
            }
        }
        // No other offer would help.
        ReasonClass::Account
        | ReasonClass::Credentials
        | ReasonClass::Caller
        | ReasonClass::Gone
        | ReasonClass::Pacing
        | ReasonClass::Unknown => draft.fail(reason),
    }
}

/// How long the instance has been worked on, in ms.
fn waited(draft: &Draft<'_>) -> u64 {
    draft
        .status
        .first_seen
        .map_or(0, |first| draft.now.since(first))
}

fn sold_out(draft: &mut Draft<'_>, ranking: &Ranking) -> Next {
    let message = format!(
        "no allowed region has an offer that fits at the moment ({})",
        ranking.reasons()
    );
    draft.setback(failure("NO_AVAILABLE_PRODUCTS", message));
    Next::In(RESCAN.mul_f64(rand::rng().random_range(0.8..=1.2)))
}

/// One empty catalogue may be a hiccup; a second one, a while later, is an answer.
fn no_such_product(draft: &mut Draft<'_>, ranking: &Ranking) -> Next {
    let message = format!(
        "no region offers a product named {:?} ({})",
        draft.spec.product_name,
        ranking.reasons()
    );
    let reason = failure("PRODUCT_NOT_FOUND", message);
    if waited(draft) >= CATALOGUE_DOUBT.as_millis() as u64 {
        return draft.fail(reason);
    }
    draft.setback(reason);
    Next::In(CATALOGUE_DOUBT)
}

/// Keeps the history bounded; only what is over is forgotten.
fn forget_old_attempts(draft: &mut Draft<'_>) {
    let attempts = &mut draft.status.attempts;
    while attempts.len() >= ATTEMPTS_KEPT {
        let is_over = |attempt: &Attempt| !attempt.state.may_exist();
        match attempts.iter().position(is_over) {
            Some(oldest) => drop(attempts.remove(oldest)),
            None => return,
        }
    }
}
