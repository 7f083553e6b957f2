//! Polynomials modulo q in residue form; the representation is part of the type.

use std::marker::PhantomData;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::params::Params;
use crate::prg::Prg;
use crate::vector;

/// Representation: coefficients, lowest degree first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Coeff {}

/// Representation: values at the roots of X^N + 1, in the order of [`crate::ntt`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values {}

/// An element of Z_q\[X] / (X^N + 1): one row of N reduced residues for each prime.
#[derive(Clone, Debug)]
pub(crate) struct Poly<R> {
    rows: Vec<u64>,
    representation: PhantomData<R>,
}

impl<R> Poly<R> {
    pub(crate) fn zero(params: &Params) -> Self {
        Self::from_rows(vec![0; params.n() * params.primes()])
    }

    fn from_rows(rows: Vec<u64>) -> Self {
        Self { rows, representation: PhantomData }
    }

    /// All residues, one row of N after the other.
    pub(crate) fn words(&self) -> &[u64] {
        &self.rows
    }

    /// The residues modulo each prime.
    pub(crate) fn rows(&self, params: &Params) -> std::slice::ChunksExact<'_, u64> {
        self.rows.chunks_exact(params.n())
    }

    pub(crate) fn rows_mut(&mut self, params: &Params) -> std::slice::ChunksExactMut<'_, u64> {
        self.rows.chunks_exact_mut(params.n())
    }

    /// The residues modulo prime number `i`.
    pub(crate) fn row(&self, params: &Params, i: usize) -> &[u64] {
        &self.rows[i * params.n()..(i + 1) * params.n()]
    }

    /// As [`Self::row`].
    pub(crate) fn row_mut(&mut self, params: &Params, i: usize) -> &mut [u64] {
        &mut self.rows[i * params.n()..(i + 1) * params.n()]
    }
}

impl<R> Poly<R> {
    /// The same memory for another polynomial; what it holds is arbitrary. Fresh pages cost more than a transform.
    pub(crate) fn recycle<S>(self) -> Poly<S> {
        Poly::from_rows(self.rows)
    }
}

/// Without memory, to stand in while the polynomial is elsewhere.
impl<R> Default for Poly<R> {
    fn default() -> Self {
        Self::from_rows(Vec::new())
    }
}

impl<R> Zeroize for Poly<R> {
    fn zeroize(&mut self) {
        self.rows.zeroize();
    }
}

impl Poly<Coeff> {
    /// Small signed coefficients.
    pub(crate) fn set_small(&mut self, params: &Params, small: &[i64]) {
        for (limb, row) in params.limbs().iter().zip(self.rows_mut(params)) {
            vector::set_small(params.kernel(), limb.modulus, row, small);
        }
    }

    pub(crate) fn into_values(mut self, params: &Params) -> Poly<Values> {
        for (limb, row) in params.limbs().iter().zip(self.rows.chunks_exact_mut(params.n())) {
            limb.ntt.forward(row);
        }
        Poly::from_rows(self.rows)
    }

    /// self + small signed coefficients.
    pub(crate) fn add_small(&mut self, params: &Params, small: &[i64]) {
        for (limb, row) in params.limbs().iter().zip(self.rows_mut(params)) {
            vector::add_small(params.kernel(), limb.modulus, row, small);
        }
    }

    /// self + round(q m / t): the coefficients `m` of a plaintext, exactly encoded.
    pub(crate) fn add_encoded(&mut self, params: &Params, m: &[u64]) {
        let n = params.n();
        add_encoded(params, m, self.rows.chunks_exact_mut(n));
    }

    /// self - other.
    pub(crate) fn sub_assign(&mut self, params: &Params, other: &Self) {
        for ((limb, row), other) in params.limbs().iter().zip(self.rows_mut(params)).zip(other.rows(params)) {
            vector::sub(params.kernel(), limb.modulus, row, other);
        }
    }
}

