//! The whole fleet: our records beside what the provider's list showed, whoever made it.
//!
//! The list is the one that workers read anyway; no request asks the provider, and none changes state.
//! With `fresh=true` a worker reads it first.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use shared::cache::Source;
use shared::clock::Millis;
use shared::fleet::{FleetStore, PassReport};
use shared::model::Sighting;
use shared::store::{Record, Store, StoreError};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::cached::{Cached, cached};
use super::{Input, fresh};
use crate::app::App;
use crate::error::ApiError;
use crate::json;
use crate::listed::{Foreign, Origin};
use crate::reply::Reply;
use crate::validate::Fields;
use crate::view::InstanceDetails;

/// Records that are read at a time, and in all.
const PAGE: u64 = 200;
const MOST: u64 = 10_000;
/// Memory of one instance in the provider's list, roughly.
const SIGHTING: usize = 1000;

#[derive(Serialize, ToSchema)]
#[schema(as = Fleet)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing<'a> {
    #[schema(value_type = Vec<InstanceDetails<'a>>)]
    instances: Vec<Entry<'a>>,
    total: usize,
    sources: Sources,
    /// How old the provider's list is, in ms; `null` before the first one.
    data_age: Option<u64>,
    performance: Performance,
}

#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = FleetSources)]
struct Sources {
    local: usize,
    novita: usize,
    merged: usize,
}

/// The predecessor's members, in ms.
#[derive(Serialize, ToSchema)]
#[schema(as = FleetTimes)]
#[serde(rename_all = "camelCase")]
struct Performance {
    total_request_time: u64,
    novita_api_time: u64,
    local_data_time: u64,
    merge_processing_time: u64,
    cache_hit_ratio: u64,
}

/// One instance, ours or not.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Ours {
        #[serde(flatten)]
        details: Box<InstanceDetails<'a>>,
        #[serde(flatten)]
        origin: Box<Origin<'a>>,
    },
    Foreign(Box<Foreign<'a>>),
}

/// Everything that a listing is made of.
#[derive(Debug)]
pub(crate) struct Snapshot {
    records: Vec<Record>,
    fields: BTreeMap<String, Vec<Sighting>>,
    report: PassReport,
}

impl Snapshot {
    /// Reads all of it.
    pub(crate) async fn read(store: &Store, fleet: &FleetStore) -> Result<Self, StoreError> {
        let mut records = Vec::new();
        while (records.len() as u64) < MOST {
            let page = store.page(records.len() as u64, PAGE).await?.records;
            let is_last = (page.len() as u64) < PAGE;
            records.extend(page);
            if is_last {
                break;
            }
        }
        let (fields, report) = fleet.all().await?;
        Ok(Self {
            records,
            fields,
            report,
        })
    }

    /// Memory that it takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let sightings = self.fields.values().flatten().count();
        self.records.iter().map(Record::bytes).sum::<usize>() + sightings * SIGHTING
    }

    /// Our instances, newest first, and then those that are not ours.
    fn entries(&self, with_foreign: bool) -> (Vec<Entry<'_>>, Sources) {
        let mut sources = Sources::default();
        let mut shown = HashSet::new();
        let mut entries = Vec::new();
        for record in &self.records {
            let sighting = self.sighting(record);
            match sighting {
                Some(sighting) => {
                    sources.merged += 1;
                    shown.insert(sighting.provider_id.as_str());
                }
                None => sources.local += 1,
            }
            entries.push(Entry::Ours {
                details: Box::new(InstanceDetails::of(record, None)),
                origin: Box::new(self.origin(record, sighting)),
            });
        }
        let others = self.fields.values().flatten();
        let others = others.filter(|sighting| !shown.contains(sighting.provider_id.as_str()));
        for sighting in others.filter(|_| with_foreign) {
            sources.novita += 1;
            entries.push(Entry::Foreign(Box::new(Foreign::of(
                sighting,
                self.report.complete_at,
            ))));
        }
        (entries, sources)
    }

    /// What the list showed of the instance that a record holds.
    fn sighting(&self, record: &Record) -> Option<&Sighting> {
        let provider_id = record.status.as_ref()?.provider_id()?;
        let sightings = self.fields.get(record.spec.id.as_str())?;
        sightings
            .iter()
            .find(|sighting| sighting.provider_id == provider_id)
    }

    fn origin<'a>(&'a self, record: &'a Record, sighting: Option<&'a Sighting>) -> Origin<'a> {
        let Some(sighting) = sighting else {
            return Origin::local(self.report.complete_at);
        };
        let known = record.status.as_ref().and_then(|s| s.provider.as_ref());
        let seen_at = sighting.facts.seen_at.max(self.report.complete_at);
        let data_consistency = match known {
            Some(known) if known.status == sighting.facts.status => "consistent",
            Some(known) if known.seen_at > seen_at => "local-newer",
            _ => "novita-newer",
        };
        Origin::listed(sighting, self.report.complete_at).merged(data_consistency)
    }
}

