//! The parameter sets of Ferret: regular LPN with a 10-local code.

use crate::{Error, Result};

/// Entries of the secret in each sample (security): the d of Ferret's d-local linear code.
pub(crate) const LOCALITY: usize = 10;

/// Parts that the trees of an iteration are made in (agreement): each part is an extension of its own, with a check of
/// its own in the malicious setting, so that a small request does not pay for a whole iteration.
pub(crate) const PARTS: usize = 8;

/// Correlated OTs that one consistency check consumes (security): they mask an element of GF(2^128).
pub(crate) const CHECK_OTS: usize = 128;

/// A set of LPN parameters (security). Only the four published sets exist.
///
/// An iteration turns k + t h correlated OTs into t 2^h by regular LPN: noise of weight t, one error in each run of 2^h
/// positions, and a secret of k bits. Sets and estimates are those published with emp-ot 1.0 (Ferret's authors): at
/// least 128 bits against the attacks on regular noise known in 2025 (Gaussian elimination, information-set decoding,
/// statistical decoding: Liu, Wang, Yang, Yu, eprint 2022/712; hybrid and algebraic: Briaud, Øygarden, eprint 2023/176,
/// and "AGB 2.0", eprint 2025/1476), computed with the estimator that accompanies eprint 2022/712. The older sets of
/// Ferret (n = 470,016, k = 32,768, t = 918 and n = 10,485,760, k = 452,000, t = 1,280) predate the last two attacks and
/// are not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FerretParams {
    log_k: u32,
    trees: usize,
    depth: u32,
}

impl FerretParams {
    /// 794,624 OTs an iteration: k = 2^16, t = 850, runs of 2^10. 1.4 bits of traffic an OT.
    pub const SMALL: Self = Self { log_k: 16, trees: 850, depth: 10 };
    /// 2,250,752 OTs an iteration: k = 2^17, t = 1,170, runs of 2^11. 0.73 bits an OT.
    pub const MEDIUM: Self = Self { log_k: 17, trees: 1170, depth: 11 };
    /// 5,943,296 OTs an iteration: k = 2^18, t = 1,520, runs of 2^12. 0.39 bits an OT.
    pub const LARGE: Self = Self { log_k: 18, trees: 1520, depth: 12 };
    /// 15,007,744 OTs an iteration: k = 2^19, t = 1,900, runs of 2^13. 0.21 bits an OT.
    pub const HUGE: Self = Self { log_k: 19, trees: 1900, depth: 13 };

    /// The sets that exist.
    pub const ALL: [Self; 4] = [Self::SMALL, Self::MEDIUM, Self::LARGE, Self::HUGE];

    /// The set with this secret length k, noise weight t and run length.
    ///
    /// # Errors
    /// If it is not one of the published sets.
    pub fn new(k: usize, t: usize, run: usize) -> Result<Self> {
        Self::ALL.into_iter().find(|p| (p.k(), p.t(), p.run()) == (k, t, run)).ok_or_else(|| Error::Params {
            why: format!("no published security estimate for regular LPN with k={k}, t={t}, runs of {run}"),
        })
    }

    /// Length k of the LPN secret.
    #[must_use]
    pub const fn k(&self) -> usize {
        1 << self.log_k
    }

    /// Weight t of the noise, and number of trees.
    #[must_use]
    pub const fn t(&self) -> usize {
        self.trees
    }

    /// Positions that share one error, and leaves of a tree.
    #[must_use]
    pub const fn run(&self) -> usize {
        1 << self.depth
    }

    /// LPN samples n = t * run.
    #[must_use]
    pub const fn n(&self) -> usize {
        self.trees << self.depth
    }

    /// Correlated OTs that an iteration makes beyond those that it needs itself.
    #[must_use]
    pub const fn output(&self) -> usize {
        (self.trees - self.refill_trees()) << self.depth
    }

    /// Most OTs that are made at once: what a request is rounded up to a multiple of.
    #[must_use]
    pub const fn part(&self) -> usize {
        self.part_trees() << self.depth
    }

    pub(crate) const fn depth(&self) -> usize {
        self.depth as usize
    }

    /// Correlated OTs that an iteration consumes: the LPN secret, one for each level of each tree, and those of the
    /// checks: one for each part and one for the trees that make the next iteration's.
    pub(crate) const fn consumed(&self) -> usize {
        self.k() + self.trees * self.depth() + (PARTS + 1) * CHECK_OTS
    }

    /// Trees that make the next iteration's [`Self::consumed`].
    pub(crate) const fn refill_trees(&self) -> usize {
        self.consumed().div_ceil(self.run())
    }

    pub(crate) const fn part_trees(&self) -> usize {
        (self.trees - self.refill_trees()).div_ceil(PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_published_sets_exist() {
        for p in FerretParams::ALL {
            assert_eq!(FerretParams::new(p.k(), p.t(), p.run()).unwrap(), p);
            for (k, t, run) in [(p.k() / 2, p.t(), p.run()), (p.k(), p.t() - 1, p.run()), (p.k(), p.t(), 2 * p.run())] {
                assert!(matches!(FerretParams::new(k, t, run), Err(Error::Params { .. })));
            }
        }
        assert!(FerretParams::new(32_768, 918, 512).is_err(), "an older set of Ferret");
        assert!(FerretParams::new(452_000, 1280, 8192).is_err(), "an older set of Ferret");
        assert!(FerretParams::new(usize::MAX, 0, 0).is_err());
    }

    #[test]
    fn outputs_are_as_documented() {
        let outputs = FerretParams::ALL.map(|p| p.output());
        assert_eq!(outputs, [794_624, 2_250_752, 5_943_296, 15_007_744]);
    }

    /// The simplest attack alone (guess k noise-free samples, spread evenly over the runs; solve) costs well over
    /// 2^128 bit operations: a guard against a typing error in the table, not an estimate.
    #[test]
    fn guessing_noise_free_samples_is_out_of_reach() {
        for p in FerretParams::ALL {
            let clean = p.t() as f64 * (1.0 - p.k() as f64 / p.n() as f64).log2();
            let cost = 2.0 * f64::from(p.log_k) - clean;
            assert!(cost > 126.0, "{p:?}: 2^{cost:.1}");
        }
    }
}
