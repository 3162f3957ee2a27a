//! The figures as tables for people and as one line for programs.

use devstack::benchmarks::{quantile, table};
use serde_json::{Value, json};

use crate::isolation::Delays;
use crate::plan::{AT_A_TIME, HANGING, NEIGHBOURS, Plan, RECEIVERS};
use crate::throughput::Rates;

/// Everything that was measured.
pub(crate) struct Figures {
    pub(crate) rates: Rates,
    pub(crate) delays: Delays,
}

impl Figures {
    /// For the page of benchmarks.
    pub(crate) fn section(&self, machine: &str, plan: &Plan) -> String {
        format!(
            "## Webhooks\n\n\
             Written by `make bench-webhooks`: one worker, one `redis-server` (append-only file synced every\n\
             second) and one receiver on loopback, without TLS, each a process of its own.\n\n\
             Machine: {machine}.\n\n\
             ### Throughput\n\n\
             {} deliveries to {RECEIVERS} receivers from a queue that was filled beforehand, {AT_A_TIME} at a\n\
             time, from the first arrival to the last; beside as many requests with `reqwest` from a loop\n\
             that does nothing else. Median of {} turns.\n\n{}\n\
             ### Receivers that hang\n\n\
             From the enqueue call to the arrival, ms: {} webhooks a second to {NEIGHBOURS} receivers, of\n\
             which {HANGING} never answer in the second row; they are counted in neither.\n\n{}",
            plan.deliveries,
            plan.repeats,
            table(&self.throughput()),
            plan.pace,
            table(&self.isolation()),
        )
    }

    /// The closing line.
    pub(crate) fn closing(&self) -> Value {
        let rounded = |value: Option<f64>| value.map(|value| (value * 1000.0).round() / 1000.0);
        json!({
            "deliveries_per_s": median(&self.rates.deliveries).map(f64::round),
            "ratio": rounded(self.ratio(&self.rates.requests)),
            "ratio_own_connections": rounded(self.ratio(&self.rates.own_connections)),
            "p99_growth": rounded(self.delays.growth()),
        })
    }

    fn ratio(&self, requests: &[f64]) -> Option<f64> {
        Some(median(&self.rates.deliveries)? / median(requests)?)
    }

    fn throughput(&self) -> Vec<Vec<String>> {
        let mut rows = vec![row(["what", "connections", "per second", "ours / these"])];
        for (what, connections, rates) in [
            ("deliveries", "one each", &self.rates.deliveries),
            ("`reqwest`", "kept", &self.rates.requests),
            ("`reqwest`", "one each", &self.rates.own_connections),
        ] {
            let rate = shown(median(rates), 0);
            let ratio = shown(self.ratio(rates), 2);
            rows.push(row([what, connections, &rate, &ratio]));
        }
        rows
    }

    fn isolation(&self) -> Vec<Vec<String>> {
        let mut rows = vec![row(["receivers", "counted", "p50", "p99"])];
        for (what, delays) in [
            ("all are well", &self.delays.calm),
            ("some hang", &self.delays.beside),
        ] {
            let count = delays.len().to_string();
            let of = |q| shown(quantile(delays, q), 1);
            rows.push(row([what, &count, &of(0.5), &of(0.99)]));
        }
        rows
    }
}

fn row(cells: [&str; 4]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}
