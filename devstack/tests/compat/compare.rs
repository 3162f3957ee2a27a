//! An answer of ours beside that of the predecessor.

use std::fmt;

use serde_json::Value;

use crate::exchange::Exchange;
use crate::replay::Answer;

/// A way in which ours is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Another class of status.
    Status(u16, u16),
    /// Another error.
    Code(String, String),
    /// A member is missing; where it was.
    Missing(String),
    /// A member is of another type; where it is.
    Type(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(theirs, ours) => write!(f, "status {theirs} is {ours}"),
            Self::Code(theirs, ours) => write!(f, "code {theirs} is {ours}"),
            Self::Missing(at) => write!(f, "{at} is missing"),
            Self::Type(at) => write!(f, "{at} has another type"),
        }
    }
}

/// Everything that is different. Of answers of another class, nothing else is compared.
pub(crate) fn answers(exchange: &Exchange, ours: &Answer) -> Vec<Finding> {
    let theirs = &exchange.response;
    if theirs.status / 100 != ours.status / 100 {
        return vec![Finding::Status(theirs.status, ours.status)];
    }
    let mut findings = Vec::new();
    let code = |body: &Value| body["error"]["code"].as_str().map(str::to_owned);
    if let (Some(theirs), Some(ours)) = (code(&theirs.body), code(&ours.body))
        && theirs != ours
    {
        findings.push(Finding::Code(theirs, ours));
    }
    values(&theirs.body, &ours.body, "", &mut findings);
    findings
}

fn values(theirs: &Value, ours: &Value, at: &str, findings: &mut Vec<Finding>) {
    match (theirs, ours) {
        (Value::Null, _) => {}
        (Value::Object(theirs), Value::Object(ours)) => {
            for (name, theirs) in theirs {
                let at = format!("{at}/{name}");
                match ours.get(name) {
                    Some(ours) => values(theirs, ours, &at, findings),
                    None => findings.push(Finding::Missing(at)),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => items(theirs, ours, at, findings),
        (theirs, ours) => {
            if std::mem::discriminant(theirs) != std::mem::discriminant(ours) {
                findings.push(Finding::Type(at.to_owned()));
            }
        }
    }
    findings.sort_by_key(ToString::to_string);
    findings.dedup();
}

/// Items are about the same if they bear the same name, or failing that, stand first.
fn items(theirs: &[Value], ours: &[Value], at: &str, findings: &mut Vec<Finding>) {
    let at = format!("{at}/*");
    for (place, item) in theirs.iter().enumerate() {
        let is_it = |other: &&Value| item["name"].is_string() && other["name"] == item["name"];
        let twin = ours.iter().find(is_it);
        let twin = twin.or_else(|| {
            ours.first()
                .filter(|_| place == 0 && item["name"].is_null())
        });
        if let Some(twin) = twin {
            values(item, twin, &at, findings);
        }
    }
    if !theirs.is_empty() && ours.is_empty() {
        findings.push(Finding::Missing(at));
    }
}
