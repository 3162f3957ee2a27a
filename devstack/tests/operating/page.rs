//! Pages under `docs/` that are written by the code they tell of.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a page with what it should say, or writes it where `WRITE_DOCS` is set.
pub(crate) fn hold(name: &str, wanted: &str) {
    let path = root().join("docs").join(name);
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = page
        .lines()
        .zip(wanted.lines())
        .find(|(has, wants)| has != wants);
    assert!(
        page == wanted,
        "docs/{name} is not what the code says; `make docs` writes it. First difference: {differing:?}"
    );
}

/// A row of a Markdown table.
pub(crate) fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}
