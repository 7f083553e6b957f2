//! The interleaved checks of Ligero on one party's committed codewords, prover and verifier: that they are codewords, that relations
//! among them hold slot by slot, and that linear relations across slots hold. The prover combines all shares, the verifier only
//! those that it watches, by the same code; the combined polynomials are masked and sent.

use rand::CryptoRng;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use si_rlwe::field::Field;

use crate::code::Code;
use crate::columns::Row;
use crate::network::Geometry;
use crate::parameters::REPETITIONS;
use crate::statement::{Equal, Statement};

/// Bytes of a challenge.
pub(crate) const CHALLENGE_BYTES: usize = 32;

/// Codewords that hide the combinations of one repetition of one check.
pub(crate) struct Masks {
    /// Narrow, random.
    degree: Row,
    /// Wide, random.
    wide: Row,
    /// Wide, of a block of zeros.
    slots: Row,
    /// Wide, of a block that adds up to zero.
    linear: Row,
}

impl Masks {
    pub(crate) const ROWS: usize = 4;

    pub(crate) fn new(code: &Code, rng: &mut impl CryptoRng) -> Self {
        let (narrow, wide) = (code.parameters().threshold, code.parameters().wide());
        let (field, slots) = (code.field(), code.parameters().slots);
        let mut block: Vec<u64> = (0..slots).map(|_| field.random(rng)).collect();
        let sum = block[1..].iter().fold(0, |sum, &x| field.add(sum, x));
        block[0] = field.neg(sum);
        Self {
            degree: code.random(narrow, rng),
            wide: code.random(wide, rng),
            slots: code.encode(&vec![0; slots], wide, rng),
            linear: code.encode(&block, wide, rng),
        }
    }

    pub(crate) fn rows(&self) -> [&[u64]; Self::ROWS] {
        [&self.degree, &self.wide, &self.slots, &self.linear]
    }

    pub(crate) fn take(rows: &mut impl Iterator<Item = Row>) -> Self {
        let mut next = || rows.next().unwrap_or_default();
        Self { degree: next(), wide: next(), slots: next(), linear: next() }
    }
}

/// All virtual servers, or those watched.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) code: &'a Code,
    pub(crate) watched: Option<&'a [usize]>,
}

impl View<'_> {
    /// Number of virtual servers seen.
    pub(crate) fn len(&self) -> usize {
        self.watched.map_or(self.code.parameters().servers, <[usize]>::len)
    }

    fn select(&self, values: Row) -> Row {
        match self.watched {
            None => values,
            Some(servers) => servers.iter().map(|&i| values[i]).collect(),
        }
    }

    /// Shares of a public block.
    pub(crate) fn public(&self, block: &[u64]) -> Row {
        self.select(self.code.public(block))
    }

    /// Values of a polynomial.
    fn values(&self, coefficients: &[u64]) -> Row {
        self.select(self.code.values(coefficients))
    }
}

/// A sum of products that is reduced once: of fewer than 2^28 products of elements below 2^50.
pub(crate) struct Sum(Vec<u128>);

impl Sum {
    pub(crate) fn new(len: usize) -> Self {
        Self(vec![0; len])
    }

    /// += row.
    pub(crate) fn add(&mut self, row: &[u64]) {
        self.0.iter_mut().zip(row).for_each(|(sum, &x)| *sum += u128::from(x));
    }

    /// += factor * row.
    pub(crate) fn add_scaled(&mut self, row: &[u64], factor: u64) {
        self.0.iter_mut().zip(row).for_each(|(sum, &x)| *sum += u128::from(x) * u128::from(factor));
    }

    /// += x * y, element by element.
    pub(crate) fn add_products(&mut self, x: &[u64], y: &[u64]) {
        self.0.iter_mut().zip(x).zip(y).for_each(|((sum, &x), &y)| *sum += u128::from(x) * u128::from(y));
    }

    pub(crate) fn finish(self, field: Field) -> Row {
        self.0.into_iter().map(|sum| field.reduce(sum)).collect()
    }
}

