//! An experiment's file, before what its groups leave out is filled in.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use si_api::Options;
use si_netem::Means;

use super::{DEFAULT_LANES, DEFAULT_THREADS, Experiment, FusionPlan, Runs, Servers, Size, Trials};
use crate::registry;

/// The file, or one `[[runs]]` in it: a key that a group does not have is the file's. Unknown keys are refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    name: Option<String>,
    title: Option<String>,
    size: Option<Size>,
    seed: Option<u64>,
    protocols: Option<Vec<String>>,
    models: Option<Vec<String>>,
    dataset: Option<String>,
    links: Option<Vec<String>>,
    means: Option<Means>,
    batches: Option<Vec<usize>>,
    repetitions: Option<u32>,
    timeout_s: Option<u64>,
    lanes: Option<u32>,
    threads: Option<Vec<u32>>,
    server: Option<Servers>,
    options: Option<Options>,
    fusion: Option<Vec<FusionPlan>>,
    trials: Option<Vec<Trials>>,
    runs: Option<Vec<File>>,
}

impl File {
    /// The experiment that the file describes.
    ///
    /// # Errors
    /// If a key that every experiment or group has is missing, or one is in a place where it means nothing.
    pub(super) fn experiment(mut self) -> Result<Experiment> {
        let mut trials = self.trials.take().unwrap_or_default();
        for t in &mut trials {
            t.dataset = t.dataset.take().or_else(|| self.dataset.clone());
            t.options = t.options.or(self.options);
        }
        let runs = match self.runs.take() {
            None if self.protocols.is_none() && !trials.is_empty() => Vec::new(),
            // Without groups the file is one.
            None => vec![Self { name: None, title: None, size: None, seed: None, ..self.clone() }.runs(&self)?],
            Some(groups) if groups.is_empty() => bail!("runs is empty: leave it out, or describe a group"),
            Some(groups) => {
                let at = |i| format!("[[runs]] {} of {}", i + 1, groups.len());
                let resolved = groups.iter().enumerate().map(|(i, g)| g.clone().runs(&self).with_context(|| at(i)));
                resolved.collect::<Result<_>>()?
            }
        };
        Ok(Experiment {
            name: self.name.clone().context("name is missing: that of the file")?,
            title: self.title.clone().context("title is missing: one line for a reader")?,
            size: self.size.unwrap_or_default(),
            seed: self.seed.unwrap_or_default(),
            runs,
            trials,
        })
    }

    /// A group in the file `whole`.
    fn runs(self, whole: &Self) -> Result<Runs> {
        for (key, given) in [
            ("name", self.name.is_some()),
            ("title", self.title.is_some()),
            ("seed", self.seed.is_some()),
            ("runs", self.runs.is_some()),
            ("trials", self.trials.is_some()),
        ] {
            if given {
                bail!("{key} belongs to the experiment, not to one of its groups");
            }
        }
        fn given<T: Clone>(key: &str, own: Option<T>, common: &Option<T>) -> Result<T> {
            own.or_else(|| common.clone()).with_context(|| format!("{key} is missing"))
        }
        let protocols = given("protocols", self.protocols, &whole.protocols)?;
        // The file's plans are for those groups that have a use for them.
        let common = whole.fusion.clone().filter(|_| protocols.iter().any(|p| registry::is_planned(p)));
        Ok(Runs {
            size: self.size.unwrap_or_default(),
            protocols,
            models: given("models", self.models, &whole.models)?,
            dataset: given("dataset", self.dataset, &whole.dataset)?,
            links: given("links", self.links, &whole.links)?,
            means: self.means.or(whole.means).unwrap_or_default(),
            batches: self.batches.or_else(|| whole.batches.clone()).unwrap_or_else(|| vec![1]),
            repetitions: given("repetitions", self.repetitions, &whole.repetitions)?,
            timeout_s: given("timeout_s", self.timeout_s, &whole.timeout_s)?,
            lanes: self.lanes.or(whole.lanes).unwrap_or(DEFAULT_LANES),
            threads: self.threads.or_else(|| whole.threads.clone()).unwrap_or_else(|| vec![DEFAULT_THREADS]),
            server: self.server.or_else(|| whole.server.clone()).unwrap_or_default(),
            options: self.options.or(whole.options).unwrap_or_default(),
            fusion: self.fusion.or(common).unwrap_or_default(),
        })
    }
}
