//! How a layer is cut into ciphertexts: the window, chosen by a cost model, and the exact cost of the choice.

use crate::layer::{Axis, Layer};
use crate::mac::ANSWERS;
use crate::ntt::SHORTEST;
use crate::params::{self, Params};
use crate::wire::{AnswerPlace, Header, Wide};
use crate::{Error, Result};

/// What the choice of a window weighs against each other. *Agreement*: both parties must use the same numbers, since both
/// compute the window. Times are of kernels with AVX-512.
///
/// The default stands for 400 Mbit/s, between a LAN (3 Gbit/s) and a WAN, whatever the link: ResNet50 takes 440 MiB and 8.1
/// CPU seconds with it, 507 MiB and 7.5 s if bytes are weighed as on the LAN, 434 MiB and 8.4 s at 100 Mbit/s (the machine
/// busy: `cheetah/examples/linear_layers`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CostWeights {
    /// Picoseconds to transfer a byte.
    pub ps_per_byte: u64,
    /// Nanoseconds to make one query ciphertext and to prepare it at the server.
    pub ns_per_ciphertext: u64,
    /// Nanoseconds of one product of a ciphertext and a weight polynomial, with its addition.
    pub ns_per_product: u64,
    /// Nanoseconds to encode and transform one weight polynomial, once for the whole batch.
    pub ns_per_weight: u64,
    /// Nanoseconds to finish one answer polynomial at the server and to decrypt it.
    pub ns_per_answer: u64,
}

impl CostWeights {
    /// For a link of this rate.
    #[must_use]
    pub const fn for_link(bits_per_second: u64) -> Self {
        let bits_per_second = if bits_per_second == 0 { 1 } else { bits_per_second };
        Self {
            ps_per_byte: 8_000_000_000_000 / bits_per_second,
            ns_per_ciphertext: 60_000,
            ns_per_product: 3_500,
            ns_per_weight: 15_000,
            ns_per_answer: 80_000,
        }
    }
}

impl Default for CostWeights {
    fn default() -> Self {
        Self::for_link(400_000_000)
    }
}

/// How much of a layer shares one polynomial: the window of Cheetah (section 4.2), with images added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// M_w: filters in one weight polynomial, outputs of one answer polynomial.
    pub filters: usize,
    /// C_w: input channels (times phases of a stride) in one ciphertext.
    pub channels: usize,
    /// Images of the batch in one ciphertext; more than 1 only if whole images fit.
    pub images: usize,
    /// Output rows of one tile.
    pub out_rows: usize,
    /// Output columns of one tile.
    pub out_cols: usize,
    /// Channels begin at multiples of it, a power of two; the coefficients in between are zero. It makes the weights of 1x1
    /// kernels polynomials in X^align, which are cheaper to transform and to read, for some room.
    pub align: usize,
}

/// Values of [`Window::align`] worth trying for 1x1 kernels.
const ALIGNMENTS: [usize; 4] = [1, 4, 8, 32];

/// What a plan costs over the whole batch, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Queries: see [`LinearPlan::parts`].
    pub parts: usize,
    /// Query ciphertexts.
    pub ciphertexts_up: usize,
    /// Answer polynomials.
    pub ciphertexts_down: usize,
    /// Bytes of all queries.
    pub bytes_up: usize,
    /// Bytes of all answers.
    pub bytes_down: usize,
    /// Products of a ciphertext and a weight polynomial.
    pub products: usize,
    /// Weight polynomials, transformed once for the batch.
    pub weight_polys: usize,
    /// Memory of the transformed weights in bytes.
    pub weight_bytes: usize,
}

/// A linear layer cut into ciphertexts. Both parties construct the same from public data.
///
/// The layer is processed in *parts*, each a group of images, a tile of the output and a group of channels: one query
/// message up per part, one answer message down per part and up to 8 answer polynomials, in any order.
#[derive(Clone, Debug)]
pub struct LinearPlan {
    pub(crate) params: Params,
    pub(crate) layer: Layer,
    pub(crate) rows: Axis,
    pub(crate) cols: Axis,
    pub(crate) window: Window,
    pub(crate) counts: Counts,
    pub(crate) pitch: Pitch,
    cost: Cost,
    tag: u64,
}

/// Into how many pieces each dimension is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) filters: usize,
    pub(crate) channels: usize,
    pub(crate) images: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

/// Distances in coefficients between neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pitch {
    pub(crate) row: usize,
    pub(crate) image: usize,
    pub(crate) channel: usize,
    /// Coefficients from the first pixel of a channel to the last one that its outputs meet, inclusive.
    span: usize,
}

