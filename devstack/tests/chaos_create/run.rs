//! One run: processes with an armed fail point, requests, and the verdict on what became of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use devstack::audit::{Evidence, Fault, Finding, Wish};
use devstack::novita::Route;
use devstack::service::Role;
use devstack::sink::Sink;
use tokio::time::{Instant, sleep};

use crate::caller::Caller;
use crate::crew::Crew;
use crate::plan::{Case, Plan};
use crate::request::{Request, ulid};
use crate::world::{Provider, World};

/// From the first create to the last confirmed removal.
const PATIENCE: Duration = Duration::from_secs(180);
/// From there to the last webhook: a killed worker's lease, and one more try.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// Between looks at all requests: so long, and longer by so much for each of them.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOK_AT_EACH: Duration = Duration::from_millis(20);
/// `REQUEST_TIMEOUT` and `CREATE_LOOKUP_WINDOW_MS` together.
pub(crate) const WINDOW: Duration = Duration::from_secs(6);

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) requests: usize,
    pub(crate) deaths: usize,
    pub(crate) findings: Vec<Finding>,
    /// Where the logs are kept, if there is a reason to look at them.
    pub(crate) logs: Option<String>,
    pub(crate) took: Duration,
}

impl Outcome {
    pub(crate) fn broken(requests: usize, what: String) -> Self {
        Self {
            requests,
            deaths: 0,
            findings: vec![Finding::new(Fault::Unanswered, what)],
            logs: None,
            took: Duration::ZERO,
        }
    }

    pub(crate) fn of_lives(count: usize) -> Self {
        Self {
            requests: count,
            deaths: 0,
            findings: Vec::new(),
            logs: None,
            took: Duration::ZERO,
        }
    }

    /// Its panic is on standard error.
    pub(crate) fn of_panic() -> Self {
        Self::broken(1, "the run itself panicked".to_owned())
    }
}

/// What a run needs to go on.
struct Scene<'a> {
    world: &'a World,
    provider: &'a Provider,
    deployment: String,
    sink: Sink,
    caller: Caller,
}

pub(crate) async fn run(world: &World, case: &Case) -> Outcome {
    let begun = Instant::now();
    let plan = case.plan();
    let deployment = world.deployment();
    let own = case.is_apart().then_some(deployment.as_str());
    let provider = world.provider(plan.weather, own).await;
    let env = world.env(&deployment, plan.transport, &provider);
    let crew = Crew::start(env, plan.workers, plan.fail_point.as_deref()).await;
    let mut crew = match crew {
        Ok(crew) => crew,
        Err(error) => return Outcome::broken(plan.deletions.len(), format!("{error:#}")),
    };
    let sink = Sink::start(0).await.unwrap();
    let scene = Scene {
        caller: Caller::new(&world.http, format!("{}/hook", sink.url())),
        world,
        provider: &provider,
        deployment,
        sink,
    };
    let mut requests: Vec<Request> = plan
        .deletions
        .iter()
        .enumerate()
        .map(|(n, deletion)| Request::new(format!("chaos-{n}"), *deletion))
        .collect();
    let mut findings = Vec::new();
    if let Err(error) = scene.drive(&mut crew, &plan, &mut requests).await {
        findings.push(Finding::new(Fault::Unanswered, format!("{error:#}")));
    }
    match scene.judge(&mut crew, &requests).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::new(Fault::Unanswered, format!("{error:#}"))),
    }
    Outcome {
        requests: requests.len(),
        deaths: crew.deaths(),
        logs: (!findings.is_empty()).then(|| crew.keep_logs()),
        findings,
        took: begun.elapsed(),
    }
}

impl Scene<'_> {
    /// Lets the caller do everything it wants, and replaces whoever dies meanwhile.
    async fn drive(
        &self,
        crew: &mut Crew,
        plan: &Plan,
        requests: &mut [Request],
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut kill_after = plan.kill_after;
        let pause = LOOK_EVERY + LOOK_AT_EACH * requests.len() as u32;
        while begun.elapsed() < PATIENCE && requests.iter().any(|request| !request.is_over) {
            for request in requests.iter_mut().filter(|request| !request.is_over) {
                crew.mend().await?;
                request.advance(&self.caller, crew.api()).await;
            }
            if kill_after
                .take_if(|after| begun.elapsed() >= *after)
                .is_some()
            {
                crew.kill(Role::Worker, 0).await?;
            }
            sleep(pause).await;
        }
        Ok(())
    }

    async fn judge(&self, crew: &mut Crew, requests: &[Request]) -> anyhow::Result<Vec<Finding>> {
        let mut findings = self.until_told(crew, requests).await?;
        let mut wishes = BTreeMap::new();
        for request in requests {
            findings.extend(request.answers(&self.caller, crew.api()).await);
            if let Some(id) = &request.id {
                wishes.insert(ulid(id), self.wish(id, request).await?);
            }
        }
        let evidence = Evidence {
            deployment: &self.deployment,
            ledger: &self.provider.simulator.ledger().await,
            requests: &self
                .provider
                .simulator
                .requests_where(|request| decides(request.route))
                .await,
            wishes: &wishes,
            window: WINDOW,
        };
        findings.extend(evidence.findings());
        Ok(findings)
    }

    async fn wish(&self, id: &str, request: &Request) -> anyhow::Result<Wish> {
        let status = self.world.stored_status(&self.deployment, id).await;
        let status = status.context("the stored status")?;
        Ok(request.wish(status.as_ref()))
    }

    /// Waits until the receiver was told everything; who dies meanwhile is replaced.
    async fn until_told(
        &self,
        crew: &mut Crew,
        requests: &[Request],
    ) -> anyhow::Result<Vec<Finding>> {
        let begun = Instant::now();
        loop {
            crew.mend().await?;
            let webhooks = self.sink.webhooks();
            let over = requests.iter().filter(|request| request.is_over);
            let missing: Vec<_> = over.filter_map(|r| r.told(&webhooks).err()).collect();
            if missing.is_empty() || begun.elapsed() > TOLD_WITHIN {
                return Ok(missing);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// The calls that the audit goes by.
pub(crate) fn decides(route: Option<Route>) -> bool {
    matches!(route, Some(Route::Create | Route::Delete | Route::List))
}