/// The combined shares of one repetition, and what the slots of the last add up to.
struct Combined {
    /// Degree (narrow), degree (wide), slots, linear.
    rows: [Row; 4],
    total: u64,
}

fn combine(
    view: &View<'_>,
    geometry: &Geometry,
    statement: &Statement<'_>,
    masks: &Masks,
    rng: &mut ChaCha20Rng,
) -> Combined {
    let field = view.code.field();
    let mut sums: [Sum; 4] = std::array::from_fn(|_| Sum::new(view.len()));
    let [degree, wide, slots, linear] = &mut sums;
    degree.add(&masks.degree);
    wide.add(&masks.wide);
    slots.add(&masks.slots);
    linear.add(&masks.linear);
    wide.add_scaled(&masks.slots, field.random(rng));
    wide.add_scaled(&masks.linear, field.random(rng));
    statement.narrow.iter().for_each(|row| degree.add_scaled(row, field.random(rng)));
    statement.wide.iter().for_each(|row| wide.add_scaled(row, field.random(rng)));
    statement.zeros.iter().for_each(|row| slots.add_scaled(row, field.random(rng)));
    for row in &statement.bits {
        let factor = field.random(rng);
        let products: Row = row.iter().map(|&b| field.mul(b, field.sub(b, 1))).collect();
        slots.add_scaled(&products, factor);
    }
    for (equal, rows) in &statement.equal {
        // Factors that cancel out where elements are equal, the same for all rows but for a factor a row.
        let random: Vec<u64> = (0..geometry.slots()).map(|_| field.random(rng)).collect();
        let at = |j: usize, q: usize| random[q * geometry.width + j];
        let sum = |values: &mut dyn Iterator<Item = u64>| field.neg(values.fold(0, |s, x| field.add(s, x)));
        let block = geometry.block(|j, q| match equal {
            Equal::Neurons if j == 0 => sum(&mut (1..geometry.width).map(|j| at(j, q))),
            Equal::Queries if q == 0 => sum(&mut (1..geometry.queries).map(|q| at(j, q))),
            _ => at(j, q),
        });
        let mut all = Sum::new(view.len());
        rows.iter().for_each(|row| all.add_scaled(row, field.random(rng)));
        linear.add_products(&all.finish(field), &view.public(&block));
    }
    let mut total = 0;
    for link in &statement.links {
        let of_rows: Vec<u64> = link.rows.iter().map(|_| field.random(rng)).collect();
        let of_queries: Vec<u64> = (0..geometry.queries).map(|_| field.random(rng)).collect();
        let sign = |x: u64| if link.minus { field.neg(x) } else { x };
        let values = geometry.block(|j, q| of_rows.get(j).map_or(0, |&a| sign(field.mul(a, of_queries[q]))));
        let firsts = geometry.block(|j, q| if j == 0 { field.neg(sign(of_queries[q])) } else { 0 });
        linear.add_products(&link.values, &view.public(&values));
        let mut all = Sum::new(view.len());
        link.rows.iter().zip(&of_rows).for_each(|(row, &a)| all.add_scaled(row, a));
        linear.add_products(&all.finish(field), &view.public(&firsts));
        for (q, &b) in of_queries.iter().enumerate() {
            for (k, &a) in of_rows.iter().enumerate() {
                let shift = link.shifts.get(q * geometry.width + k).copied().unwrap_or(0);
                total = field.mul_add(total, field.mul(a, b), shift);
            }
        }
    }
    Combined { rows: sums.map(|sum| sum.finish(field)), total }
}

/// Degree bounds of the four combined polynomials.
fn bounds(code: &Code) -> [usize; 4] {
    let (narrow, wide) = (code.parameters().threshold, code.parameters().wide());
    [narrow, wide, wide, wide]
}

/// Bytes of a proof.
pub(crate) fn proof_bytes(code: &Code) -> usize {
    REPETITIONS * 8 * bounds(code).iter().sum::<usize>()
}

