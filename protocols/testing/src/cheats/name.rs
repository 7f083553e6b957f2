//! Cheats as text, for experiments.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Model, Result};

use super::substitute::Substitute;
use super::{Cheat, Positions, WrongMessages};

/// How many inferences of a session (or messages of a stream) are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HowMany {
    /// All.
    All,
    /// So many.
    Count(usize),
    /// So many hundredths of a percent of them, up to 10,000.
    Fraction(u32),
}

/// A cheat as experiments name it: `flip-label:1`, `other-model=quantised2`, `other-model=mnist-cnn4-low:10%`; without
/// a colon, all inferences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheatName {
    /// [`Cheat::OtherModel`] if it concerns all, [`Cheat::OtherModelAt`] if not.
    OtherModel(Substitute, HowMany),
    /// [`Cheat::OtherBias`] with offsets between -8 and 8, drawn once.
    OtherBias(HowMany),
    /// [`Cheat::FlipLabel`] to one class, drawn once.
    FlipLabel(HowMany),
    /// [`Cheat::FlipLabel`] at the positions whose batches took longest to arrive.
    Slowest(HowMany),
    /// [`Cheat::RandomAnswer`].
    RandomAnswer(HowMany),
    /// [`Cheat::Replay`].
    Replay(HowMany),
    /// [`Cheat::Wire`] on messages of linear layers: those of RLWE in Cheetah.
    WrongRlwe(HowMany),
    /// [`Cheat::Wire`] on messages of all other operators: those of OT in Cheetah.
    WrongOt(HowMany),
}

/// The names and what stands behind them, for messages.
const SYNTAX: &str = "other-model=MODEL, other-bias, flip-label, slowest, random-answer, replay, wrong-rlwe or wrong-ot, \
    then nothing or :all, :COUNT or :PERCENT%";

impl HowMany {
    /// How many of `of`.
    #[must_use]
    pub fn of(self, of: usize) -> usize {
        match self {
            Self::All => of,
            Self::Count(count) => count.min(of),
            Self::Fraction(hundredths) => ((of as u64 * u64::from(hundredths) + 5_000) / 10_000) as usize,
        }
    }

    fn positions(self, of: usize, seed: u64) -> Positions {
        match self {
            Self::All => Positions::All,
            some => Positions::random(some.of(of), of, seed),
        }
    }
}

impl CheatName {
    /// How many inferences it concerns, if it is about inferences.
    #[must_use]
    pub fn how_many(&self) -> Option<HowMany> {
        match self {
            Self::OtherModel(_, many)
            | Self::OtherBias(many)
            | Self::FlipLabel(many)
            | Self::Slowest(many)
            | Self::RandomAnswer(many)
            | Self::Replay(many) => Some(*many),
            Self::WrongRlwe(_) | Self::WrongOt(_) => None,
        }
    }

    /// The cheat itself, in a session of `inferences` inferences of `model`, with random choices from `seed`.
    ///
    /// # Errors
    /// If there is no such substitute for this model.
    pub fn cheat(&self, model: &Arc<Model>, inferences: usize, seed: u64) -> Result<Cheat> {
        let graph = model.graph();
        let mut rng = ChaCha20Rng::seed_from_u64(seed ^ 1);
        let wire = |linear, many| Cheat::Wire(WrongMessages { linear, many });
        Ok(match self {
            Self::OtherModel(other, HowMany::All) => Cheat::OtherModel(other.of(model)?),
            Self::OtherModel(other, many) => Cheat::OtherModelAt(other.of(model)?, many.positions(inferences, seed)),
            Self::OtherBias(many) => {
                let reach = graph.format().encode(8.0);
                let bias = (0..graph.classes()).map(|_| rng.random_range(-reach..reach)).collect();
                Cheat::OtherBias(bias, many.positions(inferences, seed))
            }
            Self::FlipLabel(many) => {
                let class = rng.random_range(0..graph.classes());
                Cheat::FlipLabel { class, at: many.positions(inferences, seed) }
            }
            Self::Slowest(many) => {
                let class = rng.random_range(0..graph.classes());
                Cheat::FlipLabel { class, at: Positions::Slowest { count: many.of(inferences), of: inferences } }
            }
            Self::RandomAnswer(many) => Cheat::RandomAnswer(many.positions(inferences, seed)),
            Self::Replay(many) => Cheat::Replay(many.positions(inferences, seed)),
            Self::WrongRlwe(many) => wire(true, *many),
            Self::WrongOt(many) => wire(false, *many),
        })
    }
}