impl LinearPlan {
    /// The cheapest plan for a layer.
    ///
    /// # Errors
    /// If the layer makes no sense, or one kernel position does not fit a polynomial.
    pub fn new(params: &Params, layer: &Layer, weights: &CostWeights) -> Result<Self> {
        layer.check()?;
        let axes = [Axis::new(layer, 0), Axis::new(layer, 1)];
        let channels = layer.in_channels / layer.groups * axes[0].phases * axes[1].phases;
        let filters = layer.out_channels / layer.groups;
        let mut best: Option<(u128, Window)> = None;
        for out_rows in pieces(axes[0].outputs) {
            for out_cols in pieces(axes[1].outputs) {
                let whole = out_rows == axes[0].outputs && out_cols == axes[1].outputs;
                let groups = if whole { pieces(layer.batch) } else { vec![1] };
                let alignments = if axes.iter().all(|a| a.taps == 1) { &ALIGNMENTS[..] } else { &[1] };
                for (images, &align) in groups.into_iter().flat_map(|g| alignments.iter().map(move |a| (g, a))) {
                    let mut window = Window { filters: 1, channels: 1, images, out_rows, out_cols, align };
                    let pitch = pitch(&axes, &window);
                    // (filters * channels - 1) * pitch + span <= N, see `packing`.
                    let Some(room) = params.n().checked_sub(pitch.span) else { continue };
                    let fit = room / pitch.channel + 1;
                    for c in pieces(channels).into_iter().filter(|&c| c <= fit) {
                        let blocks = filters.div_ceil((fit / c).min(filters));
                        (window.channels, window.filters) = (c, filters.div_ceil(blocks));
                        let counts = counts(layer, &axes, channels, &window);
                        let step = weight_step(params, [&axes[0], &axes[1]], &window, &pitch);
                        let price = price(params, layer, &counts, step, weights);
                        if best.is_none_or(|(least, _)| price < least) {
                            best = Some((price, window));
                        }
                    }
                }
            }
        }
        match best {
            Some((_, window)) => Self::with_window(params, layer, window),
            None => Err(Error::Layer {
                why: format!("one position of the kernel {:?} does not fit {} coefficients", layer.kernel, params.n()),
            }),
        }
    }

    /// The plan with a given window.
    ///
    /// # Errors
    /// If the layer makes no sense or the window does not fit it or a polynomial.
    pub fn with_window(params: &Params, layer: &Layer, window: Window) -> Result<Self> {
        layer.check()?;
        let axes = [Axis::new(layer, 0), Axis::new(layer, 1)];
        let channels = layer.in_channels / layer.groups * axes[0].phases * axes[1].phases;
        let whole = window.out_rows == axes[0].outputs && window.out_cols == axes[1].outputs;
        let limits = [
            (window.filters, layer.out_channels / layer.groups),
            (window.channels, channels),
            (window.images, if whole { layer.batch } else { 1 }),
            (window.out_rows, axes[0].outputs),
            (window.out_cols, axes[1].outputs),
        ];
        let aligned = window.align.is_power_of_two() && window.align <= params.n();
        if !aligned || limits.iter().any(|&(size, most)| size == 0 || size > most) {
            return Err(Error::Layer { why: format!("{window:?} is no window of {layer:?}") });
        }
        let pitch = pitch(&axes, &window);
        let needed = (window.filters * window.channels - 1).checked_mul(pitch.channel).map(|x| x + pitch.span);
        if needed.is_none_or(|x| x > params.n()) {
            return Err(Error::Layer { why: format!("{window:?} does not fit {} coefficients", params.n()) });
        }
        let counts = counts(layer, &axes, channels, &window);
        let mut plan = Self {
            params: params.clone(),
            layer: *layer,
            rows: axes[0],
            cols: axes[1],
            window,
            counts,
            pitch,
            cost: Cost::default(),
            tag: 0,
        };
        plan.cost = plan.exact_cost();
        let l = layer;
        let numbers = [
            [l.batch, l.in_channels, l.in_hw[0], l.in_hw[1], l.out_channels, l.groups],
            [l.kernel[0], l.kernel[1], l.stride[0], l.stride[1], l.padding[0], l.padding[1]],
            [l.padding[2], l.padding[3], window.filters, window.channels, window.images, window.out_rows],
        ];
        let mut numbers: Vec<u64> = numbers.as_flattened().iter().map(|&x| x as u64).collect();
        numbers.extend([window.out_cols as u64, window.align as u64, params.tag()]);
        plan.tag = params::tag(&numbers);
        Ok(plan)
    }

