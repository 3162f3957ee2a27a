//! Finding out what to order: the template, and the best offer in the first region that has one.

use std::time::Duration;

use shared::model::operation::Failure;
use shared::model::{AttemptState, Offer, Spec};

use super::draft::Draft;
use super::offers::{billing, cluster_of, rank};
use super::{Reconciler, failure};
use crate::novita::{Novita, NovitaError, ProductQuery, Template};

/// How long an offer that was refused is not tried again.
const STOCK_OUT: Duration = Duration::from_secs(180);

/// What a search for offers found.
pub(super) enum Found {
    Best(Offer),
    /// The product exists, but nothing can be had at the moment.
    SoldOut,
    /// No region knows the product.
    NoSuchProduct,
}

impl<N: Novita> Reconciler<N> {
    /// The template, once its registry login is known to exist.
    pub(super) async fn template(&self, spec: &Spec) -> Result<Template, Obstacle> {
        let template = match self.provider.template(&spec.template_id).await {
            Ok(template) => template,
            // Without a known code it may be a proxy that knows nothing.
            Err(error @ NovitaError::NotFound(_)) if !error.may_have_applied() => {
                let message = format!("the provider has no template {:?}", spec.template_id);
                return Err(Obstacle::Definite(failure("TEMPLATE_NOT_FOUND", message)));
            }
            Err(error) => return Err(Obstacle::of(error)),
        };
        if template.image.is_empty() {
            let message = format!("template {:?} names no image", spec.template_id);
            return Err(Obstacle::Definite(failure(
                "INVALID_TEMPLATE_IMAGE_URL",
                message,
            )));
        }
        if !template.image_auth.is_empty() {
            let auths = self.provider.registry_auths().await.map_err(Obstacle::of)?;
            if !auths.iter().any(|auth| auth.id == template.image_auth) {
                let message = "the template names a registry login that does not exist";
                return Err(Obstacle::Definite(failure(
                    "REGISTRY_AUTH_NOT_FOUND",
                    message,
                )));
            }
        }
        Ok(template)
    }

    /// The best offer in the first region, in order, that has one which was not just refused.
    pub(super) async fn search(&self, draft: &Draft<'_>) -> Result<Found, Obstacle> {
        let spec = draft.spec;
        let clusters = self.provider.clusters().await.map_err(Obstacle::of)?;
        let mut is_known = clusters.is_empty();
        for region in self.regions(spec) {
            let Some(cluster) = cluster_of(region, &clusters) else {
                continue;
            };
            let query = ProductQuery {
                cluster_id: Some(cluster.id.clone()),
                gpu_num: Some(spec.gpu_num),
                product_name: Some(spec.product_name.clone()),
                billing_method: Some(billing(spec.billing_mode)),
            };
            let products = self.provider.products(&query).await.map_err(Obstacle::of)?;
            is_known |= !products.is_empty();
            let offers = rank(spec, region, cluster, &products);
            let best = offers
                .into_iter()
                .find(|offer| !was_just_refused(draft, offer));
            if let Some(best) = best {
                return Ok(Found::Best(best));
            }
        }
        Ok(if is_known {
            Found::SoldOut
        } else {
            Found::NoSuchProduct
        })
    }

    /// The region asked for, then the configured ones.
    pub(super) fn regions<'a>(&'a self, spec: &'a Spec) -> impl Iterator<Item = &'a str> {
        let asked = spec.region.as_deref();
        let others = self.config.regions.iter().map(String::as_str);
        asked
            .into_iter()
            .chain(others.filter(move |region| Some(*region) != asked))
    }
}

/// Why an order cannot even be made.
pub(super) enum Obstacle {
    /// Repeating cannot help.
    Definite(Failure),
    /// The provider did not answer as it should; it may next time.
    Provider(NovitaError),
}

impl Obstacle {
    fn of(error: NovitaError) -> Self {
        match error {
            NovitaError::Unauthorized(refusal) => {
                Self::Definite(failure("AUTHENTICATION_FAILED", refusal.to_string()))
            }
            error => Self::Provider(error),
        }
    }
}

fn was_just_refused(draft: &Draft<'_>, offer: &Offer) -> bool {
    draft.status.attempts.iter().any(|attempt| {
        attempt.state == AttemptState::Refused
            && attempt.offer.product_id == offer.product_id
            && attempt.offer.cluster_id == offer.cluster_id
            && draft.now.since(attempt.intent_at) < STOCK_OUT.as_millis() as u64
    })
}
