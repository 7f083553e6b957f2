//! Exact chances of cheating servers against mix-and-check, adversary by adversary, computed by counting. They share no
//! code with any wrapper's own bounds, so that the two can be compared.
//!
//! All hold for a server that chooses its positions without knowing what stands where: any set of k positions is then
//! as good as a random one.

use crate::mix_and_check::Sizes;

/// How a run may end, as probabilities that sum to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chances {
    /// The client aborts.
    pub caught: f64,
    /// The client accepts, and an answer is wrong.
    pub fooled: f64,
    /// The client accepts, and every answer is right.
    pub unharmed: f64,
}

impl Chances {
    fn accepted(fooled: f64, unharmed: f64) -> Self {
        Self { caught: (1.0 - fooled - unharmed).max(0.0), fooled, unharmed }
    }
}

/// k positions are answered wrongly, the copies of a query alike: a forced class that is nobody's, another model whose
/// labels all differ. The server fools the client if it hit whole groups, at least one, and at most m public samples:
/// with k = B or k = R B this is its best attack.
#[must_use]
pub fn alike(sizes: Sizes, k: usize) -> Chances {
    let (fooled, unharmed) = sizes.fooled_and_unharmed(k);
    Chances::accepted(fooled, unharmed)
}

/// k positions get a class drawn for each of them from `classes`, of which one is right; labels only.
///
/// With q = 1 / classes: c < B corrupted copies of a query agree with the others if all of them are right (q^c); all B
/// agree with each other if they drew the same class (classes q^B). A public sample is wrong with probability 1 - q. The
/// sum over all sets is the coefficient of z^k of a product of one polynomial for each query and one for each sample.
#[must_use]
pub fn random_classes(sizes: Sizes, k: usize, classes: usize) -> Chances {
    let q = 1.0 / classes as f64;
    let copies = sizes.copies;
    // Without harm, all corrupted copies are right: (1 + q z)^B.
    let right: Vec<f64> = (0..=copies).map(|c| choose(copies, c) * q.powi(c as i32)).collect();
    let mut alike = right.clone();
    alike[copies] += (classes - 1) as f64 * q.powi(copies as i32);
    // By the number of wrong public samples, which may be m.
    let tolerable = |p: usize| {
        let wrong = |w: usize| choose(p, w) * (1.0 - q).powi(w as i32) * q.powi((p - w) as i32);
        choose(sizes.public, p) * (0..=sizes.tolerance.min(p)).map(wrong).sum::<f64>()
    };
    let public: Vec<f64> = (0..=sizes.public).map(tolerable).collect();
    let coefficient = |group: &[f64]| {
        let product = (0..sizes.queries).fold(public.clone(), |product, _| times(&product, group, k));
        product.get(k).copied().unwrap_or(0.0) / choose(sizes.inferences(), k)
    };
    let unharmed = coefficient(&right);
    Chances::accepted(coefficient(&alike) - unharmed, unharmed)
}

/// The same deterministic model answers everything, so copies always agree. T public samples are drawn without
/// replacement from `pool` images, of which it gets `right` right; the probability that at most m are wrong.
#[must_use]
pub fn everywhere_passes(sizes: Sizes, pool: usize, right: usize) -> f64 {
    let wrong = |w: usize| choose(pool - right, w) * choose(right, sizes.public - w);
    (0..=sizes.tolerance.min(sizes.public)).map(wrong).sum::<f64>() / choose(pool, sizes.public)
}

/// C(n, k); exact while it is below 2^53, and in the range of numbers for n up to 1000.
#[must_use]
pub fn choose(n: usize, k: usize) -> f64 {
    if k > n { 0.0 } else { (0..k.min(n - k)).fold(1.0, |ways, i| ways * (n - i) as f64 / (i + 1) as f64) }
}

/// The product of two polynomials up to z^most.
fn times(a: &[f64], b: &[f64], most: usize) -> Vec<f64> {
    let mut product = vec![0.0; (a.len() + b.len() - 1).min(most + 1)];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate().take_while(|(j, _)| i + j <= most) {
            product[i + j] += x * y;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { queries: 2, copies: 2, public: 2, tolerance: 1 };

    /// Every set of k positions, every draw of classes: brute force over a plan of six inferences.
    fn counted(sizes: Sizes, k: usize, classes: usize) -> Chances {
        let n = sizes.inferences();
        let (mut all, mut fooled, mut unharmed) = (0u64, 0u64, 0u64);
        for set in (0u32..1 << n).filter(|s| s.count_ones() as usize == k) {
            for draw in 0..classes.pow(k as u32) {
                let mut rest = draw;
                // The right class is 0 everywhere.
                let answers: Vec<usize> = (0..n)
                    .map(|i| {
                        let hit = set >> i & 1 == 1;
                        let class = if hit { rest % classes } else { 0 };
                        rest /= if hit { classes } else { 1 };
                        class
                    })
                    .collect();
                let (copies, public) = answers.split_at(sizes.queries * sizes.copies);
                let agree = copies.chunks(sizes.copies).all(|c| c.iter().all(|a| *a == c[0]));
                let wrong = public.iter().filter(|a| **a != 0).count();
                all += 1;
                if agree && wrong <= sizes.tolerance {
                    let harmed = copies.iter().any(|a| *a != 0);
                    fooled += u64::from(harmed);
                    unharmed += u64::from(!harmed);
                }
            }
        }
        Chances::accepted(fooled as f64 / all as f64, unharmed as f64 / all as f64)
    }

    fn near(a: Chances, b: Chances) -> bool {
        [(a.caught, b.caught), (a.fooled, b.fooled), (a.unharmed, b.unharmed)]
            .iter()
            .all(|(x, y)| (x - y).abs() < 1e-12)
    }

    #[test]
    fn random_classes_are_those_that_brute_force_counts() {
        for sizes in [SIZES, Sizes { tolerance: 0, ..SIZES }, Sizes { queries: 1, copies: 3, public: 2, tolerance: 0 }]
        {
            for k in 1..=sizes.inferences() {
                for classes in [2, 3] {
                    let (formula, brute) = (random_classes(sizes, k, classes), counted(sizes, k, classes));
                    assert!(near(formula, brute), "{sizes:?}, k={k}, {classes} classes: {formula:?}, {brute:?}");
                }
            }
        }
    }

    #[test]
    fn a_substitute_everywhere_passes_as_often_as_an_urn_says() {
        // 3 of 5 are right, 2 are drawn: both wrong in 1 of 10 ways, both right in 3.
        assert!((everywhere_passes(SIZES, 5, 3) - 0.9).abs() < 1e-12);
        assert!((everywhere_passes(Sizes { tolerance: 0, ..SIZES }, 5, 3) - 0.3).abs() < 1e-12);
        let large = Sizes { queries: 16, copies: 2, public: 500, tolerance: 21 };
        assert!(everywhere_passes(large, 700, 689) > 0.999 && everywhere_passes(large, 700, 571) < 1e-12);
    }

    #[test]
    fn wrong_answers_that_are_alike_need_whole_groups() {
        let chances = alike(Sizes { queries: 16, copies: 2, public: 4, tolerance: 0 }, 2);
        assert!((chances.fooled - 16.0 / 630.0).abs() < 1e-12 && chances.unharmed == 0.0);
    }
}
