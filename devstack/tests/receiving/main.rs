//! What `docs/webhooks.md` tells whoever writes a receiver, tried.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests state expectations"
)]

mod cases;
mod languages;

use std::path::Path;

use serde_json::Value;
use shared::model::EventKind;
use shared::webhooks::Fate;

/// The page.
fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/webhooks.md");
    std::fs::read_to_string(path).unwrap()
}

/// Every kind of event, as the API's document lists them.
fn kinds() -> Vec<EventKind> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/openapi.json");
    let document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let names = document["components"]["schemas"]["EventKind"]["enum"].clone();
    serde_json::from_value(names).unwrap()
}

#[test]
fn every_event_that_is_told_is_on_the_page_under_both_of_its_names() {
    let page = page();
    let mut told = 0;
    for kind in kinds() {
        let name = kind.as_str();
        let row = format!("\n| `{name}` | ");
        match kind.notice() {
            Some(status) => {
                assert!(
                    page.contains(&format!("{row}`{status}` |")),
                    "{name} {status}"
                );
                told += 1;
            }
            None => assert!(!page.contains(&row), "nobody is told of {name}"),
        }
    }
    assert!(told > 0, "something is told");
    for fate in Fate::ALL {
        let row = format!("\n| `{}` | ", fate.as_str());
        assert!(page.contains(&row), "{row}");
    }
}

#[tokio::test]
async fn the_python_of_the_page_verifies_what_is_ours_and_nothing_else() {
    languages::PYTHON.holds(&page()).await;
}

#[tokio::test]
async fn the_javascript_of_the_page_verifies_what_is_ours_and_nothing_else() {
    languages::JAVASCRIPT.holds(&page()).await;
}

#[tokio::test]
async fn the_java_of_the_page_verifies_what_is_ours_and_nothing_else() {
    languages::JAVA.holds(&page()).await;
}

#[tokio::test]
async fn the_go_of_the_page_verifies_what_is_ours_and_nothing_else() {
    languages::GO.holds(&page()).await;
}
