//! What callers ask for again and again, kept in the process. Workers tell what they change (`changes.rs`), and
//! this process knows what it changed itself; while changes are not told, nothing counts as fresh.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shared::cache::{Cache, CacheRules, CacheStats, Cacheable, EntryStats, Served};
use shared::changes::{Changes, Hint};
use shared::clock::Millis;
use shared::fleet::FleetStore;
use shared::model::InstanceId;
use shared::store::{Record, Store, StoreError};
use tokio_util::task::AbortOnDropHandle;

use crate::config::CacheConfig;
use crate::handlers::fleet::Snapshot;

/// The name under which the whole fleet is kept.
const WHOLE: &str = "all";
/// How long after its time an answer is still given while the next one is fetched.
const REVALIDATE: Duration = Duration::from_secs(30);
/// How long it is remembered that there is no such instance.
const ABSENT: Duration = Duration::from_secs(5);
/// Memory of one cache, at most; there are three.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// One instance as it is shown.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) record: Record,
    /// When it was used last.
    pub(crate) used: Option<Millis>,
}

/// A page of instances.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) instances: Vec<Known>,
    /// How many there are in all.
    pub(crate) total: u64,
}

/// Something that is kept, or that there is nothing.
#[derive(Debug)]
pub(crate) struct Held<T> {
    value: Option<Arc<T>>,
    bytes: usize,
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            bytes: self.bytes,
        }
    }
}

impl<T: Send + Sync + 'static> Cacheable for Held<T> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_absent(&self) -> bool {
        self.value.is_none()
    }
}

impl<T> Held<T> {
    fn new(value: T, bytes: usize) -> Self {
        Self {
            value: Some(Arc::new(value)),
            bytes,
        }
    }

    const NOTHING: Self = Self {
        value: None,
        bytes: 0,
    };
}

/// The caches of this process.
pub(crate) struct Caches {
    store: Arc<Store>,
    changes: Arc<Changes>,
    kept: Arc<Kept>,
    keeps: bool,
    follower: OnceLock<AbortOnDropHandle<()>>,
}

struct Kept {
    instances: Cache<Held<Known>>,
    listings: Cache<Held<Listed>>,
    fleet: Cache<Held<Snapshot>>,
}

/// One of them, whatever it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheName {
    Instances,
    Listings,
    Fleet,
}

impl CacheName {
    pub(crate) const ALL: [Self; 3] = [Self::Instances, Self::Listings, Self::Fleet];

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Instances => "instances",
            Self::Listings => "listings",
            Self::Fleet => "fleet",
        }
    }
}

/// Runs the same on whichever cache it is.
macro_rules! with {
    ($kept:expr, $name:expr, $cache:ident => $body:expr) => {
        match $name {
            CacheName::Instances => {
                let $cache = &$kept.instances;
                $body
            }
            CacheName::Listings => {
                let $cache = &$kept.listings;
                $body
            }
            CacheName::Fleet => {
                let $cache = &$kept.fleet;
                $body
            }
        }
    };
}

/// What is served, and what it is.
pub(crate) type Found<T> = Result<Served<Option<Arc<T>>>, Arc<StoreError>>;

impl Caches {
    pub(crate) fn new(store: &Store, changes: Arc<Changes>, config: &CacheConfig) -> Self {
        let rules = |name: CacheName, ttl| CacheRules {
            name: name.as_str(),
            ttl,
            absent_ttl: ABSENT,
            revalidate: REVALIDATE,
            stale: config.stale,
            max_entries: config.max_entries,
            max_bytes: MAX_BYTES,
        };
        let kept = Kept {
            instances: Cache::new(rules(CacheName::Instances, config.instances)),
            listings: Cache::new(rules(CacheName::Listings, config.instances)),
            fleet: Cache::new(rules(CacheName::Fleet, config.fleet)),
        };
        // Changes are told from the first hint on.
        kept.doubt(true);
        Self {
            store: Arc::new(store.clone()),
            changes,
            kept: Arc::new(kept),
            keeps: config.max_entries > 0,
            follower: OnceLock::new(),
        }
    }

    /// One instance.
    pub(crate) async fn instance(&self, id: &InstanceId) -> Found<Known> {
        self.follow();
        let (store, wanted) = (Arc::clone(&self.store), id.clone());
        let load = move || {
            let (store, id) = (Arc::clone(&store), wanted.clone());
            async move { read_instance(&store, &id).await }
        };
        opened(self.kept.instances.get(id.as_str(), load).await)
    }

    /// `limit` instances from position `offset`, newest first.
    pub(crate) async fn listing(&self, offset: u64, limit: u64) -> Found<Listed> {
        self.follow();
        let store = Arc::clone(&self.store);
        let load = move || {
            let store = Arc::clone(&store);
            async move { read_listing(&store, offset, limit).await }
        };
        let key = format!("{offset}+{limit}");
        opened(self.kept.listings.get(&key, load).await)
    }

