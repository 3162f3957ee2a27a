//! Requests to the predecessor and its answers, as they were recorded.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

const RECORDED: &str = include_str!("../data/node-exchanges.json");

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Exchange {
    #[serde(rename = "n")]
    pub(crate) number: u32,
    /// What is special about it.
    pub(crate) note: String,
    pub(crate) request: Request,
    pub(crate) response: Response,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// JSON.
    pub(crate) body: Option<Value>,
    /// Anything else.
    pub(crate) body_text: Option<String>,
    /// Of a body too long to be kept, of which `body_text` is repeated.
    pub(crate) body_length: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Response {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) body: Value,
}

impl Exchange {
    /// All of them, in order.
    pub(crate) fn all() -> Vec<Self> {
        serde_json::from_str(RECORDED).unwrap()
    }

    /// It was about a moment in which something was under way.
    pub(crate) fn is_hasty(&self) -> bool {
        let words = ["right after", "just after", "under way", "meant to be 409"];
        let is_create = self.request.method == "POST" && self.request.path == "/api/instances";
        is_create || words.iter().any(|word| self.note.contains(word))
    }
}
