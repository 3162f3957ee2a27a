//! How the sink answers when it is told to misbehave.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::input::{self, BadInput};

const MAX_DELAY: Duration = Duration::from_secs(120);
const MAX_RULES: usize = 1000;

/// One order to misbehave, as it was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default)]
    count: Option<u32>,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    #[serde(default)]
    hang_up: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

/// What to do with one delivery.
#[derive(Debug, Clone)]
pub(super) struct Behaviour {
    pub(super) status: StatusCode,
    pub(super) delay: Duration,
    pub(super) retry_after: Option<HeaderValue>,
    pub(super) hang_up: bool,
}

/// The rules in force, in the order they were set.
#[derive(Debug, Default)]
pub(super) struct Behaviours {
    rules: Vec<(Rule, Behaviour)>,
}

impl Behaviours {
    pub(super) fn add(&mut self, body: &[u8]) -> Result<(), BadInput> {
        if self.rules.len() >= MAX_RULES {
            return Err(BadInput::field("body", "too many rules, clear them first"));
        }
        let rule: Rule = input::parse(body)?;
        let behaviour = rule.behaviour()?;
        self.rules.push((rule, behaviour));
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The first rule for the path, used up by one; without one, good manners.
    pub(super) fn next(&mut self, path: &str) -> Behaviour {
        let position = self.rules.iter().position(|(rule, _)| {
            rule.count != Some(0) && rule.path.as_ref().is_none_or(|wanted| wanted == path)
        });
        let Some(index) = position else {
            return Behaviour::good();
        };
        let (rule, behaviour) = &mut self.rules[index];
        let behaviour = behaviour.clone();
        rule.count = rule.count.map(|count| count - 1);
        self.rules.retain(|(rule, _)| rule.count != Some(0));
        behaviour
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "rules": self.rules.iter().map(|(rule, _)| rule).collect::<Vec<_>>() })
    }
}

impl Behaviour {
    fn good() -> Self {
        Self {
            status: StatusCode::OK,
            delay: Duration::ZERO,
            retry_after: None,
            hang_up: false,
        }
    }
}

impl Rule {
    fn behaviour(&self) -> Result<Behaviour, BadInput> {
        let status = StatusCode::from_u16(self.status.unwrap_or(200))
            .ok()
            .filter(|status| !status.is_informational())
            .ok_or_else(|| BadInput::field("status", "expected an HTTP status of 200 or more"))?;
        let retry_after = self
            .retry_after
            .as_deref()
            .map(HeaderValue::from_str)
            .transpose();
        Ok(Behaviour {
            status,
            delay: Duration::from_millis(self.delay_ms).min(MAX_DELAY),
            retry_after: retry_after.map_err(|problem| BadInput::field("retryAfter", problem))?,
            hang_up: self.hang_up,
        })
    }
}
