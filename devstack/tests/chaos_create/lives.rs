//! Many random lives at a time, while processes and Redis are restarted under them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
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
use crate::life::{self, Habits, Life};
use crate::plan::Weather;
use crate::request::ulid;
use crate::run::{Outcome, WINDOW, decides};
use crate::world::{Provider, World};

/// When they are over, the books of their stack are checked.
const LIVES_PER_STACK: u64 = 500;
const LIVES_AT_A_TIME: usize = 150;
const STACKS_AT_A_TIME: usize = 3;
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
    /// What happened, and how often: so that nobody trusts a test in which nothing does.
    notes: RefCell<BTreeMap<String, u32>>,
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

    /// Something happened.
    pub(crate) fn note(&self, what: &str) {
        *self.notes.borrow_mut().entry(what.to_owned()).or_default() += 1;
    }

    /// What runs at the provider for this instance.
    pub(crate) async fn running(&self, id: &str) -> Vec<String> {
        let ledger = self.provider.simulator.ledger().await.into_iter();
        let is_its = |entry: &LedgerEntry| {
            let name = Name::parse(&entry.name);
            name.is_some_and(|name| name.instance == ulid(id)) && entry.status == "running"
        };
        ledger.filter(is_its).map(|entry| entry.id).collect()
    }

    /// Does something to an instance at the provider; tells whether it could be done.
    pub(crate) async fn change(&self, id: &str, change: &Value) -> bool {
        let url = format!("{}/_sim/instances/{id}", self.provider.simulator.url());
        is_done(self.world.http.post(url).json(change)).await
    }

    /// Deletes an instance as somebody with the provider's console would; tells whether it was there.
    pub(crate) async fn remove_by_hand(&self, id: &str) -> bool {
        let url = format!(
            "{}/v1/gpu/instance/delete",
            self.provider.simulator.base_url()
        );
        let request = self.world.http.post(url).bearer_auth(NOVITA_KEY);
        is_done(request.json(&json!({"instanceId": id}))).await
    }
}

async fn is_done(request: reqwest::RequestBuilder) -> bool {
    let answer = request.send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// Lives `count` lives, some hundreds each on a stack of its own.
pub(crate) async fn run(count: u64, seed: u64) -> Outcome {
    let begun = Instant::now();
    let stretches = (0..count)
        .step_by(LIVES_PER_STACK as usize)
        .map(async |first| {
            let numbers = first..count.min(first + LIVES_PER_STACK);
            // Both transports take turns.
            let transport = if (first / LIVES_PER_STACK + seed).is_multiple_of(2) {
                Transport::Upstash
            } else {
                Transport::Resp
            };
            let outcome = match stretch(numbers.clone(), transport, seed).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::broken(0, format!("{error:#}")),
            };
            println!(
                "lifecycles {numbers:?} in {:.0} s: {} deaths, {} findings",
                begun.elapsed().as_secs_f64(),
                outcome.deaths,
                outcome.findings.len()
            );
            outcome
        });
    let mut total = Outcome::of_lives(count as usize);
    let mut stretches = pin!(stream::iter(stretches).buffer_unordered(STACKS_AT_A_TIME));
    while let Some(outcome) = stretches.next().await {
        total.deaths += outcome.deaths;
        total.findings.extend(outcome.findings);
    }
    total.took = begun.elapsed();
    total
}

/// The lives on one stack.
async fn stretch(
    numbers: std::ops::Range<u64>,
    transport: Transport,
    seed: u64,
) -> anyhow::Result<Outcome> {
    let (world, turn) = (World::start().await, numbers.start / LIVES_PER_STACK);
    let habits = life::ALL[(turn + seed) as usize % life::ALL.len()];
    let (deployment, provider) = (
        world.deployment(),
        world.provider(Weather::Rough, None).await,
    );
    let mut env = world.env(&deployment, transport, &provider);
    let more = ENV.iter().chain(habits.env);
    env.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut crew = Crew::start(env, WORKERS, None).await?;
    let sink = Sink::start(0).await?;
    let place = Place {
        caller: Caller::new(&world.http, format!("{}/hook", sink.url())),
        habits,
        world: &world,
        provider: &provider,
        deployment,
        api: RefCell::new(crew.api().to_owned()),
        over: RefCell::default(),
        notes: RefCell::default(),
    };
    let lives = stream::iter(numbers.clone())
        .map(|number| Life::live(&place, number, seed))
        .buffer_unordered(LIVES_AT_A_TIME)
        .collect::<Vec<_>>();
    let (mut rng, mut findings) = (StdRng::seed_from_u64(seed ^ numbers.start), Vec::new());
    let lives = tokio::select! {
        lives = lives => lives,
        trouble = place.disturb(&mut crew, &mut rng, &mut findings) => return Err(trouble),
    };
    findings.extend(place.audit(&lives).await?);
    let trespasses = world.trespasses().await.into_iter();
    findings.extend(trespasses.map(|what| Finding::new(Fault::WronglyDeleted, what)));
    let mut outcome = Outcome::of_lives(lives.len());
    outcome.deaths = crew.deaths();
    println!("  {:?}", place.notes.borrow());
    if !findings.is_empty() {
        println!("  logs: {}", crew.keep_logs());
    }
    outcome.findings = findings;
    Ok(outcome)
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

    /// Everything is over: the books.
    async fn audit(&self, lives: &[Life]) -> anyhow::Result<Vec<Finding>> {
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
            ledger: &simulator.ledger().await,
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
