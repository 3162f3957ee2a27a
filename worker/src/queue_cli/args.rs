//! What the queue commands are told.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Subcommand, value_parser};
use shared::queue::{JobKind, JobState, QueueAdmin, Scope};

const MAX_INTERVAL: Duration = Duration::from_secs(3600);
const MAX_OFFSET: u64 = 1_000_000_000;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration.
Which Redis is told by the same variables as for the worker; no other is needed.";

/// The work queue as one command sees it.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct QueueArgs {
    #[command(subcommand)]
    pub(super) command: QueueCommand,
    /// Print JSON instead of text: one document, or with watch one line per change
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(super) enum QueueCommand {
    /// Count the jobs by state, and tell who works on them
    Stats,
    /// List the jobs in one state: the next in time first, of the dead the last
    List {
        /// Which jobs
        #[arg(value_parser = states())]
        state: JobState,
        /// How many at most (1 to 100)
        #[arg(long, default_value = "50", value_parser = value_parser!(u64).range(1..=QueueAdmin::PAGE as u64))]
        limit: u64,
        /// How many to pass over
        #[arg(long, default_value = "0", value_parser = value_parser!(u64).range(..=MAX_OFFSET))]
        offset: u64,
    },
    /// Show all that is known of one job; of a webhook's URL only scheme and host
    Show {
        /// Its id, such as `webhook:msg_01…`
        id: String,
    },
    /// Let dead jobs begin anew
    #[command(group(ArgGroup::new("which").required(true).args(["id", "all_dead"])))]
    Retry {
        /// The id of a dead job
        id: Option<String>,
        /// All that are dead now, those that died first before the others
        #[arg(long)]
        all_dead: bool,
    },
    /// Remove a dead job for good
    Drop {
        /// Its id
        id: String,
    },
    /// Stop handing out jobs; what is held is finished
    Pause {
        /// One kind of job; without it the whole queue
        #[arg(value_parser = kinds())]
        kind: Option<Scope>,
    },
    /// Hand out jobs again
    Resume {
        /// One kind of job; without it the whole queue
        #[arg(value_parser = kinds())]
        kind: Option<Scope>,
    },
    /// Follow the queue until ctrl-c: a live view on a terminal, elsewhere a line per change
    Watch {
        /// From one look to the next, such as 2s or 1min (1s to 1h)
        #[arg(long, default_value = "2s", value_parser = interval)]
        interval: Duration,
    },
}

fn states() -> impl TypedValueParser<Value = JobState> {
    PossibleValuesParser::new(JobState::ALL.map(JobState::as_str))
        .try_map(|word| word.parse::<JobState>())
}

fn kinds() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(JobKind::ALL.map(JobKind::as_str))
        .try_map(|word| word.parse::<Scope>())
}

fn interval(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| "not a time such as 2s")?;
    let ms = match &text[digits.len()..] {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" | "min" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        unit => return Err(format!("{unit} is none of ms, s, min and h")),
    };
    let interval = ms.map(Duration::from_millis);
    let is_fine = |interval: &Duration| (Duration::from_secs(1)..=MAX_INTERVAL).contains(interval);
    interval
        .filter(is_fine)
        .ok_or_else(|| "must be from 1s to 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_number_with_a_unit_from_a_second_to_an_hour() {
        for (text, ms) in [
            ("1s", 1000),
            ("2", 2000),
            ("1500ms", 1500),
            ("1min", 60_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(interval(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "s",
            "0",
            "999ms",
            "2h",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "é",
            "99999999999999999h",
        ] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
