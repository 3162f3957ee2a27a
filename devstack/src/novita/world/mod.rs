//! The whole simulated account: instances, stock, jobs; no clock of its own and no I/O.

mod create;

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::input::BadInput;
use crate::novita::catalog::{BillingMode, Catalog};
use crate::novita::clock::SimTime;
use crate::novita::error::ApiError;
use crate::novita::instance::{Instance, RunningJob};
use crate::novita::jobs::{self, Job, JobState};
use crate::novita::settings::Settings;
use crate::novita::spot::{Spot, SpotAction};
use crate::novita::status::Status;
use crate::novita::stock::Stock;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) catalog: Catalog,
    pub(crate) stock: Stock,
    pub(crate) jobs: Vec<Job>,
    live: BTreeMap<String, Instance>,
    departed: Vec<Instance>,
    created: u64,
    rng: StdRng,
}

impl World {
    pub(crate) fn new(catalog: Catalog, settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            stock: Stock::of(&catalog),
            catalog,
            jobs: Vec::new(),
            live: BTreeMap::new(),
            departed: Vec::new(),
            created: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Replaces what is on offer; what is rented stays as it was agreed.
    pub(crate) fn set_catalog(&mut self, catalog: Catalog) {
        self.stock = Stock::of(&catalog);
        self.catalog = catalog;
    }

    pub(crate) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.live.values()
    }

    pub(crate) fn instances_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.live.values_mut()
    }

    /// Every instance there ever was, in order of creation.
    pub(crate) fn ever_created(&self) -> Vec<&Instance> {
        let mut all: Vec<&Instance> = self.departed.iter().chain(self.live.values()).collect();
        all.sort_by_key(|instance| instance.number);
        all
    }

    pub(crate) fn get(&self, id: &str) -> Result<&Instance, ApiError> {
        self.live
            .get(id)
            .ok_or_else(|| ApiError::unknown_instance(&self.settings))
    }

    /// Lets everything happen that is due by `now`.
    pub(crate) fn advance(&mut self, now: SimTime) {
        for instance in self.live.values_mut() {
            let held = instance.holds_gpus;
            instance.advance(now, &self.settings);
            account(&mut self.stock, instance, held);
            close_job(&mut self.jobs, instance);
        }
        let absent: Vec<String> = self
            .live
            .values()
            .filter(|i| i.absent)
            .map(|i| i.id.clone())
            .collect();
        self.departed
            .extend(absent.iter().filter_map(|id| self.live.remove(id)));
    }

    pub(crate) fn start(&mut self, id: &str, now: SimTime) -> Result<Status, ApiError> {
        let instance = self.get(id)?;
        if *instance.status() != Status::Exited || instance.job.is_some() {
            return Err(ApiError::wrong_state(&self.settings));
        }
        if self.free_beside(instance) < instance.order.gpu_num {
            return Err(ApiError::insufficient());
        }
        self.enter(id, Status::ToStart, now)
    }

    pub(crate) fn stop(&mut self, id: &str, now: SimTime) -> Result<Status, ApiError> {
        self.require_running(id)?;
        self.enter(id, Status::ToStop, now)
    }

    pub(crate) fn restart(&mut self, id: &str, now: SimTime) -> Result<Status, ApiError> {
        self.require_running(id)?;
        self.enter(id, Status::ToRestart, now)
    }

    pub(crate) fn delete(&mut self, id: &str, now: SimTime) -> Result<Status, ApiError> {
        let instance = self.get(id)?;
        if instance.status().is_leaving() {
            return Err(ApiError::unknown_instance(&self.settings));
        }
        if instance.order.billing == BillingMode::Monthly {
            return Err(ApiError::refused(
                "PREPAID_INSTANCE_NOT_SUPPORT_RELEASE",
                "prepaid instance does not support release",
            ));
        }
        self.enter(id, Status::ToRemove, now)
    }

    /// Moves to another host of the same cluster; returns the job's id.
    pub(crate) fn migrate(&mut self, id: &str, now: SimTime) -> Result<String, ApiError> {
        let instance = self.get(id)?;
        let fits = matches!(instance.status(), Status::Running | Status::Exited);
        let wanted_back = instance.spot.is_some_and(Spot::is_wanted_back);
        if !fits || wanted_back || instance.job.is_some() {
            return Err(ApiError::wrong_state(&self.settings));
        }
        if self.free_beside(instance) < instance.order.gpu_num {
            return Err(ApiError::refused(
                "MIGRATE_INSUFFICIENT_RESOURCE",
                "no target host",
            ));
        }
        let job_id = format!("{:016x}", self.rng.random::<u64>());
        self.enter(id, Status::Migrating, now)?;
        if let Some(instance) = self.live.get_mut(id) {
            instance.job = Some(RunningJob {
                id: job_id.clone(),
                kind: jobs::MIGRATE,
            });
        }
        self.jobs.push(Job {
            id: job_id.clone(),
            instance_id: id.to_owned(),
            created_at: now,
            state: JobState::Running,
        });
        Ok(job_id)
    }

    /// Any status from any status, with its consequences for stock, money and jobs.
    pub(crate) fn enter(
        &mut self,
        id: &str,
        status: Status,
        now: SimTime,
    ) -> Result<Status, ApiError> {
        let Some(instance) = self.live.get_mut(id) else {
            return Err(ApiError::unknown_instance(&self.settings));
        };
        let held = instance.holds_gpus;
        instance.enter(status, now, &self.settings);
        account(&mut self.stock, instance, held);
        close_job(&mut self.jobs, instance);
        Ok(instance.status().clone())
    }

    /// Gives notice to a running spot instance, or begins to take it back.
    pub(crate) fn call_back(
        &mut self,
        id: &str,
        action: SpotAction,
        now: SimTime,
    ) -> Result<(), BadInput> {
        let instance = self
            .live
            .get_mut(id)
            .filter(|instance| instance.is_running());
        let instance =
            instance.ok_or_else(|| BadInput::field("spot", "needs a running instance"))?;
        let spot = instance
            .spot
            .ok_or_else(|| BadInput::field("spot", "not a spot instance"))?;
        instance.spot = Some(match action {
            SpotAction::Notice => Spot::noticed(now, &self.settings.spot),
            SpotAction::Reclaim => spot.reclaimed_now(now),
        });
        Ok(())
    }

    pub(crate) fn instance_mut(&mut self, id: &str) -> Option<&mut Instance> {
        self.live.get_mut(id)
    }

    fn require_running(&self, id: &str) -> Result<(), ApiError> {
        let instance = self.get(id)?;
        if instance.is_running() && instance.job.is_none() {
            Ok(())
        } else {
            Err(ApiError::wrong_state(&self.settings))
        }
    }

    /// GPUs an instance's product has free in its cluster.
    fn free_beside(&self, instance: &Instance) -> u32 {
        self.stock
            .free(&instance.order.product_id, &instance.hardware.cluster_id)
    }
}

