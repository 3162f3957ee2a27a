//! Source and target, field by field.
//!
//! The first event of an imported record holds the predecessor's record and what stood beside it. So it
//! can be told that nothing of the source was lost, that ours follows from it, and, as long as no worker
//! has changed it since, that it is stored exactly so.

use serde::Serialize;
use serde_json::Value;
use shared::model::{Event, EventKind, Spec, Status};
use shared::redis::{Command, Reply};

use super::context::Beside;
use super::item::{Item, StateItem, fallback_name};
use super::ledger::{Remembered, fields, recall};
use super::map::{Import, archived};
use super::report::Report;
use super::target::Target;
use crate::answer::Failure;
use crate::digest::sha1_hex;

/// What is stored of one imported instance.
struct Stored {
    spec: Option<String>,
    status: Option<String>,
    event: Option<String>,
    envs: Option<String>,
}

/// Compares items with what was written for them.
pub(super) async fn compare(
    target: &Target<'_>,
    items: &[Item],
    report: &mut Report,
) -> Result<(), Failure> {
    let place = target.place;
    let names: Vec<String> = items.iter().map(Item::ledger_key).collect();
    let remembered = recall(place.redis, place.keys, &names).await?;
    let mut states = Vec::new();
    for (item, remembered) in items.iter().zip(remembered) {
        let key = &item.entry().key;
        let counts = match item {
            Item::State(_) => &mut report.instances,
            Item::Webhook(_) => &mut report.webhooks,
        };
        match remembered {
            None => {
                counts.quarantined += 1;
                report.differ(format!("{key} was not imported"));
            }
            Some(remembered) if remembered.digest != item.digest() => {
                counts.changed += 1;
                report.differ(format!("{key} has changed since it was imported"));
            }
            Some(remembered) => {
                counts.known += 1;
                if let Item::State(item) = item {
                    states.push((&**item, remembered));
                }
            }
        }
    }
    let stored = read(target, &states).await?;
    for ((item, remembered), stored) in states.iter().zip(&stored) {
        Comparison {
            target,
            item,
            remembered,
            stored,
            report,
        }
        .compare();
    }
    Ok(())
}

async fn read(
    target: &Target<'_>,
    states: &[(&StateItem, Remembered)],
) -> Result<Vec<Stored>, Failure> {
    let place = target.place;
    let ids: Vec<String> = states
        .iter()
        .map(|(item, _)| item.state.id.clone())
        .collect();
    let specs = fields(place.redis, place.keys.spec(), &ids).await?;
    let statuses = fields(place.redis, place.keys.status(), &ids).await?;
    let envs = fields(place.redis, place.keys.envs(), &ids).await?;
    let first = ids.iter().filter_map(|id| id.parse().ok()).map(|id| {
        let key = place.keys.events(&id);
        Command::new("LINDEX").arg(key).arg("0")
    });
    let first: Vec<Command> = first.collect();
    let events = if first.is_empty() {
        Vec::new()
    } else {
        place.redis.read(&first).await?
    };
    let events: Result<Vec<_>, _> = events.into_iter().map(Reply::optional_text).collect();
    let rows = specs.into_iter().zip(statuses).zip(events?).zip(envs);
    let stored = rows.map(|(((spec, status), event), envs)| Stored {
        spec,
        status,
        event,
        envs,
    });
    Ok(stored.collect())
}

struct Comparison<'c> {
    target: &'c Target<'c>,
    item: &'c StateItem,
    remembered: &'c Remembered,
    stored: &'c Stored,
    report: &'c mut Report,
}

