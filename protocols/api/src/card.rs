//! What a protocol is and promises, printed in every report.

use serde::Serialize;

/// Against whom a protocol is secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adversary {
    /// Against nobody: a reference for correctness and cost only.
    Insecure,
    /// Both parties follow the protocol and try to learn from what they see.
    SemiHonest,
    /// The server may deviate in any way; the client follows the protocol.
    MaliciousServer,
    /// The client may deviate in any way; the server follows the protocol.
    MaliciousClient,
    /// Either party may deviate.
    Malicious,
}

/// How far answers may be from the fixed-point oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// Bit for bit equal.
    Exact,
    /// Every rescale may come out one unit in the last place too small.
    OneBit,
}

/// What a protocol offers to wrappers that mix queries, such as Fusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Offers {
    /// The server learns nothing about a query from the messages of its inference.
    pub hides_input: bool,
    /// Each inference of a batch uses randomness of its own, so equal queries look like different ones.
    pub fresh_randomness: bool,
    /// Every inference of a batch has messages of the same number and length, at any position.
    pub positions_alike: bool,
    /// The client learns the answer of each inference by itself.
    pub answers_apart: bool,
}

impl Offers {
    /// All of it.
    pub const ALL: Self =
        Self { hides_input: true, fresh_randomness: true, positions_alike: true, answers_apart: true };

    /// Names of what is not offered.
    #[must_use]
    pub fn missing(self) -> Vec<&'static str> {
        [
            (self.hides_input, "inputs hidden from the server"),
            (self.fresh_randomness, "fresh randomness for each inference"),
            (self.positions_alike, "indistinguishable positions in a batch"),
            (self.answers_apart, "an answer for each inference"),
        ]
        .into_iter()
        .filter_map(|(has, name)| (!has).then_some(name))
        .collect()
    }
}

/// A protocol's card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Card {
    /// How experiments name it, such as `fusion(cheetah)`.
    pub id: String,
    /// One line for a reader.
    pub title: String,
    /// Where it was published.
    pub paper: String,
    /// Against whom it is secure.
    pub adversary: Adversary,
    /// How answers are rounded.
    pub rounding: Rounding,
    /// Computational security in bits; 0 for none.
    pub computational_bits: u32,
    /// Statistical security in bits; 0 for none. What it is a bound on stands under `assumptions`.
    pub statistical_bits: u32,
    /// What its security rests on.
    pub assumptions: Vec<String>,
    /// What the parties learn beyond the answer.
    pub leaks: Vec<String>,
    /// Where this implementation is not (yet) what the paper describes.
    pub gaps: Vec<String>,
    /// What wrappers may rely on.
    pub offers: Offers,
    /// Whether a party makes use of more threads than one, as many as its pool (rayon's) has. Outputs and messages are the
    /// same for any number. If not, more would measure nothing.
    pub parallel: bool,
}
