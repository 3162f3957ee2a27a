//! Hands each command to what carries it out, and its answer to whoever asked.

use std::path::Path;

use serde_json::{Value, json};
use shared::redis::{Command as RedisCommand, Redis, Repeat};
use shared::schema::{self, Layout};

use crate::answer::{Answer, Exit, Failure};
use crate::backup;
use crate::backup::file::Reader;
use crate::backup::load::Restored;
use crate::backup::take::Taken;
use crate::cli::{Command, Settings};
use crate::lock::Lock;
use crate::node;
use crate::steps::{self, Findings, Place, Step};

/// Carries out one command.
///
/// # Errors
/// It was not carried out, or not to its end; a second run completes it.
pub async fn carry_out(settings: Settings) -> Result<Answer, Failure> {
    let redis = Redis::new(&settings.redis.options)?;
    let place = Place {
        redis: &redis,
        keys: &settings.redis.keys,
    };
    let answer = match &settings.command {
        Command::Run if !settings.dry_run => run(place, &settings).await?,
        Command::Plan | Command::Run => plan(place).await?,
        Command::Status => status(place).await?,
        Command::Verify => verify(place).await?,
        Command::Rollback => roll_back(place, &settings).await?,
        Command::Backup { file, pattern } => {
            take_backup(place, &settings, file, pattern.as_deref()).await?
        }
        Command::Restore { file, force } => restore(place, &settings, file, *force).await?,
        Command::ImportNode(args) => node::command::carry_out(place, &settings, args).await?,
    };
    if let Some(path) = &settings.report {
        let report = format!("{:#}\n", answer.json);
        std::fs::write(path, report).map_err(Failure::file(path))?;
    }
    Ok(answer)
}

/// Does `work` under the lock, which is left whatever becomes of it.
pub(crate) async fn under_lock<T>(
    place: Place<'_>,
    settings: &Settings,
    command: &'static str,
    work: impl AsyncFnOnce(&Lock) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (lease, wait) = (settings.lock_lease, settings.lock_wait);
    let lock = Lock::take(place.redis, place.keys, command, lease, wait).await?;
    let done = work(&lock).await;
    let left = lock.leave().await;
    let done = done?;
    left?;
    Ok(done)
}

async fn plan(place: Place<'_>) -> Result<Answer, Failure> {
    let layout = place.layout().await?;
    let mut lines = vec![headline(layout)];
    let mut planned = Vec::new();
    for step in steps::pending(layout) {
        let findings = step.look(place).await?;
        lines.extend(told(step, &findings, "would change"));
        planned.push(step_json(step, &findings));
    }
    if planned.is_empty() {
        lines.push("plan: nothing to do".to_owned());
    }
    let json = json!({
        "command": "plan",
        "layout": layout.map(|layout| layout.to_string()),
        "build": schema::VERSION,
        "steps": planned,
    });
    Ok(Answer::new(lines, json, Exit::Done))
}

async fn run(place: Place<'_>, settings: &Settings) -> Result<Answer, Failure> {
    let mut lines = Vec::new();
    let mut done = Vec::new();
    let before = under_lock(place, settings, "run", async |lock| {
        let before = place.layout().await?;
        lines.push(headline(before));
        for step in steps::pending(before) {
            let findings = step.take(place, lock).await?;
            lines.extend(told(step, &findings, "changed"));
            done.push(step_json(step, &findings));
        }
        Ok(before)
    })
    .await?;
    if done.is_empty() {
        lines.push("run: nothing to do".to_owned());
    }
    let layout = place.layout().await?;
    let json = json!({
        "command": "run",
        "before": before.map(|layout| layout.to_string()),
        "layout": layout.map(|layout| layout.to_string()),
        "steps": done,
    });
    Ok(Answer::new(lines, json, Exit::Done))
}

async fn verify(place: Place<'_>) -> Result<Answer, Failure> {
    let layout = place.layout().await?;
    let mut lines = vec![headline(layout)];
    let mut verified = Vec::new();
    let mut differs = false;
    for step in steps::taken(layout) {
        let findings = step.look(place).await?;
        differs |= findings.changes > 0 || !findings.problems.is_empty();
        lines.extend(told(step, &findings, "differ"));
        verified.push(step_json(step, &findings));
    }
    let json = json!({
        "command": "verify",
        "layout": layout.map(|layout| layout.to_string()),
        "steps": verified,
        "clean": !differs,
    });
    lines.push(format!(
        "verify: {}",
        if differs { "differences" } else { "clean" }
    ));
    let exit = if differs { Exit::Differs } else { Exit::Done };
    Ok(Answer::new(lines, json, exit))
}

async fn roll_back(place: Place<'_>, settings: &Settings) -> Result<Answer, Failure> {
    let layout = place.layout().await?;
    let Some(step) = steps::taken(layout).next_back() else {
        let lines = vec!["rollback: no step was taken".to_owned()];
        let json = json!({ "command": "rollback", "layout": null });
        return Ok(Answer::new(lines, json, Exit::Done));
    };
    let verb = if settings.dry_run {
        "would undo"
    } else {
        let undo = async |lock: &Lock| step.roll_back(place, lock).await;
        under_lock(place, settings, "rollback", undo).await?;
        "undone"
    };
    let lines = vec![
        headline(place.layout().await?),
        format!(
            "rollback: {verb} step {} {}: {}",
            step.layout.version, step.id, step.undo
        ),
    ];
    let json = json!({
        "command": "rollback",
        "step": step.id,
        "dryRun": settings.dry_run,
        "layout": place.layout().await?.map(|layout| layout.to_string()),
    });
    Ok(Answer::new(lines, json, Exit::Done))
}

