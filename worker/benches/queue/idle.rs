//! What a deployment costs that has nothing to do.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use devstack::stack::{Stack, StackOptions, Transport};
use shared::redis::Target;
use tokio::time::{Instant, sleep, sleep_until};

use crate::server::calls_by_command;

/// Start-up is over by then.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// How often Prometheus reads each process's metrics.
const SCRAPE_EVERY: Duration = Duration::from_secs(15);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What was counted.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Commands a day.
    pub(crate) per_day: f64,
    /// How many of which were counted.
    pub(crate) by_command: BTreeMap<String, u64>,
    /// For so long.
    pub(crate) watched: Duration,
}

/// What one API process and two workers without any instance ask, with their metrics being scraped;
/// counted for `how_long` and multiplied.
pub(crate) async fn watch(how_long: Duration) -> anyhow::Result<Idle> {
    let mut stack = Stack::start(StackOptions {
        transport: Transport::Resp,
        workers: 2,
        ..StackOptions::default()
    })
    .await?;
    let redis = crate::ours::redis(Target::Resp {
        url: stack.redis().url(),
    })?;
    sleep(SETTLED_AFTER).await;
    let (before, began) = (calls_by_command(&redis).await?, Instant::now());
    let end = began + how_long;
    let mut scrape_at = began;
    while scrape_at < end {
        sleep_until(scrape_at).await;
        scrape(&stack).await?;
        scrape_at += SCRAPE_EVERY;
    }
    sleep_until(end).await;
    let mut by_command = calls_by_command(&redis).await?;
    for (command, calls) in &mut by_command {
        *calls -= before.get(command).copied().unwrap_or_default();
    }
    by_command.retain(|_, calls| *calls > 0);
    let share = DAY.as_secs_f64() / began.elapsed().as_secs_f64();
    stack.stop().await?;
    Ok(Idle {
        per_day: by_command.values().sum::<u64>() as f64 * share,
        by_command,
        watched: how_long,
    })
}

async fn scrape(stack: &Stack) -> anyhow::Result<()> {
    for service in stack.apis().iter().chain(stack.workers()) {
        let url = format!("{}/metrics", service.admin_url());
        let answer = devstack::http::client().get(&url).send().await?;
        ensure!(
            answer.status().is_success(),
            "{} from /metrics",
            answer.status()
        );
        answer.bytes().await?;
    }
    Ok(())
}
