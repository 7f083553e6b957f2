//! Operators on one inference's values: slices of ring elements, row-major (c, h, w). All arithmetic wraps modulo 2^64
//! and is reduced to 2^l at the end of an operator, which is the same as computing modulo 2^l throughout.

use std::ops::Range;

use si_api::{Shape, Window};
use si_ring::Ring;

/// A window sliding over an input of shape `from` into an output of shape `to`.
pub(crate) struct Slide {
    pub(crate) from: Shape,
    pub(crate) to: Shape,
    pub(crate) window: Window,
}

/// Part of an output row that one element of the window reaches without leaving the input.
struct Run {
    /// The element, counted row by row.
    tap: usize,
    /// Positions in an output plane.
    out: Range<usize>,
    /// Position in an input plane that belongs to the first of them; the next follow at the horizontal stride.
    input: usize,
}

impl Slide {
    /// Outputs along `axis` (0 rows, 1 columns) for which element `k` of the window lies inside the input, and the
    /// input that the first of them meets.
    fn inside(&self, axis: usize, k: usize) -> (Range<usize>, usize) {
        let (step, pad) = (self.window.stride[axis], self.window.padding[axis]);
        let size = self.from[axis + 1];
        let is_inside = |o: &usize| (pad..pad + size).contains(&(o * step + k));
        let first = (0..self.to[axis + 1]).find(is_inside).unwrap_or(0);
        let count = (first..self.to[axis + 1]).take_while(is_inside).count();
        (first..first + count, (first * step + k).saturating_sub(pad))
    }

    fn runs(&self) -> Vec<Run> {
        let [kernel_h, kernel_w] = self.window.kernel;
        let mut runs = Vec::new();
        for ky in 0..kernel_h {
            let (rows, top) = self.inside(0, ky);
            for kx in 0..kernel_w {
                let (columns, left) = self.inside(1, kx);
                for (i, row) in rows.clone().enumerate().filter(|_| !columns.is_empty()) {
                    let start = row * self.to[2];
                    runs.push(Run {
                        tap: ky * kernel_w + kx,
                        out: start + columns.start..start + columns.end,
                        input: (top + i * self.window.stride[0]) * self.from[2] + left,
                    });
                }
            }
        }
        runs
    }

    /// Each window of each channel folded into one value; what lies in the padding is left out.
    fn fold(&self, x: &[u64], start: u64, f: impl Fn(u64, u64) -> u64) -> Vec<u64> {
        let (runs, step) = (self.runs(), self.window.stride[1]);
        let area = self.to[1] * self.to[2];
        let mut out = vec![start; self.to[0] * area];
        for (plane, x) in out.chunks_exact_mut(area).zip(x.chunks_exact(self.from[1] * self.from[2])) {
            for run in &runs {
                for (acc, x) in plane[run.out.clone()].iter_mut().zip(x[run.input..].iter().step_by(step)) {
                    *acc = f(*acc, *x);
                }
            }
        }
        out
    }
}

/// Convolution with bias; weights (out, in / groups, kh, kw).
pub(crate) fn conv(slide: &Slide, groups: usize, weights: &[i64], bias: &[i64], x: &[u64], ring: Ring) -> Vec<u64> {
    let (runs, step) = (slide.runs(), slide.window.stride[1]);
    let taps = slide.window.kernel[0] * slide.window.kernel[1];
    let (from_area, to_area) = (slide.from[1] * slide.from[2], slide.to[1] * slide.to[2]);
    let (inputs, outputs) = (slide.from[0] / groups, slide.to[0] / groups);
    let mut out = vec![0u64; slide.to[0] * to_area];
    for (o, (plane, bias)) in out.chunks_exact_mut(to_area).zip(bias).enumerate() {
        plane.fill(*bias as u64);
        for i in 0..inputs {
            let x = &x[(o / outputs * inputs + i) * from_area..][..from_area];
            let kernel = &weights[(o * inputs + i) * taps..][..taps];
            for run in &runs {
                let (weight, acc) = (kernel[run.tap] as u64, &mut plane[run.out.clone()]);
                if step == 1 {
                    for (acc, x) in acc.iter_mut().zip(&x[run.input..]) {
                        *acc = acc.wrapping_add(weight.wrapping_mul(*x));
                    }
                } else {
                    for (acc, x) in acc.iter_mut().zip(x[run.input..].iter().step_by(step)) {
                        *acc = acc.wrapping_add(weight.wrapping_mul(*x));
                    }
                }
            }
        }
        ring.reduce_all(plane);
    }
    out
}

