//! Many random lives at a time, while processes and Redis are restarted under them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use devstack::audit::{Evidence, Fault, Finding, Name};
use devstack::novita::LedgerEntry;
use devstack::service::Role;
use devstack::sink::Sink;
use devstack::stack::{NOVITA_KEY, Transport};
use futures_util::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::caller::Caller;
use crate::crew::Crew;
use crate::life::{Habits, Life, PLAIN};
use crate::plan::Weather;
use crate::request::ulid;
use crate::run::{Outcome, WINDOW, decides};
use crate::world::{Provider, World};

/// After so many, everything is to be over and the books are checked.
const CHECKPOINT_EVERY: u64 = 250;
const AT_A_TIME: usize = 100;
const WORKERS: usize = 2;
/// Between two disturbances.
const CALM_MS: std::ops::Range<u64> = 2000..7000;
const MEND_EVERY: Duration = Duration::from_millis(200);
/// Fewer looks than the runs make: there are a hundred to look at.
const ENV: [(&str, &str); 4] = [
    ("INSTANCE_POLL_FAST_MS", "500"),
    ("INSTANCE_POLL_INTERVAL", "10"),
    ("INSTANCE_STARTUP_MAX_WAIT_TIME", "60000"),
    ("HEALTH_CHECK_MAX_WAIT_TIME_MS", "30000"),
];

/// Where lives are lived: one deployment at one provider.
pub(crate) struct Place<'a> {
    pub(crate) caller: Caller,
    pub(crate) habits: &'a Habits,
    world: &'a World,
    provider: &'a Provider,
    deployment: String,
    api: RefCell<String>,
    /// ULIDs of those whose caller was told that nothing of them is left.
    over: RefCell<BTreeSet<String>>,
}

impl Place<'_> {
    /// Base URL of the API that runs now.
    pub(crate) fn api(&self) -> String {
        self.api.borrow().clone()
    }

    /// Its caller was told that nothing of it is left.
    pub(crate) fn ended(&self, id: &str) {
        self.over.borrow_mut().insert(ulid(id));
    }

    /// Does something to an instance at the provider; one that is gone stays gone.
    pub(crate) async fn change(&self, id: &str, change: &Value) {
        let url = format!("{}/_sim/instances/{id}", self.provider.simulator.url());
        let _ = self.world.http.post(url).json(change).send().await;
    }

    /// Deletes an instance as somebody with the provider's console would.
    pub(crate) async fn remove_by_hand(&self, id: &str) {
        let url = format!(
            "{}/v1/gpu/instance/delete",
            self.provider.simulator.base_url()
        );
        let request = self.world.http.post(url).bearer_auth(NOVITA_KEY);
        let _ = request.json(&json!({"instanceId": id})).send().await;
    }
}

/// Lives `count` lives on a Redis and at a provider of their own.
pub(crate) async fn run(count: u64, seed: u64) -> Outcome {
    let begun = Instant::now();
    let world = World::start().await;
    let mut total = Outcome::of_lives(count as usize);
    for first in (0..count).step_by(CHECKPOINT_EVERY as usize) {
        let numbers = first..count.min(first + CHECKPOINT_EVERY);
        // Both transports take turns.
        let transport = if (first / CHECKPOINT_EVERY + seed).is_multiple_of(2) {
            Transport::Upstash
        } else {
            Transport::Resp
        };
        let (deaths, findings) = match stretch(&world, numbers.clone(), transport, seed).await {
            Ok(done) => done,
            Err(error) => (
                0,
                vec![Finding::new(Fault::Unanswered, format!("{error:#}"))],
            ),
        };
        println!(
            "lifecycles {numbers:?}: {deaths} deaths, {} findings",
            findings.len()
        );
        total.deaths += deaths;
        total.findings.extend(findings);
    }
    let trespasses = world.trespasses().await.into_iter();
    total
        .findings
        .extend(trespasses.map(|what| Finding::new(Fault::WronglyDeleted, what)));
    total.took = begun.elapsed();
    total
}

