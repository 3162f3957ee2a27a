//! The body of `POST /api/instances`: what is malformed does not leave here.

use serde_json::{Map, Value};
use shared::clock::Millis;
use shared::model::operation::OperationKind;
use shared::model::spec::Request;
use shared::model::{BillingMode, Desired, EnvVar, InstanceId, OperationId, Spec};
use url::Url;

use crate::error::ApiError;
use crate::options;
use crate::validate::{Fields, MAX_NAME, Whole, wrong_with_name};

/// The region codes that callers may name.
pub(crate) const REGIONS: [&str; 8] = [
    "CN-HK-01",
    "AS-SGP-02",
    "AS-IN-01",
    "US-CA-06",
    "US-WEST-01",
    "EU-DE-01",
    "EU-WEST-01",
    "OC-AU-01",
];
pub(crate) const GPU_NUM: Whole = Whole {
    name: "gpuNum",
    label: "GPU number",
    units: ["", ""],
    range: 1..=8,
    default: 1,
};
pub(crate) const ROOTFS_SIZE: Whole = Whole {
    name: "rootfsSize",
    label: "Root filesystem size",
    units: ["GB", "GB"],
    range: 20..=1000,
    default: 60,
};
pub(crate) const MAX_PRODUCT_NAME: usize = 200;
pub(crate) const MAX_TEMPLATE_ID: usize = 200;
pub(crate) const MAX_URL: usize = 2048;

/// What a create asks for.
#[derive(Debug)]
pub(crate) struct NewInstance {
    pub(crate) spec: Spec,
    /// Secrets, to be stored apart.
    pub(crate) envs: Vec<EnvVar>,
}

/// Reads a new instance from a request's body. Unknown fields are dropped, unless `is_strict`;
/// `keeps_envs` if environment variables can be stored.
pub(crate) fn read(
    body: Map<String, Value>,
    is_strict: bool,
    keeps_envs: bool,
    now: Millis,
) -> Result<NewInstance, ApiError> {
    let mut fields = Fields::new(body);
    // In the order of the schema, which is the order of the problems.
    let name = fields.text("name", MAX_NAME, |name| wrong_with_name("Name", name));
    let product_name = fields.text("productName", MAX_PRODUCT_NAME, |_| None);
    let template_id = fields.text_or_number("templateId", MAX_TEMPLATE_ID);
    let gpu_num = fields.whole(&GPU_NUM) as u8;
    let rootfs_size = fields.whole(&ROOTFS_SIZE);
    let message = format!("Region must be one of: {}", REGIONS.join(", "));
    let region = fields.word("region", &REGIONS, &message);
    let webhook_url = webhook_url(&mut fields);
    let on_demand = BillingMode::OnDemand.as_str();
    let billing = fields.word(
        "billingMode",
        &[BillingMode::Spot.as_str(), on_demand],
        "Billing mode must be either \"spot\" or \"onDemand\"",
    );
    let billing_mode = if billing == Some(on_demand) {
        BillingMode::OnDemand
    } else {
        BillingMode::Spot
    };
    let (options, envs) = options::read(&mut fields, region, billing_mode, &REGIONS, keeps_envs);
    fields.finish(is_strict)?;
    let spec = Spec {
        id: InstanceId::generate(),
        name,
        product_name,
        template_id,
        gpu_num,
        rootfs_size,
        region: region.map(str::to_owned),
        billing_mode,
        options,
        webhook_url,
        desired: Desired::Running,
        generation: 1,
        created_at: now,
        request: Request {
            operation_id: OperationId::generate(),
            kind: OperationKind::Create,
            at: now,
            webhook_url: None,
            health_check: None,
            claim: None,
            traceparent: None,
        },
        past_operations: Vec::new(),
    };
    Ok(NewInstance { spec, envs })
}

/// Where webhooks go, if the caller says so.
pub(crate) fn webhook_url(fields: &mut Fields) -> Option<String> {
    fields.optional_text("webhookUrl", MAX_URL, |text| {
        wrong_with_url("webhookUrl", text)
    })
}

/// The same under the name `url`, where it is all that is said.
pub(crate) fn url_to_test(fields: &mut Fields) -> Option<String> {
    fields.optional_text("url", MAX_URL, |text| wrong_with_url("url", text))
}