fn ms(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}

/// `GET /api/instances/comprehensive`.
pub(crate) async fn comprehensive(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let began = Instant::now();
    if !app.listing.is_enabled {
        return Err(ApiError::SwitchedOff("Comprehensive listing"));
    }
    // As the predecessor did: whatever is not `false` is true in the one, and the reverse in the other.
    let foreign = input.parameter("includeNovitaOnly")?;
    let with_foreign = foreign.map_or(app.listing.shows_foreign, |word| word != "false");
    let sync = input.parameter("syncLocalState")?;
    let syncs = sync.map_or(app.listing.syncs, |word| word == "true");
    if fresh::is_wanted(input)? {
        fresh::fleet(app).await?;
    }
    let (snapshot, cached) = snapshot(app).await?;
    if syncs {
        fresh::read_anew(app).await?;
    }
    let read = ms(began);
    let (instances, sources) = snapshot.entries(with_foreign);
    let complete_at = snapshot.report.complete_at;
    let listing = Listing {
        total: instances.len(),
        instances,
        sources,
        data_age: (complete_at.0 > 0).then(|| Millis::now().since(complete_at)),
        performance: Performance {
            total_request_time: ms(began),
            novita_api_time: 0,
            local_data_time: read,
            merge_processing_time: ms(began) - read,
            cache_hit_ratio: u64::from(cached.source != Source::Miss),
        },
    };
    Ok(cached.onto(Reply::json(StatusCode::OK, &listing)))
}

async fn snapshot(app: &App) -> Result<(Arc<Snapshot>, Cached), ApiError> {
    let (snapshot, cached) = cached(app.caches.fleet().await)?;
    // It is never missing.
    let snapshot = snapshot.ok_or(ApiError::NotReady("the fleet"))?;
    Ok((snapshot, cached))
}

/// `POST /api/instances/sync`: has a worker read the provider's list now and waits for that. Records
/// follow by their own reconciles; nothing is imported and none is removed.
pub(crate) async fn sync(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let began = Instant::now();
    let mut fields = Fields::new(json::object(&input.body)?);
    let options = json!({
        "forceSync": fields.flag("forceSync").unwrap_or_default(),
        "handleObsoleteInstances": fields.flag("handleObsoleteInstances").unwrap_or(true),
        "dryRun": fields.flag("dryRun").unwrap_or_default(),
    });
    fields.finish(input.parameter("strict")?.as_deref() == Some("true"))?;
    let before = snapshot(app).await?.0.entries(true).0.len();
    let looked = fresh::fleet(app).await?;
    let is_done = looked.is_complete();
    let (snapshot, _) = snapshot(app).await?;
    let (after, sources) = snapshot.entries(true);
    let message = if is_done {
        "Instances synchronized successfully".to_owned()
    } else if looked.is_new {
        let gap = &looked.report.gap;
        format!("The provider's list could not be read whole: {gap}")
    } else {
        "The provider's list is being read; ask again for the result".to_owned()
    };
    let answer = json!({
        "success": is_done,
        "message": message,
        "data": {
            "beforeSync": before,
            "afterSync": after.len(),
            "novitaInstances": sources.novita,
            "localInstances": sources.local,
            "mergedInstances": sources.merged,
            "totalInstances": after.len(),
            "instancesRemoved": 0,
            "duration": ms(began),
            "timestamp": Millis::now().iso(),
            "options": options,
        },
    });
    let status = if is_done {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok(Reply::json(status, &answer))
}
