//! What each cheat does to a protocol that does not check: it goes unnoticed, and does what it says.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::sync::Arc;

use si_api::{Answer, Error, Model, Options, Protocol, Reveal};
use si_models::run_fixed;
use si_plain::PlainInsecure;
use si_testing::cheats::{Cheat, OpenServer, Opened, Positions, cheating_server};
use si_testing::detection::{End, Trial};
use si_testing::graphs::{CASES, random_queries, stacked};
use si_testing::pair::{Conditions, Failed, Seeds, run};

const BATCHES: [usize; 2] = [3, 2];

fn honest() -> Arc<dyn Protocol> {
    Arc::new(PlainInsecure::new())
}

fn open(in_the_clear: bool) -> OpenServer {
    Arc::new(move |me, model| {
        let modulus = 1 << model.graph().ring().bits();
        let kernels = PlainInsecure::new().server_kernels(me, model)?;
        Ok(Opened { kernels, modulus, in_the_clear, next_model: None })
    })
}

/// Answers of a session of two batches, and the right scores.
fn answers(cheat: Cheat, model: &Arc<Model>, options: Options) -> (Vec<Answer>, Vec<Vec<i64>>) {
    let server = cheating_server(honest(), Some(open(true)), cheat, 5);
    let batches = BATCHES.map(|n| random_queries(model.graph(), n, n as u64));
    let conditions = Conditions::new(options, Seeds::from_number(1));
    let run = run(&honest(), &server, model, &batches, conditions, &|c, s| (c, s)).both().unwrap();
    (run.answers.concat(), oracle(model, model))
}

fn oracle(model: &Model, as_asked_of: &Model) -> Vec<Vec<i64>> {
    let graph = as_asked_of.graph();
    let queries: Vec<_> = BATCHES.iter().flat_map(|n| random_queries(graph, *n, *n as u64)).collect();
    run_fixed(model, &stacked(graph, &queries)).unwrap().rows().into_iter().map(|r| r.to_vec()).collect()
}

fn like_cnn4() -> (Arc<Model>, Arc<Model>) {
    let case = CASES.iter().find(|c| c.name == "like-cnn4").unwrap();
    (case.model(1), case.model(2))
}

#[test]
fn another_model_at_some_positions_answers_exactly_those() {
    let (model, other) = like_cnn4();
    let cheat = Cheat::OtherModelAt(Arc::clone(&other), Positions::these([1, 4]));
    let (answers, right) = answers(cheat, &model, Options::default());
    let wrong = oracle(&other, &model);
    for (i, answer) in answers.iter().enumerate() {
        let expected = if [1, 4].contains(&i) { &wrong[i] } else { &right[i] };
        assert_eq!(answer.scores.as_ref(), Some(expected), "position {i}");
    }
}

#[test]
fn another_bias_shifts_the_scores_by_itself() {
    let (model, _) = like_cnn4();
    let bias: Vec<i64> = (0..10).map(|c| 100 * c - 300).collect();
    let (answers, right) =
        answers(Cheat::OtherBias(bias.clone(), Positions::these([0, 3])), &model, Options::default());
    for (i, answer) in answers.iter().enumerate() {
        let shift = if [0, 3].contains(&i) { 1 } else { 0 };
        let expected: Vec<i64> = right[i].iter().zip(&bias).map(|(s, b)| s + shift * b).collect();
        assert_eq!(answer.scores.as_ref(), Some(&expected), "position {i}");
    }
}

#[test]
fn a_class_is_forced_with_scores_and_with_labels() {
    let (model, _) = like_cnn4();
    for reveal in [Reveal::Scores, Reveal::Label] {
        let options = Options { reveal, ..Options::default() };
        for class in 0..10 {
            let cheat = Cheat::FlipLabel { class, at: Positions::these([2, 3]) };
            let (answers, right) = answers(cheat, &model, options);
            for (i, answer) in answers.iter().enumerate() {
                let honest = si_models::label(right[i].iter().copied());
                assert_eq!(answer.label, if [2, 3].contains(&i) { class } else { honest }, "position {i}");
            }
        }
    }
}

#[test]
fn random_answers_differ_between_equal_queries() {
    let (model, _) = like_cnn4();
    let server = cheating_server(honest(), Some(open(true)), Cheat::RandomAnswer(Positions::All), 5);
    let batch = vec![random_queries(model.graph(), 1, 1)[0].clone(); 30];
    let conditions = Conditions::new(Options::default(), Seeds::from_number(1));
    let run = run(&honest(), &server, &model, &[batch], conditions, &|c, s| (c, s)).both().unwrap();
    let classes: std::collections::BTreeSet<_> = run.answers[0].iter().map(|a| a.label).collect();
    assert!(classes.len() > 5, "{classes:?}");
}

#[test]
fn a_replayed_answer_is_that_of_the_position_before() {
    let (model, _) = like_cnn4();
    let (answers, right) = answers(Cheat::Replay(Positions::these([0, 2, 3])), &model, Options::default());
    for (i, answer) in answers.iter().enumerate() {
        let expected = if [2, 3].contains(&i) { &right[i - 1] } else { &right[i] };
        assert_eq!(answer.scores.as_ref(), Some(expected), "position {i}");
    }
}

#[test]
fn another_model_for_all_fools_a_client_that_does_not_check() {
    let (model, other) = like_cnn4();
    let trial = Trial {
        client: honest(),
        server: cheating_server(honest(), None, Cheat::OtherModel(other), 0),
        queries: random_queries(model.graph(), 4, 0),
        model,
        options: Options::default(),
        seeds: Seeds::from_number(0),
    };
    assert_eq!(trial.run().unwrap(), End::Fooled);
}

#[test]
fn impossible_cheats_are_refused() {
    let (model, other) = like_cnn4();
    let refusal = |open: Option<OpenServer>, cheat: Cheat| {
        let server = cheating_server(honest(), open, cheat, 0);
        let conditions = Conditions::new(Options::default(), Seeds::from_number(0));
        let batches = [random_queries(model.graph(), 1, 0)];
        match run(&honest(), &server, &model, &batches, conditions, &|c, s| (c, s)).server {
            Err(Failed::Error(e)) => e,
            _ => panic!("not refused"),
        }
    };
    let at = || Positions::All;
    let shares = refusal(Some(open(false)), Cheat::OtherModelAt(other, at()));
    assert!(matches!(shares, Error::Unsupported { .. }) && shares.to_string().contains("another bias"), "{shares}");
    assert!(matches!(refusal(None, Cheat::RandomAnswer(at())), Error::Unsupported { .. }));
    assert!(refusal(None, Cheat::OtherModel(CASES[0].model(0))).to_string().contains("cannot pass for"));
}
