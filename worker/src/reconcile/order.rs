//! Ordering an instance: choose, write the intent down, then call, exactly once.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::model::operation::Failure;
use shared::model::{Attempt, AttemptState, EventKind, Offer, Spec};
use shared::queue::Checkpoint;

use super::draft::{Draft, Next};
use super::leftovers::{Left, take_in};
use super::moves::code_of;
use super::offers::billing;
use super::search::{Found, Obstacle};
use super::{Lease, Reconciler, failure};
use crate::novita::{CreateRequest, Env, Novita, NovitaError, ReasonClass, Refusal, Template};

/// Before a catalogue that does not know the product is believed.
const CATALOGUE_DOUBT: Duration = Duration::from_secs(5);
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
        match self.leftovers(draft).await {
            Left::Nothing => {}
            Left::Lagging | Left::Unknown => return self.look_again(draft),
            Left::Found {
                instance,
                one_of_many,
            } => return take_in(draft, &instance, !one_of_many),
        }
        let found = match self.template(draft.spec).await {
            Ok(template) => self.search(draft).await.map(|found| (template, found)),
            Err(obstacle) => Err(obstacle),
        };
        match found {
            Ok((template, Found::Best(offer))) => {
                self.send_order(draft, lease, offer, &template).await
            }
            Ok((_, Found::SoldOut)) => sold_out(draft),
            Ok((_, Found::NoSuchProduct)) => no_such_product(draft),
            Err(Obstacle::Definite(reason)) => draft.fail(reason),
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
        let regions: Vec<&str> = self.regions(draft.spec).collect();
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
        offer: Offer,
        template: &Template,
    ) -> Next {
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
        match lease.checkpoint(&draft.status).await {
            Ok(Checkpoint::Written) => {}
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
        draft.event(
            EventKind::OfferChosen,
            format!(
                "{} in {} is the cheapest that fits",
                offer.product_name, offer.region
            ),
            json!({ "offer": offer, "attempt": number, "marker": name }),
        );
        let request = create_request(
            draft.spec,
            &offer,
            template,
            name,
            self.envs(&marker, template),
        );
        match self.provider.create(&request).await {
            Ok(id) => {
                draft.created(id.as_str(), "the provider accepted the order");
                Next::NOW
            }
            Err(error) => order_failed(draft, &error),
        }
    }

    /// The template's variables, and ours, by which the instance is recognised.
    fn envs(&self, marker: &crate::marker::Marker, template: &Template) -> Vec<Env> {
        let ours = [
            ("NGA_ID", Some(marker.instance_id().to_string())),
            ("NGA_DEPLOYMENT", Some(marker.deployment.to_string())),
            (
                "NGA_SIG",
                self.config
                    .marker_secret
                    .as_ref()
                    .and_then(|s| marker.signature(s)),
            ),
        ];
        let is_ours = |env: &&Env| ours.iter().all(|(key, _)| env.key != *key);
        let mut envs: Vec<Env> = template.envs.iter().filter(is_ours).cloned().collect();
        envs.extend(ours.into_iter().filter_map(|(key, value)| {
            Some(Env {
                key: key.to_owned(),
                value: value?,
            })
        }));
        envs
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

fn sold_out(draft: &mut Draft<'_>) -> Next {
    let message = "no region has the product in stock at the moment";
    draft.setback(failure("NO_AVAILABLE_PRODUCTS", message));
    Next::In(RESCAN)
}

/// One empty catalogue may be a hiccup; a second one, a while later, is an answer.
fn no_such_product(draft: &mut Draft<'_>) -> Next {
    let message = format!(
        "no region offers a product named {:?}",
        draft.spec.product_name
    );
    let reason = failure("PRODUCT_NOT_FOUND", message);
    if waited(draft) >= CATALOGUE_DOUBT.as_millis() as u64 {
        return draft.fail(reason);
    }
    draft.setback(reason);
    Next::In(CATALOGUE_DOUBT)
}

/// Keeps the history bounded; only what never came into being is forgotten.
fn forget_old_attempts(draft: &mut Draft<'_>) {
    let attempts = &mut draft.status.attempts;
    while attempts.len() >= ATTEMPTS_KEPT {
        match attempts.iter().position(|attempt| {
            matches!(attempt.state, AttemptState::Refused | AttemptState::Absent)
        }) {
            Some(oldest) => drop(attempts.remove(oldest)),
            None => return,
        }
    }
}

fn create_request(
    spec: &Spec,
    offer: &Offer,
    template: &Template,
    name: String,
    envs: Vec<Env>,
) -> CreateRequest {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    CreateRequest {
        name,
        product_id: offer.product_id.clone(),
        cluster_id: offer.cluster_id.clone(),
        gpu_num: spec.gpu_num,
        rootfs_size: spec.rootfs_size,
        image_url: template.image.clone(),
        image_auth_id: given(&template.image_auth),
        ports: template.ports.clone(),
        envs,
        tools: template.tools.clone(),
        command: given(&template.start_command),
        entrypoint: given(&template.entrypoint),
        billing_mode: billing(offer.billing_mode),
        min_cuda_version: given(&template.min_cuda_version),
    }
}