/// Fully connected layer with bias; weights (out, in).
pub(crate) fn fc(weights: &[i64], bias: &[i64], x: &[u64], ring: Ring) -> Vec<u64> {
    let dot = |row: &[i64], bias: &i64| {
        let products = row.iter().zip(x).map(|(w, x)| (*w as u64).wrapping_mul(*x));
        ring.reduce(products.fold(*bias as u64, u64::wrapping_add))
    };
    weights.chunks_exact(x.len()).zip(bias).map(|(row, bias)| dot(row, bias)).collect()
}

/// Greatest value of each window.
pub(crate) fn max_windows(slide: &Slide, x: &[u64], ring: Ring) -> Vec<u64> {
    let least = 1 << (ring.bits() - 1);
    slide.fold(x, least, |a, b| if ring.to_signed(b) > ring.to_signed(a) { b } else { a })
}

/// Sum of each window times `factor`.
pub(crate) fn sum_windows(slide: &Slide, x: &[u64], factor: u64, ring: Ring) -> Vec<u64> {
    let mut sums = slide.fold(x, 0, u64::wrapping_add);
    sums.iter_mut().for_each(|s| *s = ring.mul(*s, factor));
    sums
}

/// Index of the greatest score, the lowest on a tie.
pub(crate) fn argmax(scores: &[u64], ring: Ring) -> usize {
    (0..scores.len()).rev().max_by_key(|i| ring.to_signed(scores[*i])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: Ring = match Ring::new(37) {
        Ok(ring) => ring,
        Err(_) => panic!("37 bits are supported"),
    };

    fn words(x: &[i64]) -> Vec<u64> {
        x.iter().map(|x| RING.from_signed(*x)).collect()
    }

    fn signed(x: &[u64]) -> Vec<i64> {
        x.iter().map(|x| RING.to_signed(*x)).collect()
    }

    #[test]
    fn a_padded_strided_convolution_by_hand() {
        let window = Window { kernel: [2, 2], stride: [2, 1], padding: [1, 0, 0, 1] };
        let slide = Slide { from: [1, 3, 2], to: [1, 2, 2], window };
        // 1 2        the rows of padding and input: 0 0 0 | 1 2 0 | 3 4 0 | 5 6 0
        // 3 4
        // 5 6
        let out = conv(&slide, 1, &[1, -1, 10, 100], &[7], &words(&[1, 2, 3, 4, 5, 6]), RING);
        assert_eq!(signed(&out), [7 + 10 + 200, 7 + 20, 7 + 3 - 4 + 50 + 600, 7 + 4 + 60]);
    }

    #[test]
    fn groups_do_not_mix() {
        let slide = Slide { from: [2, 1, 1], to: [2, 1, 1], window: Window::square(1, 1) };
        assert_eq!(signed(&conv(&slide, 2, &[3, 5], &[0, -1], &words(&[-2, 7]), RING)), [-6, 34]);
    }

    #[test]
    fn padding_never_wins_and_adds_nothing() {
        let slide = Slide { from: [1, 2, 2], to: [1, 2, 2], window: Window::square(2, 2).padded(1) };
        let x = words(&[-1, -2, -3, -4]);
        assert_eq!(signed(&max_windows(&slide, &x, RING)), [-1, -2, -3, -4]);
        assert_eq!(signed(&sum_windows(&slide, &x, RING.from_signed(-2), RING)), [2, 4, 6, 8]);
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        assert_eq!(argmax(&words(&[-5, 3, 3, -9]), RING), 1);
    }
}
