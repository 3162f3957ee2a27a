use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::{advance, pause};

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Answer(Option<String>);

impl Cacheable for Answer {
    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, String::len)
    }

    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const RULES: CacheRules = CacheRules {
    name: "test",
    ttl: Duration::from_secs(10),
    absent_ttl: SECOND,
    revalidate: Duration::from_secs(5),
    stale: Duration::from_secs(60),
    max_entries: 100,
    max_bytes: 100_000,
};

/// What is behind the cache: answers with how often it was asked, or fails.
#[derive(Clone, Default)]
struct Behind {
    asked: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
}

impl Behind {
    fn load(
        &self,
    ) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<Answer, ()>> + Send>>
    + Send
    + Sync
    + 'static {
        let behind = self.clone();
        move || {
            let behind = behind.clone();
            Box::pin(async move {
                tokio::task::yield_now().await;
                let number = behind.asked.fetch_add(1, Ordering::SeqCst) + 1;
                if behind.is_down.load(Ordering::SeqCst) {
                    return Err(());
                }
                Ok(Answer(Some(number.to_string())))
            })
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }
}

async fn get(cache: &Cache<Answer>, behind: &Behind) -> Result<(String, Source), ()> {
    let served = cache.get("key", behind.load()).await.map_err(|_| ())?;
    Ok((served.value.0.unwrap_or_default(), served.source))
}

fn told(value: &str, source: Source) -> (String, Source) {
    (value.to_owned(), source)
}

#[tokio::test]
async fn a_thousand_who_ask_at_once_cost_one_read() {
    let (cache, behind) = (Cache::new(RULES), Behind::default());
    let answers = join_all((0..1000).map(|_| get(&cache, &behind))).await;
    assert!(
        answers
            .iter()
            .all(|answer| *answer == Ok(told("1", Source::Miss)))
    );
    assert_eq!(behind.asked(), 1);
    assert_eq!(get(&cache, &behind).await, Ok(told("1", Source::Hit)));
    let stats = cache.stats().await;
    assert_eq!((stats.hits, stats.misses, stats.entries), (1, 1000, 1));
}

#[tokio::test]
async fn a_thousand_who_ask_in_vain_cost_one_read_too() {
    let (cache, behind) = (Cache::new(RULES), Behind::default());
    behind.down(true);
    let answers = join_all((0..1000).map(|_| get(&cache, &behind))).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(behind.asked(), 1);
}

#[tokio::test]
async fn what_was_fetched_before_a_change_is_never_told_as_fresh_after_it() {
    let cache = Cache::new(RULES);
    let (began, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (began, goes_on) = (Arc::clone(&began), Arc::clone(&goes_on));
        move || {
            let (began, goes_on) = (Arc::clone(&began), Arc::clone(&goes_on));
            async move {
                began.notify_one();
                goes_on.notified().await;
                Ok::<_, ()>(Answer(Some("before".to_owned())))
            }
        }
    };
    let reader = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get("key", slow).await.map(|served| served.value) })
    };
    began.notified().await;
    cache.outdate("key");
    let behind = Behind::default();
    let later = {
        let (cache, behind) = (cache.clone(), behind.clone());
        tokio::spawn(async move { get(&cache, &behind).await })
    };
    tokio::task::yield_now().await;
    goes_on.notify_one();
    // Who asked before the change may be told what was before.
    assert_eq!(
        reader.await.unwrap().unwrap(),
        Answer(Some("before".to_owned()))
    );
    assert_eq!(later.await.unwrap(), Ok(told("1", Source::Miss)));
    assert_eq!(get(&cache, &behind).await, Ok(told("1", Source::Hit)));
}

#[tokio::test]
async fn an_entry_whose_time_is_over_is_told_once_more_while_one_task_renews_it() {
    pause();
    let (cache, behind) = (Cache::new(RULES), Behind::default());
    assert_eq!(get(&cache, &behind).await, Ok(told("1", Source::Miss)));
    advance(RULES.ttl + SECOND).await;
    for _ in 0..10 {
        assert_eq!(get(&cache, &behind).await, Ok(told("1", Source::Stale)));
    }
    while behind.asked() < 2 {
        tokio::task::yield_now().await;
    }
    while get(&cache, &behind).await != Ok(told("2", Source::Hit)) {
        tokio::task::yield_now().await;
    }
    assert_eq!(behind.asked(), 2);
}

