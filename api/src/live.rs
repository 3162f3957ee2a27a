//! Events as they happen, for whoever listens: one reader of the feed per process, however many listen, and
//! none while nobody does.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use shared::changes::Changes;
use shared::feed::{FEED_PAGE, Feed, FeedEntry, FeedId};
use shared::redis::RedisError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::task::AbortOnDropHandle;

use crate::error::ApiError;

/// Entries that a slow listener may be behind before it is sent away to begin again where it was.
const BUFFER: usize = 1024;
/// Before the feed is read again that could not be read.
const AGAIN: Duration = Duration::from_secs(1);
/// Listeners that one process serves.
const MOST: usize = 1000;

/// The events of the whole fleet, for all listeners of this process.
pub(crate) struct Live {
    feed: Feed,
    changes: Arc<Changes>,
    line: Mutex<Weak<Line>>,
    places: Arc<Semaphore>,
}

/// The reader that is shared.
struct Line {
    entries: broadcast::Sender<Arc<FeedEntry>>,
    _reader: AbortOnDropHandle<()>,
}

/// One who listens, from now on.
pub(crate) struct Listener {
    pub(crate) entries: broadcast::Receiver<Arc<FeedEntry>>,
    _line: Arc<Line>,
    _place: OwnedSemaphorePermit,
}

impl Live {
    pub(crate) fn new(feed: Feed, changes: Arc<Changes>) -> Self {
        Self {
            feed,
            changes,
            line: Mutex::default(),
            places: Arc::new(Semaphore::new(MOST)),
        }
    }

    /// The feed, to read what was before.
    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Begins to listen: nothing that is written from now on is missed.
    pub(crate) async fn listen(&self) -> Result<Listener, ApiError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| ApiError::NotReady("too many listen already"))?;
        let newest = self.feed.newest().await?;
        let mut shared = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = shared.upgrade().unwrap_or_else(|| {
            let line = Arc::new(self.open(newest));
            *shared = Arc::downgrade(&line);
            line
        });
        Ok(Listener {
            entries: line.entries.subscribe(),
            _line: line,
            _place: place,
        })
    }

    fn open(&self, newest: FeedId) -> Line {
        let (entries, _) = broadcast::channel(BUFFER);
        let (feed, changes) = (self.feed.clone(), Arc::clone(&self.changes));
        let reader = tokio::spawn(read(feed, changes, newest, entries.clone()));
        Line {
            entries,
            _reader: AbortOnDropHandle::new(reader),
        }
    }
}

async fn read(
    feed: Feed,
    changes: Arc<Changes>,
    mut last: FeedId,
    entries: broadcast::Sender<Arc<FeedEntry>>,
) {
    // Once the subscription is up, that is a hint too: what came before it is read then.
    let mut watch = changes.watch();
    loop {
        watch.anything().await;
        while let Err(error) = pass_on(&feed, &mut last, &entries).await {
            tracing::warn!(%error, "the feed of events cannot be read");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Passes on all that is new.
async fn pass_on(
    feed: &Feed,
    last: &mut FeedId,
    entries: &broadcast::Sender<Arc<FeedEntry>>,
) -> Result<(), RedisError> {
    loop {
        let news = feed.after(*last).await?;
        let is_all = news.len() < FEED_PAGE;
        for entry in news {
            *last = entry.id;
            // Nobody may listen any more.
            let _ = entries.send(Arc::new(entry));
        }
        if is_all {
            return Ok(());
        }
    }
}
