//! The OpenAPI 3.1 document: made of the routes of `router.rs`, of what `endpoints.rs` tells of each, and of
//! the schemas that stand beside the types. Whoever adds an endpoint has to describe it, or nothing compiles.

mod endpoints;
mod errors;
mod requests;
mod schemas;

use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, PathsBuilder,
    Ref, RefOr, Required, Response, ResponseBuilder, ResponsesBuilder, Schema, SecurityRequirement,
    Type,
};

use self::endpoints::{Described, describe};
use self::schemas::Schemas;
use crate::auth::{Access, Scope};
use crate::idempotency;
use crate::router::{Endpoint, RESOURCES, Verb};

const JSON: &str = "application/json";
const ABOUT: &str = "Manages GPU instances: creates them at the best price, watches them until they are ready, \
    starts, stops and deletes them, and tells about it by webhook. Every change is durable before it is \
    answered, and done by a worker.";

/// The whole document.
#[must_use]
pub(crate) fn document() -> OpenApi {
    let mut schemas = Schemas::default();
    let mut paths = PathsBuilder::new();
    for resource in &RESOURCES {
        let mut item = PathItem::default();
        // What is for people has no place in it.
        let methods = resource.methods.iter();
        let methods = methods.filter(|(_, endpoint)| !matches!(endpoint, Endpoint::Page(_)));
        for (verb, endpoint) in methods {
            let operation = operation(resource.pattern, *endpoint, &mut schemas);
            item.merge_operations(PathItem::new(method(*verb), operation));
        }
        if item != PathItem::default() {
            paths = paths.path(resource.pattern, item);
        }
    }
    let mut components = schemas.finish();
    components.add_security_scheme("bearer", bearer());
    components.add_security_scheme("apiKey", api_key());
    let license = LicenseBuilder::new()
        .name(env!("CARGO_PKG_LICENSE"))
        .build();
    let info = InfoBuilder::new()
        .title("Novita GPU Instance API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license));
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths.build())
        .components(Some(components))
        .build()
}

fn bearer() -> SecurityScheme {
    let about = "A key of `novita-api keygen`";
    let http = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(about));
    SecurityScheme::Http(http.build())
}

fn api_key() -> SecurityScheme {
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")))
}

fn method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::Get => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
        Verb::Put => HttpMethod::Put,
        Verb::Delete => HttpMethod::Delete,
    }
}

fn operation(pattern: &str, endpoint: Endpoint, schemas: &mut Schemas) -> Operation {
    let Described {
        id,
        tag,
        summary,
        parameters,
        body,
        answers,
    } = describe(endpoint, schemas);
    let mut responses = ResponsesBuilder::new();
    for answer in answers {
        responses = responses.response(answer.status.to_string(), answer.response());
    }
    for (status, about) in errors::of(endpoint, pattern) {
        let response = ResponseBuilder::new()
            .description(about)
            .content(JSON, Content::new(Some(schemas.error())));
        responses = responses.response(status.to_string(), response.build());
    }
    let mut operation = OperationBuilder::new()
        .operation_id(Some(id))
        .tag(tag)
        .summary(Some(summary))
        .responses(responses);
    if let Access::Scope(scope) = Access::to(endpoint) {
        operation = operation
            .description(Some(format!("Needs the scope `{}`.", scope.as_str())))
            .security(requirement("bearer", scope))
            .security(requirement("apiKey", scope));
    }
    if let Some(body) = body {
        let body = RequestBodyBuilder::new()
            .content(JSON, Content::new(Some(body.schema)))
            .required(Some(if body.is_required {
                Required::True
            } else {
                Required::False
            }));
        operation = operation.request_body(Some(body.build()));
    }
    for parameter in path_parameters(pattern).chain(parameters) {
        operation = operation.parameter(parameter);
    }
    if idempotency::is_for(endpoint) {
        operation = operation.parameter(idempotency_key());
    }
    operation.build()
}

/// Since OpenAPI 3.1 a requirement of any scheme may name what it takes.
fn requirement(scheme: &str, scope: Scope) -> SecurityRequirement {
    SecurityRequirement::new(scheme, [scope.as_str()])
}

fn path_parameters(pattern: &str) -> impl Iterator<Item = Parameter> {
    let names = pattern.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.to_owned())
    });
    names.map(|name| {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1));
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(text.build()))
            .build()
    })
}

fn idempotency_key() -> Parameter {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[!#-~]+$"))
        .min_length(Some(1))
        .max_length(Some(255));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The same request again under the same key gets the same answer, for 7 days",
        ))
        .schema(Some(text.build()))
        .build()
}

/// A body that is taken.
struct Body {
    schema: RefOr<Schema>,
    is_required: bool,
}

/// An answer that is no error.
struct Answer {
    status: u16,
    about: &'static str,
    /// Its media types and schemas; none for an answer without a body.
    content: Vec<(&'static str, RefOr<Schema>)>,
}

impl Answer {
    fn response(self) -> Response {
        let mut response = ResponseBuilder::new().description(self.about);
        for (media_type, schema) in self.content {
            response = response.content(media_type, Content::new(Some(schema)));
        }
        response.build()
    }
}

/// A reference to a named schema.
fn named(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    fn document() -> Value {
        serde_json::to_value(super::document()).unwrap()
    }

    #[test]
    fn the_document_in_the_repository_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let text = super::document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("WRITE_DOCS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert!(stored == text, "{path} is outdated: run `make docs`");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(to)) = members.get("$ref") {
                        found.insert(to.clone());
                    }
                    members.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut used = BTreeSet::new();
        references(&document, &mut used);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let known: BTreeSet<_> = schemas
            .keys()
            .map(|name| format!("#/components/schemas/{name}"))
            .collect();
        assert_eq!(used, known);
    }

    #[test]
    fn operations_have_ids_of_their_own() {
        let document = document();
        let mut ids = BTreeSet::new();
        let items = document["paths"].as_object().unwrap().values();
        for operation in items.flat_map(|item| item.as_object().unwrap().values()) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
        }
        assert!(ids.len() > 30);
    }
}
