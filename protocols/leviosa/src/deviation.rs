//! Ways to cheat, for tests that see them caught. A cheat that tells about shares does it as well as it can: what it sends and proves
//! besides is what an honest party would.

use crate::checks::Polynomials;
use crate::code::{Code, product};
use crate::columns::Set;

/// How a party deviates from the protocol. *Insecure*: nobody but a test of the checks wants this.
///
/// With n servers, t watched and w the bound of the wide code, M(b) = C(n - b, t) / C(n, t) is the probability that none of b servers
/// is watched. What each says is the probability to go unnoticed, but for terms in 1 / p.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsecureDeviation {
    /// Client: it encrypts another share of an input than it proves at so many servers. M(b).
    InputCodeword(usize),
    /// Client: queries of so many servers are not what their seeds give. M(b).
    Query(usize),
    /// Client: an input differs from neuron to neuron. 0.
    UnequalInput,
    /// Client: an element of a query is beyond the range, and its bits are those of one that is not. 0.
    OutOfRange,
    /// Server: it commits to another share of a weight than it uses at so many servers. M(b).
    WeightCodeword(usize),
    /// Server: evaluations at so many servers are with another weight than committed. 0 for b <= n - w: the sum is no codeword.
    EvaluationInput(usize),
    /// Server: its shares of products, of degree 2 k - 2, are off at so many servers. 0 for b <= n - w, likewise.
    ShareCodeword(usize),
    /// Server: its answers are off by a codeword of the wide code, which vanishes at w - 1 servers. M(n - w + 1).
    ShiftedAnswers,
    /// Server: answers of so many servers are not what their seeds give. M(b).
    Answer(usize),
    /// Server: queries of a block meet different weights. 0.
    UnequalWeight,
    /// Server: it gives another answer than it computed. 0.
    OtherAnswer,
    /// Either: it commits to another share of a bit than it proves at so many servers. M(b).
    BitCodeword(usize),
    /// Either: a bit is 2. 0.
    NotABit,
    /// Either: bits of another number. 0.
    OtherBits,
    /// Either: another value goes into the next layer than came out of the one before. 0.
    ChangedBetweenLayers,
    /// Either: the same, and the proof is off by a polynomial that makes it good and vanishes at w - 1 servers. M(n - w + 1).
    ChangedBetweenLayersAndProof,
    /// Either: another value is squared. 0.
    ChangedSquare,
    /// Either: the same, and the proof is off by a polynomial that makes it good; it must vanish in the other L - 1 slots, which
    /// leaves w - L servers. M(n - w + L).
    ChangedSquareAndProof,
    /// Either: a wrong coefficient in a proof. 0.
    Proof,
    /// Either: it watches so many servers more than it may. 0.
    WatchMore(usize),
    /// Either: it gives wrong shares of the proof of the number of watched servers at so many of its servers, and would learn
    /// whether they are watched. C(n - b, t - b) / C(n, t): that all of them are.
    WatchShares(usize),
    /// Either: it goes away in the middle.
    EarlyAbort,
}

impl InsecureDeviation {
    pub(crate) fn changes_between_layers(self) -> bool {
        matches!(self, Self::ChangedBetweenLayers | Self::ChangedBetweenLayersAndProof)
    }

    pub(crate) fn changes_square(self) -> bool {
        matches!(self, Self::ChangedSquare | Self::ChangedSquareAndProof)
    }

    /// Servers of ours whose shares of the proof of the watchlist are wrong.
    pub(crate) fn watch_shares(self) -> usize {
        if let Self::WatchShares(servers) = self { servers } else { 0 }
    }

    /// Servers that are watched in excess.
    pub(crate) fn watch_more(self) -> usize {
        if let Self::WatchMore(servers) = self { servers } else { 0 }
    }

    /// The codewords of which the first is committed to wrongly, and at how many servers.
    pub(crate) fn committed(self) -> Option<(Set, usize)> {
        match self {
            Self::WeightCodeword(servers) => Some((Set::Weights, servers)),
            Self::BitCodeword(servers) => Some((Set::Bits(0), servers)),
            _ => None,
        }
    }

    /// By how much the answers at all servers are off.
    pub(crate) fn shift(self, code: &Code) -> Option<Vec<u64>> {
        let servers = code.parameters().wide() - 1;
        (self == Self::ShiftedAnswers)
            .then(|| code.values(&product(code.field(), code.positions()[..servers].iter().copied())))
    }

    /// Changes a proof.
    pub(crate) fn change_proof(self, code: &Code, proof: &mut [Polynomials]) {
        match self {
            Self::Proof => proof[0].rows[0][0] ^= 1,
            Self::ChangedBetweenLayersAndProof => proof.iter_mut().for_each(|p| fit_sum(code, p)),
            Self::ChangedSquareAndProof => proof.iter_mut().for_each(|p| fit_slots(code, p)),
            _ => {}
        }
    }
}

/// Adds to the linear polynomial one that vanishes at w - 1 servers and makes the sum over the slots what it should be.
fn fit_sum(code: &Code, proof: &mut Polynomials) {
    let field = code.field();
    let sum = |polynomial: &[u64]| code.block(polynomial).into_iter().fold(0, |sum, x| field.add(sum, x));
    let servers = code.parameters().wide() - 1;
    let change = product(field, code.positions()[..servers].iter().copied());
    let missing = field.sub(proof.total, sum(&proof.rows[3]));
    add_scaled(code, &mut proof.rows[3], &change, field.mul(missing, field.inverse(sum(&change))));
}

/// Adds to the polynomial of slots one that vanishes in all slots but a wrong one, and at w - L servers, and rights that slot.
fn fit_slots(code: &Code, proof: &mut Polynomials) {
    let field = code.field();
    let block = code.block(&proof.rows[2]);
    let Some(wrong) = block.iter().position(|&x| x != 0) else { return };
    let points = code.block(&[0, 1]);
    let others = points.iter().enumerate().filter(|(i, _)| *i != wrong).map(|(_, &x)| x);
    let servers = code.parameters().wide() - block.len();
    let change = product(field, others.chain(code.positions()[..servers].iter().copied()));
    let scale = field.mul(field.neg(block[wrong]), field.inverse(code.block(&change)[wrong]));
    add_scaled(code, &mut proof.rows[2], &change, scale);
}

fn add_scaled(code: &Code, polynomial: &mut [u64], change: &[u64], scale: u64) {
    polynomial.iter_mut().zip(change).for_each(|(x, &c)| *x = code.field().mul_add(*x, c, scale));
}
