//! The figures as a table for people and as one line for programs.

use std::collections::BTreeMap;

use devstack::benchmarks::{quantile, table};
use serde_json::{Value, json};

use crate::boot::Boot;
use crate::crowd::Crowd;
use crate::deployment::RATE_LIMIT;
use crate::plan::Plan;
use crate::steady::Steady;

/// Everything that one run measured.
pub(crate) struct Figures {
    pub(crate) boot: Boot,
    pub(crate) steady: [Steady; 2],
    pub(crate) crowd: Crowd,
}

impl Figures {
    /// Of all that was counted with one and with several workers, the larger.
    fn requests_per_second(&self) -> f64 {
        let [one, several] = &self.steady;
        one.per_second.max(several.per_second)
    }

    /// The closing line.
    pub(crate) fn closing(&self) -> Value {
        json!({
            "ready_webhook_p99_ms": p99(&self.boot.webhook).round(),
            "provider_rps_1000": (self.requests_per_second() * 1000.0).round() / 1000.0,
            "reconcile_lag_p99_ms_10000": p99(&self.crowd.lag).round(),
            "rss_mib_10000": (self.crowd.memory.peak * 10.0).round() / 10.0,
        })
    }

    /// The section of the page.
    pub(crate) fn section(&self, machine: &str, plan: &Plan) -> String {
        format!(
            "## The fleet\n\n\
             Written by `make bench-fleet`: everything real, release builds, `redis-server` over RESP, the\n\
             simulated provider in a process of its own. {RATE_LIMIT} calls a minute to the provider are\n\
             allowed, all else has its default: a look at what is on its way every 2 s, a pass over the whole\n\
             list every 30 s, ten jobs at a time. The first of the ordered instances begins to run when the\n\
             allowed calls are made up for that ordering them took.\n\n\
             Machine: {machine}.\n\n\
             {}\n{}",
            table(&self.latencies(plan)),
            table(&self.quantities(plan)),
        )
    }

    fn latencies(&self, plan: &Plan) -> Vec<Vec<String>> {
        let Plan {
            booting,
            crowd,
            pace,
            ..
        } = plan;
        let booting = format!(
            "{booting} instances begin to run within {} s, one worker",
            plan.boot_span.as_secs()
        );
        let crowd = format!("{crowd} instances, {pace} changes a second, one worker");
        let mut rows = vec![row([
            "of",
            "ms from … to …",
            "p50",
            "p99",
            "max",
            "goal (p99)",
        ])];
        for (of, what, values, goal) in [
            (&booting, "running → made due", &self.boot.due, ""),
            (&booting, "running → event `ready`", &self.boot.event, ""),
            (
                &booting,
                "running → webhook `ready`",
                &self.boot.webhook,
                "2250",
            ),
            (&crowd, "change → made due", &self.crowd.due, ""),
            (&crowd, "made due → settled", &self.crowd.lag, "10000"),
            (&crowd, "change → event", &self.crowd.event, ""),
        ] {
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|q| format!("{:.0}", at(values, q)));
            rows.push(row([of, what, &p50, &p99, &max, goal]));
        }
        rows
    }

    fn quantities(&self, plan: &Plan) -> Vec<Vec<String>> {
        let mut rows = vec![row(["of", "what", "figure", "goal"])];
        let calls = format!("{} instances while they boot", plan.booting);
        let routes = &self.boot.calls;
        rows.push(row([
            &calls,
            &named("calls to the provider", routes),
            &sum(routes),
            "",
        ]));
        let sizes = [plan.booting, plan.steady];
        for (steady, size) in self.steady.iter().zip(sizes) {
            let of = format!("{size} instances at rest, {} worker(s)", steady.workers);
            let what = format!("requests a second, over {:.0} s", steady.seconds);
            let what = named(&what, &steady.routes);
            rows.push(row([
                &of,
                &what,
                &format!("{:.3}", steady.per_second),
                "0.5",
            ]));
        }
        let of = format!("{} instances, one worker", plan.crowd);
        let memory = self.crowd.memory;
        let first = format!("{:.0}", self.crowd.first_looks);
        for (what, figure, goal) in [
            (
                "resident memory, the most, MiB",
                format!("{:.1}", memory.peak),
                "128",
            ),
            (
                "resident memory, at the end, MiB",
                format!("{:.1}", memory.now),
                "",
            ),
            ("first look at every record after a start, s", first, ""),
        ] {
            rows.push(row([&of, what, &figure, goal]));
        }
        rows
    }
}

/// Quantiles for a glance.
pub(crate) fn spread(values: &[f64]) -> String {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|q| at(values, q));
    format!(
        "p50 {p50:.0}, p99 {p99:.0}, most {max:.0} ms, of {}",
        values.len()
    )
}

fn p99(values: &[f64]) -> f64 {
    at(values, 0.99)
}

fn at(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, q).unwrap_or(f64::NAN)
}

fn sum(routes: &BTreeMap<String, usize>) -> String {
    routes.values().sum::<usize>().to_string()
}

fn named(what: &str, routes: &BTreeMap<String, usize>) -> String {
    let each = routes
        .iter()
        .map(|(route, count)| format!("{count} {route}"));
    format!("{what} ({})", each.collect::<Vec<_>>().join(", "))
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
