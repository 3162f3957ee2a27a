//! Records that cannot be taken over, each with its reason: a line of JSON each, in a file that only its
//! owner may read, because they hold whatever the predecessor stored.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::source::{Entry, Raw};
use crate::answer::Failure;

/// Of a larger value only the beginning is written; the source still has all of it.
const MAX_SHOWN: usize = 256 * 1024;

/// The file, made when it is needed. One of an earlier run is replaced: it would tell the same.
#[derive(Debug)]
pub struct Quarantine {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    /// Whether anything may be written at all.
    is_dry: bool,
    /// How many records there are in it.
    pub count: u64,
    /// The first of them, for people: keys and reasons.
    pub samples: Vec<(String, String)>,
}

impl Quarantine {
    /// A file that has nothing in it yet; a dry one never has.
    #[must_use]
    pub fn new(path: &Path, is_dry: bool) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            is_dry,
            count: 0,
            samples: Vec::new(),
        }
    }

    /// Puts a record aside.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&mut self, entry: &Entry, reason: &str) -> Result<(), Failure> {
        self.count += 1;
        if self.samples.len() < crate::steps::TOLD {
            self.samples.push((entry.key.clone(), reason.to_owned()));
        }
        if self.is_dry {
            return Ok(());
        }
        let line = json!({
            "key": entry.key,
            "family": entry.family.word(),
            "reason": reason,
            "value": shown(&entry.value),
        });
        let failed = Failure::file(&self.path);
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::new(create(&self.path)?)),
        };
        writeln!(file, "{line}").map_err(failed)
    }

    /// Makes it durable; an earlier file goes when there is nothing to tell any more.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(&mut self) -> Result<(), Failure> {
        let failed = Failure::file(&self.path);
        match self.file.take() {
            Some(file) => {
                let file = file
                    .into_inner()
                    .map_err(|error| failed(error.into_error()))?;
                file.sync_all().map_err(failed)
            }
            None if self.is_dry => Ok(()),
            None => match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            },
        }
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map_err(Failure::file(path))
}

fn shown(value: &Raw) -> Value {
    match value {
        Raw::Unread => Value::Null,
        Raw::Text(bytes) => {
            let shown = &bytes[..bytes.len().min(MAX_SHOWN)];
            let cut = (shown.len() < bytes.len()).then_some(true);
            match std::str::from_utf8(bytes) {
                Ok(text) if cut.is_none() => json!({ "text": text }),
                _ => json!({ "base64": BASE64.encode(shown), "cutOff": cut }),
            }
        }
        Raw::Members(members) => json!({ "members": members }),
        Raw::Damaged { value, .. } => value.clone(),
    }
}
