//! Facts of the build that the program states at run time: the code's commit, the compiler, and the experiments that
//! are embedded, so that a new file in `experiments/` needs no change of code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a change of the code's behaviour may be in, relative to the workspace's root.
const CODE: [&str; 7] = ["Cargo.toml", "Cargo.lock", "datasets", "harness", "models", "netem", "protocols"];

fn main() {
    let here = PathBuf::from(env("CARGO_MANIFEST_DIR"));
    let root = here.parent().map_or_else(|| here.clone(), Path::to_path_buf);
    for path in CODE {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    println!("cargo::rerun-if-env-changed=SI_COMMIT");

    let sources = sources(&root);
    println!("cargo::rustc-env=SI_SOURCES={sources}");
    println!("cargo::rustc-env=SI_COMMIT={}", commit(&root).unwrap_or_else(|| format!("{sources}-dirty")));
    let rustc = run(&env("RUSTC"), &["--version"], &root).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=SI_RUSTC={rustc}");
    println!("cargo::rustc-env=SI_TARGET={}", env("TARGET"));
    println!("cargo::rustc-env=SI_TARGET_FEATURES={}", env("CARGO_CFG_TARGET_FEATURE"));
    println!("cargo::rustc-env=SI_PROFILE={}, opt-level {}", env("PROFILE"), env("OPT_LEVEL"));

    let out = PathBuf::from(env("OUT_DIR")).join("experiments.rs");
    if let Err(e) = std::fs::write(&out, experiments(&here.join("experiments"))) {
        println!("cargo::error=cannot write {}: {e}", out.display());
    }
}

/// `SI_COMMIT` if set, else what git says, with `-dirty` behind it if the code was changed since; nothing without git.
fn commit(root: &Path) -> Option<String> {
    if let Some(given) = std::env::var("SI_COMMIT").ok().filter(|c| !c.is_empty()) {
        return Some(given);
    }
    // A commit changes no file of ours, but the log of HEAD.
    for log in ["HEAD", "logs/HEAD"] {
        let path = run("git", &["rev-parse", "--git-path", log], root).map(|p| root.join(p));
        if let Some(path) = path.filter(|p| p.exists()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let head = run("git", &["rev-parse", "--short=12", "HEAD"], root)?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(CODE);
    match run("git", &status, root) {
        Some(changes) if changes.is_empty() => Some(head),
        _ => Some(format!("{head}-dirty")),
    }
}

/// A digest of all files of the code (FNV-1a, 64 bits): tells changed work trees apart, and stands in for the commit
/// where there is no git. No security rests on it.
fn sources(root: &Path) -> String {
    let mut files = Vec::new();
    CODE.iter().for_each(|path| collect(&root.join(path), &mut files));
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        add(name.as_bytes());
        add(&std::fs::read(&file).unwrap_or_default());
    }
    format!("{hash:016x}")
}

/// All files below a path, except fetched ones and what editors and builds leave.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with('.') || ["files", "target"].contains(&name.as_ref()) || name.ends_with(".tmp") {
        return;
    }
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().for_each(|e| collect(&e.path(), files)),
        Err(_) => files.push(path.to_path_buf()),
    }
}

/// A Rust list of (name, text) of every `*.toml` in the folder.
fn experiments(folder: &Path) -> String {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| entries.filter_map(|e| e.ok().map(|e| e.path())).collect())
        .unwrap_or_default();
    paths.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    let mut list = String::from("&[\n");
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let _ = writeln!(list, "    ({name:?}, include_str!({:?})),", path.display().to_string());
    }
    list + "]\n"
}

fn run(program: &str, args: &[&str], folder: &Path) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(folder).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
