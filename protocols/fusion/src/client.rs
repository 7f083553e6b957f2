//! The client: mix, run, unmix, check; with a journal, if it has one.

use std::path::PathBuf;

use ndarray::Array3;
use rand_chacha::ChaCha20Rng;
use si_api::{Answer, Client, Error, Meter, Phase, Result, Role, WireError};

use crate::check::{Agreement, check};
use crate::journal::{Begun, Identity, Journal};
use crate::mix::{Mix, Slot};
use crate::protocol::runs;
use crate::public::Pool;
use crate::{FusionError, Plan};

/// A journal that is open, and what it says was begun.
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) journal: Journal,
    pub(crate) begun: Option<Begun>,
    /// The end is written down already.
    pub(crate) over: bool,
}

pub(crate) struct FusionClient {
    pub(crate) inner: Box<dyn Client>,
    pub(crate) plan: Plan,
    pub(crate) agreement: Agreement,
    pub(crate) pool: Pool,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) meter: Meter,
    /// Chunks that an earlier client of this run has finished.
    pub(crate) done: usize,
    pub(crate) kept: Option<Kept>,
    /// A run has failed: another one would give the server another chance, or meet it out of step. Or it had a journal,
    /// which holds one.
    pub(crate) ended: bool,
}

/// What is known of a run before the rest of it is run.
struct Run {
    /// Indices of the public samples.
    samples: Vec<usize>,
    mix: Mix,
    /// Of the chunks that are done.
    answers: Vec<Answer>,
}

impl Client for FusionClient {
    /// Prepares the batch; in chunks, each is prepared when its turn comes, so that no more than one waits in memory.
    fn offline(&mut self, n: usize) -> Result<()> {
        if runs(&self.plan, n)? && !self.plan.is_chunked() && self.done == 0 {
            self.inner.offline(self.plan.inferences())
        } else {
            Ok(())
        }
    }

    fn online(&mut self, queries: &[Array3<i64>]) -> Result<Vec<Answer>> {
        if self.ended {
            return Err(Error::invalid(if self.kept.is_some() {
                "a session with a journal holds one run: start a new one"
            } else {
                "a run of this session has failed, and ended it: start a new one"
            }));
        }
        if !runs(&self.plan, queries.len())? {
            return Ok(Vec::new());
        }
        let run = self.begin(queries)?;
        self.ended = true; // until this run has gone well
        let answers = self.answers(queries, &run).inspect_err(|e| {
            // What a server *sent* may not be tried again; what a lost connection or a full disk of ours cut short may.
            if !is_cut_short(e) {
                let _ = self.end(false, &e.to_string()); // the error itself matters more than its record
            }
        })?;
        // Only now, with every answer in hand: a check in between would tell the server when it was caught.
        let checked = {
            let _scope = self.meter.enter(Phase::Verify, "check");
            let (copies, answers) = run.mix.unmix(&self.plan, answers);
            let labels = run.samples.iter().map(|sample| self.pool.label(*sample));
            let known: Vec<_> = answers.into_iter().zip(labels).collect();
            check(&self.plan, self.agreement, queries.len(), copies, &known)
        };
        let outcome = checked.as_ref().err().map_or_else(|| "accepted".to_owned(), ToString::to_string);
        self.end(checked.is_ok(), &outcome)?;
        self.ended = checked.is_err() || self.kept.is_some();
        checked
    }
}

impl FusionClient {
    /// Draws a new run, or takes up the one that the journal has; writes either down before anything is sent.
    fn begin(&mut self, queries: &[Array3<i64>]) -> Result<Run> {
        let _scope = self.meter.enter(Phase::Online, "mix");
        if let Some(i) = self.pool.overlap(queries) {
            return Err(Error::invalid(format!("query {i} is also a public sample: its label is known already")));
        }
        let begun = self.kept.as_mut().and_then(|kept| kept.begun.take());
        let run = match (&mut self.kept, begun) {
            (Some(kept), Some(begun)) => {
                begun.check_queries(&kept.path, queries).map_err(FusionError::from)?;
                self.pool.reserve(&begun.samples)?;
                kept.over = begun.is_accepted();
                let Begun { samples, mut mix, answers, .. } = begun;
                if !kept.over {
                    mix.redraw(answers.len(), &mut self.rng);
                    let _scope = self.meter.enter(Phase::Online, "journal");
                    kept.journal.resume(&self.plan, &mix).map_err(FusionError::from)?;
                }
                Run { samples, mix, answers }
            }
            (kept, _) => {
                let mix = Mix::draw(&self.plan, &mut self.rng);
                let run = Run { samples: self.pool.take(&self.plan)?, mix, answers: Vec::new() };
                if let Some(kept) = kept {
                    let _scope = self.meter.enter(Phase::Online, "journal");
                    let begun = kept.journal.begin(kept.identity.clone(), queries, &run.samples, &run.mix);
                    begun.map_err(FusionError::from)?;
                }
                run
            }
        };
        Ok(run)
    }

    /// The answers of all positions: those that are known, and those of the chunks that are left.
    fn answers(&mut self, queries: &[Array3<i64>], run: &Run) -> Result<Vec<Answer>> {
        let mut answers = run.answers.clone();
        let mut slots = &run.mix.slots()[answers.len()..];
        for chunk in self.plan.chunks().into_iter().skip(self.done) {
            let (now, later) = slots.split_at(chunk);
            slots = later;
            let batch = {
                let _scope = self.meter.enter(Phase::Online, "mix");
                let input = |slot: &Slot| match *slot {
                    Slot::Copy(query) => queries[query % queries.len()].clone(),
                    Slot::Public(sample) => self.pool.input(run.samples[sample]).clone(),
                };
                now.iter().map(input).collect::<Vec<_>>()
            };
            if self.plan.is_chunked() {
                self.inner.offline(chunk)?;
            }
            let some = self.inner.online(&batch)?;
            if some.len() != chunk {
                let (got, peer) = (some.len(), Role::Server(0));
                let (what, why) = ("an answer".to_owned(), format!("{got} answers to {chunk} inputs"));
                return Err(Error::Malformed { peer, what, why });
            }
            if let Some(kept) = &mut self.kept {
                let _scope = self.meter.enter(Phase::Online, "journal");
                kept.journal.chunk(&some).map_err(FusionError::from)?;
            }
            answers.extend(some);
        }
        Ok(answers)
    }

    /// Writes down how the run ended, before anybody learns of it.
    fn end(&mut self, accepted: bool, outcome: &str) -> Result<()> {
        let Some(kept) = self.kept.as_mut().filter(|kept| !kept.over) else { return Ok(()) };
        kept.over = true;
        let _scope = self.meter.enter(Phase::Verify, "journal");
        Ok(kept.journal.end(accepted, outcome).map_err(FusionError::from)?)
    }
}

/// Whether an error says no more than that the connection is gone, which any server can bring about by itself, or that the
/// client's own disk is full.
fn is_cut_short(e: &Error) -> bool {
    let lost = matches!(e, Error::Wire(WireError::Closed { .. } | WireError::Timeout { .. } | WireError::Io { .. }));
    lost || matches!(e, Error::DiskFull { .. })
}
