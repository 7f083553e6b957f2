//! Plans of Fusion and tests of accuracy as tables: computed from the bound and the binomial, nothing is measured.

use std::fmt::Write;
use std::sync::OnceLock;

use anyhow::Result;
use si_fusion::{AccuracyGoal, AccuracyTest, Plan, PlanError, search, search_with_test};

use super::markdown::{Table, number, thousands};
use crate::soundness::MOST_PUBLIC;

/// Statistical security that plans are compared at, in bits.
pub(crate) const SECURITY_BITS: [f64; 3] = [20.0, 30.0, 40.0];

/// Numbers of queries that tables show.
const QUERIES: [usize; 8] = [1, 4, 16, 64, 128, 512, 1024, 4096];

/// Tests of accuracy that are shown: an honest model of a four-layer network on digits, and one of ImageNet.
pub(crate) const TESTS: [(f64, usize); 4] = [(0.98, 100), (0.98, 500), (0.76, 100), (0.76, 1000)];

/// How often an honest model may be refused: the project's choice.
pub(crate) const REFUSAL: f64 = 1e-3;

/// R and B of the default plan, at which the tolerance is studied, and the numbers of wrong public samples.
pub(crate) const AT: (usize, usize) = (512, 5);
pub(crate) const TOLERANCES: [usize; 5] = [0, 1, 2, 4, 7];

/// What a test must achieve against a model that is worse by `loss`, which may pass with probability `pass`.
pub(crate) fn goal(honest: f64, loss: f64, pass: f64) -> AccuracyGoal {
    AccuracyGoal { honest, refusal: REFUSAL, worse: honest - loss, pass }
}

/// The page of the report.
///
/// # Errors
/// If a number makes no plan, which the tests exclude.
pub(crate) fn page() -> Result<&'static str> {
    // The same each time, and it takes seconds.
    static PAGE: OnceLock<String> = OnceLock::new();
    match PAGE.get() {
        Some(page) => Ok(page),
        None => compute().map(|page| PAGE.get_or_init(|| page).as_str()),
    }
}

fn compute() -> Result<String> {
    let mut out = String::from(
        "# Fusion: soundness, accuracy and their price\n\n\
         Computed from the bound (`si_fusion::soundness`) and from binomial tails (`si_fusion::AccuracyTest`); nothing \
         here is measured. R queries, B copies of each, T public samples of which up to m may be wrong, \
         r = (R B + T) / R inferences a query.\n\n",
    );
    let _ = writeln!(out, "## The smallest plans, every public sample right (m = 0)\n");
    let _ = writeln!(
        out,
        "The public samples must be such that an honest model is *certain* of each, or it is refused. T this small says \
         next to nothing of the model's accuracy, and is unsafe as soon as one wrong sample is accepted (below).\n\n{}",
        smallest()?
    );
    let _ = writeln!(out, "## The smallest plans whose public samples test accuracy, 2^-40\n");
    let _ = writeln!(
        out,
        "The threshold is the tolerance: asking for c of T is allowing m = T - c, and the bound is that of this m. c is \
         the strictest that refuses an honest model with probability at most {REFUSAL}; the model that is {LOSS} worse \
         passes with probability at most {PASS}.\n\n{}",
        tested()?
    );
    let (r, b) = AT;
    let _ =
        writeln!(out, "## What a tolerance costs: log2 of the server's chance, R = {r}, B = {b}\n\n{}", tolerated()?);
    let _ = writeln!(out, "## What a test of accuracy tells\n\n{}", powers()?);
    let _ = writeln!(
        out,
        "## Samples that a model which is worse by d must be caught with\n\nThe fewest T for an honest model of accuracy \
         98 %, refused with probability at most {REFUSAL}; *more*: than {}.\n\n{}",
        thousands(MOST_PUBLIC as i64),
        samples()?
    );
    Ok(out)
}

/// A model that is so much worse must not pass, but for so often.
const LOSS: f64 = 0.08;
const PASS: f64 = 0.01;

/// What a plan is in a table: B, T, m, r, log2.
fn cells(plan: &Plan) -> [String; 4] {
    let bound = plan.bound().log2_probability;
    [
        plan.copies().to_string(),
        thousands(plan.public() as i64),
        format!("{:.3}", plan.amortised()),
        format!("{bound:.2}"),
    ]
}

fn smallest() -> Result<Table> {
    let mut t =
        Table::new(0, &["R", "2^-20: B", "T", "r", "log2", "2^-30: B", "T", "r", "log2", "2^-40: B", "T", "r", "log2"]);
    for queries in QUERIES {
        let mut row = vec![thousands(queries as i64)];
        for bits in SECURITY_BITS {
            row.extend(cells(&search(queries, bits, 0, 0..=MOST_PUBLIC)?));
        }
        t.row(row);
    }
    Ok(t)
}