/// The distinct values at the roots of g(X^s), s = N / `g.len()` a power of two, in rows of `g.len()` for each prime; each
/// stands for s roots in a row, see [`crate::ntt`]. Signed coefficients of any size up to `greatest`.
pub(crate) fn values_of(params: &Params, g: &[i64], greatest: u64, rows: &mut [u64]) {
    let len = g.len();
    let halvings = (params.n() / len).trailing_zeros() as usize;
    let small = params.limbs().iter().all(|l| greatest < l.modulus.value());
    for (limb, row) in params.limbs().iter().zip(rows.chunks_exact_mut(len)) {
        if small {
            vector::set_small(params.kernel(), limb.modulus, row, g);
        } else {
            row.iter_mut().zip(g).for_each(|(x, &c)| *x = limb.modulus.signed(c));
        }
        match halvings {
            0 => limb.ntt.forward(row),
            _ => limb.shorter[halvings - 1].forward(row),
        }
    }
}

/// Adds round(q m / t) to rows of residues, one row for each prime.
///
/// round(q m / t) = (q m - c) / t with c = q m mod t, centred; modulo a prime of q that is -c / t.
pub(crate) fn add_encoded<'a>(params: &Params, m: &[u64], rows: impl Iterator<Item = &'a mut [u64]>) {
    let (plain, q) = (params.plain(), params.q_mod_t());
    let mut c = Zeroizing::new(m.to_vec());
    // Elements may come unreduced.
    match plain.mask() {
        Some(mask) => vector::scale(params.kernel(), &mut c, q, mask),
        None => c.iter_mut().for_each(|c| *c = plain.mul(q, plain.reduce(*c))),
    }
    let mut products = Zeroizing::new(vec![0; if params.limbs().iter().all(|l| l.direct) { 0 } else { m.len() }]);
    for (limb, row) in params.limbs().iter().zip(rows) {
        let (m, w, kernel) = (limb.modulus, limb.minus_t_inverse, params.kernel());
        // Centring subtracts t from c, and -(-t) / t = 1.
        if limb.direct {
            // -1 / t = (p - 1) / t, so the product is below p.
            vector::add_direct(kernel, m, row, &c, w.value(), plain.half());
            continue;
        }
        if plain.bits() <= 52 {
            vector::mul_const(kernel, m, &c, w, &mut products);
        } else {
            products.iter_mut().zip(&*c).for_each(|(product, &c)| *product = m.mul_const(c, w));
        }
        vector::add_centred(kernel, m, row, &c, &products, plain.half());
    }
}

impl Poly<Values> {
    /// A uniform polynomial from a public seed.
    pub(crate) fn uniform(params: &Params, prg: &mut Prg) -> Self {
        let mut poly = Self::zero(params);
        for (limb, row) in params.limbs().iter().zip(poly.rows_mut(params)) {
            prg.uniform_public(params.kernel(), limb.modulus, row);
        }
        poly
    }

    pub(crate) fn into_coeff(mut self, params: &Params) -> Poly<Coeff> {
        for (limb, row) in params.limbs().iter().zip(self.rows.chunks_exact_mut(params.n())) {
            limb.ntt.inverse(row);
        }
        Poly::from_rows(self.rows)
    }

    /// self += x * y.
    pub(crate) fn mul_accumulate(&mut self, params: &Params, x: &Self, y: &Self) {
        let rows = self.rows.chunks_exact_mut(params.n());
        for (((limb, row), x), y) in params.limbs().iter().zip(rows).zip(x.rows(params)).zip(y.rows(params)) {
            limb.ntt.mul_accumulate(row, x, y);
        }
    }
}

/// A polynomial that is erased when dropped.
#[derive(Clone)]
pub(crate) struct Secret<R>(pub(crate) Poly<R>);

impl<R> Drop for Secret<R> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<R> ZeroizeOnDrop for Secret<R> {}

impl<R> Poly<R> {
    pub(crate) fn negated(&self, params: &Params) -> Self {
        let mut out = Self::zero(params);
        for ((limb, row), x) in params.limbs().iter().zip(out.rows_mut(params)).zip(self.rows(params)) {
            for (o, &x) in row.iter_mut().zip(x) {
                *o = limb.modulus.sub(0, x);
            }
        }
        out
    }
}
