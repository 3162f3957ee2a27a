//! Restoring a backup. Every batch is written together with how far it leads, so that one that was killed
//! goes on exactly there; and as long as it is not over, no process takes the deployment for one.

use std::path::Path;

use shared::redis::scripts::LOAD;
use shared::redis::{Command, Repeat};
use shared::schema::{self, LOADING};

use super::file::{Checked, Entry, Reader};
use crate::answer::Failure;
use crate::lock::Lock;
use crate::scan::Scan;
use crate::screen::Progress;
use crate::steps::{Place, set_layout_text};

/// What is sent at a time.
const BATCH_ENTRIES: usize = 300;
const BATCH_BYTES: usize = 512 * 1024;

/// Why nothing is restored without force.
const LIVE: &str = "there are data already; --force deletes whatever the backup could have, and then \
                    restores it";

/// What a restore came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Entries of the file.
    pub entries: u64,
    /// Of them, entries that an earlier run had written.
    pub known: u64,
    /// Keys that were deleted before, by force.
    pub deleted: u64,
    /// Entries that have expired since the backup.
    pub expired: u64,
}

/// For so long it is known which file was restored.
const REMEMBERED_SECONDS: u32 = 3600;

/// Puts everything in the file at `path` back. Without `force` only where nothing is.
///
/// # Errors
/// The file is damaged; there is something already; or Redis did not do its part, and a second run
/// completes it.
pub async fn restore(
    place: Place<'_>,
    lock: &Lock,
    path: &Path,
    force: bool,
) -> Result<Restored, Failure> {
    let checked = Reader::check(path)?;
    let mut reader = Reader::open(path)?;
    let pattern = reader.header.pattern.clone();
    let mut restored = Restored {
        entries: checked.entries,
        ..Restored::default()
    };
    let load = Load {
        place,
        lock,
        checked: &checked,
    };
    match load.begun(path).await? {
        Begun::Over if force => load.forget().await?,
        Begun::Over => {
            restored.known = checked.entries;
            load.remember().await?;
            return Ok(restored);
        }
        Begun::UnderWay(known) => restored.known = known,
        Begun::Never => {}
    }
    if restored.known == 0 {
        if !force && (load.has_layout().await? || load.is_live(&pattern).await?) {
            return Err(Failure::Refused(LIVE.into()));
        }
        load.begin().await?;
        restored.deleted = load.clear(&pattern).await?;
    }
    load.entries(&mut reader, &mut restored).await?;
    load.finish(reader.header.layout).await?;
    Ok(restored)
}

/// How far an earlier run came with the same file.
enum Begun {
    /// There was none, or it is long ago.
    Never,
    /// It was killed after so many entries.
    UnderWay(u64),
    /// It came to its end, and may have been killed before it could say so.
    Over,
}

struct Load<'l> {
    place: Place<'l>,
    lock: &'l Lock,
    checked: &'l Checked,
}

