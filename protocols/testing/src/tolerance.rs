//! How far one-bit rounding can move a score.

use si_models::{Model, Op};

/// Greatest distance, in units of the last place, between a score of the oracle and the same score when every rescale
/// may come out one too small: interval arithmetic over the graph with the model's fixed-point weights. It is a worst
/// case; what happens is far smaller.
#[must_use]
pub fn score_tolerance(model: &Model) -> i64 {
    let graph = model.graph();
    let mut errors: Vec<i64> = vec![0];
    for (index, node) in graph.nodes().iter().enumerate() {
        let x = errors[node.inputs[0]];
        let error = match &node.op {
            Op::Conv { .. } | Op::Fc { .. } => {
                let largest_row = model.fixed(index).map_or(0, |layer| {
                    let rows = layer.weights.chunks_exact(layer.weights.len() / layer.bias.len());
                    rows.map(|row| row.iter().map(|w| w.saturating_abs()).fold(0, i64::saturating_add))
                        .max()
                        .unwrap_or(0)
                });
                x.saturating_mul(largest_row)
            }
            // Floors of numbers that lie e apart are at most ceil(e / 2^bits) apart; the rounding adds one.
            Op::Rescale { bits } => (x >> bits) + i64::from(x & ((1 << bits) - 1) != 0) + 1,
            Op::AvgPool { window } => {
                let area = window.kernel[0] * window.kernel[1];
                x.saturating_mul(area as i64).saturating_mul(graph.format().reciprocal(area))
            }
            Op::Add => x.saturating_add(errors[node.inputs[1]]),
            Op::Relu | Op::MaxPool { .. } | Op::Flatten => x,
        };
        errors.push(error);
    }
    errors.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha20Rng;
    use si_models::{run_fixed, run_fixed_with};

    use super::*;
    use crate::graphs::{CASES, random_queries, stacked};

    #[test]
    fn roundings_stay_within_the_tolerance_and_do_move_scores() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut moved = 0;
        for case in CASES {
            let model = case.model(1);
            let queries = stacked(model.graph(), &random_queries(model.graph(), 4, 2));
            let exact = run_fixed(&model, &queries).unwrap();
            for share in [0.5, 1.0] {
                let rounded = run_fixed_with(&model, &queries, &mut || rng.random_bool(share)).unwrap();
                let apart = exact.iter().zip(&rounded).map(|(a, b)| (a - b).abs()).max().unwrap();
                assert!(apart <= score_tolerance(&model), "{}: {apart} > {}", case.name, score_tolerance(&model));
                moved += apart;
            }
        }
        assert!(moved > 0);
    }
}
