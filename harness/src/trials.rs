//! Detection by the thousand: one plan of Fusion against one server, again and again, both parties as threads of this
//! process. Each setting becomes a row of `trials.csv`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use ndarray::Array3;
use serde::{Deserialize, Serialize};
use si_api::{Error, Model, Options, Protocol, Role};
use si_fusion::{AccuracyTest, PublicSamples};
use si_models::{label, run_fixed, score_tolerance};
use si_testing::cheats::{Cheat, CheatName, HowMany};
use si_testing::pair::{Conditions, Failed, Seeds, run};

use crate::behaviour::{Behaviour, Servers};
use crate::experiment::{Experiment, FusionPlan, ensure_within};
use crate::inputs::{Source, split};
use crate::machine;
use crate::record::{Samples, TrialRow, utc_now};
use crate::registry::{self, FusionRun};
use crate::row::word;
use crate::stage::model_hash;

/// Settings of one plan, one for each server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trials {
    /// `fusion(...)`.
    pub(crate) protocol: String,
    /// Zoo name.
    pub(crate) model: String,
    /// In place of the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dataset: Option<String>,
    /// In place of the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<Options>,
    /// How the server behaves.
    #[serde(default)]
    pub(crate) server: Servers,
    /// R.
    pub(crate) queries: usize,
    /// B.
    pub(crate) copies: usize,
    /// T.
    pub(crate) public: usize,
    /// m; or the accuracy below.
    #[serde(default)]
    pub(crate) tolerance: usize,
    /// Accuracy of the promised model in thousandths, from which m follows: an honest server is refused with a
    /// probability of at most 1e-3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accuracy_permille: Option<u32>,
    /// Inferences of a batch; all at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chunk: Option<usize>,
    /// Where queries and public samples come from.
    #[serde(default)]
    pub(crate) samples: Samples,
    /// Runs of each setting.
    pub(crate) count: u64,
}

/// How often an honest model may be refused where m follows from its accuracy (agreement: part of what an experiment
/// means).
const REFUSAL: f64 = 1e-3;

/// Most runs of one setting (local): what they should give is computed from the exact chances, which takes as many terms.
pub(crate) const MOST_TRIALS: u64 = 1 << 20;

/// Most inferences of a plan that is tried (local), for the same reason.
pub(crate) const MOST_INFERENCES: u64 = 1 << 14;

impl Trials {
    /// Checks what can be checked without running it.
    ///
    /// # Errors
    /// If the protocol is no Fusion, a name is unknown, or the numbers make no plan.
    pub(crate) fn validate(&self) -> Result<()> {
        registry::inner(&self.protocol).context("trials are of fusion(...)")?;
        si_models::zoo::graph(&self.model)?;
        ensure!(self.dataset.is_some(), "dataset is missing: where queries come from");
        ensure!(!self.server.0.is_empty(), "server must name one at least");
        ensure_within("count", self.count, MOST_TRIALS)?;
        ensure!(
            self.accuracy_permille.is_none_or(|a| (1..=1000).contains(&a))
                && !(self.accuracy_permille.is_some() && self.tolerance > 0),
            "accuracy_permille is 1 to 1000, in place of tolerance"
        );
        let plan = self.plan()?;
        ensure_within("queries * copies + public", plan.inferences() as u64, MOST_INFERENCES)?;
        registry::plan(&plan).map(drop)
    }

    fn plan(&self) -> Result<FusionPlan> {
        let tolerance = match self.accuracy_permille {
            Some(a) => AccuracyTest::for_honest(self.public, f64::from(a) / 1000.0, REFUSAL)?.tolerance(),
            None => self.tolerance,
        };
        Ok(FusionPlan {
            queries: self.queries,
            copies: self.copies,
            public: self.public,
            tolerance,
            security_bits: 0,
            chunk: self.chunk,
            ..FusionPlan::default()
        })
    }

    /// The names of its settings.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub(crate) fn settings(&self) -> Result<Vec<(String, &Behaviour)>> {
        let plan = self.plan()?;
        let of = |s| (format!("{}/{}/trials/{plan}/{}/{s}", self.protocol, self.model, word(&self.samples)), s);
        Ok(self.server.0.iter().map(of).collect())
    }
}

