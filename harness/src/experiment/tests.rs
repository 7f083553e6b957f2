use super::*;

const HEAD: &str = r#"
name = "x"
title = "t"
dataset = "random"
links = ["lan", "wan"]
repetitions = 3
timeout_s = 60
"#;

const GROUPS: &str = r#"
[[runs]]
protocols = ["plain", "cheetah"]
models = ["tiny"]
batches = [1, 8]

[[runs]]
protocols = ["fusion(cheetah)"]
models = ["tiny"]
repetitions = 1
[[runs.fusion]]
queries = 8
copies = 3
public = 4
security_bits = 0
method = "measured"

[[runs]]
size = "full"
protocols = ["cheetah"]
models = ["tiny", "mnist-cnn4"]
repetitions = 9
timeout_s = 600
links = ["lan"]
"#;

fn parse(text: &str) -> Result<Experiment> {
    Experiment::parse(&format!("{HEAD}{text}"), "x.toml")
}

fn refused(text: &str) -> String {
    format!("{:#}", parse(text).unwrap_err())
}

fn names(e: &Experiment) -> Vec<String> {
    e.cells().iter().map(|c| format!("{} x{}", c.name(), c.repetitions)).collect()
}

fn only(o: Overrides) -> Result<Vec<String>> {
    Ok(names(&parse(GROUPS)?.with(o)?))
}

#[test]
fn groups_take_from_the_file_what_they_do_not_say() {
    let e = parse(GROUPS).unwrap();
    let plan = "R8-B3-T4-m0-measured";
    let lan: Vec<_> =
        ["plain", "cheetah"].iter().flat_map(|p| [1, 8].map(|b| format!("{p}/tiny/lan/batch{b} x3"))).collect();
    let found = names(&e);
    assert_eq!(found.len(), 10, "{found:?}");
    assert!(lan.iter().all(|c| found.contains(c)), "{found:?}");
    assert!(found.contains(&format!("fusion(cheetah)/tiny/wan/{plan} x1")), "{found:?}");
    assert_eq!(e.cells()[0].timeout_s, 60);
}

#[test]
fn the_full_size_adds_groups_and_replaces_cells_of_the_same_name() {
    let full = parse(GROUPS).unwrap().with(Overrides { size: Some(Size::Full), ..Overrides::default() }).unwrap();
    let found = names(&full);
    assert_eq!(found.len(), 11, "{found:?}");
    for expect in ["cheetah/tiny/lan/batch1 x9", "cheetah/tiny/wan/batch1 x3", "cheetah/mnist-cnn4/lan/batch1 x9"] {
        assert!(found.iter().any(|c| c == expect), "{expect}: {found:?}");
    }
}

#[test]
fn what_is_recorded_is_the_same_experiment_again() {
    let e = parse(GROUPS).unwrap().with(Overrides { size: Some(Size::Full), ..Overrides::default() }).unwrap();
    let text = toml::to_string(&e).unwrap();
    assert_eq!(Experiment::parse(&text, "again").unwrap(), e, "{text}");
}

#[test]
fn the_command_line_narrows_or_replaces() {
    let o = Overrides::default;
    let name = |s: &str| Some(s.to_owned());
    assert_eq!(only(Overrides { protocol: name("plain"), link: name("lan"), ..o() }).unwrap().len(), 2);
    let fusion = only(Overrides { protocol: name("fusion(cheetah)"), link: name("loopback"), ..o() }).unwrap();
    assert_eq!(fusion, ["fusion(cheetah)/tiny/loopback/R8-B3-T4-m0-measured x1"]);
    assert_eq!(only(Overrides { repeat: Some(7), batch: Some(2), link: name("wan"), ..o() }).unwrap().len(), 3);
    let e = format!("{:#}", only(Overrides { model: name("mnist-cnn4-low"), ..o() }).unwrap_err());
    assert!(e.contains("none of the [[runs]] of experiment x has the model mnist-cnn4-low"), "{e}");
    // The model is in a group for the full size only.
    assert_eq!(only(Overrides { model: name("mnist-cnn4"), ..o() }).unwrap(), [""; 0]);
    let one = parse("protocols = [\"plain\"]\nmodels = [\"tiny\"]").unwrap();
    let replaced = one.with(Overrides { model: name("mnist-cnn4"), protocol: name("cheetah"), ..o() }).unwrap();
    assert_eq!(names(&replaced)[0], "cheetah/mnist-cnn4/lan/batch1 x3");
}

