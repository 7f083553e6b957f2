use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::Model;

use super::{Cheat, Positions};

/// How many inferences of a session are concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HowMany {
    /// All.
    All,
    /// So many.
    Count(usize),
    /// This share of them, between 0 and 1.
    Fraction(f64),
}

/// A cheat as experiments name it: `other-model`, `other-model:10%`, `other-bias:25%`, `flip-label:1`,
/// `random-answer:all`; without a colon, all inferences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CheatName {
    /// [`Cheat::OtherModel`] if it concerns all, [`Cheat::OtherModelAt`] if not.
    OtherModel(HowMany),
    /// [`Cheat::OtherBias`] with offsets between -8 and 8, drawn once.
    OtherBias(HowMany),
    /// [`Cheat::FlipLabel`] to one class, drawn once.
    FlipLabel(HowMany),
    /// [`Cheat::RandomAnswer`].
    RandomAnswer(HowMany),
}

/// The names and what stands behind the colon, for messages.
const SYNTAX: &str = "other-model, other-bias, flip-label or random-answer, then nothing or :all, :COUNT or :PERCENT%";

impl HowMany {
    fn positions(self, of: usize, seed: u64) -> Positions {
        match self {
            Self::All => Positions::All,
            Self::Count(count) => Positions::random(count, of, seed),
            Self::Fraction(share) => Positions::random((share * of as f64).round() as usize, of, seed),
        }
    }
}

impl CheatName {
    /// The cheat itself, in a session of `inferences` inferences, with random choices from `seed`. `other` is the model
    /// that should not be used.
    #[must_use]
    pub fn cheat(self, other: &Arc<Model>, inferences: usize, seed: u64) -> Cheat {
        let graph = other.graph();
        let mut rng = ChaCha20Rng::seed_from_u64(seed ^ 1);
        match self {
            Self::OtherModel(HowMany::All) => Cheat::OtherModel(Arc::clone(other)),
            Self::OtherModel(many) => Cheat::OtherModelAt(Arc::clone(other), many.positions(inferences, seed)),
            Self::OtherBias(many) => {
                let reach = graph.format().encode(8.0);
                let bias = (0..graph.classes()).map(|_| rng.random_range(-reach..reach)).collect();
                Cheat::OtherBias(bias, many.positions(inferences, seed))
            }
            Self::FlipLabel(many) => {
                let class = rng.random_range(0..graph.classes());
                Cheat::FlipLabel { class, at: many.positions(inferences, seed) }
            }
            Self::RandomAnswer(many) => Cheat::RandomAnswer(many.positions(inferences, seed)),
        }
    }
}

impl fmt::Display for HowMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "all"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Fraction(share) => write!(f, "{}%", share * 100.0),
        }
    }
}

impl fmt::Display for CheatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherModel(many) => write!(f, "other-model:{many}"),
            Self::OtherBias(many) => write!(f, "other-bias:{many}"),
            Self::FlipLabel(many) => write!(f, "flip-label:{many}"),
            Self::RandomAnswer(many) => write!(f, "random-answer:{many}"),
        }
    }
}

impl FromStr for HowMany {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let share = |percent: &str| percent.parse().ok().filter(|p| (0.0..=100.0).contains(p)).map(|p: f64| p / 100.0);
        let many = match s.strip_suffix('%') {
            Some(percent) => share(percent).map(Self::Fraction),
            None if s == "all" => Some(Self::All),
            None => s.parse().ok().filter(|count| *count > 0).map(Self::Count),
        };
        many.ok_or_else(|| format!("'{s}' is no number of inferences: use all, 3 or 10%"))
    }
}

impl FromStr for CheatName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (name, many) = match s.split_once(':') {
            Some((name, many)) => (name, many.parse()?),
            None => (s, HowMany::All),
        };
        match name {
            "other-model" => Ok(Self::OtherModel(many)),
            "other-bias" => Ok(Self::OtherBias(many)),
            "flip-label" => Ok(Self::FlipLabel(many)),
            "random-answer" => Ok(Self::RandomAnswer(many)),
            _ => Err(format!("unknown cheat '{s}': use {SYNTAX}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in ["other-model:all", "other-model:10%", "other-bias:25%", "flip-label:1", "random-answer:12.5%"] {
            assert_eq!(name.parse::<CheatName>().unwrap().to_string(), name);
        }
        assert_eq!("other-model".parse(), Ok(CheatName::OtherModel(HowMany::All)));
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "flip", "flip-label:", "flip-label:0", "flip-label:-1", "flip-label:101%", "flip-label:x%"] {
            assert!(name.parse::<CheatName>().is_err(), "{name}");
        }
    }

    #[test]
    fn so_many_positions_are_chosen() {
        let chosen = |many: HowMany| (0..40).filter(|i| many.positions(40, 3).contains(*i)).count();
        assert_eq!(chosen(HowMany::Count(7)), 7);
        assert_eq!(chosen(HowMany::Fraction(0.25)), 10);
        assert_eq!(chosen(HowMany::Count(99)), 40);
        assert_eq!(chosen(HowMany::All), 40);
    }
}
