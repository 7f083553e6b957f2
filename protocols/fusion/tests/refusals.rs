//! What Fusion refuses, and that it says why, with the numbers.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;

use common::plain;
use ndarray::Array3;
use si_api::{
    Adversary, Card, Client, Error, Graph, Model, Offers, Options, Party, Protocol, Result, Rounding, Server,
};
use si_fusion::{Fusion, FusionError, Plan, PlanError, PublicSamples};
use si_plain::PlainInsecure;
use si_testing::graphs::{CASES, random_queries};
use si_testing::pair::{Conditions, Seeds, run_batches};

/// The plain protocol under a card that claims what it has not, to see what Fusion makes of the claims.
struct Claims(PlainInsecure, Card);

impl Protocol for Claims {
    fn card(&self) -> &Card {
        &self.1
    }

    fn client(&self, me: Party, graph: Arc<Graph>) -> Result<Box<dyn Client>> {
        self.0.client(me, graph)
    }

    fn server(&self, me: Party, model: Arc<Model>) -> Result<Box<dyn Server>> {
        self.0.server(me, model)
    }
}

fn claiming(offers: Offers) -> Arc<dyn Protocol> {
    let card = Card {
        id: "claims".to_owned(),
        adversary: Adversary::SemiHonest,
        computational_bits: 128,
        rounding: Rounding::Exact,
        offers,
        parallel: false,
        ..PlainInsecure::new().card().clone()
    };
    Arc::new(Claims(PlainInsecure::new(), card))
}

fn samples(n: usize) -> PublicSamples {
    let graph = CASES[0].graph();
    PublicSamples { inputs: random_queries(&graph, n, 5), labels: vec![0; n] }
}

#[test]
fn an_inner_protocol_that_lacks_something_is_refused_with_the_list() {
    let refused = |inner| match Fusion::new(inner, Plan::default(), 40) {
        Err(FusionError::Inner { missing, .. }) => missing.join("; "),
        _ => panic!("not refused"),
    };
    let missing = refused(plain());
    assert!(missing.contains("inputs hidden") && missing.contains("fresh randomness") && missing.contains("follow"));
    for offers in [
        Offers { hides_input: false, ..Offers::ALL },
        Offers { fresh_randomness: false, ..Offers::ALL },
        Offers { positions_alike: false, ..Offers::ALL },
        Offers { answers_apart: false, ..Offers::ALL },
    ] {
        assert_eq!(refused(claiming(offers)), offers.missing().join("; "));
    }
    assert!(Fusion::new(claiming(Offers::ALL), Plan::default(), 40).is_ok());
}

#[test]
fn a_weak_plan_is_refused_with_the_numbers() {
    let weak = Plan::new(512, 5, 4, 1).unwrap();
    let error = Fusion::new(claiming(Offers::ALL), weak, 40).err().unwrap();
    assert!(matches!(error, FusionError::Plan(PlanError::TooWeak { security_bits: 40, .. })));
    assert!(error.to_string().contains("2^-29.39"), "{error}");
}

#[test]
fn the_cards_say_what_is_promised() {
    let secure = Fusion::new(claiming(Offers::ALL), Plan::default(), 40).unwrap();
    let card = secure.card();
    assert_eq!((card.id.as_str(), card.adversary), ("fusion(claims)", Adversary::MaliciousServer));
    assert_eq!((card.statistical_bits, card.computational_bits), (40, 128));
    assert!(card.assumptions.iter().any(|a| a.contains("2^-40.97")));
    assert!(card.leaks.iter().any(|l| l.contains("one bit")));
    let insecure = Fusion::insecure_over_anything(plain(), Plan::default());
    let card = insecure.card();
    assert_eq!((card.id.as_str(), card.adversary), ("fusion(plain)", Adversary::Insecure));
    assert_eq!((card.statistical_bits, card.computational_bits), (0, 0));
    assert!(card.title.starts_with("INSECURE") && card.gaps.iter().any(|g| g.contains("inputs hidden")));
}

#[test]
fn unfit_public_samples_are_refused() {
    let with = |public| {
        let fusion = Fusion::insecure_over_anything(plain(), Plan::new(2, 2, 3, 0).unwrap());
        fusion.with_public(public).err()
    };
    assert_eq!(with(samples(3)), None);
    assert!(matches!(with(samples(2)), Some(FusionError::TooFewPublic { have: 2, .. })));
    let unlabelled = PublicSamples { labels: vec![0; 2], ..samples(3) };
    assert_eq!(with(unlabelled), Some(FusionError::Unlabelled { inputs: 3, labels: 2 }));
    let mut double = samples(4);
    double.inputs[3] = double.inputs[1].clone();
    assert_eq!(with(double), Some(FusionError::DuplicatePublic { first: 1, second: 3 }));
}

/// The error of a session of these batches.
fn refusal(public: Option<PublicSamples>, batches: &[Vec<Array3<i64>>]) -> Error {
    let fusion = Fusion::insecure_over_anything(plain(), Plan::new(2, 2, 3, 2).unwrap());
    let fusion: Arc<dyn Protocol> = Arc::new(match public {
        Some(public) => fusion.with_public(public).unwrap(),
        None => fusion,
    });
    let conditions = Conditions::new(Options::default(), Seeds::from_number(0));
    match run_batches(&fusion, &CASES[0].model(0), batches, conditions).unwrap_err().how {
        si_testing::pair::Failed::Error(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn unfit_sessions_are_refused() {
    let queries = |n| random_queries(&CASES[0].graph(), n, 6);
    let says = |error: Error, what: &str| assert!(error.to_string().contains(what), "{error}");
    says(refusal(None, &[queries(1)]), "no public samples");
    says(refusal(Some(samples(3)), &[queries(3)]), "3 queries are more than the R=2");
    says(refusal(Some(samples(3)), &[vec![queries(1)[0].clone(), samples(3).inputs[1].clone()]]), "query 1 is also");
    let mut wrong = samples(3);
    wrong.labels[2] = 3;
    says(refusal(Some(wrong), &[queries(1)]), "label 3");
    let shape = PublicSamples { inputs: random_queries(&CASES[1].graph(), 3, 0), labels: vec![0; 3] };
    says(refusal(Some(shape), &[queries(1)]), "has shape");
}

#[test]
fn public_samples_are_used_once() {
    let model = CASES[0].model(0);
    let mut public = samples(5);
    let scores = si_models::run_fixed(&model, &si_testing::graphs::stacked(model.graph(), &public.inputs)).unwrap();
    public.labels = scores.rows().into_iter().map(|row| si_models::label(row.iter().copied())).collect();
    let batch = || random_queries(model.graph(), 1, 6);
    let error = refusal(Some(public), &[batch(), batch()]);
    assert!(error.to_string().contains("2 of 5 public samples are unused"), "{error}");
}
