//! Each command: one effect, one result.

use std::io::{self, Write as _};
use std::time::Duration;

use serde::Serialize;
use shared::clock::Millis;
use shared::config::RedisConfig;
use shared::schema;
use shared::webhooks::{
    DeliveryLog, EntryView, Fate, LogView, Range, ReplayedView, Selection, SentView,
};
use tokio::time::{Instant, sleep};

use super::args::{WebhooksArgs, WebhooksCommand};
use super::{Failure, text};

/// Longer than one attempt may take, and its way there.
const WORD_WITHIN: Duration = Duration::from_secs(45);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whether it came to what was wished.
pub(super) async fn run(config: &RedisConfig, args: &WebhooksArgs) -> Result<bool, Failure> {
    let redis = schema::connect_to_look(config).await?;
    let log = DeliveryLog::new(redis, config.keys.clone());
    let now = Millis::now();
    match &args.command {
        WebhooksCommand::List {
            fate,
            event,
            limit,
            before,
        } => {
            let selection = Selection {
                event: event.clone(),
                fate: *fate,
            };
            let page = log.page(*before, *limit as usize, &selection).await?;
            show(args, &LogView::from(page), text::page)?;
        }
        WebhooksCommand::Show { id } => {
            let entry = log.entry(*id).await?.ok_or(Failure::Unknown(*id))?;
            show(args, &EntryView::new(*id, entry, true), text::entry)?;
        }
        WebhooksCommand::Replay { id: Some(id), .. } => {
            let event_id = log.replay(*id, now).await?.ok_or(Failure::Unknown(*id))?;
            show(args, &SentView { event_id }, text::sent)?;
        }
        WebhooksCommand::Replay {
            id: None,
            from,
            to,
            with_delivered,
            limit,
        } => {
            let range = Range {
                from: from.unwrap_or(now),
                to: to.unwrap_or(now),
                with_delivered: *with_delivered,
                limit: *limit as usize,
            };
            let replayed = log.replay_range(range, now).await?;
            show(args, &ReplayedView::from(replayed), |all| {
                text::replayed(*all)
            })?;
        }
        WebhooksCommand::Test { url } => return test(&log, url, args).await,
    }
    Ok(true)
}

async fn test(log: &DeliveryLog, url: &str, args: &WebhooksArgs) -> Result<bool, Failure> {
    let event = log.test(url.to_owned(), Millis::now()).await?;
    let selection = Selection {
        event: Some(event),
        fate: None,
    };
    let deadline = Instant::now() + WORD_WITHIN;
    loop {
        let found = log.page(None, 1, &selection).await?.entries.pop();
        if let Some((number, entry)) = found {
            let is_delivered = entry.fate == Fate::Delivered;
            show(args, &EntryView::new(number, entry, false), text::entry)?;
            return Ok(is_delivered);
        }
        if Instant::now() >= deadline {
            return Err(Failure::NoWord(WORD_WITHIN.as_secs()));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Writes one result: as a line of JSON, or as the text that ends with a line break.
fn show<T: Serialize>(
    args: &WebhooksArgs,
    view: &T,
    text: impl FnOnce(&T) -> String,
) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut stdout, view)?;
        writeln!(stdout)?;
    } else {
        stdout.write_all(text(view).as_bytes())?;
    }
    stdout.flush()
}
