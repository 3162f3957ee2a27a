//! Events as a stream (`text/event-stream`), which goes on where a caller says that it was cut off.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;
use shared::feed::{FEED_PAGE, FeedEntry, FeedId};
use shared::model::{Event, InstanceId};
use shared::store::EVENTS_KEPT;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::error::ApiError;
use crate::handlers::events::NamedEvent;
use crate::live::Listener;

/// What keeps quiet connections from being cut.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// For how long a client is asked to wait before it connects again.
const GREETING: &str = "retry: 2000\n\n";
/// Told when what a caller has seen last is so long ago that the feed does not reach back to it.
const GAP: &str = "event: gap\ndata: {}\n\n";

pub(crate) type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;
/// Every body of ours: whole, or as it comes.
pub(crate) type Body = Either<Full<Bytes>, StreamBody<Frames>>;

/// Who is followed, and from where on.
#[derive(Debug, Clone)]
pub(crate) enum Follow {
    /// Everybody, after this place in the feed; from now on without one.
    Fleet(Option<FeedId>),
    /// One instance, after its event of this number.
    Instance(InstanceId, u64),
}

/// Opens the stream: what was before, and then what happens.
pub(crate) async fn open(app: &App, follow: &Follow) -> Result<Frames, ApiError> {
    if app.draining.is_cancelled() {
        return Err(ApiError::NotReady("this process is ending"));
    }
    // Before what was is read, so that nothing falls in between.
    let listener = app.live.listen().await?;
    let mut source = Source::of(follow);
    let mut told = VecDeque::from([Bytes::from_static(GREETING.as_bytes())]);
    match follow {
        Follow::Instance(id, after) => {
            let events = app.store.events(id, *after, EVENTS_KEPT).await?;
            told.extend(
                events
                    .iter()
                    .filter_map(|event| source.told(None, event, true)),
            );
        }
        Follow::Fleet(Some(after)) => {
            let feed = app.live.feed();
            if feed.oldest().await? > *after && *after != FeedId::default() {
                told.push_back(Bytes::from_static(GAP.as_bytes()));
            }
            let mut news = feed.after(*after).await?;
            while let Some(last) = news.last() {
                told.extend(news.iter().flat_map(|entry| source.entry(entry)));
                let is_all = news.len() < FEED_PAGE;
                news = if is_all {
                    Vec::new()
                } else {
                    feed.after(last.id).await?
                };
            }
        }
        Follow::Fleet(None) => {}
    }
    let telling = Telling {
        listener,
        source,
        told,
        draining: app.draining.clone(),
    };
    let frames = stream::unfold(telling, async |mut telling| {
        let bytes = telling.next().await?;
        Some((Ok(Frame::data(bytes)), telling))
    });
    Ok(Box::pin(frames))
}

/// What of the feed is told, and how far that got.
enum Source {
    Fleet(FeedId),
    Instance(InstanceId, u64),
}

impl Source {
    fn of(follow: &Follow) -> Self {
        match follow {
            Follow::Fleet(after) => Self::Fleet(after.unwrap_or_default()),
            Follow::Instance(id, after) => Self::Instance(id.clone(), *after),
        }
    }

    /// What an entry of the feed has to tell.
    fn entry(&mut self, entry: &FeedEntry) -> Vec<Bytes> {
        if let Self::Fleet(last) = self {
            if entry.id <= *last {
                return Vec::new();
            }
            *last = entry.id;
        }
        let count = entry.events.len();
        let events = (1..).zip(&entry.events);
        events
            .filter_map(|(place, event)| self.told(Some(entry.id), event, place == count))
            .collect()
    }

    /// An event as bytes, unless it was told before. Only the last event of an entry bears its id, so that
    /// whoever is cut off between two of them is told both again.
    fn told(&mut self, entry: Option<FeedId>, event: &Event, is_last: bool) -> Option<Bytes> {
        let id = match self {
            Self::Instance(id, _) if event.instance_id != *id => return None,
            Self::Instance(_, after) if event.number <= *after => return None,
            Self::Instance(_, after) => {
                *after = event.number;
                Some(event.number.to_string())
            }
            Self::Fleet(_) => entry.filter(|_| is_last).map(|id| id.to_string()),
        };
        let data = serde_json::to_string(&NamedEvent::of(event)).unwrap_or_default();
        let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
        Some(format!("{id}event: {}\ndata: {data}\n\n", event.kind.as_str()).into())
    }
}

/// A stream in the middle.
struct Telling {
    listener: Listener,
    source: Source,
    told: VecDeque<Bytes>,
    draining: CancellationToken,
}

impl Telling {
    /// What is told next; `None` at the end: this process ends, or its listener could not keep up.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.told.pop_front() {
                return Some(bytes);
            }
            let draining = self.draining.clone();
            let heard = tokio::select! {
                () = draining.cancelled() => return None,
                heard = timeout(HEARTBEAT, self.listener.entries.recv()) => heard,
            };
            match heard {
                Ok(Ok(entry)) => self.hear(&entry),
                Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => return None,
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
            }
        }
    }

    fn hear(&mut self, entry: &Arc<FeedEntry>) {
        self.told.extend(self.source.entry(entry));
    }
}
