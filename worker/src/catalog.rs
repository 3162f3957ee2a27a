//! What the provider offers, asked for once by many: snapshots that live for seconds.
//!
//! Whoever finds a snapshot too old asks the provider, and everybody else who wants it waits for that
//! answer. When the provider does not answer, a snapshot of the last minutes has to do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::novita::{Cluster, Novita, NovitaError, Product, ProductQuery};
use crate::provider::Provider;

/// The oldest snapshot that may stand in for an answer.
const STALE: Duration = Duration::from_secs(300);
/// Different questions that are remembered.
const MAX_QUESTIONS: usize = 1024;

/// The snapshots of one process.
#[derive(Debug)]
pub(crate) struct Catalog {
    ttl: Duration,
    clusters: Snapshot<Vec<Cluster>>,
    products: Mutex<HashMap<ProductQuery, Arc<Snapshot<Vec<Product>>>>>,
}

impl Catalog {
    /// Answers count for `ttl`.
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            clusters: Snapshot::default(),
            products: Mutex::default(),
        }
    }

    /// All clusters.
    pub(crate) async fn clusters<N: Novita>(
        &self,
        provider: &Provider<N>,
    ) -> Result<Arc<Vec<Cluster>>, NovitaError> {
        self.clusters.get(self.ttl, || provider.clusters()).await
    }

    /// The products that match, from an answer that is not older than `max_age`, nor than answers count.
    pub(crate) async fn products<N: Novita>(
        &self,
        provider: &Provider<N>,
        query: &ProductQuery,
        max_age: Duration,
    ) -> Result<Arc<Vec<Product>>, NovitaError> {
        let snapshot = self.snapshot(query);
        let max_age = max_age.min(self.ttl);
        snapshot.get(max_age, || provider.products(query)).await
    }

    fn snapshot(&self, query: &ProductQuery) -> Arc<Snapshot<Vec<Product>>> {
        let mut known = self.products.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = known.get(query) {
            return Arc::clone(snapshot);
        }
        if known.len() >= MAX_QUESTIONS {
            // Callers choose the names in them, so there may be any number; the living ones come back.
            known.clear();
        }
        let snapshot = Arc::default();
        known.insert(query.clone(), Arc::clone(&snapshot));
        snapshot
    }
}

/// One answer of the provider, and who asks for the next.
#[derive(Debug)]
struct Snapshot<T>(tokio::sync::Mutex<Answers<T>>);

#[derive(Debug)]
struct Answers<T> {
    last: Option<(Instant, Arc<T>)>,
    failure: Option<(Instant, NovitaError)>,
}

impl<T> Default for Snapshot<T> {
    fn default() -> Self {
        let none = Answers {
            last: None,
            failure: None,
        };
        Self(tokio::sync::Mutex::new(none))
    }
}

impl<T> Snapshot<T> {
    async fn get<F: Future<Output = Result<T, NovitaError>>>(
        &self,
        max_age: Duration,
        ask: impl FnOnce() -> F,
    ) -> Result<Arc<T>, NovitaError> {
        let wanted = Instant::now();
        // Held while the provider is asked: the others wait here for the same answer.
        let mut answers = self.0.lock().await;
        if let Some((taken, value)) = &answers.last
            && (*taken >= wanted || taken.elapsed() < max_age)
        {
            return Ok(Arc::clone(value));
        }
        if let Some((at, error)) = &answers.failure
            && *at >= wanted
        {
            return answers.stale().ok_or_else(|| error.clone());
        }
        match ask().await {
            Ok(value) => {
                let value = Arc::new(value);
                answers.last = Some((Instant::now(), Arc::clone(&value)));
                answers.failure = None;
                Ok(value)
            }
            Err(error) => {
                answers.failure = Some((Instant::now(), error.clone()));
                answers.stale().ok_or(error)
            }
        }
    }
}

impl<T> Answers<T> {
    /// The last answer, if it may stand in for another one.
    fn stale(&self) -> Option<Arc<T>> {
        let (taken, value) = self.last.as_ref()?;
        (taken.elapsed() < STALE).then(|| Arc::clone(value))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn error() -> NovitaError {
        NovitaError::NotSent("down".into())
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cost_one_call() {
        let (snapshot, calls) = (Snapshot::default(), AtomicUsize::new(0));
        let ask = || async {
            tokio::task::yield_now().await;
            Ok(calls.fetch_add(1, Ordering::Relaxed))
        };
        let answers = join_all((0..50).map(|_| snapshot.get(LONG, ask))).await;
        assert!(answers.into_iter().all(|answer| *answer.unwrap() == 0));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn many_who_ask_in_vain_cost_one_call_too() {
        let (snapshot, calls) = (Snapshot::<()>::default(), AtomicUsize::new(0));
        let ask = || async {
            tokio::task::yield_now().await;
            calls.fetch_add(1, Ordering::Relaxed);
            Err(error())
        };
        let answers = join_all((0..50).map(|_| snapshot.get(LONG, ask))).await;
        assert!(answers.into_iter().all(|answer| answer == Err(error())));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!(snapshot.get(LONG, ask).await, Err(error()));
        assert_eq!(calls.load(Ordering::Relaxed), 2, "later ones ask anew");
    }

    #[tokio::test]
    async fn an_old_answer_is_replaced_and_stands_in_while_there_is_no_new_one() {
        let snapshot = Snapshot::default();
        let get = async |answer| snapshot.get(Duration::ZERO, async || answer).await;
        assert_eq!(get(Ok(1)).await, Ok(Arc::new(1)));
        assert_eq!(get(Err(error())).await, Ok(Arc::new(1)));
        assert_eq!(get(Ok(2)).await, Ok(Arc::new(2)));
        let fresh = snapshot.get(LONG, async || unreachable!()).await;
        assert_eq!(fresh, Ok(Arc::new(2)));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_old_does_not_stand_in() {
        let snapshot = Snapshot::default();
        let ask = async |answer| snapshot.get(Duration::ZERO, async || answer).await;
        assert_eq!(ask(Ok(1)).await, Ok(Arc::new(1)));
        let long_ago = Instant::now().checked_sub(STALE).unwrap();
        snapshot.0.lock().await.last = Some((long_ago, Arc::new(1)));
        assert_eq!(ask(Err(error())).await, Err(error()));
    }
}
