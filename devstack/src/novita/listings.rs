//! The lists: instances, products, clusters, templates, registry auths.

use serde_json::{Value, json};

use super::catalog::{BillingMode, Catalog, Offer, Product, Template};
use super::clock::{SimDuration, SimTime};
use super::error::ApiError;
use super::instance::Instance;
use super::query::{Page, Query, matches};
use super::status::Status;
use super::stock::Stock;
use super::wire;
use super::world::World;

/// How a fault bends a read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Distortion {
    /// The state shown is this old.
    pub(crate) lag: SimDuration,
    /// At most so many items of a page arrive.
    pub(crate) keep: Option<usize>,
}

/// `GET /gpu/instances`.
pub(crate) fn instances(
    world: &World,
    query: &Query,
    distortion: Distortion,
    now: SimTime,
) -> Result<Value, ApiError> {
    let page = Page::read(query, world.settings.max_page_size)?;
    let name = query.fuzzy("name")?;
    let product = query.fuzzy("productName")?;
    let status = query.text("status", 63)?;
    let moment = now.minus(distortion.lag);
    let mut found: Vec<(&Instance, &Status)> = world
        .instances()
        .filter_map(|instance| Some((instance, instance.status_at(moment)?)))
        .filter(|(instance, shown)| {
            matches(name.as_deref(), &instance.order.name)
                && matches(product.as_deref(), &instance.hardware.product_name)
                && status.is_none_or(|status| shown.as_str() == status)
        })
        .collect();
    found.sort_by_key(|(instance, _)| std::cmp::Reverse(instance.number));
    let items = page.of(&found).iter();
    let items: Vec<Value> = items
        .take(distortion.keep.unwrap_or(usize::MAX))
        .map(|(instance, shown)| wire::list_item(instance, shown, &world.settings, now))
        .collect();
    Ok(json!({ "instances": items, "total": found.len() }))
}

/// `GET /gpu/instance`.
pub(crate) fn instance(
    world: &World,
    query: &Query,
    distortion: Distortion,
    now: SimTime,
) -> Result<Value, ApiError> {
    let id = query.text("instanceId", 255)?;
    let id = id.ok_or_else(|| ApiError::invalid("instanceId", "is required"))?;
    let instance = world.get(id)?;
    let shown = instance
        .status_at(now.minus(distortion.lag))
        .ok_or_else(|| ApiError::unknown_instance(&world.settings))?;
    Ok(wire::details(instance, shown, &world.settings, now))
}

/// `GET /products`: with a cluster, its prices and its stock; without, list prices and all stock.
pub(crate) fn products(catalog: &Catalog, stock: &Stock, query: &Query) -> Result<Value, ApiError> {
    let cluster = query.text("clusterId", 255)?;
    let name = query.fuzzy("productName")?;
    let gpus = query.number("gpuNum")?.unwrap_or(0);
    if gpus > 8 {
        return Err(ApiError::invalid("gpuNum", "must be between 0 and 8"));
    }
    let min_cpu = query.number("minCpuPerGpu")?.unwrap_or(0);
    let min_memory = query.number("minMemoryPerGpu")?.unwrap_or(0);
    let min_root_fs = query.number("minRootFSSize")?.unwrap_or(0);
    let billing = match query.text("billingMethod", 63)? {
        None => BillingMode::OnDemand,
        Some(word) => BillingMode::from_wire(word)
            .ok_or_else(|| ApiError::invalid("billingMethod", "unknown value"))?,
    };
    let listed = catalog.products.iter().filter(|product| {
        product.billing_methods.contains(&billing)
            && matches(name.as_deref(), &product.name)
            && u64::from(product.cpu_per_gpu) >= min_cpu
            && u64::from(product.memory_per_gpu) >= min_memory
            && u64::from(product.max_root_fs) >= min_root_fs
    });
    let data: Vec<Value> = listed
        .filter_map(|product| {
            let offers: Vec<&Offer> = product
                .offers
                .iter()
                .filter(|offer| cluster.is_none_or(|id| offer.cluster_id == id))
                .collect();
            if offers.is_empty() {
                return None;
            }
            let largest = offers
                .iter()
                .map(|o| stock.free(&product.id, &o.cluster_id))
                .max();
            let serves = u64::from(largest.unwrap_or(0)) >= gpus;
            let priced = cluster.and_then(|_| offers.first().copied());
            serves.then(|| product_json(catalog, stock, product, &offers, priced))
        })
        .collect();
    Ok(json!({ "data": data }))
}

