//! The schemas of the document, each under its name once.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::{Components, ComponentsBuilder, RefOr, Schema};

use super::named;
use crate::reply::Envelope;

/// Collects what is referred to.
#[derive(Default)]
pub(super) struct Schemas(BTreeMap<String, RefOr<Schema>>);

impl Schemas {
    /// A reference to the schema of this type, which is collected with all that it refers to.
    pub(super) fn of<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let name = T::name().into_owned();
        let mut nested = Vec::new();
        T::schemas(&mut nested);
        self.0.extend(nested);
        self.0.insert(name.clone(), T::schema());
        named(&name)
    }

    /// A reference to a schema that no type stands for.
    pub(super) fn written(&mut self, name: &str, schema: Value) -> RefOr<Schema> {
        // Every schema is written in this crate, and the test of the document reads them all.
        let schema = serde_json::from_value(schema).unwrap_or_default();
        self.0.insert(name.to_owned(), RefOr::T(schema));
        named(name)
    }

    /// What every error looks like.
    pub(super) fn error(&mut self) -> RefOr<Schema> {
        self.of::<Envelope<'_>>()
    }

    pub(super) fn finish(self) -> Components {
        ComponentsBuilder::new().schemas_from_iter(self.0).build()
    }
}
