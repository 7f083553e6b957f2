//! The few statistics that reports use: medians with ranges, and intervals of ratios. Means are not used: on a shared
//! machine one disturbed run would move them.

use si_testing::detection::binomial_tails;

/// Resamples behind an interval (local: more only smooth its ends).
const RESAMPLES: usize = 4_000;

/// Seed of the resampling, fixed so that the same records give the same report.
const SEED: u64 = 0x5ec0_17d1_f0ce_2023;

/// Repeated measurements of one quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) n: usize,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// A ratio of medians and the interval that holds it in 95 % of resamples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) ratio: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The middle value, or the mean of the middle two; nothing of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut v = values.to_vec();
    v.sort_by(f64::total_cmp);
    let (low, high) = (v.get(v.len().checked_sub(1)? / 2)?, v.get(v.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// Median and range; nothing of nothing.
pub(crate) fn summary(values: &[f64]) -> Option<Summary> {
    let median = median(values)?;
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(Summary { n: values.len(), median, min, max })
}

/// median(over) / median(under) with a 95 % interval: the percentile bootstrap (Efron 1979) of the two independent
/// samples. With three repetitions a side, a resampled median is the smallest value in 7 of 27 cases, so the interval
/// is the whole range of possible ratios: few repetitions give a wide interval, not a false one.
/// Nothing if a sample is empty or `under` is not above zero.
pub(crate) fn ratio(over: &[f64], under: &[f64]) -> Option<Ratio> {
    let point = median(over)? / median(under)?;
    if under.iter().any(|x| *x <= 0.0) || !point.is_finite() {
        return None;
    }
    let mut rng = SplitMix64(SEED);
    let mut ratios: Vec<f64> =
        (0..RESAMPLES).filter_map(|_| Some(median(&rng.resample(over))? / median(&rng.resample(under))?)).collect();
    ratios.sort_by(f64::total_cmp);
    let tail = RESAMPLES / 40; // 2.5 %
    Some(Ratio { ratio: point, low: *ratios.get(tail)?, high: *ratios.get(RESAMPLES - 1 - tail)? })
}

/// Steele, Lea and Flood's generator (OOPSLA 2014): enough to choose indices, useless for secrets.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// As many values, drawn with replacement.
    fn resample(&mut self, from: &[f64]) -> Vec<f64> {
        let n = from.len() as u128;
        from.iter().map(|_| from[((u128::from(self.next()) * n) >> 64) as usize]).collect()
    }
}

/// An interval that holds an unknown probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// Whether a probability lies in it.
    pub(crate) fn holds(&self, p: f64) -> bool {
        (self.low - EQUAL..=self.high + EQUAL).contains(&p)
    }
}

/// What sums of products may be off by (local).
const EQUAL: f64 = 1e-12;

/// Chance that an exact interval misses the truth: 99 % (agreement: reports and `bench check` say so).
const MISS: f64 = 0.01;

/// The exact 99 % interval of a probability of which `hits` of `trials` were seen (Clopper and Pearson 1934): all
/// probabilities under which neither so few nor so many hits have a chance below half a percent.
pub(crate) fn clopper_pearson(hits: u64, trials: u64) -> Interval {
    let bisect = |above: &dyn Fn(f64) -> bool| {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if above(middle) { high = middle } else { low = middle }
        }
        f64::midpoint(low, high)
    };
    let (few, many) = (|p| binomial_tails(hits, trials, p).0, |p| binomial_tails(hits, trials, p).1);
    Interval {
        low: if hits == 0 { 0.0 } else { bisect(&|p| many(p) > MISS / 2.0) },
        high: if hits == trials { 1.0 } else { bisect(&|p| few(p) < MISS / 2.0) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_intervals_are_the_tabulated_ones() {
        let near = |i: Interval, low: f64, high: f64| (i.low - low).abs() < 1e-4 && (i.high - high).abs() < 1e-4;
        // 1 - 0.005^(1/n) where nothing or everything was hit.
        assert!(near(clopper_pearson(0, 100), 0.0, 1.0 - 0.005f64.powf(0.01)));
        assert!(near(clopper_pearson(100, 100), 0.005f64.powf(0.01), 1.0));
        assert!(near(clopper_pearson(5, 10), 0.1283, 0.8717));
        let wide = clopper_pearson(974, 1000);
        assert!(wide.holds(0.9746) && !wide.holds(0.99) && !wide.holds(0.95), "{wide:?}");
        assert!(clopper_pearson(0, 10).holds(0.0) && clopper_pearson(10, 10).holds(1.0));
    }

    #[test]
    fn medians_and_ranges() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(summary(&[4.0, 1.0, 7.0]), Some(Summary { n: 3, median: 4.0, min: 1.0, max: 7.0 }));
    }

    #[test]
    fn the_generator_is_the_published_one() {
        let mut rng = SplitMix64(0);
        assert_eq!([rng.next(), rng.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn three_repetitions_give_the_whole_range() {
        let r = ratio(&[9.0, 10.0, 12.0], &[1.0, 2.0, 4.0]).unwrap();
        assert_eq!(r, Ratio { ratio: 5.0, low: 9.0 / 4.0, high: 12.0 });
    }

    #[test]
    fn many_repetitions_narrow_the_interval_around_the_ratio() {
        let sample = |centre: f64| (0..101).map(|i| centre * (0.9 + 0.002 * f64::from(i))).collect::<Vec<_>>();
        let r = ratio(&sample(6.0), &sample(2.0)).unwrap();
        assert!((r.ratio - 3.0).abs() < 1e-12 && 2.8 < r.low && r.low < 3.0 && 3.0 < r.high && r.high < 3.2, "{r:?}");
        assert_eq!(ratio(&sample(6.0), &sample(2.0)), Some(r), "the same records give the same interval");
    }

    #[test]
    fn constant_samples_have_no_spread_and_nonsense_has_no_ratio() {
        assert_eq!(ratio(&[6.0; 3], &[2.0; 3]), Some(Ratio { ratio: 3.0, low: 3.0, high: 3.0 }));
        assert_eq!(ratio(&[], &[1.0]), None);
        assert_eq!(ratio(&[1.0], &[]), None);
        assert_eq!(ratio(&[1.0], &[0.0]), None);
    }
}
