//! One random life: created, put through things by its caller and by the provider, deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use devstack::audit::{Fault, Finding, Wish};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::model::Status;
use tokio::time::{Instant, sleep};

use crate::caller::{id_in, now};
use crate::lives::Place;
use crate::request::attempts;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// For one wish to be fulfilled or given up, whatever dies meanwhile.
const PATIENCE: Duration = Duration::from_secs(240);

/// What may happen to an instance between its creation and its deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Its caller wishes a start, stop or restart.
    Wish(&'static str),
    /// It crashes: the provider says `exited`.
    Exit,
    /// Something goes wrong with it on its way up.
    Break,
    /// The provider takes the spot machine back.
    Reclaim,
    /// The provider gives notice of that.
    Notice,
    /// Somebody deletes it in the provider's console.
    RemoveByHand,
}

/// What happens, and how often in comparison.
type Acts = &'static [(Act, u32)];

/// A way to live: a policy joins the test by its variables, by members of the create, and by its acts.
#[derive(Debug)]
pub(crate) struct Habits {
    /// What happens, and how often in comparison.
    pub(crate) acts: Acts,
    /// At most so much happens to one.
    pub(crate) acts_max: usize,
    /// More variables for the processes.
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// More members of the create's body.
    pub(crate) members: fn(&mut StdRng) -> Value,
}

/// Without any policy.
const PLAIN: Habits = Habits {
    acts: &[
        (Act::Wish("stop"), 6),
        (Act::Wish("start"), 6),
        (Act::Wish("restart"), 4),
        (Act::Exit, 2),
        (Act::Break, 2),
        (Act::Reclaim, 2),
        (Act::RemoveByHand, 1),
    ],
    acts_max: 4,
    env: &[],
    members: |rng| json!({"billingMode": if rng.random_bool(0.7) { "spot" } else { "onDemand" }}),
};

/// With every spot machine that the provider wants back replaced, or moved.
const TAKEN_BACK: Acts = &[
    (Act::Wish("stop"), 3),
    (Act::Wish("start"), 3),
    (Act::Wish("restart"), 2),
    (Act::Exit, 1),
    (Act::Break, 1),
    (Act::Reclaim, 6),
    (Act::Notice, 6),
    (Act::RemoveByHand, 1),
];

/// Which way the lives on one stack are lived takes turns.
pub(crate) const ALL: [&Habits; 3] = [
    &PLAIN,
    &Habits {
        acts: TAKEN_BACK,
        env: &[("SPOT_POLICY", "replace")],
        members: |_| json!({"billingMode": "spot"}),
        ..PLAIN
    },
    &Habits {
        acts: TAKEN_BACK,
        env: &[
            ("SPOT_POLICY", "migrate"),
            ("MIGRATION_ELIGIBILITY_INTERVAL_HOURS", "1"),
        ],
        members: |_| json!({"billingMode": "spot"}),
        ..PLAIN
    },
];

/// One instance, as its caller knows it.
#[derive(Debug, Default)]
pub(crate) struct Life {
    name: String,
    pub(crate) id: Option<String>,
    operations: Vec<String>,
    /// The operation of the newest wish, if that is a stop.
    stop: Option<Value>,
    broken: BTreeSet<String>,
    taken: BTreeSet<String>,
    deleted_at: Option<i64>,
    pub(crate) is_over: bool,
    pub(crate) findings: Vec<Finding>,
}

impl Life {
    /// Lives it to its end.
    pub(crate) async fn live(place: &Place<'_>, number: u64, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ (number << 20));
        let mut life = Self {
            name: format!("life-{number}"),
            ..Self::default()
        };
        life.create(place, &mut rng).await;
        let acts = rng.random_range(0..=place.habits.acts_max);
        for _ in 0..acts {
            if life.is_over {
                break;
            }
            let act = pick(place.habits, &mut rng);
            if act == Act::Break {
                life.until_ordered(place).await;
            } else if rng.random_bool(0.7) {
                life.until_answered(place).await;
            }
            life.act(place, act).await;
            sleep(Duration::from_millis(rng.random_range(0..1500))).await;
        }
        if rng.random_bool(0.5) {
            life.until_answered(place).await;
        }
        life.end(place).await;
        life
    }

