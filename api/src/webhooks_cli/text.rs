//! Results for people. What came from outside is shown without anything that a terminal would obey.

use std::fmt::Write as _;

use shared::webhooks::{EntryView, LogView, ReplayedView, SentView};

pub(super) fn page(page: &LogView) -> String {
    let mut text = format!(
        "{:>8}  {:<24}  {:<9}  {:>7}  {:<20}  {}\n",
        "ID", "AT", "FATE", "ATTEMPT", "REASON", "EVENT"
    );
    for entry in &page.deliveries {
        let reason = entry.reason.as_deref().unwrap_or("-");
        let kind = entry.kind.as_deref().unwrap_or("-");
        // Writing into a text cannot fail.
        let _ = writeln!(
            text,
            "{:>8}  {:<24}  {:<9}  {:>7}  {:<20}  {} {}",
            entry.id,
            entry.at,
            entry.fate.as_str(),
            entry.attempt,
            clean(reason),
            entry.event_id,
            clean(kind),
        );
    }
    if let Some(next) = page.next {
        let _ = writeln!(text, "more: --before {next}");
    }
    text
}

pub(super) fn entry(entry: &EntryView) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:<14}{}", clean(&value));
        }
    };
    row("id", Some(entry.id.to_string()));
    row("event", Some(entry.event_id.to_string()));
    row("type", entry.kind.clone());
    row("instance", entry.instance_id.clone());
    row("receiver", entry.receiver.clone());
    row("trigger", Some(entry.trigger.to_owned()));
    row("at", Some(entry.at.clone()));
    row("attempt", Some(entry.attempt.to_string()));
    row("fate", Some(entry.fate.as_str().to_owned()));
    row("reason", entry.reason.clone());
    row("status", entry.status.map(|status| status.to_string()));
    row("duration", Some(format!("{} ms", entry.duration_ms)));
    row("next attempt", entry.next_attempt_at.clone());
    if entry.may_repeat {
        row(
            "note",
            Some("the receiver may have had it before".to_owned()),
        );
    }
    row("payload", entry.payload.as_ref().map(ToString::to_string));
    text
}

pub(super) fn sent(sent: &SentView) -> String {
    format!("{} is due\n", sent.event_id)
}

pub(super) fn replayed(all: ReplayedView) -> String {
    format!(
        "{} are due, {} more are in the range\n",
        all.replayed, all.remaining
    )
}

/// Without control characters.
pub(super) fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}
