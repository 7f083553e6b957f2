//! Whole runs: their rows, what is added to them, and endings that are not ok.

mod common;

use std::collections::HashMap;

use common::{arg, bench, experiment, folder, record, rows};

#[test]
fn a_run_leaves_checked_rows_and_resume_adds_what_is_missing() {
    let dir = folder();
    let root = dir.path().join("records");
    let file = experiment(dir.path(), &[("batches", "[1, 3]"), ("repetitions", "2")]);
    let said = bench(&["run", arg(&file), "--records", arg(&root)]).ok();
    let record = record(&root);
    assert!(said.out.contains(arg(&record)), "{}", said.out);
    let ids = ["batch1#1", "batch3#1", "batch1#2", "batch3#2"].map(|s| format!("plain/tiny/loopback/{s}"));
    let found = rows(&record);
    assert_eq!(found.iter().map(|r| r.0.clone()).collect::<Vec<_>>(), ids);
    assert!(found.iter().all(|r| r.1 == "ok"), "{found:?}");
    bench(&["check", arg(&record)]).ok();
    assert!(bench(&["check", arg(&root)]).ok().out.contains("sound: 4 runs"), "a folder of records");

    // A byte that is changed after the run is found, and a row that is taken out even where the hash list is, too.
    let runs = std::fs::read_to_string(record.join("runs.csv")).expect("runs");
    let write = |text: &str| std::fs::write(record.join("runs.csv"), text).expect("written");
    write(&runs.replacen(",ok,", ",OK,", 1));
    bench(&["check", arg(&record)]).refuses(&["runs.csv:2: column 'status'"]);
    write(&runs.replacen("random", "Random", 1));
    let said = bench(&["check", arg(&record)]);
    assert!(!said.good && said.out.contains("runs.csv was changed after the list was written"), "{}", said.out);
    // So are a column without its unit, and a row that stands twice.
    write(&runs.replacen(",run_wall_ns,", ",run_wall,", 1));
    bench(&["check", arg(&record)]).refuses(&["runs.csv:1: column 'run_wall_ns' is missing", "SCHEMA.md"]);
    write(&(runs.clone() + runs.lines().last().expect("a row") + "\n"));
    let said = bench(&["check", arg(&record)]);
    assert!(!said.good && said.out.contains("batch3#2: the run is recorded twice"), "{}", said.out);
    let without: Vec<_> = runs.lines().enumerate().filter(|(i, _)| *i != 2).map(|(_, line)| line).collect();
    write(&(without.join("\n") + "\n"));
    std::fs::remove_file(record.join("SHA256SUMS")).expect("removed");
    let said = bench(&["check", arg(&record)]);
    assert!(!said.good && said.out.contains("the row of 'plain/tiny/loopback/batch3#1' is absent"), "{}", said.out);

    // A killed run: its last row and the phases behind it are gone, half a line is left, and no hash list was written.
    let cut: Vec<_> = runs.lines().take(3).collect();
    write(&(cut.join("\n") + "\nplain/tiny/loop"));
    let said = bench(&["run", arg(&file), "--resume", arg(&record)]).ok();
    assert!(said.out.contains("2 repetitions of 2 cells"), "{}", said.out);
    assert_eq!(rows(&record).iter().map(|r| r.0.clone()).collect::<Vec<_>>(), ids);
    bench(&["check", arg(&record)]).ok();
    let said = bench(&["run", arg(&file), "--resume", arg(&record)]).ok();
    assert!(said.out.contains("0 repetitions"), "{}", said.out);
    let said = bench(&["check", arg(&record)]).ok();
    assert!(said.out.contains(", 0 caution(s)"), "the list is there again: {}", said.out);

    // The same without naming the folder: nothing is left to do, then one row.
    let go_on = || bench(&["run", arg(&file), "--records", arg(&root), "--continue"]).ok().out;
    assert!(go_on().contains("done already, in "));
    let runs = std::fs::read_to_string(record.join("runs.csv")).expect("runs");
    let cut: Vec<_> = runs.lines().take(4).collect();
    std::fs::write(record.join("runs.csv"), cut.join("\n") + "\n").expect("written");
    std::fs::remove_file(record.join("SHA256SUMS")).expect("removed");
    let said = go_on();
    assert!(said.contains("1 repetitions of 2 cells") && said.contains(arg(&record)), "{said}");
    assert_eq!(rows(&record).len(), 4);

    bench(&["run", arg(&file), "--repeat", "5", "--resume", arg(&record)]).refuses(&["another experiment"]);
    let said = bench(&["diff", arg(&record), arg(&record)]).ok();
    assert!(said.out.contains("quantities compared: 0 more, 0 less"), "{}", said.out);
}

#[test]
fn every_protocol_runs_and_its_rows_are_sound() {
    let dir = folder();
    let root = dir.path().join("smoke");
    let said = bench(&["run", "smoke", "--repeat", "1", "--records", arg(&root)]).ok();
    assert!(said.out.contains("| fusion(cheetah)") && said.out.contains("a malicious server"), "{}", said.out);
    bench(&["check", arg(&record(&root))]).ok();
    // Labels only, faithful truncation, a single lane, a composed plan beside a measured one.
    let plan = |how: &str| format!("{{ queries = 8, copies = 3, public = 4, security_bits = 0, {how} }}");
    let plans = format!("[{}, {}]", plan("method = \"measured\", chunk = 10"), plan("method = \"composed\", n = 6"));
    let lines = [
        ("protocols", "[\"cheetah\", \"fusion(cheetah)\", \"fusion(plain)\"]"),
        ("fusion", plans.as_str()),
        ("options", "{ reveal = \"label\", truncation = \"faithful\" }"),
        ("lanes", "1"),
    ];
    let file = experiment(dir.path(), &lines);
    let root = dir.path().join("records");
    bench(&["run", arg(&file), "--records", arg(&root)]).ok();
    assert_eq!(rows(&record(&root)).len(), 5);
    bench(&["check", arg(&record(&root))]).ok();
}

