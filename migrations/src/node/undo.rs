//! Taking an import back. The source was never written, so there is nothing to restore: what was written
//! here is removed, unless somebody has worked on it since.

use shared::model::{Spec, Status};
use shared::redis::scripts::UNIMPORT;
use shared::redis::{Command, Repeat};

use super::item::{fallback_name, script_keys};
use super::ledger::{CLAIMED, META, fields};
use crate::answer::Failure;
use crate::lock::Lock;
use crate::scan::{Scan, pairs};
use crate::screen::Progress;
use crate::steps::{self, Place};

/// Records taken back together.
const BATCH: usize = 50;

/// What became of an import that was taken back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Undone {
    /// Records and webhooks that are gone.
    pub gone: u64,
    /// Those that were changed since, or are being worked on.
    pub kept: u64,
}

/// Takes an import back; with force also what was changed since. Without a lock it is only counted.
///
/// # Errors
/// Redis did not do its part; a second run completes it.
pub async fn undo(place: Place<'_>, lock: Option<&Lock>, force: bool) -> Result<Undone, Failure> {
    let mut progress = Progress::new("records", None);
    let mut undone = Undone::default();
    let ledger = place.keys.imported();
    let mut scan = Scan::members(place.redis, "HSCAN", &ledger, BATCH);
    while let Some(portion) = scan.next().await? {
        let names: Vec<String> = pairs(portion)?
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with(META))
            .collect();
        progress.advance(names.len() as u64);
        for names in names.chunks(BATCH) {
            let words = match lock {
                Some(lock) => take_back(place, lock, names, force).await?,
                None => vec!["gone".to_owned(); names.len()],
            };
            for word in words {
                match word.as_str() {
                    "gone" => undone.gone += 1,
                    "kept" => undone.kept += 1,
                    _ => {}
                }
            }
        }
    }
    if let Some(lock) = lock
        && undone.kept == 0
    {
        forget(place, lock).await?;
    }
    Ok(undone)
}

async fn take_back(
    place: Place<'_>,
    lock: &Lock,
    names: &[String],
    force: bool,
) -> Result<Vec<String>, Failure> {
    let ids: Vec<String> = names.iter().map(|name| id(name).to_owned()).collect();
    let specs = fields(place.redis, place.keys.spec(), &ids).await?;
    let statuses = fields(place.redis, place.keys.status(), &ids).await?;
    let keys = place.keys;
    let mut all = script_keys(keys);
    all.extend([keys.budget(), keys.fleet(), keys.marks(), keys.watch()]);
    let mut args = vec![lock.token().to_owned(), u8::from(force).to_string()];
    for ((name, spec), status) in names.iter().zip(specs).zip(statuses) {
        if name.starts_with("job:") {
            let job = format!("webhook:msg_{}", id(name));
            args.extend(["job".to_owned(), name.clone(), job]);
            continue;
        }
        let Ok(instance) = id(name).parse() else {
            continue;
        };
        all.push(keys.events(&instance));
        args.extend(["instance".to_owned(), name.clone(), id(name).to_owned()]);
        args.push(format!("instance:{instance}"));
        args.extend(traces(spec.as_deref(), status.as_deref()));
    }
    let reply = place
        .redis
        .script(&UNIMPORT, &all, &args, Repeat::Harmless)
        .await?;
    let words = reply.optional_texts()?.into_iter();
    Ok(words.map(Option::unwrap_or_default).collect())
}

/// The id in a name of the ledger.
fn id(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, id)| id)
}

/// Where a record may be found: by names, operations, and the provider's ids; each with their number.
fn traces(spec: Option<&str>, status: Option<&str>) -> Vec<String> {
    let spec: Option<Spec> = spec.and_then(|spec| serde_json::from_str(spec).ok());
    let status: Option<Status> = status.and_then(|status| serde_json::from_str(status).ok());
    let names = spec
        .iter()
        .flat_map(|spec| [spec.name.clone(), fallback_name(spec)]);
    let operations = spec.iter().flat_map(|spec| {
        let past = spec.past_operations.iter().cloned();
        past.chain([spec.request.operation_id.clone()])
    });
    let worked_on = status.iter().filter_map(|status| status.operation.as_ref());
    let operations = operations.chain(worked_on.map(|operation| operation.id.clone()));
    let held = status.iter().flat_map(Status::all_attempts);
    let held = held.filter_map(|attempt| attempt.provider_id.clone());
    let lists = [
        names.collect::<Vec<_>>(),
        operations.map(|id| id.to_string()).collect(),
        held.collect(),
    ];
    let counted = lists
        .into_iter()
        .flat_map(|list| std::iter::once(list.len().to_string()).chain(list));
    counted.collect()
}

/// The layout too, if the import found none; then the memory of the import.
async fn forget(place: Place<'_>, lock: &Lock) -> Result<(), Failure> {
    let claimed = fields(place.redis, place.keys.imported(), &[CLAIMED.to_owned()]).await?;
    if claimed.into_iter().flatten().next().is_some() {
        let layout = place.layout().await?;
        steps::set_layout(place, lock, layout, None).await?;
    }
    let ledger = Command::new("DEL").arg(place.keys.imported());
    place.redis.run(ledger, Repeat::Harmless).await?;
    Ok(())
}
