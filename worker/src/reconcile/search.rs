//! Finding out what to order: the best offer of all allowed regions.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use shared::model::operation::Failure;
use shared::model::spot::Behind;
use shared::model::{BillingMode, Offer, Spec};
use shared::stock::{StockNote, StockOuts};

use super::draft::Draft;
use super::offers::{Ranking, Rejected, Shelf, Why, billing, cluster_of, rank, region_code};
use super::order::CATALOGUE_DOUBT;
use super::{Reconciler, failure};
use crate::novita::{Cluster, Novita, NovitaError, Product, ProductQuery};

/// After so many steps that did not get on, a cluster whose products cannot be read is left out.
const PATIENCE: u32 = 2;

/// What a search for offers found.
pub(super) enum Found {
    Best(Box<Choice>),
    /// The product exists, but nothing can be had at the moment.
    SoldOut(Ranking),
    /// No region knows the product.
    NoSuchProduct(Ranking),
}

/// The offer to order, and why it is that one.
pub(super) struct Choice {
    pub(super) offer: Offer,
    pub(super) ranking: Ranking,
    /// To be noted when it is delivered.
    pub(super) delivered: Vec<StockNote>,
}

/// Why an order cannot even be made.
pub(super) enum Obstacle {
    /// Repeating cannot help.
    Definite(Failure),
    /// It may help, after a while.
    Passing(Failure),
    /// The provider did not answer as it should; it may next time.
    Provider(NovitaError),
}

impl Obstacle {
    pub(super) fn of(error: NovitaError) -> Self {
        match error {
            NovitaError::Unauthorized(refusal) => {
                Self::Definite(failure("AUTHENTICATION_FAILED", refusal.to_string()))
            }
            error => Self::Provider(error),
        }
    }
}

impl<N: Novita> Reconciler<N> {
    /// The best offer of all allowed regions. On-demand offers are looked for only when no spot offer can
    /// be had and the caller allows them.
    pub(super) async fn search(&self, draft: &Draft<'_>) -> Result<Found, Obstacle> {
        let stock_outs = self.stock_outs().await;
        let clusters = self.catalog.clusters(&self.provider).await;
        let clusters = clusters.map_err(Obstacle::of)?;
        let beside = draft.behind.as_ref();
        let wanted = beside.map_or(draft.spec.billing_mode, Behind::billing_mode);
        let avoided = beside.map_or("", Behind::avoided_cluster);
        let (mut ranking, mut is_known) =
            self.ranked(draft, &clusters, wanted, &stock_outs).await?;
        let falls_back = wanted == BillingMode::Spot && draft.spec.options.on_demand_fallback;
        if ranking.offers.is_empty() && falls_back {
            let other = BillingMode::OnDemand;
            let (more, is_listed) = self.ranked(draft, &clusters, other, &stock_outs).await?;
            ranking.extend(more);
            is_known |= is_listed;
        }
        // What lost a spot machine a moment ago would perhaps lose the next one, too.
        let mut elsewhere = ranking.offers.iter();
        let elsewhere = elsewhere.find(|ranked| ranked.offer.cluster_id != avoided);
        let best = elsewhere.or(ranking.offers.first());
        let best = best.map(|best| best.offer.clone());
        Ok(match best {
            Some(offer) => Found::Best(Box::new(Choice {
                delivered: stock_outs.delivered(&offer),
                offer,
                ranking,
            })),
            None if is_known || clusters.is_empty() => Found::SoldOut(ranking),
            None => Found::NoSuchProduct(ranking),
        })
    }

