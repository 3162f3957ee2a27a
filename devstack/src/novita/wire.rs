//! Instances as Novita's JSON, written against the Novita API reference.

use serde_json::{Value, json};

use super::billing::FREE_DISK_GB;
use super::catalog::BillingMode;
use super::clock::{SimDuration, SimTime};
use super::instance::Instance;
use super::order::{ImageAuth, Kind};
use super::ports::Protocol;
use super::settings::{Settings, ZeroValues};
use super::status::Status;

/// Days data is kept after a stop.
const KEEP_DATA_DAYS: u32 = 7;

/// 30 days: the length of a prepaid month here.
const MONTH: u32 = 30 * 86_400;

/// Fields that only get shows.
const DETAIL_ONLY: [&str; 13] = [
    "network",
    "node",
    "jobs",
    "connectComponentSSH",
    "connectComponentWebTerminal",
    "connectComponentJupyter",
    "connectComponentLog",
    "freeStorageSize",
    "keepDataDay",
    "useTime",
    "instancePrice",
    "localStoragePrice",
    "exitedLocalStoragePrice",
];

/// The object of `GET /gpu/instance`, showing `status`, which may be an earlier one.
pub(crate) fn details(
    instance: &Instance,
    status: &Status,
    settings: &Settings,
    now: SimTime,
) -> Value {
    let mut object = common(instance, status, settings);
    let ssh = instance.ssh.as_ref().filter(|_| *status == Status::Running);
    let jobs: Vec<Value> = instance
        .job
        .iter()
        .map(|job| json!({ "id": job.id, "type": job.kind }))
        .collect();
    let details = json!({
        "network": { "id": "", "ip": "" },
        "node": [{ "maxRootfsSize": instance.hardware.max_root_fs }],
        "jobs": jobs,
        "connectComponentSSH": {
            "sshCommand": ssh_command(instance, status),
            "password": ssh.map_or("", |ssh| &ssh.password),
            "isRunning": ssh.is_some(),
        },
        "connectComponentWebTerminal":
            { "address": "", "username": "", "password": "", "isRunning": false },
        "connectComponentJupyter": { "port": 0, "address": "", "isRunning": false },
        "connectComponentLog":
            { "systemLogAddress": "", "instanceLogAddress": "", "isRunning": false },
        "freeStorageSize": FREE_DISK_GB,
        "keepDataDay": KEEP_DATA_DAYS,
        "useTime": (instance.billed_seconds(now) as u64).to_string(),
        "instancePrice": String::from(instance.terms.hourly),
        "localStoragePrice": "500",
        "exitedLocalStoragePrice": "500",
    });
    if let (Value::Object(object), Value::Object(details)) = (&mut object, details) {
        object.extend(details);
    }
    object
}

/// One item of `GET /gpu/instances`, root password and all.
pub(crate) fn list_item(
    instance: &Instance,
    status: &Status,
    settings: &Settings,
    now: SimTime,
) -> Value {
    let mut item = details(instance, status, settings, now);
    if let Some(item) = item.as_object_mut() {
        item.retain(|field, _| !DETAIL_ONLY.contains(&field.as_str()));
        if settings.sparse_list {
            item.retain(|field, _| !matches!(field.as_str(), "sshCommand" | "sshPassword"));
            item.insert("portMappings".to_owned(), ports(instance, None));
        }
    }
    item
}

