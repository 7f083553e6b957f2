//! Answers become bytes: re-randomised, masked, flooded, switched to few bits. Security argument: [`crate::noise`].

use zeroize::{Zeroize, Zeroizing};

use crate::encrypt;
use crate::keys::PublicKey;
use crate::mac::Sum;
use crate::packing::Run;
use crate::params::Params;
use crate::plan::LinearPlan;
use crate::poly::{self, Coeff, Poly, Values};
use crate::prg::Prg;
use crate::vector;
use crate::wire::AnswerPlace;

/// Makes messages of sums, in memory that is used again.
pub(crate) struct Sealing<'a> {
    plan: &'a LinearPlan,
    key: &'a PublicKey,
    small: Zeroizing<Vec<i64>>,
    message: Vec<u8>,
}

impl<'a> Sealing<'a> {
    pub(crate) fn new(plan: &'a LinearPlan, key: &'a PublicKey) -> Self {
        Self { plan, key, small: Zeroizing::new(vec![0; plan.params.n()]), message: Vec::new() }
    }

    /// The message for a place, from the sums of its answer polynomials, whose memory goes to `used`.
    pub(crate) fn message(
        &mut self,
        place: AnswerPlace,
        sums: Vec<Sum>,
        secrets: &mut Prg,
        output: &mut [u64],
        used: &mut Vec<Sum>,
    ) -> &[u8] {
        let AnswerPlace { part, first } = place;
        self.message.clear();
        self.message.reserve(self.plan.answer_bytes(part, first));
        self.key.header(self.plan.tag()).put(&mut self.message);
        place.put(&mut self.message);
        for (answer, sum) in (first..).zip(sums) {
            let runs = self.plan.outputs(part, answer);
            used.push(seal(self.key, sum, &runs, &mut self.small, secrets, output, &mut self.message));
        }
        &self.message
    }
}

/// Turns the sum of one answer polynomial into bytes: encryption of zero, mask, flooding, switch of moduli. The server's
/// share (the mask) goes to `share`. Returns the memory of the sum; `small` is working space.
fn seal(
    key: &PublicKey,
    sum: Sum,
    runs: &[Run],
    small: &mut [i64],
    secrets: &mut Prg,
    share: &mut [u64],
    out: &mut Vec<u8>,
) -> Sum {
    let params = key.params();
    let format = params.answer();
    let (a, b) = rerandomise(key, sum, small, secrets, out);
    let count = runs.iter().map(|r| r.len).sum();
    let mut rows = Zeroizing::new(Vec::with_capacity(params.primes() * count));
    for row in b.rows(params) {
        runs.iter().for_each(|r| rows.extend_from_slice(&row[r.coefficients()]));
    }
    // The server keeps the mask; the client's share is the result minus the mask.
    let mut masks = Zeroizing::new(vec![0; count]);
    params.plain().uniform(secrets, &mut masks);
    let mut next = masks.iter_mut();
    for element in runs.iter().flat_map(|r| r.elements()) {
        if let Some(mask) = next.next() {
            share[element] = *mask;
            *mask = params.plain().neg(*mask);
        }
    }
    poly::add_encoded(params, &masks, rows.chunks_exact_mut(count));
    add_flooding(params, secrets, rows.chunks_exact_mut(count));
    let answer = encrypt::switch(params, rows.chunks_exact(count), format.b_bits);
    answer.put(params.kernel(), format.b_bits, out);
    Sum { a: a.recycle(), b: b.recycle() }
}

/// The first half of sealing: adds an encryption of zero and writes the a-part. Returns both parts, of which b is not yet
/// masked.
pub(crate) fn rerandomise(
    key: &PublicKey,
    mut sum: Sum,
    small: &mut [i64],
    secrets: &mut Prg,
    out: &mut Vec<u8>,
) -> (Poly<Coeff>, Poly<Coeff>) {
    let params = key.params();
    let a_bits = params.answer().a_bits;
    secrets.ternary(small);
    let mut v = Poly::<Coeff>::zero(params);
    v.set_small(params, small);
    let mut v: Poly<Values> = v.into_values(params);
    sum.a.mul_accumulate(params, key.p1(), &v);
    sum.b.mul_accumulate(params, key.p0(), &v);
    v.zeroize();

    let mut a = sum.a.into_coeff(params);
    secrets.errors(params.kernel(), small);
    a.add_small(params, small);
    encrypt::switch(params, a.rows(params), a_bits).put(params.kernel(), a_bits, out);
    (a, sum.b.into_coeff(params))
}

/// Adds uniform numbers of [-2^flood_bits, 2^flood_bits) to rows of residues, one row for each prime.
///
/// A number is drawn in two parts, 32 low bits and the rest, which multiplies 2^32; both are below every prime.
fn add_flooding<'a>(params: &Params, secrets: &mut Prg, rows: impl Iterator<Item = &'a mut [u64]>) {
    let rest_bits = params.answer().flood_bits + 1 - 32;
    let [mut low, mut rest, mut product] = [(); 3].map(|()| Zeroizing::new(Vec::new()));
    for (limb, row) in params.limbs().iter().zip(rows) {
        if low.is_empty() {
            for part in [&mut low, &mut rest, &mut product] {
                part.resize(row.len(), 0);
            }
            secrets.fill(&mut low);
            // One word is enough for both parts of up to 64 bits.
            if rest_bits <= 32 {
                rest.copy_from_slice(&low);
                rest.iter_mut().for_each(|x| *x >>= 64 - rest_bits);
            } else {
                secrets.fill(&mut rest);
                rest.iter_mut().for_each(|x| *x >>= 64 - rest_bits);
            }
            low.iter_mut().for_each(|x| *x &= u64::from(u32::MAX));
        }
        let m = limb.modulus;
        let upper = m.constant(1 << 32);
        if rest_bits <= 52 {
            vector::mul_const(params.kernel(), m, &rest, upper, &mut product);
        } else {
            product.iter_mut().zip(&*rest).for_each(|(product, &x)| *product = m.mul_const(x, upper));
        }
        vector::add_flooding(params.kernel(), m, row, &low, &product, limb.flood_offset);
    }
}

/// Bits of a number that are drawn and reduced together: below every prime.
const PIECE: u32 = 48;

/// Adds uniform numbers of [-2^flood_bits, 2^flood_bits) to rows of residues, one row for each prime; any number of bits.
pub(crate) fn add_wide_flooding<'a>(
    params: &Params,
    flood_bits: u32,
    secrets: &mut Prg,
    rows: impl Iterator<Item = &'a mut [u64]>,
) {
    let (kernel, n, bits) = (params.kernel(), params.n(), flood_bits + 1);
    let pieces: Vec<_> = (0..bits)
        .step_by(PIECE as usize)
        .map(|at| {
            let mut piece = Zeroizing::new(vec![0; n]);
            secrets.fill(&mut piece);
            piece.iter_mut().for_each(|x| *x >>= 64 - PIECE.min(bits - at));
            piece
        })
        .collect();
    let mut product = Zeroizing::new(vec![0; n]);
    for (limb, row) in params.limbs().iter().zip(rows) {
        let m = limb.modulus;
        let mut scale = 1;
        for piece in &pieces {
            vector::mul_const(kernel, m, piece, m.constant(scale), &mut product);
            vector::add(kernel, m, row, &product);
            scale = m.mul(scale, 1 << PIECE);
        }
        let offset = m.pow(2, (bits - 1).into());
        row.iter_mut().for_each(|x| *x = m.sub(*x, offset));
    }
}
