//! The operators on one image's tensor, written once for floating and fixed point. Slices are row-major (c, h, w).

use std::ops::Range;

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::{Shape, Window};

/// *Local*: below so many products, a convolution is not worth sharing among threads.
const PARALLEL_PRODUCTS: usize = 1 << 22;

/// A sum of products under way.
pub(crate) trait Accumulator: Copy + Send + Sync {
    /// What is multiplied.
    type Factor: Copy + Send + Sync;

    /// Starts from a bias.
    fn start(bias: Self::Factor) -> Self;

    /// Adds a * b.
    fn add_product(&mut self, a: Self::Factor, b: Self::Factor);
}

impl Accumulator for f32 {
    type Factor = f32;

    fn start(bias: f32) -> Self {
        bias
    }

    fn add_product(&mut self, a: f32, b: f32) {
        *self += a * b;
    }
}

/// For sums that are known to stay below 2^63 in magnitude.
impl Accumulator for i64 {
    type Factor = i64;

    fn start(bias: i64) -> Self {
        bias
    }

    fn add_product(&mut self, a: i64, b: i64) {
        *self += a * b;
    }
}

/// For sums of which nothing is known: `None` once i128 has overflowed.
impl Accumulator for Option<i128> {
    type Factor = i64;

    fn start(bias: i64) -> Self {
        Some(i128::from(bias))
    }

    fn add_product(&mut self, a: i64, b: i64) {
        // A product of two i64 always fits.
        *self = self.and_then(|sum| sum.checked_add(i128::from(a) * i128::from(b)));
    }
}

/// Weights and biases of a linear operator, as [`crate::Layer`] lays them out.
pub(crate) struct Linear<'a, T> {
    pub(crate) weights: &'a [T],
    pub(crate) bias: &'a [T],
}

/// A window sliding over an input of shape `from` into an output of shape `to`.
#[derive(Clone, Copy)]
pub(crate) struct Slide {
    pub(crate) from: Shape,
    pub(crate) to: Shape,
    pub(crate) window: Window,
}

impl Slide {
    /// Output rows (axis 0) or columns (axis 1) whose window has its tap `k` inside the input, not in the padding.
    fn reached(&self, axis: usize, k: usize) -> Range<usize> {
        let (pad, stride) = (self.window.padding[axis], self.window.stride[axis]);
        let first = pad.saturating_sub(k).div_ceil(stride);
        let end = (self.from[axis + 1] + pad).saturating_sub(k).div_ceil(stride).min(self.to[axis + 1]);
        first..end.max(first)
    }

    /// Calls `f(out, input)` for each pair of positions within a channel's plane that tap (ky, kx) connects.
    fn for_each_run(&self, [ky, kx]: [usize; 2], mut f: impl FnMut(Range<usize>, usize)) {
        let [sy, sx] = self.window.stride;
        let [top, left, ..] = self.window.padding;
        let columns = self.reached(1, kx);
        if columns.is_empty() {
            return;
        }
        for oy in self.reached(0, ky) {
            let start = oy * self.to[2];
            let input = (oy * sy + ky - top) * self.from[2] + columns.start * sx + kx - left;
            f(start + columns.start..start + columns.end, input);
        }
    }

    /// Every tap of the window.
    fn taps(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let [kh, kw] = self.window.kernel;
        (0..kh).flat_map(move |ky| (0..kw).map(move |kx| [ky, kx]))
    }
}

