//! Where pixels, weights and outputs sit in polynomials (Cheetah, section 4.2, generalised).
//!
//! With row pitch R, image pitch I, channel pitch P, window (M_w, C_w) and a kernel of (kh, kw) taps:
//!
//! ```text
//! pixel  (c, g, i, j)   at  c P + g I + i R + j
//! weight (m, c, u, v)   at  m C_w P + (C_w - 1 - c) P + (kh - 1 - u) R + (kw - 1 - v)
//! output (m, g, i, j)   at  m C_w P + (C_w - 1) P + g I + (kh - 1 + i) R + (kw - 1 + j)
//! ```
//!
//! A weight meets, in an output's coefficient, exactly the pixel at the difference of their positions: for its own filter
//! that is pixel (c, g, i + u, j + v); for an earlier filter the position is beyond the last pixel; for a later
//! one it is below the first pixel, or in its padding. A product wraps round X^N = -1 only to coefficients below the first
//! output if (M_w C_w - 1) P + span <= N, where span is the distance from a channel's first coefficient to the last that
//! its outputs meet. That is the condition a window must fulfil.
//!
//! Changes to the paper: (1) strides are split into phases first, so no coefficient of an answer is wasted on skipped
//! outputs; (2) zero padding is *shared*: zeros at the end of a row also stand in front of the next row, and likewise between
//! images and channels, so a padded 7x7 image takes 64 coefficients, not 81, and the last channel's trailing zeros take none;
//! (3) several images may share a ciphertext, which makes a fully connected layer over a batch one matrix product.

use crate::plan::{self, LinearPlan};

/// The coordinates of a part.
struct Part {
    group: usize,
    images: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
    cols: std::ops::Range<usize>,
}

fn range(index: usize, size: usize, whole: usize) -> std::ops::Range<usize> {
    index * size..((index + 1) * size).min(whole)
}

impl LinearPlan {
    fn part(&self, part: usize) -> Part {
        let k = &self.counts;
        let (rest, col) = (part / k.cols, part % k.cols);
        let (rest, row) = (rest / k.rows, rest % k.rows);
        Part {
            group: rest / k.images,
            images: range(rest % k.images, self.window.images, self.layer.batch),
            rows: range(row, self.window.out_rows, self.rows.outputs),
            cols: range(col, self.window.out_cols, self.cols.outputs),
        }
    }

    /// The group of channels that part `part` belongs to.
    pub(crate) fn group_of(&self, part: usize) -> usize {
        part / (self.counts.images * self.counts.rows * self.counts.cols)
    }

    fn phases(&self) -> usize {
        self.rows.phases * self.cols.phases
    }

