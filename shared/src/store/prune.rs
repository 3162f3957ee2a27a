//! Forgetting what was closed long ago.

use super::{Record, Row, Store, StoreError, record};
use crate::clock::Millis;
use crate::model::{InstanceId, OperationId};
use crate::queue::Job;
use crate::redis::scripts::PRUNE;
use crate::redis::{Command, Repeat};

/// Records that one script forgets; keeps it short.
const BATCH: usize = 50;

impl Store {
    /// Forgets up to `limit` records that were closed before `time`, with their events and operations,
    /// the oldest first. Returns how many. One that is not closed, or that anything is still to be done
    /// about, is never forgotten; one that cannot be read is left alone.
    pub async fn prune(&self, time: Millis, limit: usize) -> Result<usize, StoreError> {
        let (mut pruned, mut skipped) = (0, 0);
        while pruned + skipped < limit {
            let ids = self.closed_before(time, skipped).await?;
            if ids.is_empty() {
                break;
            }
            let forgotten = self.prune_batch(time, &ids).await?;
            pruned += forgotten;
            // What stays would be found again, and again.
            skipped += ids.len() - forgotten;
        }
        Ok(pruned)
    }

    async fn closed_before(&self, time: Millis, skip: usize) -> Result<Vec<String>, StoreError> {
        let command = Command::new("ZRANGE").arg(self.keys.closed()).args([
            "-inf".to_owned(),
            format!("({}", time.0),
            "BYSCORE".to_owned(),
            "LIMIT".to_owned(),
            skip.to_string(),
            BATCH.to_string(),
        ]);
        let ids = self.redis.run(command, Repeat::Harmless).await?;
        Ok(ids.optional_texts()?.into_iter().flatten().collect())
    }

    async fn prune_batch(&self, time: Millis, ids: &[String]) -> Result<usize, StoreError> {
        let mut keys = self.keys.queue();
        keys.extend([
            self.keys.spec(),
            self.keys.status(),
            self.keys.ops(),
            self.keys.closed(),
            self.keys.last_used(),
        ]);
        let mut args = vec![time.0.to_string()];
        for row in self.rows(ids).await? {
            let Ok(instance) = row.id.parse::<InstanceId>() else {
                continue;
            };
            let Some(operations) = operations_of(row) else {
                tracing::error!(%instance, "closed, but its record does not say so; it is kept");
                continue;
            };
            keys.push(self.keys.events(&instance));
            args.push(instance.to_string());
            args.push(Job::Reconcile { instance }.id().to_string());
            args.push(operations.len().to_string());
            args.extend(operations.into_iter().map(String::from));
        }
        if args.len() == 1 {
            return Ok(0);
        }
        let reply = self
            .redis
            .script(&PRUNE, &keys, &args, Repeat::Harmless)
            .await?;
        Ok(reply.int()?.max(0) as usize)
    }
}

/// Every operation that is still remembered of an instance whose removal was confirmed; `None` when the
/// record does not say that.
fn operations_of(row: Row) -> Option<Vec<OperationId>> {
    let Some(spec) = row.spec else {
        // Forgotten by half, and forgotten wholly now.
        return Some(Vec::new());
    };
    let Record { spec, status, .. } = record(&row.id, spec, row.status).ok()?;
    let status = status.filter(|status| status.timestamps.terminated.is_some())?;
    let mut ids = spec.past_operations;
    ids.push(spec.request.operation_id);
    ids.extend(status.operation.map(|operation| operation.id));
    ids.sort();
    ids.dedup();
    Some(ids)
}