#[tokio::test]
async fn an_entry_stands_in_while_nothing_answers_and_not_beyond_its_limit() {
    pause();
    let (cache, behind) = (Cache::new(RULES), Behind::default());
    assert_eq!(get(&cache, &behind).await, Ok(told("1", Source::Miss)));
    behind.down(true);
    cache.outdate_all();
    assert_eq!(get(&cache, &behind).await, Ok(told("1", Source::Stale)));
    advance(RULES.stale).await;
    assert_eq!(get(&cache, &behind).await, Ok(told("1", Source::Stale)));
    advance(RULES.ttl).await;
    assert_eq!(get(&cache, &behind).await, Err(()));
}

#[tokio::test]
async fn where_nothing_may_stand_in_nothing_does() {
    let strict = CacheRules {
        stale: Duration::ZERO,
        ..RULES
    };
    let (cache, behind) = (Cache::new(strict), Behind::default());
    assert_eq!(get(&cache, &behind).await, Ok(told("1", Source::Miss)));
    cache.doubt(true);
    behind.down(true);
    assert_eq!(get(&cache, &behind).await, Err(()));
}

#[tokio::test]
async fn while_changes_are_not_told_nothing_is_fresh() {
    let (cache, behind) = (Cache::new(RULES), Behind::default());
    assert_eq!(get(&cache, &behind).await, Ok(told("1", Source::Miss)));
    cache.doubt(true);
    assert_eq!(get(&cache, &behind).await, Ok(told("2", Source::Miss)));
    behind.down(true);
    assert_eq!(get(&cache, &behind).await, Ok(told("2", Source::Stale)));
    cache.doubt(false);
    assert_eq!(get(&cache, &behind).await, Ok(told("2", Source::Hit)));
}

#[tokio::test]
async fn that_there_is_nothing_is_remembered_for_a_shorter_time() {
    pause();
    let cache = Cache::new(RULES);
    let nothing = || async { Ok::<_, ()>(Answer(None)) };
    let source = async || cache.get("key", nothing).await.unwrap().source;
    assert_eq!(source().await, Source::Miss);
    assert_eq!(source().await, Source::Hit);
    advance(RULES.absent_ttl + RULES.revalidate).await;
    assert_eq!(source().await, Source::Miss);
}

#[tokio::test]
async fn neither_entries_nor_bytes_grow_without_bound() {
    let small = Cache::new(CacheRules {
        max_bytes: 1_000_000,
        ..RULES
    });
    let large = Cache::new(CacheRules {
        max_entries: 1_000_000,
        ..RULES
    });
    for number in 0..500 {
        let key = number.to_string();
        let load =
            |bytes: usize| move || async move { Ok::<_, ()>(Answer(Some("x".repeat(bytes)))) };
        small.get(&key, load(1)).await.unwrap();
        large.get(&key, load(5_000)).await.unwrap();
    }
    let (small, large) = (small.stats().await, large.stats().await);
    assert!(
        small.entries <= RULES.max_entries && small.entries > 50,
        "{small:?}"
    );
    assert!(
        large.bytes <= RULES.max_bytes && large.entries > 10,
        "{large:?}"
    );
    assert!(small.evictions >= 400, "{small:?}");
}

#[tokio::test]
async fn a_cache_without_room_keeps_nothing() {
    let none = CacheRules {
        max_entries: 0,
        ..RULES
    };
    let (cache, behind) = (Cache::new(none), Behind::default());
    let answers = join_all((0..100).map(|_| get(&cache, &behind))).await;
    assert!(
        answers
            .iter()
            .all(|answer| *answer == Ok(told("1", Source::Miss)))
    );
    assert_eq!(get(&cache, &behind).await, Ok(told("2", Source::Miss)));
    assert_eq!(cache.stats().await.entries, 0);
}

#[tokio::test]
async fn entries_are_removed_one_by_one_when_outdated_or_all() {
    let (cache, behind) = (Cache::new(RULES), Behind::default());
    for key in ["a", "b", "c"] {
        cache.get(key, behind.load()).await.unwrap();
    }
    assert!(cache.remove("a").await);
    assert!(!cache.remove("a").await);
    cache.outdate("b");
    assert_eq!(cache.clean_up().await, 1);
    assert_eq!(cache.entries().len(), 1);
    assert_eq!(cache.clear().await, 1);
    assert_eq!(cache.stats().await.entries, 0);
    assert_eq!(cache.stats().await.deletes, 3);
}
