//! How a long command gets on: a bar on a terminal, a plain line every few seconds elsewhere.
//!
//! It goes to standard error, so that standard output holds the answer alone.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines.
const EVERY: Duration = Duration::from_secs(5);

/// The progress of one piece of work.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    done: u64,
    total: Option<u64>,
    began: Instant,
    told: Instant,
}

impl Progress {
    /// Shows the progress of `what`, in `total` units if that is known.
    #[must_use]
    pub fn new(what: &'static str, total: Option<u64>) -> Self {
        let bar = stderr().is_terminal().then(|| bar(what, total));
        let now = Instant::now();
        Self {
            bar,
            what,
            done: 0,
            total,
            began: now,
            told: now,
        }
    }

    /// So many units more are done.
    pub fn advance(&mut self, units: u64) {
        self.done += units;
        if let Some(bar) = &self.bar {
            bar.inc(units);
        } else if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            let total = self.total.map(|total| format!(" of {total}"));
            let (what, done) = (self.what, self.done);
            let seconds = self.began.elapsed().as_secs();
            eprintln!("{what}: {done}{} in {seconds} s", total.unwrap_or_default());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{msg} {wide_bar} {pos}/{len} ({per_sec}, {eta} left)",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {msg} {pos} ({per_sec})",
        ),
    };
    // The template is a constant; were it wrong, the default style would show the same numbers.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
