//! Looking at what is on its way at the provider, often, and without asking for each.
//!
//! What shows the same word is asked for together, by a list of that word: what is not in it any more
//! has moved on, and its reconcile is made due, which asks for it by id.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use shared::fleet::Watched;
use shared::model::InstanceId;
use shared::queue::{Job, Reservation, Settlement, Verdict};
use tokio::time::Instant;

use super::cadence::rest;
use super::{Fleet, metrics};
use crate::novita::{Gap, Instance, ListQuery, Listing, Novita, PAGE_SIZE, ProviderStatus};

/// Between looks while nothing is on its way; whatever sets out makes the next one due.
const NOTHING: Duration = Duration::from_secs(3600);

impl<N: Novita> Fleet<N> {
    /// Looks once and tells when the next look is due.
    pub(crate) async fn look(&self, job: Reservation) -> Settlement {
        let began = Instant::now();
        let watched = match self.store.watched().await {
            Ok(watched) => watched,
            Err(error) => {
                let (after, error) = (self.cadence.fast, error.to_string());
                return job.settle(Verdict::Retry { after, error }, Vec::new());
            }
        };
        metrics::watched(watched.len());
        if watched.is_empty() {
            return job.settle(Verdict::Again(NOTHING), Vec::new());
        }
        let mut groups: BTreeMap<String, Vec<(InstanceId, String)>> = BTreeMap::new();
        for (instance, Watched { provider_id, word }) in watched {
            groups
                .entry(word)
                .or_default()
                .push((instance, provider_id));
        }
        let mut wait = Duration::ZERO;
        for (word, group) in groups {
            let (moved, held) = self.moved_on(&word, group).await;
            wait = wait.max(held);
            let due: Vec<Job> = moved.into_iter().map(reconcile).collect();
            if let Err(error) = self.queue.enqueue(&due).await {
                tracing::warn!(%error, "what moved on is looked at a little later");
            }
        }
        let next = rest(self.cadence.fast, began.elapsed()).max(wait);
        job.settle(Verdict::Again(next), Vec::new())
    }

    /// Those that may not show the word any more, and how long nothing may be asked. A list that fails
    /// tells nothing, and each of them looks for itself after a while.
    async fn moved_on(
        &self,
        word: &str,
        group: Vec<(InstanceId, String)>,
    ) -> (Vec<InstanceId>, Duration) {
        let all = |group: Vec<(InstanceId, String)>| group.into_iter().map(|(id, _)| id).collect();
        // One is asked for by its id as cheaply, and so are a few among many of the same word.
        if group.len() == 1 || word.is_empty() {
            return (all(group), Duration::ZERO);
        }
        let status = ProviderStatus::from(word.to_owned());
        let query = ListQuery {
            status: Some(status.clone()),
            ..ListQuery::default()
        };
        let most = group.len() as u64 * u64::from(PAGE_SIZE);
        let keep = |instance: Instance| (instance.status == status).then_some(instance.id);
        let listed = match self.provider.list_few(query, most, keep).await {
            None => return (all(group), Duration::ZERO),
            Some(Listing::Complete(listed)) => listed,
            Some(Listing::Incomplete {
                seen: _,
                why: why @ Gap::Failed(_),
            }) => {
                return (Vec::new(), why.held().unwrap_or_default());
            }
            // Such a list moves while it is read; what it does not show is worth a look by id.
            Some(Listing::Incomplete { seen, why: _ }) => seen,
        };
        let still: HashSet<String> = listed.into_iter().flatten().collect();
        let moved = group
            .into_iter()
            .filter(|(_, provider_id)| !still.contains(provider_id));
        (moved.map(|(id, _)| id).collect(), Duration::ZERO)
    }
}

fn reconcile(instance: InstanceId) -> Job {
    Job::Reconcile { instance }
}
