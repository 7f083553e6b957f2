//! Dependencies between the project's crates point downwards. The table is the architecture; a new edge is a decision,
//! so it fails here until it is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Edges by package: what its code may use, and what its tests may use on top of that.
const ALLOWED: &[(&str, &[&str], &[&str])] = &[
    ("si-ring", &[], &[]),
    ("si-wire", &[], &[]),
    ("si-ot", &["si-ring", "si-wire"], &[]),
    // Ciphertexts are values with an encoding: no wire.
    ("si-rlwe", &["si-ring"], &[]),
    ("si-gadgets", &["si-ot", "si-ring", "si-wire"], &[]),
    ("si-models", &["si-ring"], &[]),
    ("si-datasets", &["si-models"], &[]),
    ("si-netem", &["si-wire"], &[]),
    ("si-api", &["si-models", "si-ring", "si-wire"], &[]),
    ("si-testing", &["si-api", "si-models", "si-wire"], &["si-plain"]),
    ("si-plain", &["si-api", "si-models", "si-ring"], &["si-testing"]),
    (
        "si-cheetah",
        &["si-api", "si-gadgets", "si-models", "si-ot", "si-ring", "si-rlwe", "si-wire"],
        &["si-datasets", "si-testing"],
    ),
    ("si-cryptflow2", &["si-api", "si-gadgets", "si-models", "si-ot", "si-ring", "si-rlwe"], &["si-testing"]),
    ("si-leviosa", &["si-api", "si-models", "si-ot", "si-ring", "si-rlwe", "si-wire"], &["si-testing"]),
    // Over any protocol means: over none in particular. Its tests need some.
    ("si-fusion", &["si-api"], &["si-cheetah", "si-datasets", "si-models", "si-plain", "si-testing", "si-wire"]),
    (
        "si-harness",
        // si-testing for its cheating servers and detection counts: experiments run them, and a second implementation
        // of them would be one more thing to trust. A party uses it only if its job names a cheat.
        &[
            "si-api",
            "si-cheetah",
            "si-cryptflow2",
            "si-datasets",
            "si-fusion",
            "si-leviosa",
            "si-models",
            "si-netem",
            "si-plain",
            "si-testing",
            "si-wire",
        ],
        &[],
    ),
];

/// One edge of `cargo metadata`: from, to, and whether only tests have it.
type Edge = (String, String, bool);

fn edges(metadata: &Value) -> (BTreeSet<String>, Vec<Edge>) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<_> = packages.iter().map(|p| text(&p["name"])).collect();
    let mut edges = Vec::new();
    for package in packages {
        for d in package["dependencies"].as_array().expect("dependencies") {
            // The kind is null for ordinary ones; build dependencies are code as well.
            if ours.contains(&text(&d["name"])) {
                edges.push((text(&package["name"]), text(&d["name"]), text(&d["kind"]) == "dev"));
            }
        }
    }
    (ours, edges)
}

/// Everything that is not as the table says.
fn violations(packages: &BTreeSet<String>, edges: &[Edge]) -> Vec<String> {
    let table: BTreeMap<_, _> = ALLOWED.iter().map(|(p, code, tests)| (*p, (*code, *tests))).collect();
    let mut wrong = Vec::new();
    for p in packages {
        if !table.contains_key(p.as_str()) {
            wrong.push(format!("{p} is not in the table"));
        }
    }
    for (from, to, only_tests) in edges {
        let Some((code, tests)) = table.get(from.as_str()) else { continue };
        let allowed = code.contains(&to.as_str()) || (*only_tests && tests.contains(&to.as_str()));
        if !allowed {
            let what = if *only_tests { "tests of " } else { "" };
            wrong.push(format!("{what}{from} must not use {to}"));
        }
    }
    wrong
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn dependencies_point_downwards() {
    let (packages, edges) = edges(&metadata());
    assert!(packages.len() >= 14 && edges.len() >= 20, "the workspace was not read: {packages:?}");
    let wrong = violations(&packages, &edges);
    assert!(wrong.is_empty(), "{wrong:#?}: see the table in harness/tests/dependencies.rs");
}

/// What the lock file of a workspace of its own says wrongly of our packages: it fetches by `--locked`, so whoever adds a
/// dependency must say it there too.
fn stale(lock: &str, metadata: &Value) -> Vec<String> {
    let lock: toml::Value = toml::from_str(lock).expect("a lock file");
    let packages = metadata["packages"].as_array().expect("packages");
    let mut wrong = Vec::new();
    for locked in lock["package"].as_array().expect("packages") {
        let Some(package) = packages.iter().find(|p| p["name"].as_str() == locked["name"].as_str()) else { continue };
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let has: BTreeSet<_> =
            dependencies.iter().filter(|d| d["kind"].is_null()).filter_map(|d| d["name"].as_str()).collect();
        let locked_has: BTreeSet<_> = locked
            .get("dependencies")
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
            // With the version where there are several.
            .filter_map(|d| d.as_str()?.split(' ').next())
            .collect();
        if has != locked_has {
            wrong.push(format!("{}: {has:?} where the lock file has {locked_has:?}", package["name"]));
        }
    }
    wrong
}

#[test]
fn the_lock_file_outside_the_workspace_is_up_to_date() {
    let lock = include_str!("../../protocols/primitives/rlwe/oracle/Cargo.lock");
    let metadata = metadata();
    let wrong = stale(lock, &metadata);
    assert!(wrong.is_empty(), "{wrong:#?}: 'cargo update --workspace' in protocols/primitives/rlwe/oracle");
    assert_eq!(stale(&lock.replace("\n \"rayon\",", ""), &metadata).len(), 1);
}

#[test]
fn the_table_itself_has_no_circle() {
    let mut below: BTreeSet<&str> = BTreeSet::new();
    while below.len() < ALLOWED.len() {
        let next: Vec<_> = ALLOWED
            .iter()
            .filter(|(p, code, _)| !below.contains(p) && code.iter().all(|c| below.contains(c)))
            .collect();
        assert!(!next.is_empty(), "a circle above {below:?}");
        below.extend(next.iter().map(|(p, ..)| *p));
    }
}

#[test]
fn a_forbidden_edge_is_caught() {
    let name = |s: &str| s.to_owned();
    let packages: BTreeSet<_> = ALLOWED.iter().map(|(p, ..)| name(p)).collect();
    let good: Vec<Edge> =
        ALLOWED.iter().flat_map(|(p, code, _)| code.iter().map(|c| (name(p), name(c), false))).collect();
    assert!(violations(&packages, &good).is_empty());
    let with = |from: &str, to: &str, dev: bool| {
        let mut e = good.clone();
        e.push((from.to_owned(), to.to_owned(), dev));
        violations(&packages, &e)
    };
    assert_eq!(with("si-fusion", "si-cheetah", false), ["si-fusion must not use si-cheetah"]);
    assert_eq!(with("si-rlwe", "si-wire", false), ["si-rlwe must not use si-wire"]);
    assert_eq!(with("si-wire", "si-harness", true), ["tests of si-wire must not use si-harness"]);
    assert!(with("si-fusion", "si-plain", true).is_empty());
    let mut more = packages.clone();
    more.insert("si-new".to_owned());
    assert_eq!(violations(&more, &good), ["si-new is not in the table"]);
}