fn wrong_with_url(name: &str, text: &str) -> Option<String> {
    let url = Url::parse(text).ok();
    // The parser forgives spaces and missing slashes, which a later reader may not.
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    let is_tidy = has_scheme && !text.contains(char::is_whitespace);
    let Some(url) = url.filter(|url| is_tidy && url.has_host()) else {
        let rule = "must be a valid uri with a scheme matching the http|https pattern";
        return Some(format!("\"{name}\" {rule}"));
    };
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    has_credentials.then(|| format!("\"{name}\" must not contain a user name or a password"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Result<Spec, Vec<(String, String)>> {
        let members = body.as_object().unwrap().clone();
        let new = super::read(members, true, true, Millis(1)).map(|new| new.spec);
        new.map_err(|error| {
            let pairs = error.problems().iter();
            pairs
                .map(|p| (p.field.clone(), p.message.clone()))
                .collect()
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({"name": "a", "productName": "RTX 4090", "templateId": "t"});
        body[field] = value;
        body
    }

    #[test]
    fn a_minimal_body_gets_the_defaults() {
        let spec = read(&with("name", json!("a"))).unwrap();
        assert_eq!((spec.gpu_num, spec.rootfs_size), (1, 60));
        assert_eq!(spec.billing_mode, BillingMode::Spot);
        assert_eq!((spec.region, spec.webhook_url), (None, None));
        assert_eq!(spec.generation, 1);
    }

    #[test]
    fn numbers_may_come_as_text_and_texts_as_numbers_where_they_did_before() {
        for gpu_num in [json!(2), json!("2"), json!(" 2 "), json!(2.0)] {
            assert_eq!(read(&with("gpuNum", gpu_num)).unwrap().gpu_num, 2);
        }
        let spec = read(&with("templateId", json!(107_672))).unwrap();
        assert_eq!(spec.template_id, "107672");
        let spec = read(&with("billingMode", json!("onDemand"))).unwrap();
        assert_eq!(spec.billing_mode, BillingMode::OnDemand);
    }

    #[test]
    fn every_broken_rule_has_its_message() {
        let region = format!("Region must be one of: {}", REGIONS.join(", "));
        let url =
            "\"webhookUrl\" must be a valid uri with a scheme matching the http|https pattern";
        let billing = "Billing mode must be either \"spot\" or \"onDemand\"";
        let name = "Name must contain only alphanumeric characters, hyphens, and underscores";
        let cases = [
            ("name", json!(5), "\"name\" must be a string"),
            ("name", json!(null), "\"name\" must be a string"),
            ("name", json!(""), "\"name\" is not allowed to be empty"),
            ("name", json!("a b"), name),
            ("name", json!("ñ"), name),
            (
                "name",
                json!("a".repeat(101)),
                "\"name\" length must be less than or equal to 100 characters long",
            ),
            (
                "productName",
                json!(""),
                "\"productName\" is not allowed to be empty",
            ),
            (
                "productName",
                json!("a".repeat(201)),
                "\"productName\" length must be less than or equal to 200 characters long",
            ),
            (
                "productName",
                json!("a\0"),
                "\"productName\" must not contain control characters",
            ),
            (
                "templateId",
                json!(""),
                "\"templateId\" is not allowed to be empty",
            ),
            ("templateId", json!(1.5), "\"templateId\" must be a string"),
            ("templateId", json!([]), "\"templateId\" must be a string"),
            ("gpuNum", json!(0), "GPU number must be at least 1"),
            ("gpuNum", json!(-1), "GPU number must be at least 1"),
            ("gpuNum", json!(9), "GPU number must be at most 8"),
            ("gpuNum", json!(u64::MAX), "GPU number must be at most 8"),
            ("gpuNum", json!(1.5), "GPU number must be an integer"),
            ("gpuNum", json!("x"), "\"gpuNum\" must be a number"),
            ("gpuNum", json!("0x2"), "\"gpuNum\" must be a number"),
            ("gpuNum", json!(""), "\"gpuNum\" must be a number"),
            ("gpuNum", json!(null), "\"gpuNum\" must be a number"),
            ("gpuNum", json!(true), "\"gpuNum\" must be a number"),
            (
                "rootfsSize",
                json!(19),
                "Root filesystem size must be at least 20GB",
            ),
            (
                "rootfsSize",
                json!(1001),
                "Root filesystem size must be at most 1000GB",
            ),
            ("region", json!("MOON-1"), region.as_str()),
            ("region", json!("cn-hk-01"), region.as_str()),
            ("region", json!(1), region.as_str()),
            ("webhookUrl", json!("ftp://x"), url),
            ("webhookUrl", json!("x"), url),
            ("webhookUrl", json!("http://"), url),
            ("webhookUrl", json!("https://a b/"), url),
            ("webhookUrl", json!("http:/example.com"), url),
            (
                "webhookUrl",
                json!("https://u:p@h/"),
                "\"webhookUrl\" must not contain a user name or a password",
            ),
            (
                "webhookUrl",
                json!(format!("https://h/{}", "a".repeat(2048))),
                "\"webhookUrl\" length must be less than or equal to 2048 characters long",
            ),
            ("billingMode", json!("monthly"), billing),
            ("billingMode", json!("Spot"), billing),
            ("extra", json!(1), "\"extra\" is not allowed"),
        ];
        for (field, value, message) in cases {
            let problems = read(&with(field, value.clone())).unwrap_err();
            let expected = vec![(field.to_owned(), message.to_owned())];
            assert_eq!(problems, expected, "{field} = {value}");
        }
    }

    #[test]
    fn the_bounds_themselves_are_allowed() {
        for (field, value) in [
            ("name", json!("a".repeat(100))),
            ("gpuNum", json!(8)),
            ("rootfsSize", json!(20)),
            ("rootfsSize", json!("1000")),
            ("webhookUrl", json!("http://h:8080/p?q=1")),
            ("region", json!("OC-AU-01")),
        ] {
            assert!(
                read(&with(field, value.clone())).is_ok(),
                "{field} = {value}"
            );
        }
    }
}
