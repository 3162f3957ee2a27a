//! Faults: what goes wrong with a request on purpose, before or after its effect.

mod effect;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde_json::{Map, Value, json};

pub(crate) use self::effect::{CannedReply, Instead};
use self::effect::{Effect, Kind, MAX_HOLD, effect};
use crate::input::{self, BadInput};
use crate::novita::instance::StatusError;
use crate::novita::listings::Distortion;
use crate::novita::route::Route;

const MAX_RULES: usize = 1000;

/// The fields all kinds share; the others depend on the kind.
#[derive(Debug, Deserialize)]
struct Common {
    route: Target,
    kind: Kind,
    #[serde(default)]
    when: When,
    #[serde(default)]
    count: Option<u32>,
    #[serde(default)]
    probability: Option<f64>,
}

const COMMON_FIELDS: [&str; 5] = ["route", "kind", "when", "count", "probability"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Target {
    Every,
    One(Route),
}

impl TryFrom<String> for Target {
    type Error = serde::de::value::Error;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        match word.as_str() {
            "*" => Ok(Self::Every),
            word => Route::deserialize(word.into_deserializer()).map(Self::One),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum When {
    #[default]
    Before,
    After,
}

/// One rule and how often it has struck.
#[derive(Debug)]
struct Rule {
    spec: Value,
    target: Target,
    kind: Kind,
    when: When,
    effect: Effect,
    probability: f64,
    remaining: Option<u32>,
    fired: u64,
}

/// All rules, in the order they were set.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
    rng: StdRng,
}

/// What will go wrong with one request.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) delay_before: Duration,
    pub(crate) delay_after: Duration,
    pub(crate) before: Option<Instead>,
    pub(crate) after: Option<Instead>,
    pub(crate) distortion: Distortion,
    pub(crate) failed_pull: Option<StatusError>,
    /// The kinds that struck, for the log.
    pub(crate) names: Vec<String>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rules: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    pub(crate) fn add(&mut self, body: &[u8]) -> Result<(), BadInput> {
        if self.rules.len() >= MAX_RULES {
            return Err(BadInput::field("body", "too many faults, clear them first"));
        }
        self.rules.push(Rule::parse(input::parse(body)?)?);
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn to_json(&self) -> Value {
        let rules = self.rules.iter().map(|rule| {
            let mut shown = rule.spec.clone();
            shown["remaining"] = json!(rule.remaining);
            shown["fired"] = json!(rule.fired);
            shown
        });
        json!({ "faults": rules.collect::<Vec<_>>() })
    }

    /// Rolls the dice for one request. Latencies add up; of the rules that replace the answer the
    /// first to strike wins and the others keep their count.
    pub(crate) fn draw(&mut self, route: Route) -> Plan {
        let mut plan = Plan::default();
        for rule in &mut self.rules {
            let replaced = plan.before.is_some() || plan.after.is_some();
            let pointless = replaced && matches!(rule.effect, Effect::Instead(_));
            if pointless || !rule.strikes(route, &mut self.rng) {
                continue;
            }
            rule.apply(&mut plan, &mut self.rng);
        }
        plan
    }
}

impl Rule {
    fn parse(spec: Value) -> Result<Self, BadInput> {
        let Value::Object(fields) = &spec else {
            return Err(BadInput::field("body", "expected an object"));
        };
        let (common, params): (Map<_, _>, Map<_, _>) = fields
            .clone()
            .into_iter()
            .partition(|(field, _)| COMMON_FIELDS.contains(&field.as_str()));
        let common: Common = input::from_json(Value::Object(common))?;
        let probability = common.probability.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&probability) {
            return Err(BadInput::field("probability", "expected 0 to 1"));
        }
        check_target(common.kind, common.route)?;
        Ok(Self {
            effect: effect(common.kind, Value::Object(params))?,
            spec,
            target: common.route,
            kind: common.kind,
            when: common.when,
            probability,
            remaining: common.count,
            fired: 0,
        })
    }

    fn strikes(&mut self, route: Route, rng: &mut StdRng) -> bool {
        let aimed = match self.target {
            Target::Every => true,
            Target::One(target) => target == route,
        };
        if !aimed || self.remaining == Some(0) || !rng.random_bool(self.probability) {
            return false;
        }
        self.remaining = self.remaining.map(|count| count - 1);
        self.fired += 1;
        true
    }

    fn apply(&self, plan: &mut Plan, rng: &mut StdRng) {
        match &self.effect {
            Effect::Latency { delay, jitter } => {
                let delay = *delay + jitter.mul_f64(rng.random::<f64>());
                let slot = match self.when {
                    When::Before => &mut plan.delay_before,
                    When::After => &mut plan.delay_after,
                };
                *slot = (*slot + delay).min(MAX_HOLD);
            }
            Effect::Instead(instead) => match self.when {
                When::Before => plan.before = Some(instead.clone()),
                When::After => plan.after = Some(instead.clone()),
            },
            Effect::Truncated { keep } => plan.distortion.keep = Some(*keep),
            Effect::Lag(lag) => plan.distortion.lag = *lag,
            Effect::FailedPull(error) => plan.failed_pull = Some(error.clone()),
        }
        if let Ok(Value::String(name)) = serde_json::to_value(self.kind) {
            plan.names.push(name);
        }
    }
}

/// Kinds that bend one particular endpoint must name it.
fn check_target(kind: Kind, target: Target) -> Result<(), BadInput> {
    let fitting: &[Route] = match kind {
        Kind::TruncatedPage => &[Route::List],
        Kind::ListLag => &[Route::List, Route::Get],
        Kind::StatusError => &[Route::Create],
        Kind::Latency
        | Kind::Reset
        | Kind::Timeout
        | Kind::Status
        | Kind::RateLimit
        | Kind::Malformed => return Ok(()),
    };
    match target {
        Target::One(route) if fitting.contains(&route) => Ok(()),
        Target::One(_) | Target::Every => Err(BadInput::field(
            "route",
            format!("this kind applies to {fitting:?} only"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(specs: &[Value]) -> Faults {
        let mut faults = Faults::new(1);
        for spec in specs {
            faults.add(spec.to_string().as_bytes()).unwrap();
        }
        faults
    }

    #[test]
    fn a_rule_strikes_its_route_as_often_as_it_says() {
        let mut faults = faults(&[json!({ "route": "create", "kind": "reset", "count": 2 })]);
        assert!(faults.draw(Route::List).before.is_none());
        assert!(faults.draw(Route::Create).before.is_some());
        assert!(faults.draw(Route::Create).before.is_some());
        assert!(faults.draw(Route::Create).before.is_none());
    }

    #[test]
    fn latencies_add_up_and_the_first_replacement_wins() {
        let mut faults = faults(&[
            json!({ "route": "*", "kind": "latency", "delayMs": 30 }),
            json!({ "route": "*", "kind": "latency", "delayMs": 12 }),
            json!({ "route": "*", "kind": "status", "status": 503, "count": 1 }),
            json!({ "route": "*", "kind": "reset", "when": "after", "count": 1 }),
        ]);
        let first = faults.draw(Route::Get);
        assert_eq!(first.delay_before, Duration::from_millis(42));
        assert!(matches!(first.before, Some(Instead::Reply(_))) && first.after.is_none());
        let second = faults.draw(Route::Get);
        assert!(second.before.is_none() && second.after.is_some());
    }

    #[test]
    fn probability_zero_never_strikes_and_one_always_does() {
        let mut faults = faults(&[
            json!({ "route": "get", "kind": "reset", "probability": 0 }),
            json!({ "route": "list", "kind": "reset", "probability": 1.0 }),
        ]);
        for _ in 0..50 {
            assert!(faults.draw(Route::Get).before.is_none());
            assert!(faults.draw(Route::List).before.is_some());
        }
    }

    #[test]
    fn mistakes_are_refused_with_the_name_of_the_field() {
        for (spec, field) in [
            (json!({ "route": "create" }), "kind"),
            (json!({ "route": "nowhere", "kind": "reset" }), "route"),
            (json!({ "route": "get", "kind": "explode" }), "kind"),
            (
                json!({ "route": "get", "kind": "reset", "when": "during" }),
                "when",
            ),
            (
                json!({ "route": "get", "kind": "reset", "count": -1 }),
                "count",
            ),
            (
                json!({ "route": "get", "kind": "reset", "probability": 2 }),
                "probability",
            ),
            (
                json!({ "route": "get", "kind": "reset", "delayMs": 2 }),
                "delayMs",
            ),
            (json!({ "route": "get", "kind": "latency" }), "delayMs"),
            (
                json!({ "route": "get", "kind": "status", "status": 99 }),
                "status",
            ),
            (
                json!({ "route": "get", "kind": "truncated_page", "keep": 1 }),
                "route",
            ),
            (
                json!({ "route": "*", "kind": "list_lag", "seconds": 1 }),
                "route",
            ),
            (
                json!({ "route": "list", "kind": "list_lag", "seconds": -1 }),
                "seconds",
            ),
        ] {
            let complaint = Faults::new(1).add(spec.to_string().as_bytes()).unwrap_err();
            assert!(complaint.0.contains(field), "{spec}: {complaint}");
        }
    }
}
