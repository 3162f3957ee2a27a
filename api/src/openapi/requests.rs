//! What bodies look like, by the bounds that their readers hold them to.

use serde_json::{Map, Value, json};
use shared::queue::JobKind;

use crate::create::{GPU_NUM, MAX_PRODUCT_NAME, MAX_TEMPLATE_ID, MAX_URL, REGIONS, ROOTFS_SIZE};
use crate::handlers::jobs::REVIVAL_LIMIT;
use crate::handlers::webhooks::REPLAY_LIMIT;
use crate::health_check::{MAX_WAIT_TIME, RETRY_ATTEMPTS, RETRY_DELAY, TARGET_PORT, TIMEOUT};
use crate::options::{
    IDLE_MINUTES, MAX_AUTH_ID, MAX_COMMAND, MAX_ENV_KEY, MAX_ENV_VALUE, MAX_ENVS,
    MAX_LIFETIME_HOURS, MAX_PORTS, PORT,
};
use crate::validate::{MAX_NAME, Whole};

/// A body with one member, a text.
pub(super) fn text_of(name: &str, about: &str) -> Value {
    let text = json!({ "type": "string", "description": about });
    let properties = Map::from_iter([(name.to_owned(), text)]);
    json!({ "type": "object", "properties": properties })
}

/// The body of a create.
pub(super) fn create() -> Value {
    json!({
        "type": "object",
        "required": ["name", "productName", "templateId"],
        "properties": {
            "name": name(),
            "productName": text(MAX_PRODUCT_NAME),
            "templateId": {
                "oneOf": [text(MAX_TEMPLATE_ID), { "type": "integer", "minimum": 0 }],
            },
            "gpuNum": whole(&GPU_NUM),
            "rootfsSize": whole(&ROOTFS_SIZE),
            "region": region(),
            "regions": {
                "type": "array", "items": region(), "minItems": 1, "maxItems": REGIONS.len(),
                "description": "Instead of `region`: only these",
            },
            "webhookUrl": url(),
            "billingMode": { "type": "string", "enum": ["spot", "onDemand"], "default": "spot" },
            "maxPricePerHour": {
                "oneOf": [
                    { "type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000 },
                    { "type": "string" },
                ],
                "description": "US dollars for the whole instance, with at most 5 decimals",
            },
            "onDemandFallback": {
                "type": "boolean", "default": false,
                "description": "Only with `billingMode` `spot`",
            },
            "prefer": { "type": "string", "enum": ["price", "steady"], "default": "price" },
            "envs": {
                "type": "array", "maxItems": MAX_ENVS,
                "items": {
                    "type": "object",
                    "required": ["key", "value"],
                    "properties": {
                        "key": { "type": "string", "minLength": 1, "maxLength": MAX_ENV_KEY },
                        "value": { "type": "string", "maxLength": MAX_ENV_VALUE },
                    },
                },
                "description": "Stored encrypted; needs `ENVS_SECRET`",
            },
            "ports": {
                "type": "array", "maxItems": MAX_PORTS,
                "items": {
                    "type": "object",
                    "required": ["port", "type"],
                    "properties": {
                        "port": required_whole(&PORT),
                        "type": { "type": "string", "enum": ["http", "tcp"] },
                    },
                },
            },
            "command": { "type": "string", "maxLength": MAX_COMMAND },
            "entrypoint": { "type": "string", "maxLength": MAX_COMMAND },
            "imageAuthId": text(MAX_AUTH_ID),
            "healthCheckConfig": health_check(),
            "autoStop": {
                "type": "object",
                "properties": {
                    "enabled": { "type": "boolean" },
                    "idleMinutes": whole(&IDLE_MINUTES),
                },
            },
            "maxLifetimeHours": required_whole(&MAX_LIFETIME_HOURS),
            "protected": {
                "type": "boolean", "default": false,
                "description": "No rule of ours stops or deletes it",
            },
        },
    })
}

/// The body of a change of one instance, which may be absent.
pub(super) fn change(boots: bool, is_named: bool) -> Value {
    let mut properties = Map::from_iter([("webhookUrl".to_owned(), url())]);
    if boots {
        properties.insert("healthCheckConfig".to_owned(), health_check());
        properties.insert("targetPort".to_owned(), required_whole(&TARGET_PORT));
    }
    let mut required = Vec::new();
    if is_named {
        properties.insert("instanceName".to_owned(), name());
        required.push("instanceName");
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

/// The body that notes a use.
pub(super) fn touch() -> Value {
    json!({
        "type": "object",
        "properties": { "lastUsedAt": { "type": "string", "format": "date-time" } },
    })
}

/// Flags and what they are without being sent.
pub(super) fn flags(flags: &[(&str, bool)]) -> Value {
    let properties: Map<String, Value> = flags
        .iter()
        .map(|(name, default)| {
            let flag = json!({ "type": "boolean", "default": default });
            ((*name).to_owned(), flag)
        })
        .collect();
    json!({ "type": "object", "properties": properties })
}

/// The body that has webhooks delivered once more.
pub(super) fn replay() -> Value {
    let time =
        |about: &str| json!({ "type": "string", "format": "date-time", "description": about });
    json!({
        "type": "object",
        "required": ["from"],
        "additionalProperties": false,
        "properties": {
            "from": time("From this time on"),
            "to": time("Until this time, or now"),
            "withDelivered": {
                "type": "boolean", "default": false,
                "description": "Also those that were delivered, for a receiver that lost them",
            },
            "limit": whole(&REPLAY_LIMIT),
        },
    })
}

/// The body that has a receiver tested.
pub(super) fn webhook_test() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "url": url() },
    })
}

/// The body that has dead jobs begin anew.
pub(super) fn revival() -> Value {
    json!({
        "type": "object",
        "properties": { "limit": whole(&REVIVAL_LIMIT) },
        "additionalProperties": false,
    })
}

/// The body that pauses or resumes.
pub(super) fn pause() -> Value {
    let kinds = JobKind::ALL.map(JobKind::as_str);
    json!({
        "type": "object",
        "properties": {
            "kind": {
                "type": "string", "enum": kinds,
                "description": "Only this kind of job; without it everything",
            },
        },
        "additionalProperties": false,
    })
}

fn health_check() -> Value {
    json!({
        "type": "object",
        "properties": {
            "timeoutMs": whole(&TIMEOUT),
            "retryAttempts": whole(&RETRY_ATTEMPTS),
            "retryDelayMs": whole(&RETRY_DELAY),
            "maxWaitTimeMs": whole(&MAX_WAIT_TIME),
            "targetPort": required_whole(&TARGET_PORT),
        },
    })
}

fn name() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9_-]+$",
    })
}

fn text(max: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": max })
}

fn url() -> Value {
    json!({
        "type": "string", "format": "uri", "pattern": "^https?://", "maxLength": MAX_URL,
        "description": "Where webhooks go; without user name and password",
    })
}

fn region() -> Value {
    json!({ "type": "string", "enum": REGIONS })
}

fn whole(field: &Whole) -> Value {
    let mut schema = required_whole(field);
    schema["default"] = field.default.into();
    schema
}

/// One whose default means nothing.
fn required_whole(field: &Whole) -> Value {
    json!({
        "type": "integer", "minimum": field.range.start(), "maximum": field.range.end(),
    })
}