/// Runs one setting. `None` if the user stops it.
///
/// # Errors
/// If a party fails in a way that its behaviour does not explain, or there are not enough suitable images.
pub(crate) fn run_setting(
    experiment: &Experiment,
    trials: &Trials,
    (setting, server): (&str, &Behaviour),
    stop: &AtomicBool,
) -> Result<Option<TrialRow>> {
    let dataset = trials.dataset.as_ref().context("dataset is missing: where queries come from")?;
    let options = trials.options.unwrap_or_default();
    let source = Source::open(dataset)?;
    let stage = Stage::new(experiment, trials, server, &source).with_context(|| setting.to_owned())?;
    let plan = trials.plan()?;
    let (commit, dirty) = machine::commit();
    let number = |x: usize| x as u64;
    let mut row = TrialRow {
        setting: setting.to_owned(),
        started_utc: utc_now(),
        experiment: experiment.name.clone(),
        method: "in-process".to_owned(),
        protocol: trials.protocol.clone(),
        model: trials.model.clone(),
        dataset: dataset.clone(),
        server: server.to_string(),
        queries: number(plan.queries),
        fusion_copies: number(plan.copies),
        fusion_public: number(plan.public),
        fusion_tolerance: number(plan.tolerance),
        fusion_chunk: plan.chunk.map(number),
        reveal: word(&options.reveal),
        truncation: word(&options.truncation),
        samples: trials.samples,
        pool: number(stage.pool.len()),
        pool_right: stage.pool_right()?.map(number),
        corrupted: corrupted(server, plan.inferences()).map(number),
        classes: number(stage.model.graph().classes()),
        seed: experiment.seed,
        model_hash: model_hash(&stage.model),
        data_hash: source.hash(),
        commit: commit.to_owned(),
        dirty,
        rustc: machine::RUSTC.to_owned(),
        target_features: machine::features_in_use(),
        ..TrialRow::default()
    };
    let start = Instant::now();
    for trial in 0..trials.count {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let end = stage
            .run(&plan, experiment.seed.wrapping_add(trial))
            .with_context(|| format!("{setting}, trial {trial}"))?;
        row.trials += 1;
        match end {
            End::Caught { by_copies, by_public } => {
                row.caught += 1;
                row.caught_by_copies += u64::from(by_copies);
                row.caught_by_public += u64::from(by_public);
            }
            End::Fooled => row.fooled += 1,
            End::Unharmed => row.unharmed += 1,
            End::Broken => row.broken += 1,
        }
    }
    row.wall_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Ok(Some(row))
}

/// Inferences that a server corrupts, if it is a number of them and not all by one model.
fn corrupted(server: &Behaviour, inferences: usize) -> Option<usize> {
    match server {
        Behaviour::Honest | Behaviour::Cheat(CheatName::OtherModel(_, HowMany::All)) => None,
        Behaviour::Cheat(name) => name.how_many().map(|many| many.of(inferences)),
    }
}

/// How one run ended.
enum End {
    Caught { by_copies: bool, by_public: bool },
    Fooled,
    Unharmed,
    Broken,
}

/// An image, what the promised model scores, and the label that the client believes in.
struct Sample {
    input: Array3<i64>,
    scores: Vec<i64>,
    label: usize,
}

/// What stays the same over the runs of a setting.
struct Stage<'a> {
    trials: &'a Trials,
    options: Options,
    server: &'a Behaviour,
    model: Arc<Model>,
    cheat: Option<Cheat>,
    tolerance: u64,
    pool: Vec<Sample>,
}

impl<'a> Stage<'a> {
    fn new(experiment: &Experiment, trials: &'a Trials, server: &'a Behaviour, source: &Source) -> Result<Self> {
        let model = si_models::zoo::model(&trials.model)?;
        let inferences = trials.plan()?.inferences();
        let cheat = match server {
            Behaviour::Honest => None,
            Behaviour::Cheat(name) => Some(name.cheat(&model, inferences, experiment.seed)?),
        };
        let tolerance = score_tolerance(&model).unsigned_abs();
        let mut stage = Self {
            trials,
            options: trials.options.unwrap_or_default(),
            server,
            model,
            cheat,
            tolerance,
            pool: Vec::new(),
        };
        stage.fill(source)?;
        let need = trials.queries + trials.public;
        ensure!(stage.pool.len() >= need, "{} suitable images, {need} are needed", stage.pool.len());
        Ok(stage)
    }

    /// The pool of suitable images.
    fn fill(&mut self, source: &Source) -> Result<()> {
        let positions: Vec<usize> = (0..source.len().min(MOST_IMAGES)).collect();
        let images = source.encoded(self.model.graph(), &positions)?;
        let scores = run_fixed(&self.model, &images)?;
        let others = match &self.cheat {
            Some(Cheat::OtherModelAt(other, _)) => Some(run_fixed(other, &images)?),
            _ => None,
        };
        if let Some(Cheat::FlipLabel { class, .. }) = &mut self.cheat {
            // The class that fewest images have: only where it is wrong is a forced class a corruption.
            let mut seen = vec![0u64; self.model.graph().classes()];
            scores.rows().into_iter().for_each(|s| seen[label(s.iter().copied())] += 1);
            *class = (0..seen.len()).min_by_key(|c| seen[*c]).unwrap_or(0);
        }
        for (i, (position, input)) in positions.into_iter().zip(split(&images)).enumerate() {
            let scores = scores.row(i).to_vec();
            let others = others.as_ref().map(|o| o.row(i).to_vec());
            let own = label(scores.iter().copied());
            let truth = source.label(self.model.graph(), position).unwrap_or(own);
            let suits = match self.trials.samples {
                Samples::Labelled => true,
                Samples::Sure => truth == own && self.sure(&scores) && self.harmed(&scores, others.as_deref()),
            };
            if suits {
                self.pool.push(Sample { input, scores, label: truth });
            }
        }
        Ok(())
    }

