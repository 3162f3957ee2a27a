//! `docs/configuration.md` lists every variable of every binary, from the flags themselves.

use std::collections::BTreeMap;

use clap::CommandFactory;

use crate::page::{hold, row};

const HEAD: &str = "\
# Configuration

Every variable of the processes. This page is written by the code (`make docs`); each is also a flag,
which `--help` lists.

* Flags win over variables, variables over `.env`, and that over `.env.local` of the working directory.
* An empty variable counts as unset.
* Wrong values are told all at once, with exit code 78, before any port is bound.
* `novita-api config check` and `novita-worker config check` tell what is wrong, or the values in force,
  secrets masked.
* A secret can come from a file: the variable with `_FILE` names it.

";

const HEADINGS: [(&str, &[&str]); 5] = [
    ("Redis, for every binary", &["api", "worker", "migration"]),
    ("Both processes", &["api", "worker"]),
    ("`novita-api`", &["api"]),
    ("`novita-worker`", &["worker"]),
    ("`redis-migration`", &["migration"]),
];

/// One variable as one binary reads it.
struct Variable {
    name: String,
    default: String,
    help: String,
}

fn variables<C: CommandFactory>() -> Vec<Variable> {
    let command = C::command();
    let read = command.get_arguments().filter_map(|arg| {
        let name = arg.get_env()?.to_str()?.to_owned();
        let help = arg.get_long_help().or(arg.get_help())?.to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let given = arg.get_default_values().first();
        let given = given.map(|value| value.to_string_lossy().into_owned());
        let (help, told) = default_of(&help);
        Some(Variable {
            name,
            default: given.or(told).unwrap_or_default(),
            help,
        })
    });
    read.collect()
}

/// Takes `[default: …]` out of a help text.
fn default_of(help: &str) -> (String, Option<String>) {
    match help.split_once(" [default: ") {
        Some((before, rest)) => {
            let (default, after) = rest.split_once(']').unwrap_or((rest, ""));
            (format!("{before}{after}"), Some(default.to_owned()))
        }
        None => (help.to_owned(), None),
    }
}

#[test]
fn the_page_lists_every_variable_with_its_default_and_meaning() {
    // In the order of the first binary that reads them.
    let mut order: Vec<String> = Vec::new();
    let mut readers: BTreeMap<String, Vec<(&str, Variable)>> = BTreeMap::new();
    let binaries = [
        ("api", variables::<api::Cli>()),
        ("worker", variables::<worker::config::Cli>()),
        ("migration", variables::<migrations::cli::Cli>()),
    ];
    for (binary, variables) in binaries {
        assert!(!variables.is_empty());
        for variable in variables {
            let name = variable.name.clone();
            if !readers.contains_key(&name) {
                order.push(name.clone());
            }
            readers.entry(name).or_default().push((binary, variable));
        }
    }

    let mut page = HEAD.to_owned();
    let mut listed = 0;
    for (heading, who) in HEADINGS {
        page += &["## ", heading, "\n\n"].concat();
        page += &row(&["Variable", "Default", "Meaning"]);
        page += "|---|---|---|\n";
        for name in &order {
            let read: Vec<&str> = readers[name].iter().map(|(binary, _)| *binary).collect();
            if read != *who {
                continue;
            }
            listed += 1;
            let first = &readers[name][0].1;
            let mut meanings: Vec<String> = Vec::new();
            for (binary, variable) in &readers[name] {
                assert_eq!(variable.default, first.default, "{name} of {binary}");
                if !meanings.iter().any(|it| it.ends_with(&variable.help)) {
                    meanings.push(variable.help.clone());
                }
            }
            let default = match first.default.as_str() {
                "" => "–".to_owned(),
                default => format!("`{default}`"),
            };
            let meaning = match meanings.as_slice() {
                [one] => one.clone(),
                several => {
                    let told = several.iter().zip(&read);
                    let told = told.map(|(meaning, binary)| format!("{binary}: {meaning}"));
                    told.collect::<Vec<_>>().join("; ")
                }
            };
            page += &row(&[&format!("`{name}`"), &default, &meaning]);
        }
        page += "\n";
    }
    assert_eq!(listed, order.len(), "a variable belongs under no heading");
    hold("configuration.md", &format!("{}\n", page.trim_end()));
}
