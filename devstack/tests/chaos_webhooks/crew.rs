//! Workers that do not live long.

use std::time::Duration;

use devstack::stack::Stack;
use rand::RngExt;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Workers at a time.
pub(crate) const SIZE: usize = 3;
const KILL_EVERY: Duration = Duration::from_secs(1);

/// Kills one worker every second and replaces it, until `calm`; tells how many that were.
pub(crate) async fn harass(stack: &mut Stack, calm: &CancellationToken) -> usize {
    let mut at_work: Vec<usize> = (0..SIZE).collect();
    let mut ticks = interval(KILL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut kills = 0;
    loop {
        tokio::select! {
            () = calm.cancelled() => return kills,
            _ = ticks.tick() => {}
        }
        let place = rand::rng().random_range(0..SIZE);
        stack.kill_worker(at_work[place]).await.unwrap();
        kills += 1;
        at_work[place] = stack.add_worker(&[]).await.unwrap();
    }
}
