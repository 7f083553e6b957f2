//! What both parties hold for a session.

use std::sync::Arc;

use rand::CryptoRng;
use rand_chacha::ChaCha20Rng;
use si_api::{Channel, Error, Meter, Phase, Result, Reveal, Role};
use si_ot::{Extension, OtConfig, OtReceiver, OtSender};

use crate::card::ID;
use crate::checks::{self, CHALLENGE_BYTES, Masks, View};
use crate::deviation::InsecureDeviation;
use crate::error::{abort, from_ot};
use crate::session::{Link, Plan, Setting};
use crate::statement::Statement;
use crate::watch::{self, Keys, Watchlist};

/// The meter's labels of what is done before a query is known.
const SETUP: &str = "base OTs";
const WATCHLISTS: &str = "watchlists";

/// The meter's labels of what is no operator.
pub(crate) mod labels {
    pub(crate) const EVALUATIONS: &str = "evaluations";
    pub(crate) const INPUTS: &str = "inputs proven";
    pub(crate) const VALUES: &str = "values proven";
    pub(crate) const ANSWER: &str = "answer";
    pub(crate) const SERVER: &str = "server's proof";
}

/// One party between batches.
pub(crate) struct Party {
    pub(crate) setting: Arc<Setting>,
    pub(crate) meter: Meter,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) peer: Role,
    /// Gone after an error: the other party is out of step, or has been caught.
    pub(crate) channel: Option<Channel>,
    pub(crate) deviation: Option<InsecureDeviation>,
    sender: OtSender,
    receiver: OtReceiver,
    prepared: Option<(usize, Prepared)>,
}

/// Parameters and watchlists of one batch.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) keys: Keys,
    pub(crate) watchlist: Watchlist,
}

impl Party {
    /// Base OTs in both directions.
    pub(crate) fn new(
        mut me: si_api::Party,
        peer: Role,
        setting: Setting,
        deviation: Option<InsecureDeviation>,
    ) -> Result<Self> {
        if me.options.reveal != Reveal::Scores {
            let what = "revealing the label alone (no comparisons): set reveal = \"scores\"".to_owned();
            return Err(Error::Unsupported { protocol: ID.to_owned(), what });
        }
        let setting = Arc::new(setting);
        let mut channel = me.take_lane(peer, 0)?;
        let config = OtConfig::new(Extension::Kos);
        let _scope = me.meter.enter(Phase::Setup, SETUP);
        let mut of = |sends: bool| -> si_ot::Result<(Option<OtSender>, Option<OtReceiver>)> {
            Ok(if sends {
                (Some(OtSender::setup(&mut channel, &mut me.rng, &config)?), None)
            } else {
                (None, Some(OtReceiver::setup(&mut channel, &mut me.rng, &config)?))
            })
        };
        // The client sends first.
        let client = me.role == Role::Client;
        let first = of(client).map_err(|e| from_ot(e, peer))?;
        let second = of(!client).map_err(|e| from_ot(e, peer))?;
        let (Some(sender), Some(receiver)) = (first.0.or(second.0), first.1.or(second.1)) else {
            return Err(Error::invalid("an OT in each direction"));
        };
        let meter = me.meter.clone();
        let (rng, channel) = (me.rng.clone(), Some(channel));
        Ok(Self { setting, meter, rng, peer, channel, deviation, sender, receiver, prepared: None })
    }

    pub(crate) fn deviates(&self, how: InsecureDeviation) -> bool {
        self.deviation == Some(how)
    }

    /// Parameters and watchlists for a batch of `n`.
    pub(crate) fn prepare(&mut self, n: usize) -> Result<()> {
        if n == 0 || self.prepared.as_ref().is_some_and(|(batch, _)| *batch == n) {
            return Ok(());
        }
        let _scope = self.meter.enter(Phase::Offline, WATCHLISTS);
        let plan = self.setting.plan(n)?;
        let Some(mut channel) = self.channel.take() else { return Err(ended()) };
        let (peer, deviation) = (self.peer, self.deviation);
        let (mut keys, mut watchlist) = (None, None);
        let client = self.peer != Role::Client;
        for give in [client, !client] {
            if give {
                let given = watch::give(&mut channel, &mut self.sender, peer, &plan.code, deviation, &mut self.rng)?;
                keys = Some(given);
            } else {
                let taken = watch::take(&mut channel, &mut self.receiver, peer, &plan.code, deviation, &mut self.rng)?;
                watchlist = Some(taken);
            }
        }
        self.channel = Some(channel);
        if let (Some(keys), Some(watchlist)) = (keys, watchlist) {
            self.prepared = Some((n, Prepared { plan, keys, watchlist }));
        }
        Ok(())
    }

    /// What was prepared for a batch of `n`, or is now: it serves once.
    pub(crate) fn take_prepared(&mut self, n: usize) -> Result<Prepared> {
        self.prepare(n)?;
        self.prepared.take().map(|(_, prepared)| prepared).ok_or_else(ended)
    }

    /// Receives a challenge and sends the proof.
    pub(crate) fn prove(
        &self,
        plan: &Plan,
        link: &mut Link<'_>,
        statement: &Statement<'_>,
        masks: &[Masks],
    ) -> Result<()> {
        let challenge = link.receive_seed("challenge")?;
        let mut proof = checks::prove(&plan.code, &plan.geometry, statement, masks, &challenge);
        if let Some(deviation) = self.deviation {
            deviation.change_proof(&plan.code, &mut proof);
        }
        Ok(link.ch.send(&checks::message(&proof))?)
    }

    /// Challenges the peer and checks its proof.
    pub(crate) fn verify<'a>(
        &self,
        plan: &Plan,
        link: &mut Link<'_>,
        statement: impl FnOnce(&View<'_>) -> Statement<'a>,
        masks: &[Masks],
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        let mut challenge = [0; CHALLENGE_BYTES];
        rng.fill_bytes(&mut challenge);
        link.ch.send(&challenge)?;
        let proof = link.ch.recv_exact("proof", checks::proof_bytes(&plan.code))?;
        let view = View { code: &plan.code, watched: Some(link.watchlist.servers()) };
        match checks::verify(&view, &plan.geometry, &statement(&view), masks, &challenge, &proof) {
            // Who cheats does not mind.
            Err(why) if self.deviation.is_none() => Err(abort(self.peer, why.to_string())),
            _ => Ok(()),
        }
    }
}

pub(crate) fn ended() -> Error {
    Error::invalid("the session has ended with an earlier error: set up anew")
}

/// Index of the greatest score, the lowest on a tie.
pub(crate) fn label(scores: &[i64]) -> usize {
    (0..scores.len()).rev().max_by_key(|&i| scores[i]).unwrap_or(0)
}
