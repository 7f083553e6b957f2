//! The decorator.

use std::path::PathBuf;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{
    Adversary, Card, Client, CostLine, Error, Graph, Model, Options, Party, Protocol, Result, Reveal, Rounding, Server,
};

use crate::card::card;
use crate::check::Agreement;
use crate::client::{FusionClient, Kept};
use crate::journal::{self, Identity, Journal, JournalError};
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
    /// Path and context.
    journal: Option<(PathBuf, String)>,
    /// Chunks that are done already.
    done: usize,
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
        Ok(Self::with_card(inner, plan, card))
    }

    /// **Insecure**: over any protocol, whatever it lacks, and with any plan. For tests of the mixing and for costs.
    #[must_use]
    pub fn insecure_over_anything(inner: Arc<dyn Protocol>, plan: Plan) -> Self {
        let card = card(inner.card(), &plan, None, &missing(inner.card()));
        Self::with_card(inner, plan, card)
    }

    fn with_card(inner: Arc<dyn Protocol>, plan: Plan, card: Card) -> Self {
        Self { inner, plan, public: None, score_tolerance: None, journal: None, done: 0, card }
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

    /// Has the client keep the state of its run in a file, so that another client can go on when this one has died: it
    /// takes the same `path`, and both parties [`Self::resumed_after`] the chunks that [`crate::progress`] tells.
    /// `context` is whatever else must be the same then, such as the version of the code and the model; plan, graph,
    /// queries and public samples are compared anyhow. A session with a journal holds one run.
    ///
    /// **The file is secret** until the run has ended: see [`crate::progress`]. Whoever is done with it deletes it.
    #[must_use]
    pub fn with_journal(self, path: impl Into<PathBuf>, context: impl Into<String>) -> Self {
        Self { journal: Some((path.into(), context.into())), ..self }
    }

    /// Goes on after so many chunks, on which both parties have agreed. The server serves the rest of the plan and
    /// needs no journal.
    ///
    /// # Errors
    /// [`FusionError::ResumedAfter`] if the plan has fewer.
    pub fn resumed_after(self, chunks: usize) -> std::result::Result<Self, FusionError> {
        let of = self.plan.chunks().len();
        if chunks > of { Err(FusionError::ResumedAfter { chunks, of }) } else { Ok(Self { done: chunks, ..self }) }
    }

    /// The journal of a client, opened and compared.
    fn keep(&self, graph: &Graph, public: &PublicSamples, agreement: Agreement) -> Result<Option<Kept>> {
        let Some((path, context)) = &self.journal else {
            return if self.done == 0 { Ok(None) } else { Err(FusionError::NoJournal { chunks: self.done }.into()) };
        };
        let identity = Identity {
            context: context.clone(),
            plan: self.plan,
            agreement,
            graph: journal::digest_of(&graph.canonical()),
            public: journal::digest_of(&format!("{} {:?}", journal::digest(&public.inputs), public.labels)),
        };
        let (journal, begun) = Journal::open(path, &identity).map_err(FusionError::from)?;
        let chunks_done = journal.progress().chunks_done;
        if chunks_done != self.done {
            let (path, agreed) = (path.clone(), self.done);
            return Err(FusionError::from(JournalError::OtherProgress { path, journal: chunks_done, agreed }).into());
        }
        Ok(Some(Kept { path: path.clone(), identity, journal, begun, over: false }))
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
        let kept = self.keep(&graph, public, agreement)?;
        let inner = self.inner.client(me, graph)?;
        let (plan, done) = (self.plan, self.done);
        Ok(Box::new(FusionClient { inner, plan, agreement, pool, rng, meter, done, kept, ended: false }))
    }

    fn server(&self, me: Party, model: Arc<Model>) -> Result<Box<dyn Server>> {
        Ok(Box::new(FusionServer { inner: self.inner.server(me, model)?, plan: self.plan, done: self.done }))
    }

    /// What the inner protocol declares for the batches of one run, or of what is left of it.
    fn cost(&self, graph: &Graph, n: usize, options: Options) -> Result<Vec<CostLine>> {
        let mut lines = Vec::new();
        if runs(&self.plan, n)? {
            for chunk in self.plan.chunks().into_iter().skip(self.done) {
                lines.extend(self.inner.cost(graph, chunk, options)?);
            }
        }
        Ok(lines)
    }
}

/// Whether there is anything to do for `n` queries.
pub(crate) fn runs(plan: &Plan, n: usize) -> Result<bool> {
    if n > plan.queries() {
        return Err(Error::invalid(format!(
            "{n} queries are more than the R={} of one run: split them",
            plan.queries()
        )));
    }
    Ok(n > 0)
}

/// The server: the inner one as it is. It knows the plan, and nothing of the mixing.
struct FusionServer {
    inner: Box<dyn Server>,
    plan: Plan,
    /// Chunks that are done already.
    done: usize,
}

impl Server for FusionServer {
    fn offline(&mut self, n: usize) -> Result<()> {
        if runs(&self.plan, n)? && !self.plan.is_chunked() && self.done == 0 {
            self.inner.offline(self.plan.inferences())
        } else {
            Ok(())
        }
    }

    fn online(&mut self, n: usize) -> Result<()> {
        if runs(&self.plan, n)? {
            for chunk in self.plan.chunks().into_iter().skip(self.done) {
                if self.plan.is_chunked() {
                    self.inner.offline(chunk)?;
                }
                self.inner.online(chunk)?;
            }
        }
        Ok(())
    }
}