    /// The whole fleet.
    pub(crate) async fn fleet(&self) -> Found<Snapshot> {
        self.follow();
        let store = Arc::clone(&self.store);
        let load = move || {
            let store = Arc::clone(&store);
            async move { read_fleet(&store).await }
        };
        opened(self.kept.fleet.get(WHOLE, load).await)
    }

    /// This process changed an instance: whoever asks from now on is told how it is.
    pub(crate) fn changed(&self, id: &InstanceId) {
        self.kept.changed(id.as_str());
    }

    /// Whatever was read before is not fresh any more.
    pub(crate) fn outdate_all(&self) {
        self.kept.outdate_all();
    }

    /// Follows what is changed elsewhere, from the first read on; where nothing is kept there is no need to.
    fn follow(&self) {
        if !self.keeps {
            return;
        }
        self.follower.get_or_init(|| {
            let (changes, kept) = (Arc::clone(&self.changes), Arc::clone(&self.kept));
            AbortOnDropHandle::new(tokio::spawn(follow(changes, kept)))
        });
    }

    pub(crate) async fn stats(&self, name: CacheName) -> CacheStats {
        with!(self.kept, name, cache => cache.stats().await)
    }

    /// All of them together.
    pub(crate) async fn sum(&self) -> CacheStats {
        let mut sum = CacheStats::default();
        for name in CacheName::ALL {
            sum = sum.plus(&self.stats(name).await);
        }
        sum
    }

    pub(crate) fn entries(&self, name: CacheName) -> Vec<(String, EntryStats)> {
        with!(self.kept, name, cache => cache.entries())
    }

    /// Forgets all entries of a cache. Returns how many there were.
    pub(crate) async fn clear(&self, name: CacheName) -> u64 {
        with!(self.kept, name, cache => cache.clear().await)
    }

    /// Forgets what is not fresh any more. Returns how many entries that were.
    pub(crate) async fn clean_up(&self, name: CacheName) -> u64 {
        with!(self.kept, name, cache => cache.clean_up().await)
    }

    /// Forgets one entry. Returns whether there was one.
    pub(crate) async fn remove(&self, name: CacheName, key: &str) -> bool {
        with!(self.kept, name, cache => cache.remove(key).await)
    }
}

impl Kept {
    fn changed(&self, id: &str) {
        self.instances.outdate(id);
        self.listings.outdate_all();
        self.fleet.outdate_all();
    }

    fn outdate_all(&self) {
        for name in CacheName::ALL {
            with!(self, name, cache => cache.outdate_all());
        }
    }

    fn doubt(&self, is_doubted: bool) {
        for name in CacheName::ALL {
            with!(self, name, cache => cache.doubt(is_doubted));
        }
    }
}

async fn follow(changes: Arc<Changes>, kept: Arc<Kept>) {
    let mut watch = changes.watch();
    // Somebody else may have been told already that changes are told.
    watch.ready().await;
    kept.outdate_all();
    kept.doubt(false);
    loop {
        match watch.next().await {
            hint @ Hint::Named(_) => {
                hint.names().for_each(|id| kept.changed(id));
                kept.fleet.outdate_all();
            }
            Hint::Anybody => {
                kept.outdate_all();
                kept.doubt(false);
            }
            Hint::Lost => kept.doubt(true),
        }
    }
}

fn opened<T>(served: Result<Served<Held<T>>, Arc<StoreError>>) -> Found<T> {
    served.map(|served| Served {
        value: served.value.value,
        age: served.age,
        source: served.source,
    })
}

async fn read_instance(store: &Store, id: &InstanceId) -> Result<Held<Known>, StoreError> {
    let (record, used) = tokio::try_join!(store.record(id), store.last_used(id))?;
    Ok(record.map_or(Held::NOTHING, |record| {
        let bytes = record.bytes();
        Held::new(Known { record, used }, bytes)
    }))
}

async fn read_listing(store: &Store, offset: u64, limit: u64) -> Result<Held<Listed>, StoreError> {
    let page = store.page(offset, limit).await?;
    let used = store.last_used_of(&page.records).await?;
    let bytes = page.records.iter().map(Record::bytes).sum();
    let instances = page.records.into_iter().zip(used);
    let listed = Listed {
        instances: instances
            .map(|(record, used)| Known { record, used })
            .collect(),
        total: page.total,
    };
    Ok(Held::new(listed, bytes))
}

async fn read_fleet(store: &Store) -> Result<Held<Snapshot>, StoreError> {
    let fleet = FleetStore::new(store.redis().clone(), store.keys().clone());
    let snapshot = Snapshot::read(store, &fleet).await?;
    let bytes = snapshot.bytes();
    Ok(Held::new(snapshot, bytes))
}
