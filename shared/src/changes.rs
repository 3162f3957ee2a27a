//! Who waits for a change is told of it instead of asking again and again.
//!
//! `settle.lua` and `fleet.lua` publish whom they changed. Messages are hints: whoever waits reads what is,
//! waits for a hint, and reads again; a hint that may have been missed counts as one.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::model::InstanceId;
use crate::redis::{Keys, Notice, Redis, Subscription};

/// Hints that a slow reader may be behind; beyond that it is told to read whatever it waits for.
const BUFFER: usize = 1024;
/// What `fleet.lua` publishes when a pass is over.
pub(crate) const FLEET: &str = "@fleet";

/// The changes of one deployment: one subscription for all who wait, and none while nobody does.
#[derive(Debug)]
pub struct Changes {
    redis: Redis,
    channel: String,
    line: Mutex<Weak<Line>>,
}

/// A subscription that is shared.
#[derive(Debug)]
struct Line {
    hints: broadcast::Sender<Hint>,
    is_up: watch::Receiver<bool>,
    relay: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

/// Who changed.
#[derive(Debug, Clone)]
pub enum Hint {
    /// Perhaps anybody: messages may have been missed. From now on they are told.
    Anybody,
    /// Those that are named here, separated by spaces.
    Named(Arc<str>),
    /// Changes are not told any more, until the next [`Hint::Anybody`].
    Lost,
}

impl Hint {
    /// The instances that are named.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::Named(names) => names,
            Self::Anybody | Self::Lost => "",
        };
        names
            .split(' ')
            .filter(|name| !name.is_empty() && *name != FLEET)
    }
}

/// One who waits.
#[derive(Debug)]
pub struct Watch {
    hints: broadcast::Receiver<Hint>,
    line: Arc<Line>,
}

impl Changes {
    /// The changes that are published for these keys. Nothing is listened to yet.
    #[must_use]
    pub fn new(redis: &Redis, keys: &Keys) -> Self {
        Self {
            redis: redis.clone(),
            channel: keys.changes_channel(),
            line: Mutex::default(),
        }
    }

    /// Begins to listen.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let mut shared = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = shared.upgrade().unwrap_or_else(|| {
            let line = Arc::new(Line::open(&self.redis, self.channel.clone()));
            *shared = Arc::downgrade(&line);
            line
        });
        Watch {
            hints: line.hints.subscribe(),
            line,
        }
    }
}

impl Line {
    fn open(redis: &Redis, channel: String) -> Self {
        let (hints, _) = broadcast::channel(BUFFER);
        let (up, is_up) = watch::channel(false);
        let relay = tokio::spawn(relay(redis.subscribe(channel), hints.clone(), up));
        Self {
            hints,
            is_up,
            relay,
        }
    }
}

async fn relay(
    mut subscription: Subscription,
    hints: broadcast::Sender<Hint>,
    up: watch::Sender<bool>,
) {
    while let Some(notice) = subscription.next().await {
        // Sending fails while nobody listens, and then nobody misses anything.
        let _ = match notice {
            Notice::Connected => {
                up.send_replace(true);
                hints.send(Hint::Anybody)
            }
            Notice::Lost => {
                up.send_replace(false);
                hints.send(Hint::Lost)
            }
            Notice::Message(text) => hints.send(Hint::Named(text.into())),
        };
    }
}

impl Watch {
    /// Returns once changes from now on are told. Whoever waits reads first after that.
    pub async fn ready(&mut self) {
        let mut is_up = self.line.is_up.clone();
        // It ends only with the line, which we hold.
        let _ = is_up.wait_for(|is_up| *is_up).await;
    }

    /// Returns once this instance may have changed.
    pub async fn instance(&mut self, id: &InstanceId) {
        self.named(id.as_str()).await;
    }

    /// Returns once there may have been another pass over the provider's fleet.
    pub async fn fleet(&mut self) {
        self.named(FLEET).await;
    }

    /// The next hint.
    pub async fn next(&mut self) -> Hint {
        use broadcast::error::RecvError;
        match self.hints.recv().await {
            Ok(hint) => hint,
            Err(RecvError::Lagged(_)) => Hint::Anybody,
            // The line has ended, which it does not while we hold it.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Returns once anything may have changed.
    pub async fn anything(&mut self) {
        while matches!(self.next().await, Hint::Lost) {}
    }

    async fn named(&mut self, wanted: &str) {
        loop {
            match self.next().await {
                Hint::Named(names) if !names.split(' ').any(|name| name == wanted) => {}
                Hint::Named(_) | Hint::Anybody => return,
                Hint::Lost => {}
            }
        }
    }
}
