//! The decorator.

use std::sync::Arc;

use ndarray::Array3;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{
    Adversary, Answer, Card, Client, CostLine, Error, Graph, Meter, Model, Options, Party, Phase, Protocol, Result,
    Reveal, Rounding, Server,
};

use crate::card::card;
use crate::check::{Agreement, check};
use crate::mix::{Mix, Slot};
use crate::public::Pool;
use crate::{FusionError, Plan, PublicSamples};

/// Mix-and-check over an inner protocol.
///
/// A run answers up to R queries with N = R B + T inferences of the inner protocol, as one batch or in chunks of public
/// size; fewer than R queries are filled up to R by repeating them, and the server is not told. It costs what the inner
/// protocol costs for N inferences: nothing else is sent. Every run takes T unused public samples.
pub struct Fusion {
    inner: Arc<dyn Protocol>,
    plan: Plan,
    public: Option<PublicSamples>,
    score_tolerance: Option<u64>,
    card: Card,
}

impl Fusion {
    /// Over a protocol that is secure as long as both parties follow it, with at least `security_bits` of statistical
    /// security.
    ///
    /// # Errors
    /// [`FusionError::Inner`] if mix-and-check could not rely on the inner protocol, with the list of what is missing;
    /// [`FusionError::Plan`] if the plan is weaker than asked.
    pub fn new(inner: Arc<dyn Protocol>, plan: Plan, security_bits: u32) -> std::result::Result<Self, FusionError> {
        let bound = plan.secure(security_bits)?;
        let missing = missing(inner.card());
        if !missing.is_empty() {
            return Err(FusionError::Inner { inner: inner.card().id.clone(), missing });
        }
        let card = card(inner.card(), &plan, Some(bound), &[]);
        Ok(Self { inner, plan, public: None, score_tolerance: None, card })
    }

    /// **Insecure**: over any protocol, whatever it lacks, and with any plan. For tests of the mixing and for costs.
    #[must_use]
    pub fn insecure_over_anything(inner: Arc<dyn Protocol>, plan: Plan) -> Self {
        let card = card(inner.card(), &plan, None, &missing(inner.card()));
        Self { inner, plan, public: None, score_tolerance: None, card }
    }

    /// Gives the client its public samples; a server needs none. A session can run as often as there are T unused ones.
    ///
    /// # Errors
    /// If there are fewer than T, or any twice.
    pub fn with_public(self, public: PublicSamples) -> std::result::Result<Self, FusionError> {
        public.check(&self.plan)?;
        Ok(Self { public: Some(public), ..self })
    }

    /// Says how far an honest score may be from the exact one, in units of the last place: copies agree if their scores
    /// are at most twice that apart. It depends on the weights, so it has to be a public parameter of the experiment.
    ///
    /// Without it, copies are compared by their scores only where these are exact; if the inner protocol rounds, labels
    /// are compared, and *scores are not handed out*, for nobody has checked them.
    #[must_use]
    pub fn with_score_tolerance(self, score_tolerance: u64) -> Self {
        Self { score_tolerance: Some(score_tolerance), ..self }
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn agreement(&self, reveal: Reveal) -> Agreement {
        match (reveal, self.score_tolerance, self.inner.card().rounding) {
            (Reveal::Label, ..) | (Reveal::Scores, None, Rounding::OneBit) => Agreement::Labels,
            (Reveal::Scores, Some(tolerance), _) => Agreement::Scores { apart: tolerance.saturating_mul(2) },
            (Reveal::Scores, None, Rounding::Exact) => Agreement::Scores { apart: 0 },
        }
    }
}

/// What mix-and-check relies on and a protocol does not offer.
fn missing(inner: &Card) -> Vec<String> {
    let mut missing: Vec<String> = inner.offers.missing().into_iter().map(str::to_owned).collect();
    if inner.adversary == Adversary::Insecure {
        missing.push("security against parties that follow the protocol".to_owned());
    }
    missing
}

impl Protocol for Fusion {
    fn card(&self) -> &Card {
        &self.card
    }

    fn client(&self, mut me: Party, graph: Arc<Graph>) -> Result<Box<dyn Client>> {
        let mut seed = [0; 32];
        me.rng.fill_bytes(&mut seed);
        let mut rng = ChaCha20Rng::from_seed(seed);
        let public = self.public.as_ref().ok_or_else(|| Error::invalid("fusion's client has no public samples"))?;
        let pool = Pool::new(public, &graph, &mut rng)?;
        let (meter, agreement) = (me.meter.clone(), self.agreement(me.options.reveal));
        let inner = self.inner.client(me, graph)?;
        Ok(Box::new(FusionClient { inner, plan: self.plan, agreement, pool, rng, meter, ended: false }))
    }

