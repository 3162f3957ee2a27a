//! Records in bulk for the sweeper, and records that were lost.

use super::{Row, Store, StoreError, record, to_json};
use crate::model::{Event, InstanceId, Spec, Status};
use crate::queue::Job;
use crate::redis::Repeat;
use crate::redis::scripts::RESTORE;
use crate::store::Record;

/// Records read at a time.
const BATCH: usize = 100;

/// A record as far as there is one and it can be read.
pub type Found = Result<Option<Record>, StoreError>;

impl Store {
    /// The records under these ids, each by itself: one that cannot be read does not hide the others.
    pub async fn each(&self, ids: &[InstanceId]) -> Result<Vec<(InstanceId, Found)>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for batch in ids.chunks(BATCH) {
            let names: Vec<String> = batch.iter().map(ToString::to_string).collect();
            for (id, row) in batch.iter().zip(self.rows(&names).await?) {
                let Row { spec, status, .. } = row;
                let read = spec.map(|spec| record(id.as_str(), spec, status));
                found.push((id.clone(), read.transpose()));
            }
        }
        Ok(found)
    }

    /// Writes a record that was lost, in one step, unless there is one by now; under `other_name` when
    /// its own is taken. Tells whether it was written.
    pub async fn restore(
        &self,
        spec: &Spec,
        status: &Status,
        event: &Event,
        other_name: &str,
    ) -> Result<bool, StoreError> {
        let mut keys = self.keys.queue();
        keys.extend([
            self.keys.spec(),
            self.keys.status(),
            self.keys.ops(),
            self.keys.index(),
            self.keys.names(),
            self.keys.bound(),
            self.keys.events(&spec.id),
        ]);
        let renamed = Spec {
            name: other_name.to_owned(),
            ..spec.clone()
        };
        let operation = status.operation.clone().unwrap_or_else(|| spec.operation());
        let job = Job::Reconcile {
            instance: spec.id.clone(),
        };
        let args = [
            spec.id.to_string(),
            spec.name.clone(),
            to_json(spec),
            to_json(&renamed),
            other_name.to_owned(),
            spec.created_at.0.to_string(),
            to_json(status),
            operation.id.to_string(),
            to_json(&operation),
            status.provider_id().unwrap_or_default().to_owned(),
            to_json(event),
            job.id().to_string(),
            job.stored(),
        ];
        let reply = self
            .redis
            .script(&RESTORE, &keys, &args, Repeat::Harmless)
            .await?;
        Ok(reply.int()? == 1)
    }
}
