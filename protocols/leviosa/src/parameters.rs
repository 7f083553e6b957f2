//! Parameters of the outer protocol and the bound on cheating, in one place.
//!
//! n virtual servers, of which each party watches t of the other's; blocks of L elements; codewords of degree below k, sums of their
//! products below w = 2k - 1; e virtual servers may be corrupted without being noticed. A cheating party wins with at most
//!
//! ```text
//! C(n - e - 1, t) / C(n, t)        more than e columns are bad, and none is watched
//! + C(e + w - 1, t) / C(n, t)      at most e are bad, a check is wrong, and its polynomial agrees with the true one, of degree
//!                                  below w, at all watched columns
//! + (2 n^s + n + 1 + 2^s) / p^s    s repetitions: n/p that a combination of words of which one is far from the code comes near it
//!                                  (proximity gap up to half the distance: Ben-Sasson, Carmon, Ishai, Kopparty, Saraf, FOCS 2020,
//!                                  theorem 1.6), once for each code; 1/p that a bad column goes through a combination; and 1/p
//!                                  for products, 2/p for linear relations that are combined by products of random numbers
//! + 1 / p                          guessing the secret that proves that no more than t servers are watched
//! ```
//!
//! where e must be within half the distance of the wide code, 2 e <= n - w. The first two terms are those of Ligero (Ames, Hazay, Ishai,
//! Venkitasubramaniam, CCS 2017, section 4), without replacement. Privacy: what a party sees of the other's codewords are t watched shares and
//! at most e more of servers that it corrupts unnoticed, so k >= L + t + e.

use si_rlwe::field::Field;

/// Repetitions of each check with independent challenges. *Security*: with p of 49 bits one has a proximity error of 2^-38, two of
/// 2^-76.
pub(crate) const REPETITIONS: usize = 2;

/// The usual length of transforms, of which n is a multiple. *Agreement.*
const STRIDE: usize = 128;

/// Most virtual servers that the search tries.
const MOST_SERVERS: usize = 1 << 14;

/// Parameters of the outer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// n: virtual servers, a multiple of the stride.
    pub servers: usize,
    /// t: how many of the other's servers each party watches.
    pub watched: usize,
    /// e: bad servers that may stay unnoticed.
    pub errors: usize,
    /// L: elements of a block.
    pub slots: usize,
    /// k: degree bound of a codeword.
    pub threshold: usize,
    /// S: length of the transforms.
    pub stride: usize,
}

impl Parameters {
    /// Codewords without a claim of security, for tests.
    #[cfg(test)]
    pub(crate) fn unchecked(servers: usize, slots: usize, privacy: usize) -> Self {
        Self { servers, watched: privacy, errors: 0, slots, threshold: slots + privacy, stride: 16 }
    }

    /// The fewest virtual servers with which a cheating party wins with probability at most 2^-`bits`, for blocks of `slots` elements;
    /// `None` if there are none.
    #[must_use]
    pub fn search(field: Field, slots: usize, bits: u32) -> Option<Self> {
        let stride = if bits >= 32 { STRIDE } else { 16 };
        let least = (2 * slots).div_ceil(stride) * stride;
        let factorials = LogFactorials::new(MOST_SERVERS);
        let missed = |n, bad, t| factorials.log2_missed(n, bad, t);
        (least..=MOST_SERVERS).step_by(stride).find_map(|servers| {
            let best = (1..servers / 2)
                .step_by(1 + servers / 512)
                .filter_map(|watched| Self::with(servers, watched, slots, stride, bits, &missed))
                .map(|parameters| (parameters.bound(field, &missed), parameters))
                .min_by(|a, b| a.0.total_cmp(&b.0))?;
            (best.0 <= -f64::from(bits)).then_some(best.1)
        })
    }

    /// With as few errors as t watched servers must notice with half of the allowed probability.
    fn with(
        servers: usize,
        watched: usize,
        slots: usize,
        stride: usize,
        bits: u32,
        missed: Missed<'_>,
    ) -> Option<Self> {
        let target = -f64::from(bits) - 1.0;
        let enough = |e: usize| missed(servers, e + 1, watched) <= target;
        let (mut low, mut high) = (0, servers / 4);
        if !enough(high) {
            return None;
        }
        while low < high {
            let middle = (low + high) / 2;
            if enough(middle) { high = middle } else { low = middle + 1 }
        }
        let threshold = (slots + watched + low).max(slots.div_ceil(stride) * stride);
        let this = Self { servers, watched, errors: low, slots, threshold, stride };
        (this.wide() + 2 * this.errors <= servers).then_some(this)
    }

    /// w = 2k - 1: degree bound of a sum of products of two codewords.
    #[must_use]
    pub fn wide(&self) -> usize {
        2 * self.threshold - 1
    }

    /// log2 of the bound on a cheating party's probability to win.
    #[must_use]
    pub fn log2_soundness(&self, field: Field) -> f64 {
        self.bound(field, &log2_missed)
    }

    fn bound(&self, field: Field, missed: Missed<'_>) -> f64 {
        self.terms(field, missed).iter().map(|log2| log2.exp2()).sum::<f64>().log2()
    }

    /// log2 of the terms of the bound, in the order of their sum.
    fn terms(&self, field: Field, missed: Missed<'_>) -> [f64; 4] {
        let Self { servers, watched, errors, .. } = *self;
        let (p, n) = (field.prime() as f64, servers as f64);
        let s = REPETITIONS as i32;
        let far = missed(servers, errors + 1, watched);
        let wrong = missed(servers, servers.saturating_sub(errors + self.wide() - 1), watched);
        let challenges = (2.0 * n.powi(s) + n + 1.0 + f64::exp2(f64::from(s))) / p.powi(s);
        [far, wrong, challenges.log2(), -p.log2()]
    }

