//! `bench soundness`: what a plan of Fusion is worth, the cheapest plan for what is asked, or the page of tables.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::json;
use si_fusion::{AccuracyGoal, AccuracyTest, Plan, search, search_with_test};

use crate::commands::{merge, print};
use crate::report;

/// More public samples than this are not searched (local).
pub(crate) const MOST_PUBLIC: usize = 4096;

/// Without options: tables and figures of plans, into the report. With R: the cheapest plan. With R, B and T: the worth
/// of that plan.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// R, the queries
    #[arg(long, value_name = "R")]
    queries: Option<usize>,
    /// B, the copies of each query
    #[arg(long, value_name = "B", requires_all = ["queries", "public"])]
    copies: Option<usize>,
    /// T, the public samples
    #[arg(long, value_name = "T", requires = "copies")]
    public: Option<usize>,
    /// m, the wrong public samples that are tolerated; with --honest it follows from the test
    #[arg(long, value_name = "M", requires = "queries")]
    tolerance: Option<usize>,
    /// Statistical security that the plan must have; a search takes 40
    #[arg(long, value_name = "BITS", requires = "queries")]
    security: Option<u32>,
    /// Accuracy of the honest model: the public samples are a test of it, and it may miss some
    #[arg(long, value_name = "A", requires = "queries")]
    honest: Option<f64>,
    /// How often the honest model may be refused
    #[arg(long, value_name = "P", default_value_t = 1e-3)]
    refusal: f64,
    /// Accuracy of a model that must not pass
    #[arg(long, value_name = "A", requires = "honest")]
    worse: Option<f64>,
    /// How often that model may pass
    #[arg(long, value_name = "P", default_value_t = 0.01)]
    pass: f64,
    /// Folder for tables and figures
    #[arg(long, value_name = "DIR", default_value = "results/report", conflicts_with = "queries")]
    out: PathBuf,
    /// Answer as JSON
    #[arg(long, requires = "queries")]
    json: bool,
}

/// Answers.
///
/// # Errors
/// If the numbers make no plan, the plan is weaker than asked, no honest model meets it, or there is none.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(queries) = args.queries else { return report::soundness(&args.out) };
    let plan = match (args.copies, args.public) {
        (Some(copies), Some(public)) => given(args, queries, copies, public)?,
        _ => cheapest(args, queries)?,
    };
    if let Some(bits) = args.security {
        plan.secure(bits)?;
    }
    tell(args, &plan)
}

/// The plan that is described, with the tolerance of a test of accuracy if that is asked for.
fn given(args: &Args, queries: usize, copies: usize, public: usize) -> Result<Plan> {
    let Some(honest) = args.honest else {
        return Ok(Plan::new(queries, copies, public, args.tolerance.unwrap_or(0))?);
    };
    let strictest = AccuracyTest::for_honest(public, honest, args.refusal)?;
    let plan = Plan::new(queries, copies, public, args.tolerance.unwrap_or(strictest.tolerance()))?;
    plan.test().for_model(honest, args.refusal)?;
    Ok(plan)
}

fn cheapest(args: &Args, queries: usize) -> Result<Plan> {
    let bits = f64::from(args.security.unwrap_or(40));
    match (args.honest, args.worse, args.tolerance) {
        (Some(_), _, Some(_)) => bail!("--tolerance and --honest: the tolerance of a test of accuracy follows from it"),
        (Some(honest), Some(worse), None) => {
            let goal = AccuracyGoal { honest, refusal: args.refusal, worse, pass: args.pass };
            Ok(search_with_test(queries, bits, &goal, MOST_PUBLIC)?)
        }
        (Some(_), None, None) => bail!("--honest needs --worse, the accuracy of a model that must not pass"),
        (None, _, tolerance) => Ok(search(queries, bits, tolerance.unwrap_or(0), 0..=MOST_PUBLIC)?),
    }
}

fn tell(args: &Args, plan: &Plan) -> Result<()> {
    let (bound, test) = (plan.bound(), plan.test());
    let refusal = args.honest.map(|honest| test.refusal_probability(honest));
    let pass = args.worse.map(|worse| test.pass_probability(worse));
    if args.json {
        let mut answer = json!({
            "queries": plan.queries(),
            "copies": plan.copies(),
            "public": plan.public(),
            "tolerance": plan.tolerance(),
            "threshold": test.threshold,
            "inferences": plan.inferences(),
            "amortised": plan.amortised(),
            "log2_probability": bound.log2_probability,
            "corrupted": bound.corrupted,
        });
        merge(&mut answer, json!({ "honest_refused": refusal, "worse_passes": pass }));
        return print(&serde_json::to_string_pretty(&answer)?);
    }
    let mut lines = vec![
        format!("{plan}: {} inferences, {:.3} a query", plan.inferences(), plan.amortised()),
        format!(
            "a cheating server escapes with probability at most 2^{:.2}, by corrupting {} of them",
            bound.log2_probability, bound.corrupted
        ),
    ];
    let needed = format!("{} of {} public samples must come out right", test.threshold, test.public);
    lines.push(match (args.honest, refusal) {
        (Some(honest), Some(p)) => {
            format!("{needed}: an honest model of accuracy {honest} is refused with probability {p:.2e}")
        }
        _ => format!("{needed}: an honest model must be certain of those"),
    });
    if let (Some(worse), Some(p)) = (args.worse, pass) {
        lines.push(format!("a model of accuracy {worse} passes with probability {p:.3e}"));
    }
    print(&lines.join("\n"))
}
