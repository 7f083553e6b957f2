//! Logarithms of factorials and binomial coefficients, good to about 1e-11 for arguments in the millions. A test of
//! [`crate::soundness`] compares what is built on them with exact integers.

use std::f64::consts::TAU;
use std::sync::LazyLock;

/// Below this, factorials are summed up; from here on Stirling's series is exact to the last bit of f64 (local).
const SUMMED: usize = 256;

/// Below this, they are kept: a search computes the same ones by the million (local).
const TABLE: usize = 1 << 15;

static KNOWN: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let sums = (1..SUMMED).scan(0.0, |sum, n| {
        *sum += (n as f64).ln();
        Some(*sum)
    });
    std::iter::once(0.0).chain(sums).chain((SUMMED..TABLE).map(stirling)).collect()
});

/// ln n!
pub(crate) fn ln_factorial(n: usize) -> f64 {
    KNOWN.get(n).copied().unwrap_or_else(|| stirling(n))
}

/// The same for large n.
fn stirling(n: usize) -> f64 {
    let x = n as f64;
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0));
    x * x.ln() - x + 0.5 * (TAU * x).ln() + series
}

/// ln C(n, k); minus infinity if there is no such choice.
pub(crate) fn ln_binomial(n: usize, k: usize) -> f64 {
    if k > n { f64::NEG_INFINITY } else { ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(ln_factorial(0), 0.0);
        assert_eq!(ln_factorial(1), 0.0);
        assert!((ln_factorial(20) - (2_432_902_008_176_640_000_f64).ln()).abs() < 1e-12);
        assert!((ln_binomial(52, 5) - (2_598_960_f64).ln()).abs() < 1e-12);
        assert_eq!(ln_binomial(3, 4), f64::NEG_INFINITY);
    }

    #[test]
    fn the_series_continues_the_table() {
        let mut sum = ln_factorial(SUMMED - 1);
        for n in SUMMED..10_000 {
            sum += (n as f64).ln();
            assert!((sum - ln_factorial(n)).abs() < 1e-13 * sum, "{n}");
        }
        let step = ln_factorial(TABLE) - ln_factorial(TABLE - 1);
        assert!((step - (TABLE as f64).ln()).abs() < 1e-9, "{step}");
    }
}