impl Comparison<'_> {
    fn compare(mut self) {
        let spec = self
            .stored
            .spec
            .as_deref()
            .map(serde_json::from_str::<Spec>);
        let (Some(Ok(spec)), Some(stored)) = (spec, self.stored.spec.clone()) else {
            self.differ("its record is gone");
            return;
        };
        let Some(Ok(event)) = self
            .stored
            .event
            .as_deref()
            .map(serde_json::from_str::<Event>)
        else {
            self.differ("its event log is gone");
            return;
        };
        if event.kind != EventKind::RecordImported {
            // Its first event was pushed out by five hundred newer ones.
            self.report.moved_on += 1;
            return;
        }
        let archive = archived(self.item.source.clone());
        if event.data.get("record") != Some(&archive) {
            self.differ("the record in its first event is not the source's");
        }
        let beside = event.data.get("beside").cloned().unwrap_or(Value::Null);
        let beside: Beside = serde_json::from_value(beside).unwrap_or_default();
        let again = StateItem {
            beside,
            entry: self.item.entry.clone(),
            state: self.item.state.clone(),
            source: self.item.source.clone(),
            written: self.item.written,
        };
        match again.import(self.remembered.at, spec.options.has_envs) {
            Ok(expected) => self.compare_with(&expected, &spec, &stored),
            Err(reason) => self.differ(&reason),
        }
    }

    fn compare_with(&mut self, expected: &Import, spec: &Spec, stored_spec: &str) {
        let (spec_digest, status_digest) = self.remembered.written.clone().unwrap_or_default();
        let renamed = Spec {
            name: fallback_name(&expected.spec),
            ..expected.spec.clone()
        };
        let wanted = if spec.name == renamed.name {
            &renamed
        } else {
            &expected.spec
        };
        if sha1_hex(stored_spec) == spec_digest {
            self.fields("spec", wanted, spec, &[]);
        } else {
            // Wishes came since; what a wish never changes is still compared.
            let changing = ["desired", "generation", "request", "pastOperations"];
            self.fields("spec", wanted, spec, &changing);
            self.report.moved_on += 1;
        }
        let Some(stored) = self.stored.status.as_deref() else {
            self.differ("its status is gone");
            return;
        };
        let Ok(status) = serde_json::from_str::<Status>(stored) else {
            self.differ("its status cannot be read");
            return;
        };
        if sha1_hex(stored) == status_digest {
            // When it was stored in the source says nothing about the instance.
            self.fields("status", &expected.status, &status, &["provider"]);
        }
        let ids = |status: &Status| -> Vec<Option<String>> {
            let attempts = status.all_attempts();
            attempts
                .map(|attempt| attempt.provider_id.clone())
                .collect()
        };
        let found = ids(&status);
        if !ids(&expected.status)
            .iter()
            .all(|id| found.contains(id) || id.is_none())
        {
            self.differ("it does not hold its instance at the provider");
        }
        self.compare_envs(expected, spec);
    }

    fn compare_envs(&mut self, expected: &Import, spec: &Spec) {
        if !spec.options.has_envs {
            return;
        }
        let Some(key) = &self.target.envs_key else {
            return;
        };
        let stored = self.stored.envs.as_deref().unwrap_or_default();
        match key.open(&spec.id, stored) {
            Ok(envs) if envs == expected.envs => {}
            Ok(_) => self.differ("its environment differs"),
            // It goes when the record closes.
            Err(_) if self.stored.envs.is_none() => {}
            Err(error) => self.differ(&error.to_string()),
        }
    }

    /// Compares two values member by member, some left out.
    fn fields<T: Serialize>(&mut self, what: &str, expected: &T, found: &T, but: &[&str]) {
        let object = |value: &T| match serde_json::to_value(value) {
            Ok(Value::Object(members)) => members,
            Ok(_) | Err(_) => serde_json::Map::new(),
        };
        let (expected, found) = (object(expected), object(found));
        let mut names: Vec<&String> = expected.keys().chain(found.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            if !but.contains(&name.as_str()) && expected.get(name) != found.get(name) {
                self.differ(&format!("{what}.{name} differs"));
            }
        }
    }

    fn differ(&mut self, why: &str) {
        let key = &self.item.entry.key;
        self.report.differ(format!("{key}: {why}"));
    }
}
