//! The plan of a layer: its layout, chosen by a cost model, and the exact cost of the choice.

use std::collections::BTreeSet;

use crate::layer::Layer;
use crate::params;
use crate::slots::galois::Rotation;
use crate::slots::layout::{Layout, Leaf, Term};
use crate::slots::noise;
use crate::slots::params::{N, PRIMES, SlotParams};
use crate::wire::{Header, Wide};
use crate::{Error, Result};

/// Memory for the rotated inputs and partial sums of a part that a plan may ask for, in bytes. *Agreement*, since both parties choose
/// the layout by it.
const MOST_BYTES: usize = 256 << 20;

/// What the choice of a layout weighs, in nanoseconds. *Agreement*. Times of kernels with AVX-512, bytes at 400 Mbit/s as for
/// [`crate::CostWeights`].
mod price {
    pub(super) const BYTE_PS: u128 = 20_000;
    pub(super) const INPUT: u128 = 250_000;
    pub(super) const HOISTED: u128 = 110_000;
    pub(super) const ROTATION: u128 = 210_000;
    pub(super) const PRODUCT: u128 = 2_000;
    /// A plaintext of full length; shorter ones by their length.
    pub(super) const PLAINTEXT: u128 = 40_000;
    pub(super) const OUTPUT: u128 = 400_000;
    /// A key that is no power of two and so probably this layer's alone; shared by the inferences of a session.
    pub(super) const KEY: u128 = 1_000_000;
}

/// What a plan costs over the whole batch, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCost {
    /// Messages each way: see [`SlotPlan::parts`].
    pub parts: usize,
    /// Query ciphertexts.
    pub ciphertexts_up: usize,
    /// Answer ciphertexts.
    pub ciphertexts_down: usize,
    /// Bytes of all queries.
    pub bytes_up: usize,
    /// Bytes of all answers.
    pub bytes_down: usize,
    /// Rotations of inputs, which share a decomposition for each ciphertext.
    pub hoisted_rotations: usize,
    /// Rotations of partial sums, each with a decomposition of its own.
    pub rotations: usize,
    /// Products of a ciphertext and a plaintext.
    pub products: usize,
    /// Coefficients of each plaintext (the others are zero).
    pub plaintext_len: usize,
    /// Distinct rotations, each with a key of [`crate::slots::rotation_key_bytes`].
    pub keys: usize,
}

/// A linear layer cut into batched ciphertexts. Both parties construct the same from public data.
///
/// The layer is processed in *parts*, each a group of channels, an image and a tile of the output: one query message up and one
/// answer message down per part, in any order.
#[derive(Clone, Debug)]
pub struct SlotPlan {
    pub(crate) params: SlotParams,
    pub(crate) layer: Layer,
    pub(crate) layout: Layout,
    pub(crate) terms: Vec<Term>,
    pub(crate) leaves: Vec<Leaf>,
    rotations: BTreeSet<Rotation>,
    cost: SlotCost,
    tag: u64,
}

impl SlotPlan {
    /// The cheapest plan for a layer.
    ///
    /// # Errors
    /// If the layer makes no sense, one position of its kernel does not fit a row of slots, or its noise could not be hidden.
    pub fn new(params: &SlotParams, layer: &Layer) -> Result<Self> {
        layer.check()?;
        // A layout that needs too much memory only if all do.
        let best = Layout::candidates(layer).into_iter().min_by_key(|layout| {
            let (cost, memory) = cost(params, layer, layout);
            (memory > MOST_BYTES, if memory > MOST_BYTES { memory as u128 } else { 0 }, total(&cost, layout))
        });
        match best {
            Some(layout) => Self::with_layout(params, layer, layout),
            None => Err(Error::Layer {
                why: format!("one position of the kernel {:?} does not fit {} slots", layer.kernel, N / 2),
            }),
        }
    }

    pub(crate) fn with_layout(params: &SlotParams, layer: &Layer, layout: Layout) -> Result<Self> {
        let statistical_bits = noise::statistical_bits(params, &layout);
        if statistical_bits < f64::from(crate::STATISTICAL_BITS) {
            return Err(Error::Layer {
                why: format!(
                    "its noise would be hidden with {statistical_bits:.1} bits in a field of {} bits, where {} are due: \
                     take a smaller field or fewer channels",
                    params.scheme().plain().bits(),
                    crate::STATISTICAL_BITS
                ),
            });
        }
        let (cost, _) = cost(params, layer, &layout);
        let l = layer;
        let numbers = [
            [l.batch, l.in_channels, l.in_hw[0], l.in_hw[1], l.out_channels, l.groups],
            [l.kernel[0], l.kernel[1], l.stride[0], l.stride[1], l.padding[0], l.padding[1]],
            [l.padding[2], l.padding[3], layout.tile[0], layout.tile[1], layout.per_row, layout.baby],
        ];
        let mut numbers: Vec<u64> = numbers.as_flattened().iter().map(|&x| x as u64).collect();
        numbers.push(params.tag());
        Ok(Self {
            params: params.clone(),
            layer: *layer,
            terms: layout.terms(),
            leaves: layout.leaves(),
            rotations: rotations(&layout),
            layout,
            cost,
            tag: params::tag(&numbers),
        })
    }

