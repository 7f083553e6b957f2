//! What each variant is and promises.

use si_api::{Adversary, Card, Offers, Rounding};

use crate::protocol::{Comparison, LinearLayers};

/// How experiments name a variant.
pub(crate) const fn id(linear: LinearLayers, comparison: Comparison) -> &'static str {
    match (linear, comparison) {
        (LinearLayers::He, Comparison::Iknp) => "cryptflow2",
        (LinearLayers::He, Comparison::Silent) => "cryptflow2+silent",
        (LinearLayers::Ot, Comparison::Iknp) => "cryptflow2-ot",
        (LinearLayers::Ot, Comparison::Silent) => "cryptflow2-ot+silent",
    }
}

pub(crate) fn card(linear: LinearLayers, comparison: Comparison) -> Card {
    let ot = match comparison {
        Comparison::Iknp => "IKNP OT extension",
        Comparison::Silent => "silent OT (Ferret) instead of the paper's IKNP",
    };
    let layers = match linear {
        LinearLayers::He => "Linear layers by batched RLWE encryption with rotations, over a prime field",
        LinearLayers::Ot => "Linear layers by correlated OT over Z_2^l",
    };
    let mut assumptions = vec![
        "fixed-key AES as a correlation-robust hash; computational Diffie-Hellman on ristretto for base OTs".to_owned(),
    ];
    if comparison == Comparison::Silent {
        assumptions.push("LPN with regular noise for silent OT, at the parameters cited in si-ot".to_owned());
    }
    if linear == LinearLayers::He {
        assumptions.push(
            "RLWE with a ternary secret (Homomorphic Encryption Standard, 128 bits classical); circular security of rotation \
             keys; statistical bits: what a flooded answer reveals of the weights, for each coefficient sent"
                .to_owned(),
        );
    }
    let gaps = [
        "leaves of comparisons are 1-of-8 or 1-of-16 OTs from 3 or 4 correlated OTs (SoftSpokenOT over fields of 4 elements: \
         252 bits for 16 messages; Ferret in the silent variants); the paper's are 1-of-16 OTs of Kolesnikov and Kumaresan, \
         256 bits. ANDs take one OT each way, lone ones as leaves do; those with an operand in common share them",
        "selection by correlated OT, half of what the paper's two OTs of both messages send",
        "OTs are made before the query is known, as far as the buffers go; the paper has no offline phase",
        "one lane, one thread a party",
        "no squares of shared values",
        "no security at all against a server that deviates: that is what fusion(...) is for",
    ];
    Card {
        id: id(linear, comparison).to_owned(),
        title: format!("{layers}, comparisons by {ot}; bit-exact"),
        paper: "Rathee, Rathee, Kumar, Chandran, Gupta, Rastogi, Sharma: CrypTFlow2. CCS 2020, eprint 2020/1002"
            .to_owned(),
        adversary: Adversary::SemiHonest,
        rounding: Rounding::Exact,
        computational_bits: 128,
        statistical_bits: if linear == LinearLayers::He { 40 } else { 0 },
        assumptions,
        leaks: vec!["the graph: operators, shapes and fixed-point format are public".to_owned()],
        gaps: gaps.map(str::to_owned).to_vec(),
        offers: Offers::ALL,
        parallel: false,
    }
}
