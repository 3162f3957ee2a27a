//! The queue as it changes.

use std::io::{self, IsTerminal, Stdout, Write};
use std::time::Duration;

use shared::clock::Millis;
use shared::queue::view::{PageView, StatsView, WorkerView};
use shared::queue::{JobState, QueueAdmin};
use shared::shutdown;
use terminal_size::{Height, Width, terminal_size};
use tokio::time::{MissedTickBehavior, interval};

use super::run::stats;
use super::table::{WIDTH, cut};
use super::{Failure, Output, text};

/// What is listed of the states that are shown.
const HEAD: usize = 5;
/// Of a terminal that does not tell.
const HEIGHT: usize = 40;

/// Looks every so often until a signal.
pub(super) async fn watch(
    queue: &QueueAdmin,
    every: Duration,
    output: Output,
) -> Result<(), Failure> {
    let stop = shutdown::on_signal()?;
    let following = async {
        if io::stdout().is_terminal() && !output.is_json {
            draw(queue, every).await
        } else {
            tell(queue, every, output).await
        }
    };
    tokio::select! {
        failed = following => failed,
        () = stop.cancelled() => Ok(()),
    }
}

/// A line per change.
async fn tell(queue: &QueueAdmin, every: Duration, output: Output) -> Result<(), Failure> {
    let mut ticks = ticks(every);
    let mut last = None;
    loop {
        ticks.tick().await;
        let now = stats(queue).await?;
        let lasting = Some(without_time(&now));
        if lasting != last {
            output.show(&now, line)?;
            last = lasting;
        }
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What does not change by the mere passing of time.
fn without_time(stats: &StatsView) -> StatsView {
    let still = |worker: &WorkerView| WorkerView {
        at: Millis(0),
        ..worker.clone()
    };
    StatsView {
        now: Millis(0),
        oldest_due_ms: 0,
        workers: stats.workers.iter().map(still).collect(),
        ..stats.clone()
    }
}

fn line(stats: &StatsView) -> String {
    let alive = stats.workers.iter().filter(|worker| worker.alive);
    let (count, running, permits) = alive.fold((0, 0, 0), |(count, running, permits), worker| {
        (
            count + 1,
            running + worker.running,
            permits + worker.permits,
        )
    });
    format!(
        "{}  due {}  leased {}  delayed {}  paused {}  dead {}  workers {count} (running {running} \
         of {permits})  paused scopes {}\n",
        stats.now.iso(),
        stats.due,
        stats.leased,
        stats.delayed,
        stats.paused,
        stats.dead,
        text::scopes(stats)
    )
}

/// A view that is drawn again and again.
async fn draw(queue: &QueueAdmin, every: Duration) -> Result<(), Failure> {
    // The first look fails on the ordinary screen.
    let mut view = look(queue).await?;
    let mut screen = Screen::open()?;
    let mut ticks = ticks(every);
    ticks.tick().await;
    loop {
        screen.draw(&view)?;
        ticks.tick().await;
        view = look(queue).await?;
    }
}

async fn look(queue: &QueueAdmin) -> Result<String, Failure> {
    let stats = stats(queue).await?;
    let heading = format!("queue at {}, ctrl-c ends\n", stats.now.iso());
    let mut sections = vec![heading, text::stats(&stats)];
    for (state, total) in [
        (JobState::Due, stats.due),
        (JobState::Leased, stats.leased),
        (JobState::Dead, stats.dead),
    ] {
        if total > 0 {
            let page = PageView::new(state, queue.list(state, 0, HEAD).await?);
            sections.push(format!("{state}\n{}", text::jobs(&page)));
        }
    }
    Ok(sections.join("\n"))
}

/// The terminal's second screen; the first one comes back when this is dropped.
#[derive(Debug)]
struct Screen(Stdout);

impl Screen {
    fn open() -> io::Result<Self> {
        let mut screen = Self(io::stdout());
        screen.write("\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    /// Draws over what stood there, without a flicker, and no more than fits.
    fn draw(&mut self, view: &str) -> io::Result<()> {
        let (width, height) = match terminal_size() {
            Some((Width(width), Height(height))) => (usize::from(width), usize::from(height)),
            None => (WIDTH, HEIGHT),
        };
        let lines = view.lines().take(height);
        // A line is emptied before it is written: after its last column that would take a character.
        let lines: Vec<_> = lines
            .map(|line| format!("\x1b[K{}", cut(line, width)))
            .collect();
        self.write(&format!("\x1b[H{}\x1b[J", lines.join("\n")))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())?;
        self.0.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no care.
        let _ = self.write("\x1b[?25h\x1b[?1049l");
    }
}