/// Moves GPUs between the stock and an instance after its status changed.
fn account(stock: &mut Stock, instance: &Instance, held: bool) {
    let (product, cluster) = (&instance.order.product_id, &instance.hardware.cluster_id);
    match (held, instance.holds_gpus) {
        (true, false) => stock.give_back(product, cluster, instance.order.gpu_num),
        (false, true) => stock.take(product, cluster, instance.order.gpu_num),
        (true, true) | (false, false) => {}
    }
}

/// A migration is over as soon as its instance is anything but `migrating`.
fn close_job(jobs: &mut [Job], instance: &mut Instance) {
    if *instance.status() == Status::Migrating {
        return;
    }
    let Some(running) = instance.job.take() else {
        return;
    };
    if let Some(job) = jobs.iter_mut().rev().find(|job| job.id == running.id) {
        let arrived = instance.after_migration() == Some(&Status::Running);
        job.state = if arrived {
            JobState::Success
        } else {
            JobState::Fail
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::novita::clock::SimDuration;
    use crate::novita::order::{CreateBody, Order};

    fn order(gpus: u32, billing: &str) -> Order {
        let body = json!({
            "productId": "4090.16c62g", "kind": "gpu", "gpuNum": gpus, "rootfsSize": 60,
            "imageUrl": "docker.io/acme/infer:1.4", "clusterId": "us-ca-6", "billingMode": billing,
        });
        let body: CreateBody = serde_json::from_value(body).unwrap();
        body.into_order().unwrap()
    }

    fn gpus_there_are(world: &World) -> u32 {
        let held = world.instances().filter(|instance| instance.holds_gpus);
        let held: u32 = held.map(|instance| instance.order.gpu_num).sum();
        held + world.stock.free("4090.16c62g", "us-ca-6")
    }

    #[test]
    fn no_gpu_is_lost_or_invented_whatever_is_done() {
        for seed in 0..30 {
            let catalog = Catalog::built_in().unwrap();
            let mut world = World::new(catalog, Settings::default(), seed);
            let total = gpus_there_are(&world);
            let mut dice = StdRng::seed_from_u64(seed);
            let mut now = SimTime::from_unix_millis(0);
            let mut ids = vec!["unknown".to_owned()];
            for _ in 0..300 {
                now = now.plus(SimDuration::seconds(dice.random_range(0..40)));
                world.advance(now);
                let id = ids[dice.random_range(0..ids.len())].clone();
                match dice.random_range(0..7) {
                    0 => {
                        let billing = ["onDemand", "spot"][dice.random_range(0..2)];
                        ids.extend(world.create(
                            order(dice.random_range(1..=8), billing),
                            None,
                            now,
                        ));
                    }
                    1 => drop(world.start(&id, now)),
                    2 => drop(world.stop(&id, now)),
                    3 => drop(world.restart(&id, now)),
                    4 => drop(world.migrate(&id, now)),
                    5 => drop(world.call_back(&id, SpotAction::Reclaim, now)),
                    _ => drop(world.delete(&id, now)),
                }
                assert_eq!(gpus_there_are(&world), total, "seed {seed}, {now:?}");
            }
            assert!(ids.len() > 10, "seed {seed}: hardly anything was created");
        }
    }
}