/// Convolution with bias. The order of summation is fixed (bias, then input channel, row and column of the kernel), so
/// that floating-point answers do not depend on the number of threads.
pub(crate) fn conv<A: Accumulator>(
    slide: Slide,
    groups: usize,
    layer: &Linear<'_, A::Factor>,
    x: &[A::Factor],
) -> Vec<A> {
    let [in_channels, h, w] = slide.from;
    let [out_channels, oh, ow] = slide.to;
    let per_group = in_channels / groups;
    let taps: Vec<_> = slide.taps().collect();
    let mut out: Vec<A> = layer.bias.iter().flat_map(|b| std::iter::repeat_n(A::start(*b), oh * ow)).collect();
    let one_channel = |(o, plane): (usize, &mut [A])| {
        let first_input = o / (out_channels / groups) * per_group;
        for i in 0..per_group {
            let x = &x[(first_input + i) * h * w..][..h * w];
            let kernel = &layer.weights[(o * per_group + i) * taps.len()..][..taps.len()];
            for (tap, weight) in taps.iter().zip(kernel) {
                slide.for_each_run(*tap, |run, input| {
                    let row = &mut plane[run];
                    if slide.window.stride[1] == 1 {
                        for (a, x) in row.iter_mut().zip(&x[input..]) {
                            a.add_product(*weight, *x);
                        }
                    } else {
                        for (a, x) in row.iter_mut().zip(x[input..].iter().step_by(slide.window.stride[1])) {
                            a.add_product(*weight, *x);
                        }
                    }
                });
            }
        }
    };
    if out.len() * per_group * taps.len() >= PARALLEL_PRODUCTS {
        out.par_chunks_mut(oh * ow).enumerate().for_each(one_channel);
    } else {
        out.chunks_mut(oh * ow).enumerate().for_each(one_channel);
    }
    out
}

/// *Local*: output channels that one matrix product computes. Not a matter of threads, so that floating-point answers do
/// not depend on their number.
const PRODUCT_ROWS: usize = 64;

/// Convolution with bias and without groups as a product of matrices in f64, which is what processors are fastest at: on
/// integers exact if no sum of products, nor part of one, can reach 2^53. `out` takes the sums.
pub(crate) fn conv_by_matrix<T: Copy + Send + Sync>(
    slide: Slide,
    layer: &Linear<'_, T>,
    x: &[T],
    real: impl Fn(T) -> f64 + Sync,
    out: impl Fn(f64) -> T + Sync,
) -> Vec<T> {
    let [channels, h, w] = slide.from;
    let area = slide.to[1] * slide.to[2];
    let taps: Vec<_> = slide.taps().collect();
    let rows = channels * taps.len();
    // One row for each input channel and tap: the number that each window has there.
    let mut columns = vec![0.0f64; rows * area];
    columns.par_chunks_mut(area.max(1)).enumerate().for_each(|(row, columns)| {
        let plane = &x[row / taps.len() * h * w..][..h * w];
        slide.for_each_run(taps[row % taps.len()], |run, input| {
            for (column, x) in columns[run].iter_mut().zip(plane[input..].iter().step_by(slide.window.stride[1])) {
                *column = real(*x);
            }
        });
    });
    let columns = ArrayView2::from_shape((rows, area), &columns).expect("as allocated");
    let products = layer.weights.par_chunks(PRODUCT_ROWS * rows).zip(layer.bias.par_chunks(PRODUCT_ROWS));
    let products = products.map(|(weights, bias)| {
        let weights: Vec<f64> = weights.iter().map(|w| real(*w)).collect();
        let weights = ArrayView2::from_shape((bias.len(), rows), &weights).expect("one row a bias");
        let product = weights.dot(&columns);
        let rows = product.rows().into_iter().zip(bias);
        rows.flat_map(|(row, bias)| row.iter().map(|sum| out(sum + real(*bias))).collect::<Vec<_>>())
            .collect::<Vec<T>>()
    });
    products.collect::<Vec<_>>().concat()
}

/// Fully connected layer with bias, summed in the order of the features.
pub(crate) fn fc<A: Accumulator>(layer: &Linear<'_, A::Factor>, x: &[A::Factor]) -> Vec<A> {
    let rows = layer.weights.chunks_exact(x.len());
    rows.zip(layer.bias)
        .map(|(row, bias)| {
            let mut sum = A::start(*bias);
            for (weight, x) in row.iter().zip(x) {
                sum.add_product(*weight, *x);
            }
            sum
        })
        .collect()
}