/// The lives between two checkpoints.
async fn stretch(
    world: &World,
    numbers: std::ops::Range<u64>,
    transport: Transport,
    seed: u64,
) -> anyhow::Result<(usize, Vec<Finding>)> {
    let (habits, deployment) = (&PLAIN, world.deployment());
    let provider = world.provider(Weather::Rough, None).await;
    let mut env = world.env(&deployment, transport, &provider);
    let more = ENV.iter().chain(habits.env);
    env.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut crew = Crew::start(env, WORKERS, None).await?;
    let sink = Sink::start(0).await?;
    let place = Place {
        caller: Caller::new(&world.http, format!("{}/hook", sink.url())),
        habits,
        world,
        provider: &provider,
        deployment,
        api: RefCell::new(crew.api().to_owned()),
        over: RefCell::default(),
    };
    provider.forget_requests(&world.http).await;
    let entries_before = provider.simulator.ledger().await.len();
    let mut findings = Vec::new();
    let lives = stream::iter(numbers.clone())
        .map(|number| Life::live(&place, number, seed))
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<_>>();
    let mut rng = StdRng::seed_from_u64(seed ^ numbers.start);
    let lives = tokio::select! {
        lives = lives => lives,
        trouble = place.disturb(&mut crew, &mut rng, &mut findings) => return Err(trouble),
    };
    findings.extend(place.audit(&lives, entries_before).await?);
    if !findings.is_empty() {
        let deaths = crew.deaths();
        findings.push(Finding::new(
            Fault::Unanswered,
            format!("logs: {}", crew.keep_logs()),
        ));
        return Ok((deaths, findings));
    }
    Ok((crew.deaths(), findings))
}

impl Place<'_> {
    /// Kills and restarts, now this and now that, and looks at the books after each time. Returns only
    /// when something cannot be brought back.
    async fn disturb(
        &self,
        crew: &mut Crew,
        rng: &mut StdRng,
        findings: &mut Vec<Finding>,
    ) -> anyhow::Error {
        loop {
            let until = Instant::now() + Duration::from_millis(rng.random_range(CALM_MS));
            while Instant::now() < until {
                if let Err(error) = crew.mend().await {
                    return error;
                }
                sleep(MEND_EVERY).await;
            }
            let done = match rng.random_range(0..8) {
                0 | 1 => crew.kill(Role::Api, 0).await,
                2 => self.world.restart_redis(rng.random_bool(0.5)).await,
                number => crew.kill(Role::Worker, number).await,
            };
            if let Err(error) = done {
                return error;
            }
            self.api.replace(crew.api().to_owned());
            findings.extend(self.checkpoint().await);
        }
    }

    /// What runs at the provider although its caller was told that nothing of it is left.
    async fn checkpoint(&self) -> Vec<Finding> {
        // Those that are over at this moment: the ledger is read after that.
        let over = self.over.borrow().clone();
        let ledger = self.provider.simulator.ledger().await;
        let is_left = |entry: &&LedgerEntry| {
            let name = Name::parse(&entry.name);
            let is_over = name.is_some_and(|name| over.contains(&name.instance));
            is_over && entry.is_alive()
        };
        let left = ledger.iter().filter(is_left);
        left.map(|entry| {
            let what = format!("{} is {} after its end", entry.name, entry.status);
            Finding::new(Fault::Leaked, what)
        })
        .collect()
    }

    /// Everything is over: the books of this stretch, from the ledger's entry `first` on.
    async fn audit(&self, lives: &[Life], first: usize) -> anyhow::Result<Vec<Finding>> {
        let mut findings: Vec<Finding> = Vec::new();
        let mut wishes = BTreeMap::new();
        for life in lives {
            findings.extend(life.findings.clone());
            if let Some(id) = &life.id {
                let status = self.world.stored_status(&self.deployment, id).await?;
                wishes.insert(ulid(id), life.wish(status.as_ref()));
            }
        }
        let simulator = &self.provider.simulator;
        let evidence = Evidence {
            deployment: &self.deployment,
            ledger: &simulator.ledger().await[first..],
            requests: &simulator
                .requests_where(|request| decides(request.route))
                .await,
            wishes: &wishes,
            window: WINDOW,
        };
        findings.extend(evidence.findings());
        Ok(findings)
    }
}