#[test]
fn groups_that_make_no_sense_are_refused() {
    let group = |text: &str| format!("[[runs]]\nprotocols = [\"plain\"]\nmodels = [\"tiny\"]\n{text}\n");
    for (text, parts) in [
        (group("nmae = 1"), vec!["line 11", "unknown field `nmae`"]),
        (group("name = \"y\""), vec!["[[runs]] 1 of 1", "name belongs to the experiment"]),
        (group("seed = 3"), vec!["seed belongs to the experiment"]),
        (group("[[runs.runs]]"), vec!["runs belongs to the experiment"]),
        (group("size = \"huge\""), vec!["unknown variant `huge`", "`normal`", "`full`"]),
        (group("repetitions = 0"), vec!["repetitions must be at least 1"]),
        (group("batches = [4, 4]"), vec!["cell plain/tiny/lan/batch4 stands twice"]),
        (group("batches = []"), vec!["batches must hold"]),
        (group("batches = [131073]"), vec!["batches must hold numbers from 1 to 131072"]),
        (group("repetitions = 4294967295"), vec!["repetitions must be at least 1 and at most 10000, not 4294967295"]),
        (group("lanes = 4294967295"), vec!["lanes must be", "at most 64"]),
        (group("timeout_s = 9223372036854775807"), vec!["timeout_s must be", "at most 2592000"]),
        (group("threads = []"), vec!["threads must hold different numbers from 1 to 256"]),
        (group("threads = [2, 1, 2]"), vec!["threads must hold different numbers"]),
        (group("threads = [0]"), vec!["threads must hold different numbers"]),
        (group("") + &group(""), vec!["cell plain/tiny/lan/batch1 stands twice"]),
        (group("links = []") + &group(""), vec!["[[runs]] 1 of 2", "links is empty"]),
        ("[[runs]]\nprotocols = [\"plain\"]".to_owned(), vec!["[[runs]] 1 of 1", "models is missing"]),
        ("runs = []".to_owned(), vec!["runs is empty"]),
        (
            group("[[runs.fusion]]\nqueries = 8\ncopies = 3\npublic = 4\nsecurity_bits = 0\nmethod = \"measured\""),
            vec!["no protocol such as fusion(plain)"],
        ),
    ] {
        let e = refused(&text);
        assert!(e.starts_with("x.toml") && parts.iter().all(|p| e.contains(p)), "{text}: {e}");
    }
    let plan = "protocols = [\"fusion(plain)\"]\nmodels = [\"tiny\"]\n[[fusion]]\nqueries = 33554432\ncopies = 1\n\
                public = 33554432\ntolerance = 33554431\nsecurity_bits = 0\nmethod = \"measured\"";
    assert!(refused(plan).contains("take a smaller tolerance"), "{}", refused(plan));
    let e = format!("{:#}", Experiment::parse("title = \"t\"", "x.toml").unwrap_err());
    assert_eq!(e, "x.toml: protocols is missing");
}

#[test]
fn cells_that_differ_have_different_names() {
    let mut cell = parse(GROUPS).unwrap().cells()[0].clone();
    assert_eq!(cell.name(), "plain/tiny/lan/batch1");
    cell.options = Options { reveal: si_api::Reveal::Label, truncation: si_api::Truncation::Faithful };
    (cell.lanes, cell.threads) = (1, 2);
    assert_eq!(cell.name(), "plain/tiny/lan/batch1/label/faithful/lanes1/threads2");
}

#[test]
fn threads_are_a_dimension_and_one_is_not_named() {
    let e = parse("protocols = [\"plain\"]\nmodels = [\"tiny\"]\nthreads = [1, 2]").unwrap();
    let cells: Vec<_> = e.cells().into_iter().map(|c| (c.name(), c.threads)).collect();
    assert_eq!(cells[..2], [("plain/tiny/lan/batch1".to_owned(), 1), ("plain/tiny/lan/batch1/threads2".to_owned(), 2)]);
    let one = toml::to_string(&parse("protocols = [\"plain\"]\nmodels = [\"tiny\"]").unwrap()).unwrap();
    assert!(!one.contains("threads") && toml::to_string(&e).unwrap().contains("threads = [1, 2]"), "{one}");
}

#[test]
fn the_photographs_experiment_is_small_at_the_normal_size() {
    let cells = |size| Experiment { size, ..Experiment::find("imagenet").unwrap() }.cells();
    let (normal, full) = (cells(Size::Normal), cells(Size::Full));
    assert_eq!((normal.len(), full.len()), (8, 12));
    let squeezenet = normal.iter().find(|c| c.name() == "cheetah/squeezenet/lan/batch1").unwrap();
    assert!(squeezenet.repetitions >= 5, "as many photographs");
    for c in &normal {
        assert!(c.queries() == 1 && (c.model == "squeezenet" || c.repetitions <= 2), "{}", c.name());
    }
    assert!(full.iter().any(|c| c.model == "resnet50" && c.plan().is_some_and(|p| p.n == Some(4))));
}