/// Combines what lies under each window, leaving out the padding. No window lies wholly in it: the graph's builder
/// refuses those.
pub(crate) fn pool<T: Copy>(slide: Slide, x: &[T], combine: impl Fn(T, T) -> T) -> Vec<T> {
    let [channels, h, w] = slide.from;
    let area = slide.to[1] * slide.to[2];
    let mut out = Vec::with_capacity(channels * area);
    let mut plane: Vec<Option<T>> = Vec::new();
    for x in x.chunks_exact(h * w) {
        plane.clear();
        plane.resize(area, None);
        for tap in slide.taps() {
            slide.for_each_run(tap, |run, input| {
                for (best, x) in plane[run].iter_mut().zip(x[input..].iter().step_by(slide.window.stride[1])) {
                    *best = Some(best.map_or(*x, |b| combine(b, *x)));
                }
            });
        }
        out.extend(plane.iter().flatten());
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, with no regard for speed.
    fn naive(slide: Slide, groups: usize, layer: &Linear<'_, i64>, x: &[i64]) -> Vec<i64> {
        let ([c, h, w], [oc, oh, ow]) = (slide.from, slide.to);
        let ([kh, kw], [sh, sw], [top, left, ..]) = (slide.window.kernel, slide.window.stride, slide.window.padding);
        let mut out = Vec::new();
        for o in 0..oc {
            for oy in 0..oh {
                for ox in 0..ow {
                    let mut sum = layer.bias[o];
                    for i in 0..c / groups {
                        for ky in 0..kh {
                            for kx in 0..kw {
                                let (y, x_) = ((oy * sh + ky).wrapping_sub(top), (ox * sw + kx).wrapping_sub(left));
                                if y < h && x_ < w {
                                    let channel = o / (oc / groups) * (c / groups) + i;
                                    sum += layer.weights[((o * (c / groups) + i) * kh + ky) * kw + kx]
                                        * x[(channel * h + y) * w + x_];
                                }
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn convolution_is_its_definition(
            (h, w) in (1usize..8, 1usize..8),
            kernel in prop::array::uniform2(1usize..5),
            stride in prop::array::uniform2(1usize..4),
            padding in prop::array::uniform4(0usize..4),
            (groups, inputs, outputs) in (1usize..3, 1usize..3, 1usize..3),
            seed in any::<u64>(),
        ) {
            let window = Window { kernel, stride, padding };
            let Some([oh, ow]) = window.output([h, w]) else { return Ok(()) };
            let (c, oc) = (groups * inputs, groups * outputs);
            let slide = Slide { from: [c, h, w], to: [oc, oh, ow], window };
            let mut state = seed;
            let mut draw = |n: usize| -> Vec<i64> {
                (0..n).map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 33) as i64 % 1000 - 500
                }).collect()
            };
            let (weights, bias, x) = (draw(oc * inputs * kernel[0] * kernel[1]), draw(oc), draw(c * h * w));
            let layer = Linear { weights: &weights, bias: &bias };
            let expected = naive(slide, groups, &layer, &x);
            prop_assert_eq!(&conv::<i64>(slide, groups, &layer, &x), &expected);
            let wide: Vec<i64> =
                conv::<Option<i128>>(slide, groups, &layer, &x).iter().map(|v| v.unwrap() as i64).collect();
            prop_assert_eq!(&wide, &expected);
            if groups == 1 {
                let product = conv_by_matrix(slide, &layer, &x, |v| v as f64, |v| v as i64);
                prop_assert_eq!(&product, &expected);
            }
        }
    }

    #[test]
    fn pools_leave_out_the_padding() {
        let window = Window::square(3, 2).padded(1);
        let slide = Slide { from: [1, 3, 3], to: [1, 2, 2], window };
        let x = [-1, -2, -3, -4, -5, -6, -7, -8, -9];
        assert_eq!(pool(slide, &x, i64::max), [-1, -2, -4, -5]);
        assert_eq!(pool(slide, &x, |a, b| a + b), [-12, -16, -24, -28]);
    }

    #[test]
    fn a_fully_connected_layer_by_hand() {
        let layer = Linear { weights: &[1, 2, 3, -1, 0, 1], bias: &[10, 20] };
        assert_eq!(fc::<i64>(&layer, &[1, 1, 2]), [19, 21]);
    }

    #[test]
    fn a_wide_sum_notices_its_own_overflow() {
        let mut sum = Option::<i128>::start(0);
        sum.add_product(i64::MIN, i64::MIN);
        sum.add_product(i64::MIN, i64::MIN);
        assert_eq!(sum, None);
    }
}