    /// Whether no rounding changes the label.
    fn sure(&self, scores: &[i64]) -> bool {
        let best = label(scores.iter().copied());
        scores.iter().enumerate().all(|(i, s)| i == best || scores[best].abs_diff(*s) > 2 * self.tolerance)
    }

    /// Whether a corrupted inference certainly gives another label, if the cheat is one of which that can be said.
    fn harmed(&self, scores: &[i64], others: Option<&[i64]>) -> bool {
        let own = label(scores.iter().copied());
        let differs = |s: &[i64]| label(s.iter().copied()) != own && self.sure(s);
        match &self.cheat {
            Some(Cheat::FlipLabel { class, .. }) => own != *class,
            Some(Cheat::OtherBias(bias, _)) => {
                differs(&scores.iter().zip(bias).map(|(s, b)| s + b).collect::<Vec<_>>())
            }
            Some(Cheat::OtherModelAt(..)) => others.is_some_and(differs),
            _ => true,
        }
    }

    /// How many images of the pool the server's model labels rightly, if it is one model throughout.
    fn pool_right(&self) -> Result<Option<usize>> {
        let inputs: Vec<_> = self.pool.iter().map(|s| s.input.view()).collect();
        let served = match &self.cheat {
            None => &self.model,
            Some(Cheat::OtherModel(other)) => other,
            Some(_) => return Ok(None),
        };
        let scores = run_fixed(served, &ndarray::stack(ndarray::Axis(0), &inputs)?)?;
        let right = scores.rows().into_iter().zip(&self.pool).filter(|(s, p)| label(s.iter().copied()) == p.label);
        Ok(Some(right.count()))
    }

    fn protocols(&self, plan: &FusionPlan, public: PublicSamples, seed: u64) -> Result<[Arc<dyn Protocol>; 2]> {
        let name = &self.trials.protocol;
        let run = |public| Some(FusionRun { plan, score_tolerance_ulp: Some(self.tolerance), public, journal: None });
        let client = registry::protocol(name, self.options, run(Some(public)))?;
        let server = match &self.cheat {
            None => registry::protocol(name, self.options, run(None))?,
            Some(cheat) => registry::cheating(name, self.options, run(None), cheat.clone(), seed)?,
        };
        Ok([client, server])
    }

    fn run(&self, plan: &FusionPlan, seed: u64) -> Result<End> {
        let order = si_datasets::permutation(self.pool.len(), seed);
        let (queries, rest) = order.split_at(plan.queries);
        let sample = |i: &usize| &self.pool[*i];
        let known: Vec<&Sample> = rest[..plan.public].iter().map(sample).collect();
        let public = PublicSamples {
            inputs: known.iter().map(|s| s.input.clone()).collect(),
            labels: known.iter().map(|s| s.label).collect(),
        };
        let [client, server] = self.protocols(plan, public, seed)?;
        let batch = queries.iter().map(|i| sample(i).input.clone()).collect();
        let conditions = Conditions::new(self.options, Seeds::from_number(seed));
        let outcome = run(&client, &server, &self.model, &[batch], conditions, &|c, s| (c, s));
        let answers = match outcome.client {
            Ok(answers) => answers.concat(),
            Err(Failed::Error(Error::Abort { accused: Role::Server(0), check })) => {
                let (by_copies, by_public) = reasons(&check, plan.tolerance);
                return Ok(End::Caught { by_copies, by_public });
            }
            Err(_) if self.server.breaks_messages() => return Ok(End::Broken),
            Err(failed) => {
                let server = outcome.server.err().map_or("no error".to_owned(), |e| e.to_string());
                bail!("the client failed: {failed}; the server: {server}")
            }
        };
        ensure!(answers.len() == queries.len(), "{} answers to {} queries", answers.len(), queries.len());
        // Rounding may turn a near tie, and only that.
        let right = |s: &Sample, given: usize| {
            let best = label(s.scores.iter().copied());
            s.scores.get(given).is_some_and(|x| s.scores[best].abs_diff(*x) <= 2 * self.tolerance)
        };
        let all = queries.iter().zip(&answers).all(|(i, a)| right(sample(i), a.label));
        Ok(if all { End::Unharmed } else { End::Fooled })
    }
}

/// Most images of a source that a pool is filled from (local): all of the embedded digits.
const MOST_IMAGES: usize = 1024;

/// Which of Fusion's two checks failed, by the numbers in its text: queries whose copies differ, wrong public samples.
fn reasons(check: &str, tolerance: usize) -> (bool, bool) {
    let before = |what: &str| {
        let (head, _) = check.split_once(what)?;
        head.rsplit(' ').next()?.parse::<usize>().ok()
    };
    (
        before(" queries differ").is_some_and(|n| n > 0),
        before(" public samples are wrong").is_some_and(|n| n > tolerance),
    )
}

/// Settings of an experiment, each named once.
///
/// # Errors
/// If two have the same name, or one makes no sense.
pub(crate) fn validate(all: &[Trials]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for t in all {
        t.validate()?;
        for (name, _) in t.settings()? {
            ensure!(seen.insert(name.clone()), "two trials are named {name}");
        }
    }
    Ok(())
}