/// The combined polynomials of one repetition and what the slots of the last should add up to.
pub(crate) struct Polynomials {
    /// Degree (narrow), degree (wide), slots, linear: coefficients.
    pub(crate) rows: [Vec<u64>; 4],
    pub(crate) total: u64,
}

/// What the prover sends, one a repetition.
///
/// Zero knowledge for any challenge: masks are uniform among the polynomials that pass.
pub(crate) fn prove(
    code: &Code,
    geometry: &Geometry,
    statement: &Statement<'_>,
    masks: &[Masks],
    challenge: &[u8; CHALLENGE_BYTES],
) -> Vec<Polynomials> {
    let view = View { code, watched: None };
    let mut rng = ChaCha20Rng::from_seed(*challenge);
    let polynomials = |masks| {
        let Combined { rows, total } = combine(&view, geometry, statement, masks, &mut rng);
        let mut bounds = bounds(code).into_iter();
        let rows = rows.map(|row| {
            let mut coefficients = code.coefficients(&row);
            // A prover whose words are no codewords drops what is beyond the bound, and must hope.
            coefficients.truncate(bounds.next().unwrap_or(0));
            coefficients
        });
        Polynomials { rows, total }
    };
    masks.iter().map(polynomials).collect()
}

/// A proof as it is sent: 8 bytes a coefficient.
pub(crate) fn message(proof: &[Polynomials]) -> Vec<u8> {
    proof.iter().flat_map(|p| p.rows.iter().flatten()).flat_map(|c| c.to_le_bytes()).collect()
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a coefficient is not below the prime")]
    Range,
    #[error("shares at a watched virtual server are not those of codewords of the narrow code")]
    Degree,
    #[error("shares at a watched virtual server are not those of codewords of the wide code")]
    WideDegree,
    #[error("the combined product relations do not fit the shares at a watched virtual server")]
    SlotsAtServer,
    #[error("a relation between values does not hold")]
    Slots,
    #[error("the combined linear relations do not fit the shares at a watched virtual server")]
    LinearAtServer,
    #[error("a linear relation between values does not hold")]
    Linear,
}

/// The verifier's side of [`prove`], for the shares that it watches; a message of [`proof_bytes`].
///
/// All is checked whatever fails, so that the time says nothing of what has.
pub(crate) fn verify(
    view: &View<'_>,
    geometry: &Geometry,
    statement: &Statement<'_>,
    masks: &[Masks],
    challenge: &[u8; CHALLENGE_BYTES],
    proof: &[u8],
) -> Result<(), Refused> {
    let (code, field) = (view.code, view.code.field());
    let words: Vec<u64> =
        (proof.chunks_exact(8)).map(|bytes| bytes.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b))).collect();
    if words.iter().any(|&c| c >= field.prime()) {
        return Err(Refused::Range);
    }
    let mut rng = ChaCha20Rng::from_seed(*challenge);
    let mut rest = &words[..];
    let mut verdict = Ok(());
    let mut require = |holds: bool, why| verdict = verdict.and(if holds { Ok(()) } else { Err(why) });
    for masks in masks {
        let combined = combine(view, geometry, statement, masks, &mut rng);
        let why = [Refused::Degree, Refused::WideDegree, Refused::SlotsAtServer, Refused::LinearAtServer];
        let mut polynomials = [&rest[..0]; 4];
        for (((row, bound), why), polynomial) in combined.rows.iter().zip(bounds(code)).zip(why).zip(&mut polynomials) {
            (*polynomial, rest) = rest.split_at(bound);
            let values = view.values(polynomial);
            require(values.iter().zip(row).fold(0, |all, (x, y)| all | (x ^ y)) == 0, why);
        }
        require(code.block(polynomials[2]).iter().fold(0, |all, x| all | x) == 0, Refused::Slots);
        let sum = code.block(polynomials[3]).iter().fold(0, |sum, &x| field.add(sum, x));
        require(sum == combined.total, Refused::Linear);
    }
    verdict
}

#[cfg(test)]
mod tests;