    /// The bound in words: its formula, its terms and their sum.
    #[must_use]
    pub fn explain(&self, field: Field) -> String {
        let s = REPETITIONS;
        let terms = self.terms(field, &log2_missed).map(|log2| format!("2^{log2:.2}")).join(" + ");
        format!(
            "a cheating party wins with at most C(n-e-1,t)/C(n,t) + C(e+w-1,t)/C(n,t) + (2n^{s}+n+{})/p^{s} + 1/p = {terms} = 2^{:.2}",
            1 + (1 << s),
            self.log2_soundness(field)
        )
    }
}

impl std::fmt::Display for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { servers, watched, errors, slots, threshold, .. } = self;
        write!(f, "n = {servers}, L = {slots}, k = {threshold}, w = {}, t = {watched}, e = {errors}", self.wide())
    }
}

/// log2 of C(n - bad, t) / C(n, t): the probability that t watched servers of n miss all bad ones.
#[must_use]
pub fn log2_missed(servers: usize, bad: usize, watched: usize) -> f64 {
    if bad + watched > servers {
        return f64::NEG_INFINITY;
    }
    (0..watched).map(|i| (((servers - bad - i) as f64) / ((servers - i) as f64)).log2()).sum()
}

/// [`log2_missed`], or a faster twin.
type Missed<'a> = &'a dyn Fn(usize, usize, usize) -> f64;

/// log2 of factorials: the search asks for many binomials.
struct LogFactorials(Vec<f64>);

impl LogFactorials {
    fn new(most: usize) -> Self {
        let mut sum = 0.0;
        let next = |i: usize| {
            sum += (i.max(1) as f64).log2();
            sum
        };
        Self((0..=most).map(next).collect())
    }

    fn log2_missed(&self, servers: usize, bad: usize, watched: usize) -> f64 {
        if bad + watched > servers {
            return f64::NEG_INFINITY;
        }
        let f = &self.0;
        f[servers - bad] - f[servers - bad - watched] - f[servers] + f[servers - watched]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use si_rlwe::ole::PRIME;

    fn field() -> Field {
        Field::new(PRIME).unwrap()
    }

    #[test]
    fn missing_all_bad_servers_is_hypergeometric() {
        // All subsets, counted.
        for (n, bad, t) in [(6, 2, 3), (8, 1, 4), (7, 5, 2), (7, 5, 3), (5, 0, 5)] {
            let (mut all, mut missed) = (0u32, 0u32);
            for set in (0u32..1 << n).filter(|set| set.count_ones() == t) {
                all += 1;
                missed += u32::from(set & ((1 << bad) - 1) == 0);
            }
            let exact = f64::from(missed) / f64::from(all);
            let (n, bad, t) = (n as usize, bad as usize, t as usize);
            assert!((log2_missed(n, bad, t).exp2() - exact).abs() < 1e-12, "{n} {bad} {t}");
            assert!((LogFactorials::new(n).log2_missed(n, bad, t).exp2() - exact).abs() < 1e-12, "{n} {bad} {t}");
        }
    }

    #[test]
    fn the_search_meets_its_target_and_one_step_less_does_not() {
        for (slots, bits) in [(100, 40), (300, 40), (1100, 40), (8, 10), (20, 20)] {
            let found = Parameters::search(field(), slots, bits).unwrap();
            println!("{found}: 2^{:.2}", found.log2_soundness(field()));
            assert!(found.log2_soundness(field()) <= -f64::from(bits), "{found}");
            assert!(found.threshold >= found.slots + found.watched + found.errors, "privacy of {found}");
            assert!(found.wide() + 2 * found.errors <= found.servers, "decoding radius of {found}");
            assert!(found.servers.is_multiple_of(found.stride));
            let weaker = Parameters { watched: found.watched / 2, ..found.clone() };
            assert!(weaker.log2_soundness(field()) > -f64::from(bits) + 1.0);
        }
    }

    /// What answers give away beyond their results: for b bad servers that go unnoticed, e + 1 - b answers of 2^13 coefficients, each
    /// within 2^-43.4 of hiding for one ciphertext, 2^-42.4 for four, must all do it.
    #[test]
    fn flooding_hides_far_more_than_is_asked() {
        for (slots, coefficient) in [(100, -43.4), (800, -42.9), (1600, -42.4)] {
            let Parameters { servers, watched, errors, .. } = Parameters::search(field(), slots, 40).unwrap();
            let factorials = LogFactorials::new(servers);
            let log2_choose = |m: usize| factorials.0[servers] - factorials.0[m] - factorials.0[servers - m];
            let together = |bad: usize| {
                let more = errors + 1 - bad;
                log2_missed(servers, bad, watched) + log2_choose(more) + more as f64 * (coefficient + 13.0)
            };
            let sum: f64 = (0..=errors).map(|bad| together(bad).exp2()).sum();
            assert!(sum.log2() <= -57.0, "{slots}: 2^{:.1}", sum.log2());
        }
    }

    #[test]
    fn large_blocks_need_few_evaluations_a_product() {
        let found = Parameters::search(field(), 1100, 40).unwrap();
        assert!((found.servers as f64) / (found.slots as f64) <= 4.5, "{found}");
    }
}