fn tested() -> Result<Table> {
    let mut t = Table::new(0, &["R", "98 %: B", "T", "c", "r", "log2", "76 %: B", "T", "c", "r", "log2"]);
    for queries in QUERIES {
        let mut row = vec![thousands(queries as i64)];
        for honest in [0.98, 0.76] {
            let plan = search_with_test(queries, 40.0, &goal(honest, LOSS, PASS), MOST_PUBLIC)?;
            let [copies, public, amortised, bound] = cells(&plan);
            row.extend([copies, public, thousands(plan.test().threshold as i64), amortised, bound]);
        }
        t.row(row);
    }
    Ok(t)
}

fn tolerated() -> Result<Table> {
    let head: Vec<_> = ["T".to_owned()].into_iter().chain(TOLERANCES.map(|m| format!("m = {m}"))).collect();
    let mut t = Table::new(0, &head.iter().map(String::as_str).collect::<Vec<_>>());
    for public in [1, 2, 4, 6, 8, 10, 12, 16, 20, 50, 100] {
        let mut row = vec![public.to_string()];
        for m in TOLERANCES {
            row.push(match Plan::new(AT.0, AT.1, public, m) {
                Ok(plan) => format!("{:.2}", plan.bound().log2_probability),
                Err(PlanError::Tolerance { .. }) => "T ≤ m".into(),
                Err(e) => return Err(e.into()),
            });
        }
        t.row(row);
    }
    Ok(t)
}

fn powers() -> Result<Table> {
    let head =
        ["honest model", "T", "c", "honest refused", "5 % worse passes", "8 % worse", "10 % worse", "20 % worse"];
    let mut t = Table::new(0, &head);
    for (honest, public) in TESTS {
        let test = AccuracyTest::for_honest(public, honest, REFUSAL)?;
        let mut row = vec![percent(honest), thousands(public as i64), test.threshold.to_string()];
        row.push(number(test.refusal_probability(honest)));
        row.extend([0.05, 0.08, 0.10, 0.20].map(|loss| chance(test.pass_probability(honest - loss))));
        t.row(row);
    }
    Ok(t)
}

fn samples() -> Result<Table> {
    let mut t = Table::new(0, &["d", "caught with 90 %: T", "c", "99 %: T", "c", "99.9 %: T", "c"]);
    for loss in [0.02, 0.03, 0.05, 0.08, 0.10, 0.20, 0.40] {
        let mut row = vec![percent(loss)];
        for pass in [0.1, 0.01, 0.001] {
            match goal(0.98, loss, pass).smallest_test(MOST_PUBLIC) {
                Ok(test) => row.extend([thousands(test.public as i64), thousands(test.threshold as i64)]),
                Err(PlanError::NoPower { .. }) => row.extend(["more".into(), "more".into()]),
                Err(e) => return Err(e.into()),
            }
        }
        t.row(row);
    }
    Ok(t)
}

fn percent(x: f64) -> String {
    format!("{} %", number(100.0 * x).trim_end_matches('0').trim_end_matches('.'))
}

/// A probability: small ones as powers of ten.
pub(crate) fn chance(p: f64) -> String {
    if p > 0.0 && p < 1e-3 { format!("{p:.1e}") } else { number(p) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_the_known_numbers() {
        let text = page().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        // The project's reference table, at 2^-40.
        for row in ["| 19 | 25 | 44.000 | -40.36 |", "| 5 | 4 | 5.008 | -40.71 |", "| 4 | 1,750 | 4.427 | -40.00 |"] {
            assert!(text.contains(row), "{row}: {text}");
        }
        // T = 4 with one wrong; T = 100 with none.
        assert!(text.contains("| 4 | -40.71 | -29.39 |") && text.contains("| 100 | -40.97 | -40.97 |"), "{text}");
        assert!(text.contains("| 98 % | 100 | 93 |") && text.contains("| 76 % | 1,000 | 718 |"), "{text}");
        assert!(text.contains("| 2.8e-4") || text.contains("| 1.2e-6"), "{text}");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!((percent(0.98).as_str(), percent(0.1).as_str(), percent(0.02).as_str()), ("98 %", "10 %", "2 %"));
        assert_eq!((chance(0.21).as_str(), chance(2.77e-7).as_str(), chance(0.0).as_str()), ("0.210", "2.8e-7", "0"));
    }
}