#[test]
fn several_experiments_run_one_after_the_other_and_say_first_how_long_they_take() {
    let dir = folder();
    let root = dir.path().join("records");
    let file = experiment(dir.path(), &[("repetitions", "2")]);
    let copy = dir.path().join("copy.toml");
    std::fs::copy(&file, &copy).expect("copied");
    let said = bench(&["run", arg(&file), arg(&copy), "--repeat", "1", "--records", arg(&root)]).ok();
    let first = said.out.lines().next().unwrap_or_default();
    assert!(first.starts_with("expected for test and test: about ") && first.contains("by declared bytes"), "{first}");
    assert_eq!(std::fs::read_dir(&root).expect("records").count(), 2);
    let said = bench(&["run", arg(&file), "--records", arg(&root)]).ok();
    assert!(said.out.contains("2 by earlier records of this machine"), "{}", said.out);
}

#[test]
fn threads_are_a_column_and_a_protocol_that_has_no_use_for_them_says_so() {
    let dir = folder();
    let root = dir.path().join("records");
    let file =
        experiment(dir.path(), &[("protocols", "[\"plain\", \"cheetah\", \"cryptflow2\"]"), ("threads", "[1, 2]")]);
    bench(&["run", arg(&file), "--records", arg(&root)]).ok();
    let record = record(&root);
    let mut reader = csv::Reader::from_path(record.join("runs.csv")).expect("runs.csv");
    let all: Vec<HashMap<String, String>> = reader.deserialize().map(|r| r.expect("a row")).collect();
    let of = |row: &HashMap<String, String>| format!("{} {} {}", row["protocol"], row["threads"], row["status"]);
    let found: Vec<_> = all.iter().map(of).collect();
    let expected =
        ["plain 1 ok", "cheetah 1 ok", "cryptflow2 1 ok", "plain 2 ok", "cheetah 2 ok", "cryptflow2 2 skipped"];
    assert_eq!(found, expected);
    assert!(all[5]["reason"].contains("one thread a party: cryptflow2 has no use for more"), "{:?}", all[5]);
    assert_eq!(all[1]["client_sent_bytes"], all[4]["client_sent_bytes"]);
    bench(&["check", arg(&record)]).ok();
}

#[test]
fn a_record_makes_pages_and_figures_of_what_it_varies_and_the_others_say_not_run() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    let file = experiment(dir.path(), &[("batches", "[1, 4]"), ("threads", "[1, 2]")]);
    bench(&["run", arg(&file), "--records", arg(&path("records"))]).ok();
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::copy(repository.join("README.md"), path("README.md")).expect("copied");
    let paper = repository.join("results/paper");
    let (records, out, readme) = (path("records"), path("report"), path("README.md"));
    let to = ["--records", arg(&records), "--out", arg(&out), "--readme", arg(&readme), "--paper", arg(&paper)];
    bench(&[&["report"], &to[..]].concat()).ok();
    let page = |name: &str| std::fs::read_to_string(out.join(name)).expect("a page");
    for (file, parts) in [
        ("threads.md", ["by definition 1", "noise not known", "(threads-tiny.svg)"]),
        ("README.md", ["## Memory", "| batch 4", "(memory-tiny.svg)"]),
        ("links.md", ["# Time against the link", "Not run: ", "`bench run link-sweep`"]),
        ("index.html", ["<svg", "id=\"threads\"", "Memory against the batch"]),
    ] {
        let text = page(file);
        parts.iter().for_each(|part| assert!(text.contains(part), "{file}: '{part}' is not in {text}"));
    }
    assert!(!page("README.md").contains(", 2 threads"), "they have a page of their own");
    assert!(out.join("memory-tiny.png").is_file() && out.join("threads-tiny.png").is_file());
}

#[test]
fn what_cannot_be_run_is_skipped_with_the_reason() {
    let dir = folder();
    let lines = [("batches", "[70000]"), ("repetitions", "2")];
    let file = experiment(dir.path(), &lines);
    let root = dir.path().join("records");
    bench(&["run", arg(&file), "--records", arg(&root)]).ok();
    let rows = rows(&record(&root));
    assert!(rows.len() == 2 && rows.iter().all(|r| r.1 == "skipped" && r.2.contains("65536 images")), "{rows:?}");
    bench(&["check", arg(&record(&root))]).ok();
}

#[test]
fn a_timeout_is_a_row_and_nothing_hangs() {
    let dir = folder();
    // Ten seconds of link time in one second.
    let lines = [("links", "[\"wan-slow\"]"), ("batches", "[60000]"), ("timeout_s", "2"), ("repetitions", "1")];
    let file = experiment(dir.path(), &lines);
    let said = bench(&["run", arg(&file), "--records", arg(&dir.path().join("r"))]);
    assert!(!said.good && said.err.contains("1 of 1 repetitions failed"), "{}{}", said.out, said.err);
    let rows = rows(&record(&dir.path().join("r")));
    assert_eq!((rows.len(), rows[0].1.as_str()), (1, "timeout"), "{rows:?}");
    assert!(rows[0].2.contains("no end within 2 s") && rows[0].2.contains("timeout_s"), "{rows:?}");
}
