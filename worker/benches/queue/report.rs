//! The figures as tables for people and as one line for programs.

use devstack::benchmarks::table;
use serde_json::{Map, Value, json};

use crate::figures::{Figures, Spread, cost_ratio};
use crate::idle::Idle;
use crate::measure::Sample;
use crate::plan::{Case, LOADED, PERMITS, WORKERS};
use crate::system::{Route, System};

/// All tables, as Markdown that reads well as it stands.
pub(crate) fn tables(figures: &Figures, idle: &Idle) -> String {
    [
        section("Throughput", "Jobs per second: median (smallest to largest).", &throughput(figures)),
        section(
            "Commands per job",
            "Commands that the server ran, those inside scripts included, `PING` and `INFO` left out.",
            &commands(figures),
        ),
        section(
            "Processor time per job",
            "µs of the measured processes + µs of the server, medians.",
            &cpu(figures),
        ),
        section(
            "Pick-up",
            "From just before the enqueue call to the start of the handler, by an idle worker: p50 / p99 in ms.",
            &pick_up(figures),
        ),
        at_rest(idle),
    ]
    .join("\n")
}

fn at_rest(idle: &Idle) -> String {
    let counted = idle.by_command.iter();
    let counted: Vec<String> = counted
        .map(|(name, calls)| format!("{calls} {name}"))
        .collect();
    format!(
        "### Idle\n\nOne API process and two workers without instances, metrics scraped every 15 s: \
         **{:.0} commands a day**.\nCounted within {} s: {}.\n",
        idle.per_day,
        idle.watched.as_secs(),
        counted.join(", "),
    )
}

/// The closing line.
pub(crate) fn closing(figures: &Figures, idle: &Idle) -> Value {
    let mut line = Map::new();
    let mut put = |name: String, value: Option<f64>| {
        line.insert(
            name,
            json!(value.map(|value| (value * 1000.0).round() / 1000.0)),
        );
    };
    for workers in WORKERS {
        for permits in PERMITS {
            let suffix = if workers == 1 {
                String::new()
            } else {
                format!("_workers{workers}")
            };
            let case = Case::Drain { workers, permits };
            put(
                format!("throughput_ratio_{permits}{suffix}"),
                figures.throughput_ratio(Route::Resp, case),
            );
            put(
                format!("throughput_ratio_{permits}_rtt20{suffix}"),
                figures.throughput_ratio(Route::Rtt20, case),
            );
        }
    }
    let loaded = |system| figures.commands_single(system);
    put("commands_ratio_loaded".into(), cost_ratio(loaded));
    let sparse = |system| figures.commands_sparse(system);
    put("commands_ratio_sparse".into(), cost_ratio(sparse));
    put("commands_per_job_single".into(), loaded(System::Ours));
    put(
        "commands_per_job_bulk".into(),
        figures.commands_bulk(System::Ours),
    );
    put("commands_per_job_sparse".into(), sparse(System::Ours));
    put("idle_commands_per_day".into(), Some(idle.per_day.round()));
    for (name, route, q) in [
        ("pickup_p50_ms", Route::Resp, 0.5),
        ("pickup_p99_ms", Route::Resp, 0.99),
        ("pickup_p50_ms_rest", Route::Bridge, 0.5),
        ("pickup_p99_ms_rest", Route::Bridge, 0.99),
    ] {
        put(name.into(), figures.pick_up(System::Ours, route, q));
    }
    Value::Object(line)
}

fn section(title: &str, what: &str, rows: &[Vec<String>]) -> String {
    format!("### {title}\n\n{what}\n\n{}", table(rows))
}

fn throughput(figures: &Figures) -> Vec<Vec<String>> {
    let mut rows = vec![head(&["ours / better peer", "jobs"])];
    for (route, case) in figures.cases() {
        if matches!(case, Case::Paced { .. }) {
            continue;
        }
        let shown = |system| {
            figures
                .spread(system, route, case, |s| s.jobs_per_second)
                .map(range)
        };
        let ratio = times(figures.throughput_ratio(route, case));
        let jobs = figures.spread(System::Ours, route, case, |s| s.jobs as f64);
        let jobs = jobs.map_or_else(String::new, |jobs| format!("{:.0}", jobs.median));
        rows.push(row(route, &case.to_string(), shown, &[ratio, jobs]));
    }
    rows
}

fn commands(figures: &Figures) -> Vec<Vec<String>> {
    let mut rows = vec![head(&["ours / better peer"])];
    for (route, case) in figures.cases() {
        let of = |system| {
            let spread = figures.spread(system, route, case, |sample| sample.commands);
            spread.map(|spread| spread.median)
        };
        rows.push(cost_row(route, &case.to_string(), of));
    }
    let whole = |way: &str| format!("whole life, {way}, then {LOADED}");
    let single = |system| figures.commands_single(system);
    rows.push(cost_row(Route::Resp, &whole("1 per call"), single));
    let bulk = |system| figures.commands_bulk(system);
    rows.push(cost_row(Route::Resp, &whole("100 per call"), bulk));
    rows
}

fn cost_row(route: Route, what: &str, of: impl Fn(System) -> Option<f64>) -> Vec<String> {
    let ratio = cost_ratio(&of);
    let shown = |system| of(system).map(|commands| format!("{commands:.2}"));
    row(route, what, shown, &[times(ratio)])
}

fn cpu(figures: &Figures) -> Vec<Vec<String>> {
    let mut rows = vec![head(&[])];
    for (route, case) in figures.cases() {
        let median = |system, figure: fn(&Sample) -> f64| {
            let spread = figures.spread(system, route, case, figure)?;
            Some(spread.median)
        };
        let shown = |system| {
            let client = median(system, |sample| sample.client_us)?;
            let server = median(system, |sample| sample.server_us)?;
            Some(format!("{client:.0} + {server:.0}"))
        };
        rows.push(row(route, &case.to_string(), shown, &[]));
    }
    rows
}

fn pick_up(figures: &Figures) -> Vec<Vec<String>> {
    let mut rows = vec![head(&[])];
    for route in Route::ALL {
        let shown = |system| {
            let (p50, p99) = (
                figures.pick_up(system, route, 0.5)?,
                figures.pick_up(system, route, 0.99)?,
            );
            Some(format!("{p50:.1} / {p99:.1}"))
        };
        rows.push(row(route, &crate::plan::PICK_UP.to_string(), shown, &[]));
    }
    rows
}

fn head(more: &[&str]) -> Vec<String> {
    let mut head = vec!["over".to_owned(), "what".to_owned()];
    head.extend(System::ALL.map(|system| system.name().to_owned()));
    head.extend(more.iter().map(|name| (*name).to_owned()));
    head
}

fn row(
    route: Route,
    what: &str,
    of: impl Fn(System) -> Option<String>,
    more: &[String],
) -> Vec<String> {
    let mut row = vec![route.name().to_owned(), what.to_owned()];
    row.extend(System::ALL.map(|system| of(system).unwrap_or_else(|| "–".to_owned())));
    row.extend_from_slice(more);
    row
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}"))
}

fn range(spread: Spread) -> String {
    let Spread { median, min, max } = spread;
    format!("{median:.0} ({min:.0} to {max:.0})")
}
