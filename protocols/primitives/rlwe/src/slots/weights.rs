//! The server's weights as plaintexts in slots.

use crate::mac::LANES;
use crate::ntt;
use crate::poly::{Poly, Values};
use crate::slots::layout::{Leaf, Term};
use crate::slots::params::N;
use crate::slots::plan::SlotPlan;
use crate::vector;
use crate::{Error, Result};

/// The weights of a layer. They are encoded at each use, which for most layers costs less than reading them from memory.
pub struct SlotWeights {
    plan: u64,
    /// Modulo p.
    plain: Vec<u64>,
}

impl std::fmt::Debug for SlotWeights {
    /// Says nothing about the weights.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SlotWeights(plan {:016x})", self.plan)
    }
}

impl SlotWeights {
    pub(crate) fn plan(&self) -> u64 {
        self.plan
    }
}

/// One plaintext in the making.
pub(crate) struct Encoding {
    slots: Vec<u64>,
    coefficients: Vec<u64>,
    small: Vec<i64>,
    /// The values modulo one prime, one for each of the plaintext's coefficients.
    pub(crate) values: Vec<u64>,
}

impl Encoding {
    /// For plaintexts of `len` coefficients.
    pub(crate) fn new(len: usize) -> Self {
        Self { slots: vec![0; len], coefficients: vec![0; len], small: vec![0; len], values: vec![0; len] }
    }
}

impl SlotPlan {
    /// Takes signed weights (out channel, in channel / groups, row, column); any values are allowed, they count modulo p.
    ///
    /// # Errors
    /// If there are not [`Self::weight_len`] weights.
    pub fn weights(&self, weights: &[i64]) -> Result<SlotWeights> {
        if weights.len() != self.weight_len() {
            return Err(Error::Length { what: "weights", got: weights.len(), want: self.weight_len() });
        }
        let field = self.params.modulus();
        Ok(SlotWeights { plan: self.tag(), plain: weights.iter().map(|&w| field.signed(w)).collect() })
    }

    /// Coefficients of each plaintext that may be nonzero.
    pub(crate) fn plaintext_len(&self) -> usize {
        2 * self.layout.per_row
    }

    /// Whether plaintexts are constant over whole blocks of the multiply-accumulate.
    pub(crate) fn has_constant_blocks(&self) -> bool {
        self.plaintext_len() * LANES <= N
    }

    /// The plaintext of an output, leaf, input and term: its coefficients, centred, in `encoding`.
    #[expect(clippy::too_many_arguments, reason = "the coordinates of a plaintext")]
    pub(crate) fn encode(
        &self,
        weights: &SlotWeights,
        group: usize,
        output: usize,
        leaf: &Leaf,
        input: usize,
        term: &Term,
        encoding: &mut Encoding,
    ) {
        let l = &self.layout;
        let [kernel_rows, kernel_cols] = self.layer.kernel;
        let per_group = self.layer.in_channels / self.layer.groups;
        for (row, slots) in encoding.slots.chunks_exact_mut(l.per_row).enumerate() {
            for (position, slot) in slots.iter_mut().enumerate() {
                // Which weights there are is public.
                let index =
                    l.weight(output, leaf, input, term, row, position).and_then(|(filter, channel, col_tap)| {
                        let (channel, phase_row, phase_col) = self.phases_of(channel);
                        let (u, v) = (l.rows.tap(phase_row, term.row_tap)?, l.cols.tap(phase_col, col_tap)?);
                        let filter = group * l.filters + filter;
                        Some(((filter * per_group + channel) * kernel_rows + u) * kernel_cols + v)
                    });
                *slot = index.map_or(0, |index| weights.plain[index]);
            }
        }
        self.params.encoder().coefficients(&encoding.slots, &mut encoding.coefficients);
        let kernel = self.params.scheme().kernel();
        vector::centre(kernel, self.params.modulus(), &encoding.coefficients, &mut encoding.small);
    }

    /// Transforms the encoding's coefficients modulo prime number `prime` into its `values`.
    pub(crate) fn transform(&self, encoding: &mut Encoding, prime: usize) {
        let scheme = self.params.scheme();
        let limb = &scheme.limbs()[prime];
        vector::set_small(scheme.kernel(), limb.modulus, &mut encoding.values, &encoding.small);
        match encoding.values.len() {
            N => limb.ntt.forward(&mut encoding.values),
            len => self.params.short(prime, len).forward(&mut encoding.values),
        }
    }

    /// Transforms the encoding's coefficients into a polynomial of full length.
    pub(crate) fn transform_whole(&self, encoding: &Encoding, poly: &mut Poly<Values>) {
        let scheme = self.params.scheme();
        let len = encoding.small.len();
        for (i, (limb, row)) in scheme.limbs().iter().zip(poly.rows_mut(scheme)).enumerate() {
            vector::set_small(scheme.kernel(), limb.modulus, &mut row[..len], &encoding.small);
            match len {
                N => limb.ntt.forward(row),
                _ => ntt::forward_sparse(self.params.short(i, len), row, len),
            }
        }
    }
}