fn product_json(
    catalog: &Catalog,
    stock: &Stock,
    product: &Product,
    offers: &[&Offer],
    priced: Option<&Offer>,
) -> Value {
    let free = |offer: &Offer| stock.free(&product.id, &offer.cluster_id);
    let total: u32 = offers.iter().map(|offer| free(offer)).sum();
    let regions: Vec<&str> = offers
        .iter()
        .filter(|offer| free(offer) > 0)
        .filter_map(|offer| catalog.cluster(&offer.cluster_id))
        .map(|cluster| cluster.name.as_str())
        .collect();
    json!({
        "id": product.id,
        "name": product.name,
        "cpuPerGpu": product.cpu_per_gpu,
        "memoryPerGpu": product.memory_per_gpu,
        "diskPerGpu": product.disk_per_gpu,
        "availableDeploy": product.deployable && total > 0,
        "inventoryState": if product.deployable { inventory(total) } else { "none" },
        "minRootFS": product.min_root_fs,
        "maxRootFS": product.max_root_fs,
        "minLocalStorage": 0,
        "maxLocalStorage": 0,
        "regions": regions,
        "price": product.hourly(priced, BillingMode::OnDemand),
        "spotPrice": product.hourly(priced, BillingMode::Spot),
        "monthlyPrice": product.monthly_price.iter().map(|term| {
            json!({ "price": term.price, "month": term.month })
        }).collect::<Vec<_>>(),
        "billingMethods": product.billing_methods,
        "prices": [],
    })
}

fn inventory(free: u32) -> &'static str {
    match free {
        0 => "none",
        1..=2 => "low",
        3..=15 => "normal",
        _ => "high",
    }
}

/// `GET /clusters`.
pub(crate) fn clusters(catalog: &Catalog) -> Value {
    let data = catalog.clusters.iter().map(|cluster| {
        let mut types: Vec<&str> = catalog
            .products
            .iter()
            .filter(|product| product.offer(&cluster.id).is_some())
            .map(|product| product.name.as_str())
            .collect();
        types.sort_unstable();
        types.dedup();
        json!({
            "id": cluster.id,
            "name": cluster.name,
            "availableGpuType": types,
            "supportNetworkStorage": cluster.support_network_storage,
            "supportInstanceNetwork": cluster.support_instance_network,
        })
    });
    json!({ "data": data.collect::<Vec<_>>() })
}

/// `GET /template`.
pub(crate) fn template(catalog: &Catalog, query: &Query) -> Result<Value, ApiError> {
    let id = query.text("templateId", 255)?;
    let id = id.ok_or_else(|| ApiError::invalid("templateId", "is required"))?;
    let template = catalog.templates.iter().find(|template| template.id == id);
    let template =
        template.ok_or_else(|| ApiError::refused("TEMPLATE_NOT_FOUND", "template not found"))?;
    Ok(json!({ "template": template }))
}

/// `GET /templates`; an empty page is `null`.
pub(crate) fn templates(catalog: &Catalog, query: &Query, max: usize) -> Result<Value, ApiError> {
    let page = Page::read(query, max)?;
    let name = query.fuzzy("name")?;
    let kind = query.text("type", 63)?;
    let channels: Vec<&str> = query
        .text("channel", 255)?
        .map(|list| list.split(',').collect())
        .unwrap_or_default();
    let found: Vec<&Template> = catalog
        .templates
        .iter()
        .filter(|template| {
            matches(name.as_deref(), &template.name)
                && kind.is_none_or(|kind| template.kind == kind)
                && (channels.is_empty() || channels.contains(&template.channel.as_str()))
        })
        .collect();
    let items = page.of(&found);
    let items = if items.is_empty() {
        Value::Null
    } else {
        json!(items)
    };
    Ok(json!({
        "template": items,
        "pageSize": page.size,
        "pageNum": page.number,
        "total": found.len(),
    }))
}

/// `GET /repository/auths`.
pub(crate) fn repository_auths(catalog: &Catalog) -> Value {
    json!({ "data": catalog.repository_auths })
}
