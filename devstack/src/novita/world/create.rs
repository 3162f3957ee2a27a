//! Create: which product, which cluster, at what price.

use rand::RngExt;

use super::World;
use crate::novita::billing::Terms;
use crate::novita::catalog::{BillingMode, Cluster, Offer, Price, Product};
use crate::novita::clock::SimTime;
use crate::novita::error::ApiError;
use crate::novita::instance::{Birth, Hardware, Instance, StatusError};
use crate::novita::order::{ImageAuth, Kind, Order};

/// Instances ever created, removed ones included, before create refuses: the ledger keeps them all.
const MAX_INSTANCES: u64 = 100_000;

impl World {
    /// A billed instance per call: nothing is deduplicated.
    pub(crate) fn create(
        &mut self,
        order: Order,
        failure: Option<StatusError>,
        now: SimTime,
    ) -> Result<String, ApiError> {
        if self.created >= MAX_INSTANCES {
            return Err(ApiError::refused(
                "CREATE_INSTANCE_LIMIT",
                "too many instances",
            ));
        }
        let product = self.sellable(&order)?.clone();
        let cluster = self.place(&order, &product)?.clone();
        let offer = product.offer(&cluster.id);
        let terms = terms(&order, &product, offer)?;
        let failure = failure.or_else(|| self.pull_failure(&order));
        let id = format!("{:016x}", self.rng.random::<u64>());
        self.created += 1;
        self.stock.take(&product.id, &cluster.id, order.gpu_num);
        let birth = Birth {
            id: id.clone(),
            number: self.created,
            hardware: hardware(&order, &product, &cluster),
            terms,
            is_spot: order.billing == BillingMode::Spot,
            pull_failure: failure,
            seed: self.rng.random(),
            order,
        };
        self.live.insert(id.clone(), Instance::new(birth, now));
        Ok(id)
    }

    fn sellable(&self, order: &Order) -> Result<&Product, ApiError> {
        let found = match order.kind {
            Kind::Gpu => self.catalog.product(&order.product_id),
            Kind::Cpu => None,
        };
        let product =
            found.ok_or_else(|| ApiError::refused("RESOURCE_NOT_FOUND", "product not found"))?;
        if order.rootfs_size > product.max_root_fs {
            return Err(ApiError::invalid(
                "rootfsSize",
                "exceeds maxRootFS of the product",
            ));
        }
        if !product.billing_methods.contains(&order.billing) {
            return Err(unsupported_billing());
        }
        if let ImageAuth::Saved { id } = &order.image_auth
            && !self
                .catalog
                .repository_auths
                .iter()
                .any(|auth| auth.id == *id)
        {
            return Err(ApiError::refused(
                "RESOURCE_NOT_FOUND",
                "registry auth not found",
            ));
        }
        Ok(product)
    }

    /// The cluster asked for, or a random one with room.
    fn place(&mut self, order: &Order, product: &Product) -> Result<&Cluster, ApiError> {
        if let Some(id) = &order.cluster_id
            && self.catalog.cluster(id).is_none()
        {
            return Err(ApiError::refused("RESOURCE_NOT_FOUND", "cluster not found"));
        }
        let fitting: Vec<&Cluster> = self
            .catalog
            .clusters
            .iter()
            .filter(|cluster| order.cluster_id.as_ref().is_none_or(|id| cluster.id == *id))
            .filter(|cluster| {
                order
                    .min_cuda
                    .is_none_or(|min| min <= cluster.max_cuda_version)
            })
            .filter(|cluster| self.stock.free(&product.id, &cluster.id) >= order.gpu_num)
            .collect();
        if !product.deployable || fitting.is_empty() {
            return Err(ApiError::insufficient());
        }
        Ok(fitting[self.rng.random_range(0..fitting.len())])
    }

    /// A private image without the right credentials is accepted and fails while it is pulled.
    fn pull_failure(&self, order: &Order) -> Option<StatusError> {
        let host = order.image_url.split('/').next().unwrap_or_default();
        if !self
            .catalog
            .private_registries
            .iter()
            .any(|registry| registry == host)
        {
            return None;
        }
        let known = self
            .catalog
            .repository_auths
            .iter()
            .any(|auth| match &order.image_auth {
                ImageAuth::None => false,
                ImageAuth::Saved { id } => auth.id == *id,
                ImageAuth::Inline { username, password } => {
                    auth.username == *username && auth.password == *password
                }
            });
        (!known).then(|| StatusError {
            state: "imagePullFailed".to_owned(),
            message: "pull access denied".to_owned(),
        })
    }
}

fn unsupported_billing() -> ApiError {
    ApiError::refused(
        "UNSUPPORTED_BILLING_MODE",
        "billing mode not supported by the product",
    )
}

/// A product may list `spot` and still have no price for it.
fn terms(order: &Order, product: &Product, offer: Option<&Offer>) -> Result<Terms, ApiError> {
    let hourly = product.hourly(offer, order.billing);
    let prepaid_usd = match order.billing {
        BillingMode::Spot if hourly == Price(0) => return Err(unsupported_billing()),
        BillingMode::OnDemand | BillingMode::Spot => None,
        BillingMode::Monthly => {
            let monthly = product.monthly_price.iter().find(|price| price.month == 1);
            let price = monthly.ok_or_else(unsupported_billing)?.price.usd();
            Some(price * f64::from(order.months) * f64::from(order.gpu_num))
        }
    };
    Ok(Terms {
        hourly,
        gpus: order.gpu_num,
        disk: order.rootfs_size,
        prepaid_usd,
    })
}

fn hardware(order: &Order, product: &Product, cluster: &Cluster) -> Hardware {
    Hardware {
        product_name: product.name.clone(),
        cpu_num: product.cpu_per_gpu * order.gpu_num,
        memory: product.memory_per_gpu * order.gpu_num,
        max_root_fs: product.max_root_fs,
        cluster_id: cluster.id.clone(),
        cluster_name: cluster.name.clone(),
    }
}