impl fmt::Display for HowMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "all"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Fraction(hundredths) => write!(f, "{}%", f64::from(*hundredths) / 100.0),
        }
    }
}

impl fmt::Display for CheatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherModel(other, many) => write!(f, "other-model={other}:{many}"),
            Self::OtherBias(many) => write!(f, "other-bias:{many}"),
            Self::FlipLabel(many) => write!(f, "flip-label:{many}"),
            Self::Slowest(many) => write!(f, "slowest:{many}"),
            Self::RandomAnswer(many) => write!(f, "random-answer:{many}"),
            Self::Replay(many) => write!(f, "replay:{many}"),
            Self::WrongRlwe(many) => write!(f, "wrong-rlwe:{many}"),
            Self::WrongOt(many) => write!(f, "wrong-ot:{many}"),
        }
    }
}

impl FromStr for HowMany {
    type Err = String;

    fn from_str(s: &str) -> std::result::Result<Self, String> {
        let hundredths = |percent: &str| {
            let percent: f64 = percent.parse().ok().filter(|p| (0.0..=100.0).contains(p))?;
            Some((percent * 100.0).round() as u32)
        };
        let many = match s.strip_suffix('%') {
            Some(percent) => hundredths(percent).map(Self::Fraction),
            None if s == "all" => Some(Self::All),
            None => s.parse().ok().filter(|count| *count > 0).map(Self::Count),
        };
        many.ok_or_else(|| format!("'{s}' is no number of inferences: use all, 3 or 10%"))
    }
}

impl FromStr for CheatName {
    type Err = String;

    fn from_str(s: &str) -> std::result::Result<Self, String> {
        let (name, many) = match s.split_once(':') {
            Some((name, many)) => (name, many.parse()?),
            None => (s, HowMany::All),
        };
        if let Some(model) = name.strip_prefix("other-model=") {
            return Ok(Self::OtherModel(model.parse()?, many));
        }
        match name {
            "other-bias" => Ok(Self::OtherBias(many)),
            "flip-label" => Ok(Self::FlipLabel(many)),
            "slowest" => Ok(Self::Slowest(many)),
            "random-answer" => Ok(Self::RandomAnswer(many)),
            "replay" => Ok(Self::Replay(many)),
            "wrong-rlwe" => Ok(Self::WrongRlwe(many)),
            "wrong-ot" => Ok(Self::WrongOt(many)),
            _ => Err(format!("unknown cheat '{s}': use {SYNTAX}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in [
            "other-model=mnist-cnn4-low:all",
            "other-model=quantised2:10%",
            "other-model=pruned90:3",
            "other-model=narrow50:all",
            "other-model=bias7:all",
            "other-bias:25%",
            "flip-label:1",
            "slowest:2",
            "random-answer:12.5%",
            "replay:1",
            "wrong-rlwe:all",
            "wrong-ot:1",
        ] {
            assert_eq!(name.parse::<CheatName>().unwrap().to_string(), name);
        }
        assert_eq!("flip-label".parse(), Ok(CheatName::FlipLabel(HowMany::All)));
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "flip", "flip-label:", "flip-label:0", "flip-label:-1", "flip-label:101%", "flip-label:x%"] {
            assert!(name.parse::<CheatName>().is_err(), "{name}");
        }
        for name in ["other-model", "other-model=", "other-model=quantised0", "other-model=pruned101"] {
            assert!(name.parse::<CheatName>().is_err(), "{name}");
        }
    }

    #[test]
    fn so_many_positions_are_chosen() {
        let chosen = |many: HowMany| (0..40).filter(|i| many.positions(40, 3).contains(*i)).count();
        assert_eq!(chosen(HowMany::Count(7)), 7);
        assert_eq!(chosen(HowMany::Fraction(2_500)), 10);
        assert_eq!(chosen(HowMany::Count(99)), 40);
        assert_eq!(chosen(HowMany::All), 40);
    }
}
