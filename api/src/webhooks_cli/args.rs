//! What the webhook commands are told.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Subcommand, value_parser};
use shared::clock::Millis;
use shared::model::EventId;
use shared::webhooks::{DeliveryLog, Fate};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration.
Which Redis is told by the same variables as for the API; no other is needed.";

/// The log of deliveries as one command sees it.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct WebhooksArgs {
    #[command(subcommand)]
    pub(super) command: WebhooksCommand,
    /// Print one document of JSON instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(super) enum WebhooksCommand {
    /// List attempts to deliver, newest first
    List {
        /// Only with this fate
        #[arg(long, value_parser = fates())]
        fate: Option<Fate>,
        /// Only of this event
        #[arg(long)]
        event: Option<EventId>,
        /// How many at most (1 to 100)
        #[arg(long, default_value = "50", value_parser = value_parser!(u64).range(1..=DeliveryLog::PAGE as u64))]
        limit: u64,
        /// Only before this one
        #[arg(long)]
        before: Option<u64>,
    },
    /// Show one attempt and what was sent; of the URL only scheme and host
    Show {
        /// Its number
        id: u64,
    },
    /// Deliver once more, under the same ids
    #[command(group(ArgGroup::new("which").required(true).args(["id", "from"])))]
    Replay {
        /// The delivery of this attempt
        id: Option<u64>,
        /// All that were not delivered from this time on (ISO 8601)
        #[arg(long, value_parser = time)]
        from: Option<Millis>,
        /// Until this time [default: now]
        #[arg(long, value_parser = time, requires = "from")]
        to: Option<Millis>,
        /// Also those that were delivered, for a receiver that lost them
        #[arg(long, requires = "from")]
        with_delivered: bool,
        /// How many at most, the oldest first (1 to 10000)
        #[arg(long, default_value = "1000", value_parser = value_parser!(u64).range(1..=DeliveryLog::KEPT))]
        limit: u64,
    },
    /// Send a test to a URL and tell what became of it
    Test {
        /// Where to
        url: String,
    },
}

fn fates() -> impl TypedValueParser<Value = Fate> {
    PossibleValuesParser::new(Fate::ALL.map(Fate::as_str)).try_map(|word| {
        let fate = Fate::ALL.into_iter().find(|fate| fate.as_str() == word);
        fate.ok_or("no such fate")
    })
}

fn time(text: &str) -> Result<Millis, &'static str> {
    Millis::parse_iso(text).ok_or("not a time such as 2026-11-22T20:00:00Z")
}