    fn server(&self, me: Party, model: Arc<Model>) -> Result<Box<dyn Server>> {
        Ok(Box::new(FusionServer { inner: self.inner.server(me, model)?, plan: self.plan }))
    }

    /// What the inner protocol declares for the batches of one run.
    fn cost(&self, graph: &Graph, n: usize, options: Options) -> Result<Vec<CostLine>> {
        let mut lines = Vec::new();
        if runs(&self.plan, n)? {
            for chunk in self.plan.chunks() {
                lines.extend(self.inner.cost(graph, chunk, options)?);
            }
        }
        Ok(lines)
    }
}

/// Whether there is anything to do for `n` queries.
fn runs(plan: &Plan, n: usize) -> Result<bool> {
    if n > plan.queries() {
        return Err(Error::invalid(format!(
            "{n} queries are more than the R={} of one run: split them",
            plan.queries()
        )));
    }
    Ok(n > 0)
}

struct FusionClient {
    inner: Box<dyn Client>,
    plan: Plan,
    agreement: Agreement,
    pool: Pool,
    rng: ChaCha20Rng,
    meter: Meter,
    /// A run has failed: another one would give the server another chance, or meet it out of step.
    ended: bool,
}

impl Client for FusionClient {
    /// Prepares the batch; in chunks, each is prepared when its turn comes, so that no more than one waits in memory.
    fn offline(&mut self, n: usize) -> Result<()> {
        if runs(&self.plan, n)? && !self.plan.is_chunked() {
            self.inner.offline(self.plan.inferences())
        } else {
            Ok(())
        }
    }

    fn online(&mut self, queries: &[Array3<i64>]) -> Result<Vec<Answer>> {
        if self.ended {
            return Err(Error::invalid("a run of this session has failed, and ended it: start a new one"));
        }
        if !runs(&self.plan, queries.len())? {
            return Ok(Vec::new());
        }
        let (mix, public) = {
            let _scope = self.meter.enter(Phase::Online, "mix");
            if let Some(i) = self.pool.overlap(queries) {
                return Err(Error::invalid(format!("query {i} is also a public sample: its label is known already")));
            }
            (Mix::draw(&self.plan, &mut self.rng), self.pool.take(&self.plan)?)
        };
        self.ended = true; // until this run has gone well
        let mut answers = Vec::with_capacity(self.plan.inferences());
        let mut slots = mix.slots();
        for chunk in self.plan.chunks() {
            let (now, later) = slots.split_at(chunk);
            slots = later;
            let batch = {
                let _scope = self.meter.enter(Phase::Online, "mix");
                let input = |slot: &Slot| match *slot {
                    Slot::Copy(query) => queries[query % queries.len()].clone(),
                    Slot::Public(sample) => public[sample].0.clone(),
                };
                now.iter().map(input).collect::<Vec<_>>()
            };
            if self.plan.is_chunked() {
                self.inner.offline(chunk)?;
            }
            let some = self.inner.online(&batch)?;
            if some.len() != chunk {
                return Err(Error::invalid(format!(
                    "the inner protocol gave {} answers to {chunk} inputs",
                    some.len()
                )));
            }
            answers.extend(some);
        }
        // Only now, with every answer in hand: a check in between would tell the server when it was caught.
        let _scope = self.meter.enter(Phase::Verify, "check");
        let (copies, answers) = mix.unmix(&self.plan, answers);
        let known: Vec<_> = answers.into_iter().zip(public.iter().map(|(_, label)| *label)).collect();
        let checked = check(&self.plan, self.agreement, queries.len(), copies, &known);
        self.ended = checked.is_err();
        checked
    }
}

/// The server: the inner one as it is. It knows the plan, and nothing of the mixing.
struct FusionServer {
    inner: Box<dyn Server>,
    plan: Plan,
}

impl Server for FusionServer {
    fn offline(&mut self, n: usize) -> Result<()> {
        if runs(&self.plan, n)? && !self.plan.is_chunked() {
            self.inner.offline(self.plan.inferences())
        } else {
            Ok(())
        }
    }

    fn online(&mut self, n: usize) -> Result<()> {
        if runs(&self.plan, n)? {
            for chunk in self.plan.chunks() {
                if self.plan.is_chunked() {
                    self.inner.offline(chunk)?;
                }
                self.inner.online(chunk)?;
            }
        }
        Ok(())
    }
}
