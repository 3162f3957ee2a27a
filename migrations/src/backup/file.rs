//! The file of a backup: lines of JSON, a header first, and last the digest of all before it.
//!
//! It is written under another name and gets its own when it is complete and on disk, so a file that
//! bears the name is whole, and a reader still checks it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::clock::Millis;

use crate::answer::Failure;
use crate::digest::hex;

/// The format that this build writes and reads.
const VERSION: u32 = 1;
/// What the first line says of itself.
const FORMAT: &str = "novita-gpu-backup";
/// The longest line that is read: a portion has some hundred kilobytes.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    format: String,
    version: u32,
    /// What is in it, as a glob of Redis.
    pub pattern: String,
    /// The layout that was stored, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// When it was begun, by Redis's clock.
    pub at: Millis,
}

/// Everything of a key, or a portion of a large one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    #[serde(rename = "k")]
    pub key: String,
    /// What it is.
    #[serde(rename = "t")]
    pub kind: Kind,
    /// When it expires, in ms since 1970.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// It goes on where the portion before ended.
    #[serde(rename = "m", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_more: bool,
    /// Its members are in hexadecimals, because not all of them are UTF-8.
    #[serde(rename = "h", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_hex: bool,
    /// Its members: of a hash field and value, of a sorted set score and member by turns.
    #[serde(rename = "v")]
    pub members: Vec<String>,
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A string.
    String,
    /// A hash.
    Hash,
    /// A sorted set.
    Zset,
    /// A set.
    Set,
    /// A list.
    List,
}

impl Kind {
    /// Redis's word for it; `None` for types that are not ours.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Some(match word {
            "string" => Self::String,
            "hash" => Self::Hash,
            "zset" => Self::Zset,
            "set" => Self::Set,
            "list" => Self::List,
            _ => return None,
        })
    }

    /// The command that adds members.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::String => "APPEND",
            Self::Hash => "HSET",
            Self::Zset => "ZADD",
            Self::Set => "SADD",
            Self::List => "RPUSH",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Footer {
    entries: u64,
    sha256: String,
}

impl Header {
    /// The header of a backup begun now.
    #[must_use]
    pub fn new(pattern: String, layout: Option<String>, at: Millis) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            pattern,
            layout,
            at,
        }
    }
}

/// A backup being written.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
    digest: Sha256,
    entries: u64,
    /// Bytes written so far.
    pub bytes: u64,
}

impl Writer {
    /// Begins a file at `path`; only its owner may read it.
    ///
    /// # Errors
    /// There is a file already, or it cannot be written.
    pub fn begin(path: &Path, header: &Header) -> Result<Self, Failure> {
        if path.exists() {
            let path = path.display();
            return Err(Failure::Refused(format!(
                "{path} exists; a backup never replaces another"
            )));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&part).map_err(Failure::file(&part))?;
        let mut writer = Self {
            path: path.to_owned(),
            part,
            file: BufWriter::with_capacity(256 * 1024, file),
            digest: Sha256::new(),
            entries: 0,
            bytes: 0,
        };
        writer.line(header)?;
        Ok(writer)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, entry: &Entry) -> Result<(), Failure> {
        self.entries += 1;
        self.line(entry)
    }

    /// Completes the file; tells its digest.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> Result<String, Failure> {
        let sha256 = hex(&std::mem::take(&mut self.digest).finalize());
        let footer = Footer {
            entries: self.entries,
            sha256: sha256.clone(),
        };
        self.line(&footer)?;
        let failed = Failure::file(&self.part);
        let file = self
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(&failed)?;
        std::fs::rename(&self.part, &self.path).map_err(&failed)?;
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        // The name itself is on disk only when the folder is.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(sha256)
    }

    fn line<T: Serialize>(&mut self, line: &T) -> Result<(), Failure> {
        let mut text = shared::store::to_json(line);
        text.push('\n');
        self.digest.update(text.as_bytes());
        self.bytes += text.len() as u64;
        let written = self.file.write_all(text.as_bytes());
        written.map_err(Failure::file(&self.part))
    }
}

/// A backup being read.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    digest: Sha256,
    entries: u64,
    /// The first line.
    pub header: Header,
}