    /// Channels of the reduced convolution in ciphertext `block`: (channel in the group, phase of rows, phase of columns).
    fn channels_of(&self, block: usize) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let all = self.layer.in_channels / self.layer.groups * self.phases();
        range(block, self.window.channels, all).map(|c| {
            let phase = c % self.phases();
            (c / self.phases(), phase / self.cols.phases, phase % self.cols.phases)
        })
    }

    /// Writes the pixels of ciphertext `block` of a part over `out`, whose other coefficients become zero.
    pub(crate) fn place_input(&self, part: usize, block: usize, input: &[u64], out: &mut [u64]) {
        out.fill(0);
        let part = self.part(part);
        let [height, width] = self.layer.in_hw;
        let per_group = self.layer.in_channels / self.layer.groups;
        for (slot, (channel, phase_row, phase_col)) in self.channels_of(block).enumerate() {
            let rows = self.rows.pixels(phase_row, part.rows.start, part.rows.len() + self.rows.taps - 1);
            let cols = self.cols.pixels(phase_col, part.cols.start, part.cols.len() + self.cols.taps - 1);
            if cols.is_empty() {
                continue;
            }
            let x = self.cols.pixel(phase_col, part.cols.start + cols.start);
            for (g, image) in part.images.clone().enumerate() {
                let plane = (image * self.layer.in_channels + part.group * per_group + channel) * height * width;
                let base = slot * self.pitch.channel + g * self.pitch.image + cols.start;
                for i in rows.clone() {
                    let y = self.rows.pixel(phase_row, part.rows.start + i);
                    let line = &input[plane + y * width + x..plane + (y + 1) * width];
                    let out = &mut out[base + i * self.pitch.row..][..cols.len()];
                    if self.cols.step() == 1 {
                        out.copy_from_slice(&line[..out.len()]);
                    } else {
                        out.iter_mut().zip(line.iter().step_by(self.cols.step())).for_each(|(o, &x)| *o = x);
                    }
                }
            }
        }
    }

    /// Calls `put(coefficient, weight index)` for every weight of the polynomial for filters `filter_block` and channels
    /// `block` of a group.
    pub(crate) fn place_weights(
        &self,
        group: usize,
        filter_block: usize,
        block: usize,
        mut put: impl FnMut(usize, usize),
    ) {
        let filters = self.layer.out_channels / self.layer.groups;
        let per_group = self.layer.in_channels / self.layer.groups;
        let [kh, kw] = self.layer.kernel;
        for (slot, (channel, phase_row, phase_col)) in self.channels_of(block).enumerate() {
            for (m, filter) in range(filter_block, self.window.filters, filters).enumerate() {
                let kernel = ((group * filters + filter) * per_group + channel) * kh * kw;
                let base = ((m + 1) * self.window.channels - 1 - slot) * self.pitch.channel;
                for u in 0..self.rows.taps {
                    let Some(y) = self.rows.tap(phase_row, u) else { continue };
                    for v in 0..self.cols.taps {
                        if let Some(x) = self.cols.tap(phase_col, v) {
                            let at = (self.rows.taps - 1 - u) * self.pitch.row + self.cols.taps - 1 - v;
                            put(base + at, kernel + y * kw + x);
                        }
                    }
                }
            }
        }
    }

    /// See [`plan::weight_step`].
    pub(crate) fn weight_step(&self) -> usize {
        plan::weight_step(&self.params, [&self.rows, &self.cols], &self.window, &self.pitch)
    }

    /// Number of outputs in answer polynomial `filter_block` of a part.
    pub(crate) fn outputs_of(&self, part: usize, filter_block: usize) -> usize {
        let part = self.part(part);
        let filters = range(filter_block, self.window.filters, self.layer.out_channels / self.layer.groups);
        filters.len() * part.images.len() * part.rows.len() * part.cols.len()
    }

    /// The outputs of answer polynomial `filter_block` of a part, in the order in which they travel.
    pub(crate) fn outputs(&self, part: usize, filter_block: usize) -> Vec<Run> {
        let part = self.part(part);
        let filters = self.layer.out_channels / self.layer.groups;
        let (height, width) = (self.rows.outputs, self.cols.outputs);
        let mut out = Vec::new();
        for (m, filter) in range(filter_block, self.window.filters, filters).enumerate() {
            for (g, image) in part.images.clone().enumerate() {
                let plane = (image * self.layer.out_channels + part.group * filters + filter) * height * width;
                let base = ((m + 1) * self.window.channels - 1) * self.pitch.channel + g * self.pitch.image;
                for (i, y) in part.rows.clone().enumerate() {
                    let at = base + (self.rows.taps - 1 + i) * self.pitch.row + self.cols.taps - 1;
                    out.push(Run { at, index: plane + y * width + part.cols.start, len: part.cols.len() });
                }
            }
        }
        out
    }
}

/// Neighbouring outputs: coefficients `at..at + len` of an answer polynomial are elements `index..index + len` of the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) at: usize,
    pub(crate) index: usize,
    pub(crate) len: usize,
}

impl Run {
    pub(crate) fn coefficients(self) -> std::ops::Range<usize> {
        self.at..self.at + self.len
    }

