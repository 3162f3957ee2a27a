//! Puts the commit into the version of a build that was told it.

fn main() {
    println!("cargo::rerun-if-env-changed=GIT_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let package = env!("CARGO_PKG_VERSION");
    let commit = std::env::var("GIT_COMMIT").unwrap_or_default();
    let is_commit = commit.len() >= 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(
        commit.is_empty() || is_commit,
        "GIT_COMMIT={commit} is not a commit of at least 12 hexadecimal digits"
    );
    // The form of build metadata in Semantic Versioning. Asking git here instead would build
    // everything anew after each commit.
    let version = match commit.get(..12) {
        Some(short) => format!("{package}+{short}"),
        None => package.to_owned(),
    };
    println!("cargo::rustc-env=BUILD_VERSION={version}");
}