/// What a whole file tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Entries in it.
    pub entries: u64,
    /// The digest of everything before the last line.
    pub sha256: String,
}

impl Reader {
    /// Opens a backup.
    ///
    /// # Errors
    /// It cannot be read, or is none that this build knows.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(Failure::file(path))?;
        let mut reader = Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(256 * 1024, file),
            digest: Sha256::new(),
            entries: 0,
            header: Header::new(String::new(), None, Millis(0)),
        };
        let first = reader.line()?.unwrap_or_default();
        reader.digest.update(first.as_bytes());
        reader.header = serde_json::from_str(&first)
            .map_err(|_| Failure::damaged(path, "not a backup of redis-migration"))?;
        if reader.header.format != FORMAT {
            return Err(Failure::damaged(path, "not a backup of redis-migration"));
        }
        let version = reader.header.version;
        if version != VERSION {
            let why =
                format!("format {version}, of which this build (format {VERSION}) knows nothing");
            return Err(Failure::damaged(path, why));
        }
        Ok(reader)
    }

    /// Reads a whole file and believes it only if its last line agrees.
    ///
    /// # Errors
    /// It is cut off or damaged.
    pub fn check(path: &Path) -> Result<Checked, Failure> {
        let mut reader = Self::open(path)?;
        loop {
            let Some(line) = reader.line()? else {
                return Err(Failure::damaged(
                    path,
                    "it ends before its last line: cut off",
                ));
            };
            if let Ok(footer) = serde_json::from_str::<Footer>(&line) {
                let sha256 = hex(&reader.digest.finalize());
                if footer.sha256 != sha256 || footer.entries != reader.entries {
                    return Err(Failure::damaged(
                        path,
                        "its content is not what was written",
                    ));
                }
                return Ok(Checked {
                    entries: footer.entries,
                    sha256,
                });
            }
            reader.digest.update(line.as_bytes());
            reader.entries += 1;
        }
    }

    /// The next entry; `None` after the last one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn entry(&mut self) -> Result<Option<Entry>, Failure> {
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        match serde_json::from_str(&line) {
            Ok(entry) => Ok(Some(entry)),
            Err(_) if serde_json::from_str::<Footer>(&line).is_ok() => Ok(None),
            Err(error) => Err(Failure::damaged(&self.path, error.to_string())),
        }
    }

    fn line(&mut self) -> Result<Option<String>, Failure> {
        let mut line = String::new();
        let mut limited = (&mut self.file).take(MAX_LINE);
        let read = limited.read_line(&mut line);
        match read.map_err(Failure::file(&self.path))? {
            0 => Ok(None),
            _ if line.ends_with('\n') => Ok(Some(line)),
            _ => Err(Failure::damaged(
                &self.path,
                "it ends within a line: cut off",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            kind: Kind::List,
            expires: Some(7),
            is_more: false,
            is_hex: false,
            members: vec!["a\nb".to_owned(), "\u{1F680}".to_owned()],
        }
    }

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("backup");
        let header = Header::new("*".to_owned(), Some("2:1".to_owned()), Millis(1));
        let mut writer = Writer::begin(&path, &header).unwrap();
        for key in ["a", "b"] {
            writer.add(&entry(key)).unwrap();
        }
        assert!(!path.exists(), "it has its name before it is complete");
        writer.finish().unwrap();
        path
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        assert_eq!(Reader::check(&path).unwrap().entries, 2);
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.header.layout.as_deref(), Some("2:1"));
        assert_eq!(reader.entry().unwrap(), Some(entry("a")));
        assert_eq!(reader.entry().unwrap(), Some(entry("b")));
        assert_eq!(reader.entry().unwrap(), None);
    }

    #[test]
    fn one_changed_byte_or_a_missing_end_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let body = whole.len() - 20;
        for at in (0..body).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(Reader::check(&path).is_err(), "byte {at}");
        }
        for end in [0, 10, body, whole.len() - 1] {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(Reader::check(&path).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_backup_never_replaces_another_and_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let header = Header::new("*".to_owned(), None, Millis(1));
        assert!(matches!(
            Writer::begin(&path, &header),
            Err(Failure::Refused(_))
        ));
    }
}