    async fn create(&mut self, place: &Place<'_>, rng: &mut StdRng) {
        let members = (place.habits.members)(rng);
        let begun = Instant::now();
        while self.id.is_none() && begun.elapsed() < PATIENCE {
            let answer = place
                .caller
                .create(&place.api(), &self.name, &members)
                .await;
            self.id = answer.as_ref().and_then(id_in);
            if let Some((StatusCode::CREATED, body)) = &answer {
                self.remember(body);
            }
            if self.id.is_none() {
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// How it is, if the API says; remembers operations that are new.
    async fn look(&mut self, place: &Place<'_>) -> Option<Value> {
        let id = self.id.clone()?;
        let instance = place.caller.instance(&place.api(), &id).await?;
        self.remember(&instance);
        if instance["status"] == "terminated" && !self.is_over {
            self.is_over = true;
            place.ended(&id);
        }
        Some(instance)
    }

    fn remember(&mut self, answer: &Value) {
        if let Some(operation) = answer["operationId"].as_str()
            && !self.operations.iter().any(|known| known == operation)
        {
            self.operations.push(operation.to_owned());
        }
    }

    async fn act(&mut self, place: &Place<'_>, act: Act) -> Option<()> {
        let instance = self.look(place).await?;
        if let Act::Wish(wish) = act {
            let id = self.id.as_deref()?;
            // If the answer is lost, the wish may still have been heard.
            self.stop = None;
            let (status, body) = place.caller.change(&place.api(), id, wish).await?;
            if status == StatusCode::ACCEPTED {
                place.note(wish);
                self.remember(&body);
                self.stop = (wish == "stop").then(|| body["operationId"].clone());
            }
            return Some(());
        }
        let provider_id = instance["novitaInstanceId"].as_str()?;
        let status = &instance["status"];
        let is_done = match act {
            Act::Exit if status == "ready" => {
                let exited = json!({"status": "exited"});
                place.change(provider_id, &exited).await
            }
            Act::Break if status == "creating" => {
                self.broken.insert(provider_id.to_owned());
                let problem = json!({"state": "oom", "message": "killed"});
                let broken = json!({"statusError": problem});
                place.change(provider_id, &broken).await
            }
            Act::Reclaim if status == "ready" && instance["billingMode"] == "spot" => {
                self.taken.insert(provider_id.to_owned());
                let reclaimed = json!({"spot": "reclaim"});
                place.change(provider_id, &reclaimed).await
            }
            Act::Notice if status == "ready" && instance["billingMode"] == "spot" => {
                self.taken.insert(provider_id.to_owned());
                let noticed = json!({"spot": "notice"});
                place.change(provider_id, &noticed).await
            }
            Act::RemoveByHand => {
                self.broken.insert(provider_id.to_owned());
                place.remove_by_hand(provider_id).await
            }
            Act::Wish(_) | Act::Exit | Act::Break | Act::Reclaim | Act::Notice => false,
        };
        if is_done {
            place.note(&format!("{act:?}"));
        }
        Some(())
    }

    /// Waits until it is at the provider, if it is on its way there.
    async fn until_ordered(&mut self, place: &Place<'_>) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(instance) = self.look(place).await
                && (instance["status"] != "creating" || instance["novitaInstanceId"].is_string())
            {
                return;
            }
            sleep(LOOK_EVERY / 5).await;
        }
        self.complain("was never ordered");
    }

    /// Waits until the newest wish is fulfilled or given up.
    async fn until_answered(&mut self, place: &Place<'_>) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.look(place).await;
            if let Some(operation) = self.operations.last()
                && let Some(operation) = place.caller.operation(&place.api(), operation).await
                && operation["state"] != "pending"
            {
                return self.stays_stopped(place, &operation).await;
            }
            sleep(LOOK_EVERY).await;
        }
        self.complain(&format!("{:?} never ended", self.operations.last()));
    }

    /// What its caller was told to be stopped costs nothing but its disk.
    async fn stays_stopped(&mut self, place: &Place<'_>, operation: &Value) {
        let is_stopped = self.stop.as_ref() == Some(&operation["operationId"]);
        let Some(id) = &self.id else { return };
        if is_stopped && operation["state"] == "succeeded" {
            for running in place.running(id).await {
                let what = format!("{running} runs, and {operation} said it is stopped");
                self.findings.push(Finding::new(Fault::Leaked, what));
            }
        }
    }

    async fn end(&mut self, place: &Place<'_>) {
        let begun = Instant::now();
        let mut seen = Value::Null;
        let mut is_accepted = false;
        while !self.is_over && begun.elapsed() < PATIENCE {
            if let (false, Some(id)) = (is_accepted, self.id.clone()) {
                self.deleted_at.get_or_insert_with(now);
                if let Some((status, body)) = place.caller.delete(&place.api(), &id).await {
                    is_accepted = status == StatusCode::ACCEPTED;
                    self.remember(&body);
                }
            }
            seen = self.look(place).await.unwrap_or(seen);
            sleep(LOOK_EVERY).await;
        }
        if !self.is_over {
            self.complain(&format!("is not over; last seen: {seen}"));
        }
        for operation in self.operations.clone() {
            let ended = async || {
                let operation = place.caller.operation(&place.api(), &operation).await?;
                let (kind, state) = (operation["kind"].as_str()?, operation["state"].as_str()?);
                (state != "pending").then(|| place.note(&format!("{kind} {state}")))
            };
            while ended().await.is_none() {
                if begun.elapsed() > PATIENCE {
                    self.complain(&format!("{operation} never ended"));
                    break;
                }
                sleep(LOOK_EVERY).await;
            }
        }
    }

    fn complain(&mut self, what: &str) {
        let what = format!("{} ({:?}) {what}", self.name, self.id);
        self.findings.push(Finding::new(Fault::Unanswered, what));
    }

    /// For the audit; `status` is what the product has stored.
    pub(crate) fn wish(&self, status: Option<&Status>) -> Wish {
        Wish {
            deleted_at: self.deleted_at,
            is_over: self.is_over,
            broken: self.broken.clone(),
            taken: self.taken.clone(),
            attempts: status.map(attempts).unwrap_or_default(),
        }
    }
}

fn pick(habits: &Habits, rng: &mut StdRng) -> Act {
    let total: u32 = habits.acts.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random_range(0..total);
    let chosen = habits.acts.iter().find(|(_, weight)| {
        let is_it = left < *weight;
        left = left.saturating_sub(*weight);
        is_it
    });
    chosen.map_or(Act::Exit, |(act, _)| *act)
}
