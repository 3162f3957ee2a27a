//! Results as people read them.

use shared::clock::Millis;
use shared::queue::view::{
    DroppedView, JobTime, JobView, PageView, PauseView, RetriedView, RevivalView, StatsView,
};
use shared::queue::{JobState, Priority, Scope};

use super::table::{Align, Table, clean};
use super::time::span;

pub(super) fn stats(stats: &StatsView) -> String {
    let mut numbers = Table::new([
        ("DUE", Align::Right),
        ("LEASED", Align::Right),
        ("DELAYED", Align::Right),
        ("PAUSED", Align::Right),
        ("DEAD", Align::Right),
        ("OLDEST DUE", Align::Right),
        ("PAUSED SCOPES", Align::Left),
    ]);
    numbers.row([
        stats.due.to_string(),
        stats.leased.to_string(),
        stats.delayed.to_string(),
        stats.paused.to_string(),
        stats.dead.to_string(),
        span(stats.oldest_due_ms),
        scopes(stats),
    ]);
    let mut text = numbers.text();
    if !stats.counts_complete {
        text.push_str("There are many timers: some leased jobs are counted as delayed.\n");
    }
    text.push('\n');
    text.push_str(&workers(stats));
    text
}

/// What is paused, or `none`.
pub(super) fn scopes(stats: &StatsView) -> String {
    let scopes: Vec<_> = stats.paused_scopes.iter().map(Scope::to_string).collect();
    if scopes.is_empty() {
        return "none".to_owned();
    }
    scopes.join(", ")
}

fn workers(stats: &StatsView) -> String {
    if stats.workers.is_empty() {
        return "no workers\n".to_owned();
    }
    let mut table = Table::new([
        ("WORKER", Align::Left),
        ("STATE", Align::Left),
        ("HEARD OF", Align::Right),
        ("RUNNING", Align::Right),
        ("VERSION", Align::Left),
    ]);
    for worker in &stats.workers {
        let life = if worker.alive { "alive" } else { "silent" };
        table.row([
            worker.session.clone(),
            life.to_owned(),
            format!("{} ago", span(stats.now.since(worker.at))),
            format!("{} of {}", worker.running, worker.permits),
            worker.version.clone(),
        ]);
    }
    table.text()
}

pub(super) fn page(page: &PageView, offset: u64) -> String {
    let (state, total) = (page.state, page.total);
    if page.jobs.is_empty() {
        return match total {
            0 => format!("no {state} jobs\n"),
            _ => format!("no more {state} jobs; {total} in all\n"),
        };
    }
    let (first, last) = (offset + 1, offset + page.jobs.len() as u64);
    format!("{}\n{first} to {last} of {total} {state}\n", jobs(page))
}

/// The jobs of a page in columns that suit their state.
pub(super) fn jobs(page: &PageView) -> String {
    match page.state {
        JobState::Leased => held(page),
        JobState::Due | JobState::Delayed | JobState::Paused | JobState::Dead => free(page),
    }
}

/// Who holds them, in full.
fn held(page: &PageView) -> String {
    let mut table = Table::new([
        ("ID", Align::Left),
        ("LEASE ENDS", Align::Right),
        ("TRIES", Align::Right),
        ("HOLDER", Align::Left),
    ]);
    for job in &page.jobs {
        table.row([
            job.id.clone(),
            age(job, page.now),
            job.attempts.to_string(),
            job.holder.clone().unwrap_or_default(),
        ]);
    }
    table.text()
}

/// What they failed with, if they did.
fn free(page: &PageView) -> String {
    let mut table = Table::new([
        ("ID", Align::Left),
        (time_heading(page.state), Align::Right),
        ("PRIORITY", Align::Left),
        ("TRIES", Align::Right),
        ("LAST ERROR", Align::Left),
    ]);
    for job in &page.jobs {
        table.row([
            job.id.clone(),
            age(job, page.now),
            job.priority.map_or("", Priority::as_str).to_owned(),
            job.attempts.to_string(),
            job.errors.first().cloned().unwrap_or_default(),
        ]);
    }
    table.text()
}

fn time_heading(state: JobState) -> &'static str {
    match state {
        JobState::Due => "DUE FOR",
        JobState::Leased => "LEASE ENDS",
        JobState::Delayed => "DUE",
        JobState::Paused => "",
        JobState::Dead => "DIED",
    }
}

fn age(job: &JobView, now: Millis) -> String {
    job.time
        .map_or_else(String::new, |time| relative(time, now))
}

fn relative(time: JobTime, now: Millis) -> String {
    match time {
        JobTime::RunnableSince(at) => span(now.since(at)),
        JobTime::LeaseEndsAt(at) | JobTime::DueAt(at) => format!("in {}", span(at.since(now))),
        JobTime::DiedAt(at) => format!("{} ago", span(now.since(at))),
    }
}

pub(super) fn job(job: &JobView) -> String {
    let yes_or_no = if job.wanted_again { "yes" } else { "no" };
    let mut lines = vec![
        ("id", job.id.clone()),
        ("kind", job.kind.clone()),
        ("state", job.state.to_string()),
        (
            "priority",
            job.priority.map_or("unknown", Priority::as_str).to_owned(),
        ),
    ];
    lines.extend(job.time.map(|time| time_line(time, job.seen_at)));
    lines.extend([
        ("attempts", job.attempts.to_string()),
        ("crashes", job.crashes.to_string()),
        ("failures", job.failures.to_string()),
        (
            "holder",
            job.holder.clone().unwrap_or_else(|| "none".to_owned()),
        ),
        ("wanted again", yes_or_no.to_owned()),
    ]);
    let errors = job.errors.iter().enumerate();
    lines.extend(errors.map(|(at, error)| (if at == 0 { "errors" } else { "" }, error.clone())));
    let payload = serde_json::to_string_pretty(&job.payload).unwrap_or_default();
    let payload = payload.lines().enumerate();
    lines.extend(payload.map(|(at, line)| (if at == 0 { "payload" } else { "" }, line.to_owned())));
    let lines = lines.iter();
    let lines = lines.map(|(name, value)| format!("{name:<14}  {}\n", clean(value)));
    lines.collect::<Vec<_>>().concat()
}

fn time_line(time: JobTime, now: Millis) -> (&'static str, String) {
    let (name, at) = match time {
        JobTime::RunnableSince(at) => ("runnable since", at),
        JobTime::LeaseEndsAt(at) => ("lease ends at", at),
        JobTime::DueAt(at) => ("due at", at),
        JobTime::DiedAt(at) => ("died at", at),
    };
    (name, format!("{} ({})", at.iso(), relative(time, now)))
}

pub(super) fn retried(retried: &RetriedView) -> String {
    format!("{} is {}\n", clean(&retried.id), retried.state)
}

pub(super) fn revival(revival: RevivalView) -> String {
    let RevivalView { retried, remaining } = revival;
    format!("retried {retried}, {remaining} remain dead\n")
}

pub(super) fn dropped(dropped: &DroppedView) -> String {
    format!("{} is removed\n", clean(&dropped.id))
}

pub(super) fn pause(pause: PauseView) -> String {
    let what = match pause.scope {
        Scope::All => "the whole queue".to_owned(),
        Scope::Kind(kind) => kind.as_str().to_owned(),
    };
    match (pause.paused, pause.changed) {
        (true, true) => format!("{what} is paused\n"),
        (true, false) => format!("{what} was paused already\n"),
        (false, true) => format!("{what} goes on\n"),
        (false, false) => format!("{what} was not paused\n"),
    }
}
