//! The optional part of a create.

use std::ops::RangeInclusive;

use shared::model::{
    AutoStop, BillingMode, CreateOptions, EnvVar, PortKind, Prefer, PublishedPort,
};

use crate::validate::{Fields, Whole};
use crate::{health_check, price};

pub(crate) const MAX_AUTH_ID: usize = 255;
/// Limits of the provider (Novita API reference).
pub(crate) const MAX_COMMAND: usize = 2047;
pub(crate) const MAX_PORTS: usize = 15;
pub(crate) const MAX_ENVS: usize = 100;
pub(crate) const MAX_ENV_KEY: usize = 511;
pub(crate) const MAX_ENV_VALUE: usize = 4095;
const RESERVED_PORTS: RangeInclusive<u32> = 2222..=2224;
/// What we mark instances with.
const OUR_PREFIX: &str = "NGA_";
pub(crate) const PORT: Whole = Whole {
    name: "port",
    label: "Port",
    units: ["", ""],
    range: 1..=65535,
    default: 1,
};

pub(crate) const IDLE_MINUTES: Whole = Whole {
    name: "idleMinutes",
    label: "Idle minutes",
    units: ["", ""],
    range: 1..=10_080,
    default: 20,
};
pub(crate) const MAX_LIFETIME_HOURS: Whole = Whole {
    name: "maxLifetimeHours",
    label: "Maximum lifetime",
    units: [" hour", " hours"],
    range: 1..=8760,
    default: 1,
};

/// What else a create asks for, and its environment variables, which are stored apart; `keeps_envs` if
/// they can be.
pub(crate) fn read(
    fields: &mut Fields,
    region: Option<&str>,
    billing_mode: BillingMode,
    known_regions: &[&str],
    keeps_envs: bool,
) -> (CreateOptions, Vec<EnvVar>) {
    // In the order of the schema, which is the order of the problems.
    let max_price_per_hour = max_price(fields);
    let regions = regions(fields, region, known_regions);
    let on_demand_fallback = on_demand_fallback(fields, billing_mode);
    let prefer = prefer(fields);
    let envs = envs(fields, keeps_envs);
    let options = CreateOptions {
        max_price_per_hour,
        regions,
        on_demand_fallback,
        prefer,
        ports: ports(fields),
        command: command(fields, "command"),
        entrypoint: command(fields, "entrypoint"),
        image_auth_id: fields.optional_text("imageAuthId", MAX_AUTH_ID, |_| None),
        health_check: health_check::config(fields),
        auto_stop: auto_stop(fields),
        max_lifetime_hours: fields.optional_whole(&MAX_LIFETIME_HOURS),
        protected: fields.flag("protected").unwrap_or_default(),
        has_envs: !envs.is_empty(),
    };
    (options, envs)
}

fn auto_stop(fields: &mut Fields) -> AutoStop {
    let read = |fields: &mut Fields| AutoStop {
        enabled: fields.flag("enabled"),
        idle_minutes: fields.optional_whole(&IDLE_MINUTES),
    };
    fields.object("autoStop", read).unwrap_or_default()
}

fn max_price(fields: &mut Fields) -> Option<u64> {
    let name = "maxPricePerHour";
    let value = fields.value(name)?;
    let units = price::units(&value);
    if units.is_none() {
        let message = "\"maxPricePerHour\" must be an amount of US dollars, more than 0 and at most \
                       1000000, with at most 5 decimals";
        fields.problem(name, message.to_owned(), Some(value));
    }
    units
}

fn regions(fields: &mut Fields, region: Option<&str>, known: &[&str]) -> Vec<String> {
    let message = format!("Region must be one of: {}", known.join(", "));
    let regions = fields.words("regions", known, &message);
    if region.is_some() && !regions.is_empty() {
        let message = "\"regions\" must not be given together with \"region\"";
        fields.problem("regions", message.to_owned(), None);
    }
    regions
}

fn on_demand_fallback(fields: &mut Fields, billing_mode: BillingMode) -> bool {
    let name = "onDemandFallback";
    let falls_back = fields.flag(name).unwrap_or_default();
    if falls_back && billing_mode != BillingMode::Spot {
        let message = "\"onDemandFallback\" is only allowed with billing mode \"spot\"";
        fields.problem(name, message.to_owned(), Some(true.into()));
    }
    falls_back
}

fn prefer(fields: &mut Fields) -> Prefer {
    let steady = Prefer::Steady.as_str();
    let word = fields.word(
        "prefer",
        &[Prefer::Price.as_str(), steady],
        "Preference must be either \"price\" or \"steady\"",
    );
    if word == Some(steady) {
        Prefer::Steady
    } else {
        Prefer::Price
    }
}

fn envs(fields: &mut Fields, keeps_envs: bool) -> Vec<EnvVar> {
    let envs = fields.objects("envs", MAX_ENVS, |env| EnvVar {
        key: env.text("key", MAX_ENV_KEY, wrong_with_key),
        value: env.required_free_text("value", MAX_ENV_VALUE),
    });
    let envs = envs.unwrap_or_default();
    fields.unique("envs", "key", envs.iter().map(|env| env.key.as_str()));
    if !keeps_envs && !envs.is_empty() {
        let message =
            "\"envs\" needs ENVS_SECRET to be configured, so that no secret is stored in clear";
        fields.problem("envs", message.to_owned(), None);
    }
    envs
}

fn wrong_with_key(key: &str) -> Option<String> {
    if key.starts_with(OUR_PREFIX) {
        return Some(format!(
            "Environment variables must not begin with {OUR_PREFIX}, which marks the instance"
        ));
    }
    key.contains('=')
        .then(|| "Environment variables must not contain \"=\" in their names".to_owned())
}

fn ports(fields: &mut Fields) -> Option<Vec<PublishedPort>> {
    let ports = fields.objects("ports", MAX_PORTS, |item| {
        let port = port(item);
        let kind = port_kind(item);
        PublishedPort { port, kind }
    })?;
    fields.unique("ports", "port", ports.iter().map(|port| port.port));
    Some(ports)
}

fn port(fields: &mut Fields) -> u16 {
    let port = fields.optional_whole(&PORT);
    if port.is_none() {
        fields.require(PORT.name);
    }
    let port = port.unwrap_or(PORT.default);
    if RESERVED_PORTS.contains(&port) {
        let message = "Port must not be 2222, 2223 or 2224, which the provider keeps for itself";
        fields.problem(PORT.name, message.to_owned(), Some(port.into()));
    }
    port as u16
}

fn port_kind(fields: &mut Fields) -> PortKind {
    let words = ["http", "tcp"];
    let word = fields.word(
        "type",
        &words,
        "Port type must be either \"http\" or \"tcp\"",
    );
    if word.is_none() {
        fields.require("type");
    }
    if word == Some("tcp") {
        PortKind::Tcp
    } else {
        PortKind::Http
    }
}

/// Given and empty is as good as not given: there is no empty command.
fn command(fields: &mut Fields, name: &str) -> Option<String> {
    let text = fields.free_text(name, MAX_COMMAND);
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