    /// Shared hints, so that an order is never held up for want of them.
    async fn stock_outs(&self) -> StockOuts {
        let read = StockOuts::read(self.store.redis(), self.store.keys()).await;
        read.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is out of stock is not known");
            StockOuts::default()
        })
    }

    /// All offers in one billing mode, and whether any region knows the product.
    async fn ranked(
        &self,
        draft: &Draft<'_>,
        clusters: &[Cluster],
        mode: BillingMode,
        stock_outs: &StockOuts,
    ) -> Result<(Ranking, bool), Obstacle> {
        let (places, mut rejected) = places(&self.regions(draft.spec), clusters, mode);
        let answers = places.iter().map(|place| self.products(draft, place, mode));
        let answers = join_all(answers).await;
        let is_patient = draft.status.setbacks < PATIENCE;
        let (mut shelves, mut failed) = (Vec::new(), None);
        for (place, products) in places.into_iter().zip(answers) {
            match products {
                Ok(products) => shelves.push(place.shelf(draft.spec, mode, products)),
                Err(error) if is_patient || !concerns_one_cluster(&error) => {
                    return Err(Obstacle::of(error));
                }
                Err(error) => {
                    let cluster = &place.cluster.id;
                    tracing::warn!(instance = %draft.spec.id, cluster, %error, "left out");
                    rejected.push(without_product(place.region, mode, Why::NotListed));
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed.filter(|_| shelves.is_empty()) {
            return Err(Obstacle::of(error));
        }
        let is_known = shelves.iter().any(|shelf| !shelf.products.is_empty());
        let mut ranking = rank(draft.spec, &shelves, |offer| draft.past(stock_outs, offer));
        ranking.rejected.append(&mut rejected);
        Ok((ranking, is_known))
    }

    async fn products(
        &self,
        draft: &Draft<'_>,
        place: &Place<'_>,
        mode: BillingMode,
    ) -> Result<Arc<Vec<Product>>, NovitaError> {
        let query = ProductQuery {
            cluster_id: Some(place.cluster.id.clone()),
            gpu_num: Some(draft.spec.gpu_num),
            product_name: Some(draft.spec.product_name.clone()),
            billing_method: Some(billing(mode)),
        };
        // A second look at what nobody seemed to know has to be a new one.
        let doubted = draft.status.last_error.as_ref();
        let max_age = if doubted.is_some_and(|error| error.code == "PRODUCT_NOT_FOUND") {
            CATALOGUE_DOUBT
        } else {
            Duration::MAX
        };
        self.catalog.products(&self.provider, &query, max_age).await
    }

    /// The regions that may be tried: the caller's own, or the one asked for and then the configured ones.
    pub(super) fn regions<'a>(&'a self, spec: &'a Spec) -> Vec<&'a str> {
        let own = &spec.options.regions;
        if !own.is_empty() {
            return own.iter().map(String::as_str).collect();
        }
        let asked = spec.region.as_deref();
        let others = self.config.regions.iter().map(String::as_str);
        asked
            .into_iter()
            .chain(others.filter(|region| Some(*region) != asked))
            .collect()
    }
}

/// An allowed region, and the provider's cluster there.
struct Place<'a> {
    region: &'a str,
    cluster: &'a Cluster,
}

impl Place<'_> {
    fn shelf(&self, spec: &Spec, billing: BillingMode, products: Arc<Vec<Product>>) -> Shelf {
        Shelf {
            region: self.region.to_owned(),
            group: group(spec, self.region),
            cluster_id: self.cluster.id.clone(),
            billing,
            products,
        }
    }
}

/// Where to ask, and why not elsewhere.
fn places<'a>(
    regions: &[&'a str],
    clusters: &'a [Cluster],
    mode: BillingMode,
) -> (Vec<Place<'a>>, Vec<Rejected>) {
    let (mut places, mut rejected) = (Vec::new(), Vec::new());
    for region in regions {
        match cluster_of(region, clusters) {
            Some(cluster) => places.push(Place { region, cluster }),
            None => rejected.push(without_product(region, mode, Why::NoCluster)),
        }
    }
    let is_asked = |cluster: &&Cluster| places.iter().any(|place| place.cluster.id == cluster.id);
    let others = clusters.iter().filter(|cluster| !is_asked(cluster));
    let elsewhere =
        others.map(|it| without_product(region_code(&it.name), mode, Why::RegionNotAllowed));
    rejected.extend(elsewhere);
    (places, rejected)
}

fn without_product(region: &str, billing: BillingMode, why: Why) -> Rejected {
    Rejected {
        region: region.to_owned(),
        billing,
        product_id: None,
        why,
    }
}

/// How far a region is from what the caller likes best; without a word from the caller all are alike.
fn group(spec: &Spec, region: &str) -> usize {
    let own = &spec.options.regions;
    if own.is_empty() {
        return usize::from(spec.region.as_deref().is_some_and(|asked| asked != region));
    }
    let position = own.iter().position(|known| known == region);
    position.unwrap_or(own.len())
}

/// The provider answered, or broke down over this question; another one may still be answered.
fn concerns_one_cluster(error: &NovitaError) -> bool {
    matches!(
        error,
        NovitaError::Unclear(_)
            | NovitaError::Refused(_)
            | NovitaError::NotFound(_)
            | NovitaError::InvalidStateChange(_)
    )
}
