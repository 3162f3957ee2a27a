//! The predecessor's data in a file: `{"keys": [{"key", "type", "ttlMs", "value"}, …]}`.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::elements::{Elements, Next};
use super::{Entry, Pass, Raw};
use crate::answer::Failure;
use crate::node::family::{Family, Index};

/// Entries handed out at a time.
const PORTION: usize = 200;

/// One pass over a file.
#[derive(Debug)]
pub struct Dump {
    elements: Elements<File>,
    path: PathBuf,
    prefix: String,
    pass: Pass,
    position: u64,
    is_over: bool,
}

#[derive(Deserialize)]
struct Element {
    key: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    value: Value,
}

impl Dump {
    pub(super) fn open(path: &Path, prefix: &str, pass: Pass) -> Result<Self, Failure> {
        let file = File::open(path).map_err(Failure::file(path))?;
        Ok(Self {
            elements: Elements::new(file),
            path: path.to_owned(),
            prefix: prefix.to_owned(),
            pass,
            position: 0,
            is_over: false,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Vec<Entry>>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        let mut portion = Vec::new();
        while portion.len() < PORTION && !self.is_over {
            let next = self.elements.next();
            self.position += 1;
            match next.map_err(Failure::file(&self.path))? {
                Next::End => self.is_over = true,
                Next::Truncated => {
                    self.is_over = true;
                    portion
                        .extend(self.damaged("the file ends here, before its list of keys does"));
                }
                Next::TooLarge => portion.extend(self.damaged("too large to be read")),
                Next::Element(bytes) => match serde_json::from_slice(&bytes) {
                    Ok(element) => portion.extend(self.entry(element)),
                    Err(error) => portion.extend(self.damaged(&format!("no entry: {error}"))),
                },
            }
        }
        Ok(Some(portion))
    }

    /// An element that is none, told in the first pass alone.
    fn damaged(&self, reason: &str) -> Option<Entry> {
        (self.pass == Pass::Surroundings).then(|| Entry {
            key: format!("{} entry {}", self.path.display(), self.position),
            family: Family::Unknown,
            is_prefixed: false,
            value: Raw::Damaged {
                reason: reason.to_owned(),
                value: Value::Null,
            },
        })
    }

    fn entry(&self, element: Element) -> Option<Entry> {
        let (family, is_prefixed) = Family::of(&element.key, &self.prefix);
        if !self.pass.is_about(&family) {
            return None;
        }
        let value = if self.pass.reads(&family) {
            raw(&family, &element)
        } else {
            Raw::Unread
        };
        Some(Entry {
            key: element.key,
            family,
            is_prefixed,
            value,
        })
    }
}

fn raw(family: &Family, element: &Element) -> Raw {
    let value = &element.value;
    let read = match (family, element.kind.as_str()) {
        (Family::Index(Index::Processing), "hash") => value.as_object().map(|fields| {
            let names = fields.keys().map(|name| (name.clone(), None));
            Raw::Members(names.collect())
        }),
        (Family::Index(_), "zset") => members(value).map(Raw::Members),
        (Family::Job(_), "hash") => text(value.get("data")),
        (Family::Index(_) | Family::Job(_), _) => None,
        (_, "string") => text(Some(value)),
        _ => None,
    };
    read.unwrap_or_else(|| Raw::Damaged {
        reason: format!("a {} where the predecessor writes none", element.kind),
        value: json!({ "type": element.kind, "value": value }),
    })
}

fn text(value: Option<&Value>) -> Option<Raw> {
    Some(Raw::Text(value?.as_str()?.as_bytes().to_vec()))
}

fn members(value: &Value) -> Option<Vec<(String, Option<u64>)>> {
    let pairs = value.as_array()?.iter().map(|pair| {
        let (member, score) = (pair.get(0)?.as_str()?, pair.get(1)?);
        let score = score.as_str().and_then(|score| score.parse::<f64>().ok());
        Some((member.to_owned(), score.map(|score| score as u64)))
    });
    pairs.collect()
}
