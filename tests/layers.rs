//! The layers of `src/lib.rs` hold: imports point down, and decisions know no effects.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its files has failed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what of ours it may import, bottom first.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("names", &[]),
    ("schema", &["error", "names"]),
    ("topology", &["error", "names", "schema"]),
    ("rows", &["error", "names", "schema"]),
    ("routing", &["error", "names", "rows", "schema", "topology"]),
    (
        "query",
        &["error", "names", "rows", "routing", "schema", "topology"],
    ),
    (
        "rebalance",
        &["error", "names", "rows", "routing", "schema", "topology"],
    ),
    ("fill", &["error", "names", "rows", "schema", "topology"]),
    (
        "report",
        &[
            "error",
            "names",
            "schema",
            "topology",
            "rows",
            "routing",
            "query",
            "rebalance",
        ],
    ),
    ("mysql", &["error", "names", "schema", "rows", "topology"]),
    ("sandbox", &["error", "names", "topology"]),
    (
        "journal",
        &["error", "names", "topology", "rebalance", "mysql"],
    ),
    (
        "run",
        &[
            "error",
            "fill",
            "journal",
            "mysql",
            "names",
            "query",
            "rebalance",
            "report",
            "routing",
            "rows",
            "sandbox",
            "schema",
            "topology",
        ],
    ),
];

/// Modules of decisions: no effects in them.
const PURE: &[&str] = &[
    "error",
    "names",
    "schema",
    "topology",
    "rows",
    "routing",
    "query",
    "rebalance",
    "fill",
    "report",
];

/// What only effects may name.
const EFFECTS: &[&str] = &[
    "tokio",
    "mysql_async",
    "SystemTime",
    "Instant",
    "ZonedDateTime::now",
    "Timestamp::now",
    "getrandom",
    "rand::rng",
    "thread_rng",
    "std::net",
    "std::env",
    "std::process::Command",
    "std::fs",
];

fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut waiting = vec![src.join(module), src.join(format!("{module}.rs"))];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|ext| ext == "rs") && path.is_file() {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// The code lines without comments and without the file's unit tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

fn is_test_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs")
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_IMPORT {
        for (path, text) in sources(module)
            .into_iter()
            .filter(|(p, _)| !is_test_file(p))
        {
            for (line, code) in code(&text) {
                for (_, rest) in code
                    .match_indices("crate::")
                    .map(|(at, m)| code.split_at(at + m.len()))
                {
                    let name: String = rest
                        .chars()
                        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                        .collect();
                    if !name.is_empty() && name != *module && !allowed.contains(&name.as_str()) {
                        wrong.push(format!("{}:{line} imports {name}", path.display()));
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports that point up:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn decisions_know_no_effects() {
    let mut wrong = Vec::new();
    for module in PURE {
        for (path, text) in sources(module)
            .into_iter()
            .filter(|(p, _)| !is_test_file(p))
        {
            for (line, code) in code(&text) {
                for word in EFFECTS {
                    if code.contains(word) {
                        wrong.push(format!("{}:{line} names {word}", path.display()));
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "effects among the decisions:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn only_mysql_imports_the_driver() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in fs::read_dir(src).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs").to_owned();
        for (path, text) in sources(&module) {
            if code(&text).any(|(_, line)| line.contains("mysql_async")) {
                users
                    .entry(module.clone())
                    .or_default()
                    .push(path.display().to_string());
            }
        }
    }
    users.remove("mysql");
    assert!(
        users.is_empty(),
        "mysql_async is imported outside src/mysql: {users:?}"
    );
}

#[test]
fn every_module_is_in_the_map() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = fs::read_to_string(src.join("lib.rs")).unwrap();
    for line in map.lines().filter_map(|line| line.strip_prefix("pub mod ")) {
        let module = line.trim_end_matches(';');
        assert!(
            map.contains(&format!("| [`{module}`] |")),
            "{module} is not in the map of lib.rs"
        );
        let known = MAY_IMPORT.iter().any(|(name, _)| *name == module) || module == "cli";
        assert!(known, "{module} has no line in MAY_IMPORT");
    }
}
