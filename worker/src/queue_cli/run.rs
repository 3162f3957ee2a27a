//! Each command: one effect on the queue, one result.

use shared::config::RedisConfig;
use shared::queue::view::{
    DroppedView, JobView, PageView, PauseView, RetriedView, RevivalView, StatsView,
};
use shared::queue::{Exhumed, JobId, JobState, QueueAdmin, Scope};
use shared::schema;

use super::args::{QueueArgs, QueueCommand};
use super::{Failure, Output, text, watch};

pub(super) async fn run(config: &RedisConfig, args: &QueueArgs) -> Result<(), Failure> {
    let redis = schema::connect_to_look(config).await?;
    let queue = QueueAdmin::new(redis, config.keys.clone());
    let output = Output { is_json: args.json };
    match &args.command {
        QueueCommand::Stats => output.show(&stats(&queue).await?, text::stats)?,
        QueueCommand::List {
            state,
            limit,
            offset,
        } => {
            let page = queue
                .list(*state, *offset as usize, *limit as usize)
                .await?;
            output.show(&PageView::new(*state, page), |page| {
                text::page(page, *offset)
            })?;
        }
        QueueCommand::Show { id } => {
            let job = queue.show(&job_id(id)).await?;
            let job = job.ok_or_else(|| Failure::Unknown(id.clone()))?;
            output.show(&JobView::from(job), text::job)?;
        }
        QueueCommand::Retry { id: Some(id), .. } => {
            only_dead(queue.retry(&job_id(id)).await?, id)?;
            let (id, state) = (id.clone(), JobState::Due);
            output.show(&RetriedView { id, state }, text::retried)?;
        }
        QueueCommand::Retry { id: None, .. } => {
            // Those that die again meanwhile must not be retried for ever.
            let all = queue.dead().await?;
            let retried = queue.retry_dead(all as usize).await?;
            let remaining = queue.dead().await?;
            output.show(&RevivalView { retried, remaining }, |all| {
                text::revival(*all)
            })?;
        }
        QueueCommand::Drop { id } => {
            only_dead(queue.drop_dead(&job_id(id)).await?, id)?;
            output.show(&DroppedView { id: id.clone() }, text::dropped)?;
        }
        QueueCommand::Pause { kind } => {
            let scope = kind.unwrap_or(Scope::All);
            let changed = queue.pause(scope).await?;
            output.show(&PauseView::new(scope, true, changed), |pause| {
                text::pause(*pause)
            })?;
        }
        QueueCommand::Resume { kind } => {
            let scope = kind.unwrap_or(Scope::All);
            let changed = queue.resume(scope).await?;
            output.show(&PauseView::new(scope, false, changed), |pause| {
                text::pause(*pause)
            })?;
        }
        QueueCommand::Watch { interval } => watch::watch(&queue, *interval, output).await?,
    }
    Ok(())
}

pub(super) async fn stats(queue: &QueueAdmin) -> Result<StatsView, Failure> {
    let (stats, workers) = queue.overview().await?;
    Ok(StatsView::new(&stats, workers))
}

fn job_id(id: &str) -> JobId {
    JobId::stored(id.to_owned())
}

fn only_dead(exhumed: Exhumed, id: &str) -> Result<(), Failure> {
    let id = id.to_owned();
    match exhumed {
        Exhumed::Yes => Ok(()),
        Exhumed::NotDead(state) => Err(Failure::NotDead { id, state }),
        Exhumed::Unknown => Err(Failure::Unknown(id)),
    }
}
