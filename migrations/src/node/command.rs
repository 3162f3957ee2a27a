//! `import-node`: plan, run, verify and rollback of the import.

use std::path::PathBuf;

use serde_json::{Value, json};
use shared::redis::{Command, Redis, Repeat};

use super::family::Family;
use super::ledger::CLAIMED;
use super::quarantine::Quarantine;
use super::report::Report;
use super::source::{self, Source};
use super::target::Target;
use super::undo::{Undone, undo};
use super::walk::{Aim, Walk};
use crate::answer::{Answer, Exit, Failure};
use crate::cli::{ImportAction, ImportArgs, Settings};
use crate::command::under_lock;
use crate::lock::Lock;
use crate::scan::Scan;
use crate::screen::Progress;
use crate::steps::{self, Place};

/// Carries out `import-node`.
///
/// # Errors
/// It was not carried out to its end; a second run completes it.
pub async fn carry_out(
    place: Place<'_>,
    settings: &Settings,
    args: &ImportArgs,
) -> Result<Answer, Failure> {
    let source = source(settings, args)?;
    // A layout that this build does not know is refused before anything is read.
    place.layout().await?;
    match (args.action, settings.dry_run) {
        (ImportAction::Rollback, dry_run) => roll_back(place, settings, args, dry_run).await,
        (ImportAction::Verify, _) => {
            let mut quarantine = Quarantine::new(&args.quarantine, true);
            let report = look(place, settings, &source, Aim::Verify, &mut quarantine).await?;
            Ok(answer("verify", &report, &quarantine, settings.verbose))
        }
        (ImportAction::Plan, _) | (ImportAction::Run, true) => {
            let mut quarantine = Quarantine::new(&args.quarantine, true);
            let report = look(place, settings, &source, Aim::Put, &mut quarantine).await?;
            let mut answer = answer("plan", &report, &quarantine, settings.verbose);
            // A plan that puts something aside is still a plan.
            answer.exit = Exit::Done;
            Ok(answer)
        }
        (ImportAction::Run, false) => run(place, settings, args, &source).await,
    }
}

fn source(settings: &Settings, args: &ImportArgs) -> Result<Source, Failure> {
    let place = match (&settings.source, &args.from) {
        (Some(options), _) => source::Place::Redis(Redis::new(options)?),
        (None, from) => source::Place::Dump(PathBuf::from(from.clone().unwrap_or_default())),
    };
    if args.delete_source && matches!(place, source::Place::Dump(_)) {
        return Err(Failure::Refused(
            "--delete-source is for a Redis; a dump file is left to whoever made it".into(),
        ));
    }
    let own = settings.redis.prefix.clone();
    let prefix = args.source_prefix.clone().filter(|text| !text.is_empty());
    Ok(Source {
        place,
        prefix: prefix.unwrap_or(own),
    })
}

async fn look(
    place: Place<'_>,
    settings: &Settings,
    source: &Source,
    aim: Aim,
    quarantine: &mut Quarantine,
) -> Result<Report, Failure> {
    let target = Target {
        place,
        lock: None,
        now: Target::clock(place).await?,
        envs_key: settings.envs_key.clone(),
    };
    Walk::new(source, &target, aim, quarantine).go().await
}

async fn run(
    place: Place<'_>,
    settings: &Settings,
    args: &ImportArgs,
    source: &Source,
) -> Result<Answer, Failure> {
    let mut quarantine = Quarantine::new(&args.quarantine, false);
    let report = under_lock(place, settings, "import-node", async |lock| {
        prepare(place, lock).await?;
        let target = Target {
            place,
            lock: Some(lock),
            now: Target::clock(place).await?,
            envs_key: settings.envs_key.clone(),
        };
        let report = Walk::new(source, &target, Aim::Put, &mut quarantine).go();
        report.await
    })
    .await?;
    quarantine.close()?;
    let mut answer = answer("run", &report, &quarantine, settings.verbose);
    if quarantine.count > 0 {
        let path = args.quarantine.display();
        answer.lines.push(format!("put aside: see {path}"));
        answer.json["quarantineFile"] = json!(path.to_string());
    }
    if args.delete_source {
        let deleted = delete_source(place, settings, source).await?;
        answer
            .lines
            .push(format!("deleted {deleted} keys of the source"));
        answer.json["deletedFromSource"] = json!(deleted);
    }
    Ok(answer)
}