    pub(crate) fn elements(self) -> std::ops::Range<usize> {
        self.index..self.index + self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Layer;
    use crate::params::Params;
    use crate::plan::{CostWeights, Window};
    use proptest::prelude::*;

    /// The packing alone, over the integers: place, multiply modulo X^N + 1, extract.
    fn by_packing(plan: &LinearPlan, input: &[u64], weights: &[i64]) -> Vec<i64> {
        let n = plan.params.n();
        let mut result = vec![i64::MIN; plan.output_len()];
        let mut x = vec![0; n];
        for part in 0..plan.parts() {
            for filter_block in 0..plan.counts.filters {
                let mut product = vec![0i64; n];
                for block in 0..plan.counts.channels {
                    plan.place_input(part, block, input, &mut x);
                    plan.place_weights(plan.group_of(part), filter_block, block, |at, index| {
                        assert!(at.is_multiple_of(plan.weight_step()), "{plan:?}");
                        for (i, &x) in x.iter().enumerate().filter(|(_, x)| **x != 0) {
                            let sign = if i + at < n { 1 } else { -1 };
                            product[(i + at) % n] += sign * x as i64 * weights[index];
                        }
                    });
                }
                let runs = plan.outputs(part, filter_block);
                assert_eq!(runs.iter().map(|r| r.len).sum::<usize>(), plan.outputs_of(part, filter_block));
                for (at, index) in runs.into_iter().flat_map(|r| r.coefficients().zip(r.elements())) {
                    assert_eq!(result[index], i64::MIN, "output {index} is returned twice");
                    result[index] = product[at];
                }
            }
        }
        result
    }

    fn schoolbook(layer: &Layer, input: &[u64], weights: &[i64]) -> Vec<i64> {
        let ([h, w], [oh, ow], [kh, kw]) = (layer.in_hw, layer.out_hw(), layer.kernel);
        let (ci, co) = (layer.in_channels / layer.groups, layer.out_channels / layer.groups);
        let mut out = Vec::new();
        for (n, m) in (0..layer.batch).flat_map(|n| (0..layer.out_channels).map(move |m| (n, m))) {
            for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
                let mut sum = 0;
                for (c, u) in (0..ci).flat_map(|c| (0..kh).map(move |u| (c, u))) {
                    for v in 0..kw {
                        let y = (i * layer.stride[0] + u).wrapping_sub(layer.padding[0]);
                        let x = (j * layer.stride[1] + v).wrapping_sub(layer.padding[1]);
                        if y < h && x < w {
                            let channel = n * layer.in_channels + m / co * ci + c;
                            sum += input[(channel * h + y) * w + x] as i64 * weights[((m * ci + c) * kh + u) * kw + v];
                        }
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn every_window_of_every_shape_is_right(
            batch in 1usize..=5, groups in 1usize..=2, ci in 1usize..=5, co in 1usize..=6,
            hw in [1usize..=14, 1usize..=14], kernel in [1usize..=11, 1usize..=11], stride in [1usize..=4, 1usize..=4],
            padding in [0usize..=4, 0usize..=4, 0usize..=4, 0usize..=4],
            byte in prop::sample::select(vec![1u64, 3_000, 1_000_000]),
            answer in prop::sample::select(vec![1u64, 120_000, 100_000_000]),
        ) {
            let layer = Layer {
                batch, in_channels: ci * groups, in_hw: hw, out_channels: co * groups, kernel, stride, padding, groups,
            };
            prop_assume!((0..2).all(|i| kernel[i] <= hw[i] + padding[i] + padding[i + 2]));
            let costs = CostWeights { ps_per_byte: byte, ns_per_answer: answer, ..CostWeights::default() };
            let plan = LinearPlan::new(&Params::for_ring(37).unwrap(), &layer, &costs).unwrap();
            let input: Vec<u64> = (0..plan.input_len() as u64).map(|i| 1 + i * i * 7 % 1009).collect();
            let weights: Vec<i64> = (0..plan.weight_len() as i64).map(|i| i * i * 5 % 201 - 100).collect();
            prop_assert_eq!(by_packing(&plan, &input, &weights), schoolbook(&layer, &input, &weights), "{:?}", plan);
        }
    }

    #[test]
    fn aligned_channels_are_right() {
        let params = Params::for_ring(37).unwrap();
        let layer = Layer { in_hw: [7; 2], kernel: [1; 2], ..Layer::fully_connected(2, 11, 9) };
        for (align, step) in [(1, 1), (2, 2), (4, 4), (8, 8), (16, 64), (1024, 256)] {
            let window = Window { filters: 3, channels: 1, images: 1, out_rows: 7, out_cols: 7, align };
            let plan = LinearPlan::with_window(&params, &layer, window).unwrap();
            assert_eq!(plan.weight_step(), step);
            let input: Vec<u64> = (0..plan.input_len() as u64).map(|i| 1 + i * i * 7 % 1009).collect();
            let weights: Vec<i64> = (0..plan.weight_len() as i64).map(|i| i * i * 5 % 201 - 100).collect();
            assert_eq!(by_packing(&plan, &input, &weights), schoolbook(&layer, &input, &weights), "{plan:?}");
        }
    }

    #[test]
    fn tiles_and_full_polynomials_are_right() {
        let params = Params::for_ring(37).unwrap();
        let square = |c, hw, m, k, s, p| Layer {
            batch: 1,
            in_channels: c,
            in_hw: [hw; 2],
            out_channels: m,
            kernel: [k; 2],
            stride: [s; 2],
            padding: [p; 4],
            groups: 1,
        };
        // Images larger than a polynomial, and shapes that fill one to the last coefficient.
        for layer in [
            square(1, 90, 2, 3, 1, 1),
            square(2, 75, 1, 7, 2, 3),
            square(3, 64, 2, 1, 1, 0),
            square(70, 7, 3, 3, 1, 1),
            square(64, 8, 65, 1, 1, 0),
            Layer::fully_connected(1, 256, 100),
            Layer::fully_connected(3, 1030, 9),
        ] {
            let plan = LinearPlan::new(&params, &layer, &CostWeights::default()).unwrap();
            let input: Vec<u64> = (0..plan.input_len() as u64).map(|i| 1 + i * i * 7 % 1009).collect();
            let weights: Vec<i64> = (0..plan.weight_len() as i64).map(|i| i * i * 5 % 201 - 100).collect();
            assert_eq!(by_packing(&plan, &input, &weights), schoolbook(&layer, &input, &weights), "{plan:?}");
        }
    }
}