    /// Its parameters.
    #[must_use]
    pub fn params(&self) -> &SlotParams {
        &self.params
    }

    /// Its layer.
    #[must_use]
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// Bytes, ciphertexts, rotations and products, exactly.
    #[must_use]
    pub fn cost(&self) -> SlotCost {
        self.cost
    }

    /// The rotations for which the server needs keys.
    #[must_use]
    pub fn rotations(&self) -> &BTreeSet<Rotation> {
        &self.rotations
    }

    /// -log2 of the statistical distance by which a revealed coefficient depends on the weights, whatever they are; at least
    /// [`crate::STATISTICAL_BITS`]. See [`noise`].
    #[must_use]
    pub fn statistical_bits(&self) -> f64 {
        noise::statistical_bits(&self.params, &self.layout)
    }

    /// Number of parts: messages each way.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.cost.parts
    }

    /// Elements of the input tensor.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.layer.lens()[0]
    }

    /// Elements of the weight tensor.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.layer.lens()[1]
    }

    /// Elements of the output tensor.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.layer.lens()[2]
    }

    /// Bytes of each query message.
    #[must_use]
    pub fn query_bytes(&self) -> usize {
        query_bytes(&self.params, &self.layout)
    }

    /// Bytes of each answer message.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        answer_bytes(&self.params, &self.layout)
    }

    /// Differs for different plans: catches parties that disagree.
    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }
}

fn query_bytes(params: &SlotParams, layout: &Layout) -> usize {
    Header::BYTES + 32 + layout.inputs * params.scheme().poly_bytes()
}

fn answer_bytes(params: &SlotParams, layout: &Layout) -> usize {
    let format = params.scheme().answer();
    Header::BYTES + layout.outputs * (Wide::bytes(N, format.a_bits) + Wide::bytes(N, format.b_bits))
}

fn rotations(layout: &Layout) -> BTreeSet<Rotation> {
    let inputs = layout.terms().into_iter().filter_map(|term| layout.rotation(&term)).collect::<Vec<_>>();
    inputs.into_iter().chain(layout.merges()).chain(layout.folds()).collect()
}

/// The cost of a layout, and the memory that the server needs for a part in bytes.
fn cost(params: &SlotParams, layer: &Layer, layout: &Layout) -> (SlotCost, usize) {
    let parts = layer.groups * layer.batch * layout.tiles[0] * layout.tiles[1];
    let (terms, leaves) = (layout.terms(), layout.leaves().len());
    let hoisted = terms.iter().filter(|term| layout.rotation(term).is_some()).count();
    let cost = SlotCost {
        parts,
        ciphertexts_up: parts * layout.inputs,
        ciphertexts_down: parts * layout.outputs,
        bytes_up: parts * query_bytes(params, layout),
        bytes_down: parts * answer_bytes(params, layout),
        hoisted_rotations: parts * layout.inputs * hoisted,
        rotations: parts * layout.outputs * (leaves - 1 + layout.folds().len()),
        products: parts * layout.inputs * layout.outputs * leaves * terms.len(),
        plaintext_len: 2 * layout.per_row,
        keys: rotations(layout).len(),
    };
    let memory = (layout.inputs * terms.len() + leaves) * 2 * PRIMES * N * 8;
    (cost, memory)
}

/// Picoseconds by the cost model.
fn total(cost: &SlotCost, layout: &Layout) -> u128 {
    let wide = |x: usize| x as u128;
    let alone =
        rotations(layout).iter().filter(|r| matches!(r, Rotation::Rows(steps) if !steps.is_power_of_two())).count();
    let plaintext = price::PLAINTEXT * wide(cost.plaintext_len) / wide(N) + price::PRODUCT / 4;
    let nanoseconds = wide(cost.ciphertexts_up) * price::INPUT
        + wide(cost.ciphertexts_down) * price::OUTPUT
        + wide(cost.hoisted_rotations) * price::HOISTED
        + wide(cost.rotations) * price::ROTATION
        + wide(cost.products) * (price::PRODUCT + plaintext)
        + wide(alone) * price::KEY;
    wide(cost.bytes_up + cost.bytes_down) * price::BYTE_PS + 1000 * nanoseconds
}