fn common(instance: &Instance, status: &Status, settings: &Settings) -> Value {
    let (order, hardware) = (&instance.order, &instance.hardware);
    let running = (*status == Status::Running).then_some(instance);
    let ssh_password = running
        .and_then(|i| i.ssh.as_ref())
        .map_or("", |ssh| &ssh.password);
    json!({
        "id": instance.id,
        "name": order.name,
        "clusterId": hardware.cluster_id,
        "clusterName": hardware.cluster_name,
        "status": status.as_str(),
        "statusError": { "state": instance.error.state, "message": instance.error.message },
        "imageUrl": order.image_url,
        "imageAuthId": match &order.image_auth {
            ImageAuth::Saved { id } => id,
            ImageAuth::None | ImageAuth::Inline { .. } => "",
        },
        "command": order.command,
        "entrypoint": order.entrypoint,
        "cpuNum": hardware.cpu_num.to_string(),
        "memory": hardware.memory.to_string(),
        "gpuNum": order.gpu_num.to_string(),
        "portMappings": ports(instance, running),
        "productId": order.product_id,
        "productName": hardware.product_name,
        "rootfsSize": order.rootfs_size,
        "volumeMounts": [],
        "envs": order.envs,
        "kind": match order.kind { Kind::Gpu => "gpu", Kind::Cpu => "cpu" },
        "billingMode": order.billing.as_str(),
        "endTime": end_time(instance),
        "spotStatus": instance.spot.map_or("", |spot| spot.wire_status(settings)),
        "spotReclaimTime":
            instance.spot.map_or_else(never, super::spot::Spot::wire_reclaim_time),
        "createdAt": instance.created_at.wire(),
        "lastStartedAt": instance.last_started_at.map_or_else(never, SimTime::wire),
        "lastStoppedAt": instance.last_stopped_at.map_or_else(never, SimTime::wire),
        "gpuIds": (0..order.gpu_num).collect::<Vec<_>>(),
        "tools": [],
        "diskSize": order.rootfs_size,
        "sshCommand": ssh_command(instance, status),
        "sshPassword": ssh_password,
    })
}

fn never() -> String {
    "0".to_owned()
}

/// `-1` is pay-as-you-go.
fn end_time(instance: &Instance) -> String {
    match instance.order.billing {
        BillingMode::OnDemand | BillingMode::Spot => "-1".to_owned(),
        BillingMode::Monthly => {
            let term = SimDuration::seconds(MONTH.saturating_mul(instance.order.months));
            instance.created_at.plus(term).wire()
        }
    }
}

/// Empty endpoints unless `running`.
fn ports(instance: &Instance, running: Option<&Instance>) -> Value {
    let mapping = |port: &super::ports::Port| {
        let address = running.and_then(|i| i.endpoints.get(&port.number));
        let endpoint = address.map_or_else(String::new, |address| match port.protocol {
            Protocol::Http => format!("http://{address}"),
            Protocol::Tcp => address.to_string(),
        });
        json!({ "port": port.number, "endpoint": endpoint, "type": port.protocol })
    };
    Value::Array(instance.order.ports.iter().map(mapping).collect())
}

/// Shaped like the real one; nothing listens there.
fn ssh_command(instance: &Instance, status: &Status) -> String {
    match &instance.ssh {
        Some(ssh) if *status == Status::Running => format!("ssh -p {} root@127.0.0.1", ssh.port),
        _ => String::new(),
    }
}

/// Applies the setting for unset fields to a whole answer.
pub(crate) fn apply_zero_values(value: &mut Value, mode: ZeroValues) {
    if mode == ZeroValues::Emit {
        return;
    }
    match value {
        Value::Object(fields) => {
            fields
                .values_mut()
                .for_each(|field| apply_zero_values(field, mode));
            match mode {
                ZeroValues::Null => {
                    for field in fields.values_mut().filter(|field| is_zero(field)) {
                        *field = Value::Null;
                    }
                }
                ZeroValues::Omit | ZeroValues::Emit => fields.retain(|_, field| !is_zero(field)),
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| apply_zero_values(item, mode)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_values_can_be_left_out_or_nulled_at_any_depth() {
        let full = json!({ "a": "", "b": { "c": "0", "d": 1 }, "e": [{ "f": [] }], "g": false });
        let mut omitted = full.clone();
        apply_zero_values(&mut omitted, ZeroValues::Omit);
        assert_eq!(omitted, json!({ "b": { "d": 1 }, "e": [{}] }));
        let mut nulled = full;
        apply_zero_values(&mut nulled, ZeroValues::Null);
        assert_eq!(
            nulled,
            json!({ "a": null, "b": { "c": null, "d": 1 }, "e": [{ "f": null }], "g": null })
        );
    }
}
