//! What the protocol is and promises.

use si_api::{Adversary, Card, Offers, Rounding};

/// How experiments name it.
pub(crate) const ID: &str = "leviosa";

pub(crate) fn card(security_bits: u32) -> Card {
    let assumptions = [
        "RLWE with a ternary secret (Homomorphic Encryption Standard, 128 bits classical); fixed-key AES as a correlation-robust \
         hash, computational Diffie-Hellman on ristretto and KOS OT extension for the watchlists; BLAKE3 and ChaCha20 as \
         pseudo-random functions and commitments",
        "statistical bits: a party that deviates goes unnoticed with at most that probability (formula in parameters.rs), and what a \
         flooded answer reveals of the model, for each coefficient",
        "correctness: each rescaled value x is wrong by much with probability |x| / p, p of 49 bits",
    ];
    let leaks = ["the graph: operators, shapes and fixed-point format are public", "that a check failed, and which"];
    let gaps = [
        "only chains of fully connected layers and squares, each with its rescale: no ReLU, no convolution",
        "only scores: revealing the label alone takes comparisons",
        "weights may be any field elements: nothing proves that they are in range",
        "privacy against malicious parties: an argument (PRIVACY.md), not a proof; bad virtual servers chosen adaptively are not covered",
        "one lane, one thread a party",
    ];
    Card {
        id: ID.to_owned(),
        title: "Passive oblivious linear evaluation at virtual servers, watchlists and interleaved checks; squares as activations"
            .to_owned(),
        paper: "Hazay, Ishai, Marcedone, Venkitasubramaniam: LevioSA. CCS 2019".to_owned(),
        adversary: Adversary::Malicious,
        rounding: Rounding::OneBit,
        computational_bits: 128,
        statistical_bits: security_bits,
        assumptions: assumptions.map(str::to_owned).to_vec(),
        leaks: leaks.map(str::to_owned).to_vec(),
        gaps: gaps.map(str::to_owned).to_vec(),
        offers: Offers::ALL,
        parallel: false,
    }
}
