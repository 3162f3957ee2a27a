//! `docs/metrics.md` lists what the running processes serve, and they serve what it lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use devstack::stack::{Stack, StackOptions, eventually};
use serde_json::{Value, json};

use crate::page::{hold, root, row};

const PATIENCE: Duration = Duration::from_secs(60);

const HEAD: &str = "\
# Metrics

What the processes serve at `/metrics` on their admin ports, in Prometheus' text format. This page is
written by a test that scrapes both (`make docs`). Times are in seconds and money in US dollars, as the
names say; counters end in `_total` and begin at zero with the process. Histograms come as `_bucket`,
`_sum` and `_count`.

The gauges of the queue and of the budget are read from Redis and are the same from every process: take
`max` of them, not `sum`.

| Metric | Type | Labels | From | Meaning |
|---|---|---|---|---|
";

/// One metric as it is served.
#[derive(Debug, Default, Clone)]
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    from: BTreeSet<&'static str>,
}

type Served = BTreeMap<String, Metric>;

/// Adds what `text` serves.
fn read(text: &str, from: &'static str, served: &mut Served) {
    let mut names = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = words(line, "# HELP ") {
            let metric = served.entry(name.to_owned()).or_default();
            help.clone_into(&mut metric.help);
        } else if let Some((name, kind)) = words(line, "# TYPE ") {
            names.push(name.to_owned());
            let metric = served.entry(name.to_owned()).or_default();
            kind.clone_into(&mut metric.kind);
            metric.from.insert(from);
        } else if let Some((series, labels)) = line.split_once('{') {
            let name = names
                .iter()
                .find(|name| belongs(series, name))
                .expect("a TYPE line comes first");
            let labels = labels.split_once('}').expect("closed").0;
            let labels = labels
                .split("\",")
                .filter_map(|label| label.split_once("=\""));
            let metric = served.get_mut(name).unwrap();
            let labels = labels
                .map(|(label, _)| label.to_owned())
                .filter(|label| label != "le");
            metric.labels.extend(labels);
        }
    }
}

fn words<'a>(line: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(prefix)?.split_once(' ')
}

fn belongs(series: &str, name: &str) -> bool {
    let rest = series.strip_prefix(name);
    rest.is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
}

async fn scrape(stack: &Stack) -> Served {
    let mut served = Served::new();
    let processes = [("api", &stack.apis()[0]), ("worker", &stack.workers()[0])];
    for (from, process) in processes {
        let url = format!("{}/metrics", process.admin_url());
        let answer = devstack::http::client().get(url).send().await.unwrap();
        read(&answer.text().await.unwrap(), from, &mut served);
    }
    served
}

/// The names in calls such as `describe_counter!("name", …)` of the sources.
fn described(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            described(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for call in [
                "describe_counter!(",
                "describe_gauge!(",
                "describe_histogram!(",
            ] {
                let found = text.split(call).skip(1);
                names.extend(found.filter_map(|rest| Some(rest.split('"').nth(1)?.to_owned())));
            }
        }
    }
}

/// A whole life of an instance, so that everything happens that usually does.
async fn live(stack: &Stack) {
    let http = devstack::http::client();
    let instances = format!("{}/api/instances", stack.api_url());
    let body = json!({
        "name": "measured", "productName": "RTX 4090 24GB", "templateId": "100234",
        "maxPricePerHour": 5, "webhookUrl": format!("{}/hook", stack.sink().url()),
    });
    let answer = http.post(&instances).json(&body).send().await.unwrap();
    let accepted: Value = answer.json().await.unwrap();
    let id = accepted["instanceId"]
        .as_str()
        .expect("accepted")
        .to_owned();
    for (phase, then_delete) in [("ready", true), ("terminated", false)] {
        eventually(phase, PATIENCE, async || {
            let url = format!("{instances}/{id}");
            let view: Value = http.get(url).send().await.unwrap().json().await.unwrap();
            match view["status"].as_str() {
                Some(seen) if seen == phase => Ok(()),
                seen => Err(format!("{seen:?}")),
            }
        })
        .await
        .unwrap();
        if then_delete {
            http.delete(format!("{instances}/{id}"))
                .send()
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn the_page_lists_exactly_what_both_processes_serve() {
    let stack = Stack::start(StackOptions {
        env: vec![("MAX_HOURLY_COST".to_owned(), "100".to_owned())],
        ..StackOptions::default()
    })
    .await
    .unwrap();
    live(&stack).await;

    let mut declared = BTreeSet::new();
    for source in ["shared/src", "api/src", "worker/src"] {
        described(&root().join(source), &mut declared);
    }
    assert!(declared.len() > 40);
    // What is declared and not served yet comes with the next pass.
    let served = eventually("every declared metric", PATIENCE, async || {
        let served = scrape(&stack).await;
        let missing: Vec<&String> = declared
            .iter()
            .filter(|name| !served.contains_key(*name))
            .collect();
        if missing.is_empty() {
            Ok(served)
        } else {
            Err(format!("not served: {missing:?}"))
        }
    })
    .await
    .unwrap();

    let mut page = HEAD.to_owned();
    for (name, metric) in &served {
        assert!(!metric.help.is_empty(), "{name} has no help");
        let labels: Vec<String> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
        let from: Vec<&str> = metric.from.iter().copied().collect();
        page += &row(&[
            &format!("`{name}`"),
            &metric.kind,
            &labels.join(", "),
            &from.join(", "),
            &metric.help,
        ]);
    }
    hold("metrics.md", &page);
}