async fn status(place: Place<'_>) -> Result<Answer, Failure> {
    let found = schema::version(place.redis, place.keys).await?;
    let judged = found.clone().map(schema::judge).transpose();
    let holder = RedisCommand::new("HMGET")
        .arg(place.keys.operator())
        .args(["who", "command"]);
    let holder = place.redis.run(holder, Repeat::Harmless).await?;
    let holder: Vec<String> = holder.optional_texts()?.into_iter().flatten().collect();
    let (line, exit) = match &judged {
        Ok(layout) => (headline(*layout), Exit::Done),
        Err(error) => (error.to_string(), Exit::Layout),
    };
    let mut lines = vec![line];
    if let [who, command] = holder.as_slice() {
        lines.push(format!("at work: {who}, `{command}`"));
    }
    let imported = RedisCommand::new("HLEN").arg(place.keys.imported());
    let imported = place.redis.run(imported, Repeat::Harmless).await?.int()?;
    if imported > 0 {
        lines.push(format!(
            "imported from the predecessor: {imported} records and webhooks"
        ));
    }
    let json = json!({
        "command": "status",
        "imported": imported,
        "layout": found,
        "build": schema::VERSION,
        "known": judged.is_ok(),
        "atWork": holder.first(),
    });
    Ok(Answer::new(lines, json, exit))
}

async fn take_backup(
    place: Place<'_>,
    settings: &Settings,
    file: &Path,
    pattern: Option<&str>,
) -> Result<Answer, Failure> {
    let own = format!("{}*", place.keys.base());
    let pattern = pattern.filter(|text| !text.is_empty()).unwrap_or(&own);
    if settings.dry_run {
        let lines = vec![format!(
            "backup: would write {pattern} to {}",
            file.display()
        )];
        let json = json!({ "command": "backup", "dryRun": true, "match": pattern });
        return Ok(Answer::new(lines, json, Exit::Done));
    }
    let taken = backup::backup(place, pattern, file).await?;
    let Taken {
        keys,
        bytes,
        sha256,
        skipped,
        samples,
    } = taken;
    let mut lines = vec![
        format!("backup: {keys} keys, {bytes} bytes in {}", file.display()),
        format!("sha256 of its content: {sha256}"),
    ];
    if skipped > 0 {
        lines.push(format!("not in it: {skipped}"));
        lines.extend(samples.iter().map(|line| format!("  {line}")));
    }
    let json = json!({
        "command": "backup", "file": file, "keys": keys, "bytes": bytes, "sha256": sha256,
        "skipped": skipped, "skippedSamples": samples,
    });
    let exit = if skipped > 0 {
        Exit::Quarantined
    } else {
        Exit::Done
    };
    Ok(Answer::new(lines, json, exit))
}

async fn restore(
    place: Place<'_>,
    settings: &Settings,
    file: &Path,
    force: bool,
) -> Result<Answer, Failure> {
    if settings.dry_run {
        let checked = Reader::check(file)?;
        let entries = checked.entries;
        let lines = vec![format!(
            "restore: {} is whole, {entries} entries",
            file.display()
        )];
        let json = json!({ "command": "restore", "dryRun": true, "entries": entries });
        return Ok(Answer::new(lines, json, Exit::Done));
    }
    let work = async |lock: &Lock| backup::restore(place, lock, file, force).await;
    let restored = under_lock(place, settings, "restore", work).await?;
    let Restored {
        entries,
        known,
        deleted,
        expired,
    } = restored;
    let lines = vec![format!(
        "restore: {entries} entries, {known} of them by an earlier run; {expired} had expired; {deleted} keys \
         were deleted before"
    )];
    let json = json!({
        "command": "restore", "entries": entries, "known": known, "expired": expired,
        "deleted": deleted,
    });
    Ok(Answer::new(lines, json, Exit::Done))
}

fn headline(layout: Option<Layout>) -> String {
    let build = schema::VERSION;
    match layout {
        None => format!(
            "no layout yet; the first process to start writes version {build}, as does `run`"
        ),
        Some(Layout { version, .. }) if version == build => {
            format!("layout version {version}, as this build writes it")
        }
        Some(Layout { version, .. }) if version < build => {
            format!("layout version {version}; this build writes {build} and works with both")
        }
        Some(Layout { version, .. }) => format!(
            "layout version {version} of a newer release, with which this build (version {build}) works"
        ),
    }
}

fn told(step: &Step, findings: &Findings, verb: &str) -> Vec<String> {
    let (version, id) = (step.layout.version, step.id);
    let (changes, looked_at) = (findings.changes, findings.looked_at);
    let mut lines = vec![format!(
        "step {version} {id}: {changes} of {looked_at} {verb} - {}",
        step.description
    )];
    let samples = findings.samples.iter().map(|line| format!("  {line}"));
    lines.extend(samples);
    let problems = findings.problems.iter();
    lines.extend(problems.map(|line| format!("  in the way: {line}")));
    lines
}

fn step_json(step: &Step, findings: &Findings) -> Value {
    json!({
        "version": step.layout.version,
        "id": step.id,
        "description": step.description,
        "undo": step.undo,
        "findings": findings.json(),
    })
}
