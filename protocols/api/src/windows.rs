//! Windows of a batch of feature maps of shares, for pooling: local, no traffic.

use ndarray::{Array4, ArrayView4};
use si_models::Window;

/// For each element of a window, one vector over all windows of the batch in the order (n, c, oh, ow).
///
/// A window at the border that reaches into the padding has fewer elements; an element in the padding is replaced by
/// the nearest one inside, which leaves the maximum unchanged.
#[must_use]
pub fn columns(x: ArrayView4<'_, u64>, window: &Window) -> (Vec<Vec<u64>>, [usize; 4]) {
    let (n, c, h, w) = x.dim();
    let [oh, ow] = window.output([h, w]).unwrap_or([0, 0]);
    let [kh, kw] = window.kernel;
    let inside = |o: usize, k: usize, axis: usize, size: usize| {
        (o * window.stride[axis] + k).saturating_sub(window.padding[axis]).min(size - 1)
    };
    let mut columns = Vec::with_capacity(kh * kw);
    for ky in 0..kh {
        for kx in 0..kw {
            let column = Array4::from_shape_fn((n, c, oh, ow), |(i, ch, y, xx)| {
                x[[i, ch, inside(y, ky, 0, h), inside(xx, kx, 1, w)]]
            });
            columns.push(column.into_raw_vec_and_offset().0);
        }
    }
    (columns, [n, c, oh, ow])
}

/// The sum of each window, zeros in the padding, modulo 2^64.
#[must_use]
pub fn sums(x: ArrayView4<'_, u64>, window: &Window) -> Array4<u64> {
    let (n, c, h, w) = x.dim();
    let [oh, ow] = window.output([h, w]).unwrap_or([0, 0]);
    let [top, left, ..] = window.padding;
    Array4::from_shape_fn((n, c, oh, ow), |(i, ch, y, xx)| {
        let mut sum = 0u64;
        for ky in 0..window.kernel[0] {
            for kx in 0..window.kernel[1] {
                let (py, px) = (y * window.stride[0] + ky, xx * window.stride[1] + kx);
                if (top..top + h).contains(&py) && (left..left + w).contains(&px) {
                    sum = sum.wrapping_add(x[[i, ch, py - top, px - left]]);
                }
            }
        }
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_never_wins_and_adds_nothing() {
        let x = Array4::from_shape_fn((1, 1, 3, 3), |(_, _, y, x)| (10 + 3 * y + x) as u64);
        let window = Window::square(3, 2).padded(1);
        let (cols, shape) = columns(x.view(), &window);
        assert_eq!((cols.len(), shape), (9, [1, 1, 2, 2]));
        let max: Vec<u64> = (0..4).map(|i| cols.iter().map(|c| c[i]).max().unwrap()).collect();
        assert_eq!(max, [14, 15, 17, 18]);
        let sums = sums(x.view(), &window);
        assert_eq!(sums[[0, 0, 0, 0]], 10 + 11 + 13 + 14);
    }
}
