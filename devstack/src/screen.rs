//! What a person sees: lines with times, and a spinner while something is awaited.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

/// The terminal. Without one (a pipe, CI) only whole lines are written.
#[derive(Debug)]
pub struct Screen {
    spinner: ProgressBar,
    started: Instant,
}

impl Screen {
    /// A screen that starts its clock now.
    #[must_use]
    pub fn new() -> Self {
        let spinner = ProgressBar::new_spinner();
        spinner.set_style(ProgressStyle::default_spinner());
        Self {
            spinner,
            started: Instant::now(),
        }
    }

    /// Spins, and says what for.
    pub fn wait(&self, what: &str) {
        self.spinner.set_message(what.to_owned());
        self.spinner.enable_steady_tick(Duration::from_millis(100));
    }

    /// Stops spinning.
    pub fn idle(&self) {
        self.spinner.disable_steady_tick();
        self.spinner.finish_and_clear();
    }

    /// A line with the time since the start.
    pub fn step(&self, line: &str) {
        self.line(&format!(
            "{:>6.2}s  {line}",
            self.started.elapsed().as_secs_f64()
        ));
    }

    /// A line.
    pub fn line(&self, line: &str) {
        self.spinner.suspend(|| println!("{line}"));
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