impl Load<'_> {
    /// How far an earlier run came.
    async fn begun(&self, path: &Path) -> Result<Begun, Failure> {
        let key = self.place.keys.loading();
        let command = Command::new("HMGET").arg(key).args(["sha256", "entries"]);
        let reply = self.place.redis.run(command, Repeat::Harmless).await?;
        let found = reply.optional_texts()?;
        let is_over = self.has_layout().await?;
        match found.as_slice() {
            [Some(sha256), Some(entries)] if *sha256 == self.checked.sha256 => {
                Ok(match entries.parse() {
                    Ok(_) if is_over => Begun::Over,
                    Ok(known) => Begun::UnderWay(known),
                    Err(_) => Begun::Never,
                })
            }
            [Some(_), _] if is_over => {
                self.forget().await?;
                Ok(Begun::Never)
            }
            [Some(_), _] => Err(Failure::Refused(format!(
                "the restore of another file than {} is not complete; finish that one first, or delete \
                 the key {}",
                path.display(),
                self.place.keys.loading()
            ))),
            _ => Ok(Begun::Never),
        }
    }

    async fn has_layout(&self) -> Result<bool, Failure> {
        let layout = schema::version(self.place.redis, self.place.keys).await?;
        Ok(layout.is_some_and(|layout| layout != LOADING))
    }

    /// Something is stored that the backup could have.
    async fn is_live(&self, pattern: &str) -> Result<bool, Failure> {
        let own = self.own();
        let mut scan = Scan::keys(self.place.redis, pattern);
        while let Some(keys) = scan.next().await? {
            let mut keys = keys.into_iter().map(|key| key.text().unwrap_or_default());
            if keys.any(|key| !own.contains(&key)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The keys of this tool and of the layout, which are no part of a backup.
    fn own(&self) -> [String; 3] {
        let keys = self.place.keys;
        [keys.operator(), keys.schema(), keys.loading()]
    }

    /// From here on no process starts on this Redis until the restore is over.
    async fn begin(&self) -> Result<(), Failure> {
        let Place { redis, keys } = self.place;
        let layout = schema::version(redis, keys).await?.unwrap_or_default();
        set_layout_text(self.place, self.lock, layout, LOADING.to_owned()).await?;
        self.send(0, 0, &[]).await
    }

    /// Deletes whatever the backup could have; begun again from the beginning if it was cut off.
    async fn clear(&self, pattern: &str) -> Result<u64, Failure> {
        let own = self.own();
        let mut progress = Progress::new("deleted keys", None);
        let mut scan = Scan::keys(self.place.redis, pattern);
        let mut deleted = 0;
        while let Some(found) = scan.next().await? {
            let found = found.into_iter().filter_map(|key| key.text().ok());
            let found: Vec<String> = found.filter(|key| !own.contains(key)).collect();
            deleted += found.len() as u64;
            progress.advance(found.len() as u64);
            for keys in found.chunks(BATCH_ENTRIES) {
                let words = keys.iter().map(|key| Word::Unlink(key.clone()));
                self.send(0, 0, &words.collect::<Vec<_>>()).await?;
            }
        }
        Ok(deleted)
    }

    async fn entries(&self, reader: &mut Reader, restored: &mut Restored) -> Result<(), Failure> {
        let mut progress = Progress::new("entries", Some(restored.entries));
        progress.advance(restored.known);
        let now = {
            let time = self.place.redis.run(Command::new("TIME"), Repeat::Harmless);
            let time = time.await?.array()?.into_iter().next();
            time.map(shared::redis::Reply::int)
                .transpose()?
                .unwrap_or(0) as u64
                * 1000
        };
        let mut batch = Vec::new();
        let (mut at, mut first, mut bytes) = (0, restored.known, 0);
        while let Some(entry) = reader.entry()? {
            at += 1;
            if at <= restored.known {
                continue;
            }
            let size = entry.key.len() + entry.members.iter().map(String::len).sum::<usize>();
            if batch.len() >= BATCH_ENTRIES || (bytes + size > BATCH_BYTES && !batch.is_empty()) {
                self.send(first, at - 1, &batch).await?;
                progress.advance(at - 1 - first);
                (first, bytes) = (at - 1, 0);
                batch.clear();
            }
            bytes += size;
            if entry.expires.is_some_and(|expires| expires <= now) {
                restored.expired += 1;
            } else {
                batch.push(Word::Write(entry));
            }
        }
        self.send(first, at, &batch).await?;
        progress.advance(at - first);
        Ok(())
    }

    /// Writes a batch that leads from entry `from` to `to`, unless that was done.
    async fn send(&self, from: u64, to: u64, batch: &[Word]) -> Result<(), Failure> {
        let mut keys = vec![self.place.keys.loading()];
        let mut args = vec![
            self.checked.sha256.clone(),
            from.to_string(),
            to.to_string(),
        ];
        for word in batch {
            match word {
                Word::Unlink(key) => {
                    keys.push(key.clone());
                    args.extend(["UNLINK", "", "", "", "0"].map(str::to_owned));
                }
                Word::Write(entry) => {
                    keys.push(entry.key.clone());
                    let flag = |is: bool| if is { "1" } else { "" }.to_owned();
                    let expires = entry.expires.map_or_else(String::new, |at| at.to_string());
                    args.push(entry.kind.command().to_owned());
                    args.extend([flag(entry.is_more), expires, flag(entry.is_hex)]);
                    args.push(entry.members.len().to_string());
                    args.extend(entry.members.iter().cloned());
                }
            }
        }
        let reply = self.lock.script(&LOAD, keys, args).await?;
        match reply.int()? {
            1 => Ok(()),
            _ => Err(Failure::Refused(
                "another restore has begun meanwhile; nothing more was written".into(),
            )),
        }
    }

    /// The last step: the deployment is one again.
    async fn finish(&self, layout: Option<String>) -> Result<(), Failure> {
        let layout = layout.unwrap_or_default();
        set_layout_text(self.place, self.lock, LOADING.to_owned(), layout).await?;
        self.remember().await
    }

    /// Has it known for a while that this file was restored: whoever was killed before the tool could say so
    /// asks again.
    async fn remember(&self) -> Result<(), Failure> {
        let command = Command::new("EXPIRE").arg(self.place.keys.loading());
        let command = command.arg(REMEMBERED_SECONDS.to_string());
        self.place.redis.run(command, Repeat::Harmless).await?;
        Ok(())
    }

    /// Has it not known any more.
    async fn forget(&self) -> Result<(), Failure> {
        let command = Command::new("DEL").arg(self.place.keys.loading());
        self.place.redis.run(command, Repeat::Harmless).await?;
        Ok(())
    }
}

enum Word {
    Unlink(String),
    Write(Entry),
}