/// Brings an empty deployment to the layout of this build, and remembers that it was empty.
async fn prepare(place: Place<'_>, lock: &Lock) -> Result<(), Failure> {
    if place.layout().await?.is_some() {
        return Ok(());
    }
    let mark = Command::new("HSETNX").arg(place.keys.imported());
    let mark = mark.args([CLAIMED, "1"]);
    place.redis.run(mark, Repeat::Harmless).await?;
    for step in steps::pending(None) {
        step.take(place, lock).await?;
    }
    Ok(())
}

async fn delete_source(
    place: Place<'_>,
    settings: &Settings,
    source: &Source,
) -> Result<u64, Failure> {
    let mut quarantine = Quarantine::new(&PathBuf::new(), true);
    let report = look(place, settings, source, Aim::Verify, &mut quarantine).await?;
    if report.differences > 0 || quarantine.count > 0 {
        return Err(Failure::Refused(format!(
            "the source stays: {} differences, {} records put aside; see `import-node verify`",
            report.differences, quarantine.count
        )));
    }
    let source::Place::Redis(redis) = &source.place else {
        return Ok(0);
    };
    let mut progress = Progress::new("deleted keys", None);
    let mut scan = Scan::keys(redis, "*");
    let mut deleted = 0;
    while let Some(keys) = scan.next().await? {
        let mut command = Command::new("UNLINK");
        let mut count = 0;
        for key in keys {
            let key = key.text()?;
            if !matches!(
                Family::of(&key, &source.prefix).0,
                Family::Ours | Family::Unknown
            ) {
                command = command.arg(key);
                count += 1;
            }
        }
        if count > 0 {
            deleted += redis.run(command, Repeat::Harmless).await?.int()? as u64;
        }
        progress.advance(count);
    }
    Ok(deleted)
}

async fn roll_back(
    place: Place<'_>,
    settings: &Settings,
    args: &ImportArgs,
    dry_run: bool,
) -> Result<Answer, Failure> {
    let force = args.force;
    let Undone { gone, kept } = if dry_run {
        undo(place, None, force).await?
    } else {
        let work = async |lock: &Lock| undo(place, Some(lock), force).await;
        under_lock(place, settings, "import-node rollback", work).await?
    };
    let verb = if dry_run {
        "would be removed"
    } else {
        "removed"
    };
    let mut lines = vec![format!("rollback: {gone} {verb}")];
    if kept > 0 {
        lines.push(format!(
            "{kept} were worked on since and stay; stop the workers and use --force to remove them too"
        ));
    }
    let json = json!({ "command": "import-node rollback", "removed": gone, "kept": kept });
    let exit = if kept > 0 { Exit::Refused } else { Exit::Done };
    Ok(Answer::new(lines, json, exit))
}

fn answer(action: &str, report: &Report, quarantine: &Quarantine, verbose: bool) -> Answer {
    let told = if verbose { usize::MAX } else { steps::TOLD };
    let mut lines = report.lines();
    let mut list = |title: String, rows: Vec<String>| {
        if rows.is_empty() {
            return;
        }
        lines.push(title);
        let more = rows.len().saturating_sub(told);
        lines.extend(rows.into_iter().take(told).map(|row| format!("  {row}")));
        if more > 0 {
            lines.push(format!("  and {more} more (--verbose)"));
        }
    };
    let aside = quarantine.samples.iter();
    let aside = aside.map(|(key, reason)| format!("{key}: {reason}"));
    list(format!("put aside: {}", quarantine.count), aside.collect());
    list("to be looked at:".to_owned(), report.attention.clone());
    let differences = report.differences_told.clone();
    list(format!("differences: {}", report.differences), differences);
    if action == "verify" && report.differences == 0 {
        lines.push("verify: clean".to_owned());
    }
    let mut json = serde_json::to_value(report).unwrap_or(Value::Null);
    json["command"] = json!(format!("import-node {action}"));
    let exit = match (report.differences, quarantine.count) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Quarantined,
        _ => Exit::Differs,
    };
    Answer::new(lines, json, exit)
}