    /// Its parameters.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Its layer.
    #[must_use]
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// The chosen window.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// Bytes, ciphertexts and products, exactly.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Number of parts: messages up.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.layer.groups * self.counts.images * self.counts.rows * self.counts.cols
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
        Header::BYTES + 32 + self.counts.channels * self.params.poly_bytes()
    }

    /// Bytes of each answer message: one for each part and up to 8 of its answer polynomials. Parts at the edges return
    /// fewer coefficients.
    pub fn answer_messages(&self) -> impl Iterator<Item = usize> {
        let firsts = move || (0..self.counts.filters).step_by(ANSWERS);
        (0..self.parts()).flat_map(move |part| firsts().map(move |first| self.answer_bytes(part, first)))
    }

    /// Bytes of the longest answer message.
    #[must_use]
    pub fn longest_answer_bytes(&self) -> usize {
        self.answer_messages().max().unwrap_or(0)
    }

    /// Bytes of the message with answer polynomials `first` and following of part `part`.
    pub(crate) fn answer_bytes(&self, part: usize, first: usize) -> usize {
        let format = self.params.answer();
        let polys: usize = (first..(first + ANSWERS).min(self.counts.filters))
            .map(|block| {
                Wide::bytes(self.params.n(), format.a_bits) + Wide::bytes(self.outputs_of(part, block), format.b_bits)
            })
            .sum();
        Header::BYTES + AnswerPlace::BYTES + polys
    }

    /// Differs for different plans: catches parties that disagree.
    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }

    fn exact_cost(&self) -> Cost {
        let (parts, k) = (self.parts(), &self.counts);
        let weight_polys = self.layer.groups * k.filters * k.channels;
        Cost {
            parts,
            ciphertexts_up: parts * k.channels,
            ciphertexts_down: parts * k.filters,
            bytes_up: parts * self.query_bytes(),
            bytes_down: self.answer_messages().sum(),
            products: parts * k.channels * k.filters,
            weight_polys,
            weight_bytes: weight_polys * self.weight_poly_bytes(),
        }
    }
}

/// The sizes worth trying: the smallest that cut `whole` into 1, 2, 3, ... pieces.
fn pieces(whole: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = Vec::new();
    let mut size = whole;
    // The next smaller size that changes the count; about 2 sqrt(whole) sizes in all.
    while size > 0 {
        let count = whole.div_ceil(size);
        let least = whole.div_ceil(count);
        sizes.push(least);
        size = least - 1;
    }
    sizes
}

fn pitch(axes: &[Axis; 2], window: &Window) -> Pitch {
    let [(rows, row_pitch), (cols, col_pitch)] =
        [(window.out_rows, axes[0]), (window.out_cols, axes[1])].map(|(outputs, axis)| {
            let extent = outputs + axis.taps - 1;
            // Only a tile that spans the axis has padding on both sides.
            (extent, if outputs == axis.outputs { extent - axis.shared } else { extent })
        });
    let image = row_pitch * col_pitch;
    let span = (window.images - 1) * image + (rows - 1) * col_pitch + cols;
    Pitch { row: col_pitch, image, channel: (window.images * image).next_multiple_of(window.align), span }
}

/// The greatest power of two s such that weights only sit at multiples of s, up to N / [`SHORTEST`]: then the weight
/// polynomials are polynomials in X^s, and so are cheaper to transform. 1x1 kernels have s > 1 if tiles have an even size.
pub(crate) fn weight_step(params: &Params, axes: [&Axis; 2], window: &Window, pitch: &Pitch) -> usize {
    let several = |count: usize, distance: usize| if count > 1 { distance } else { 0 };
    let distances = several(window.filters * window.channels, pitch.channel)
        | several(axes[0].taps, pitch.row)
        | several(axes[1].taps, 1);
    let most = params.n() / SHORTEST;
    1 << distances.trailing_zeros().min(most.trailing_zeros())
}

fn counts(layer: &Layer, axes: &[Axis; 2], channels: usize, window: &Window) -> Counts {
    Counts {
        filters: (layer.out_channels / layer.groups).div_ceil(window.filters),
        channels: channels.div_ceil(window.channels),
        images: layer.batch.div_ceil(window.images),
        rows: axes[0].outputs.div_ceil(window.out_rows),
        cols: axes[1].outputs.div_ceil(window.out_cols),
    }
}

/// Picoseconds by the cost model. The b-parts of answers are the same for all windows and left out.
fn price(params: &Params, layer: &Layer, k: &Counts, weight_step: usize, weights: &CostWeights) -> u128 {
    let wide = |x: usize| x as u128;
    let parts = wide(layer.groups * k.images) * wide(k.rows * k.cols);
    let (up, down) = (parts * wide(k.channels), parts * wide(k.filters));
    let answer_bytes = Wide::bytes(params.n(), params.answer().a_bits);
    let bytes = up * wide(params.poly_bytes()) + down * wide(answer_bytes) + parts * wide(2 * Header::BYTES + 32);
    let products = up * wide(k.filters);
    let weight_polys = wide(layer.groups * k.filters * k.channels);
    // Transforms and stores shrink with the number of distinct values; placing the weights does not.
    let ns_per_weight = u128::from(weights.ns_per_weight) * wide(weight_step + 15) / wide(16 * weight_step);
    bytes * u128::from(weights.ps_per_byte)
        + 1000
            * (up * u128::from(weights.ns_per_ciphertext)
                + products * u128::from(weights.ns_per_product)
                + weight_polys * ns_per_weight
                + down * u128::from(weights.ns_per_answer))
}
