//! The reference executors against numbers worked out by hand, against each other, and against what they must refuse.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array4, arr2};
use si_models::{
    Error, FixedPoint, Graph, GraphBuilder, Layer, Model, Weights, Window, encode_input, label, label_within,
    run_fixed, run_fixed_ranges, run_fixed_with, run_float, score_error_bound, score_tolerance, worst_case_ranges, zoo,
};

/// 16 is 1.0.
const COARSE: FixedPoint = FixedPoint { ring_bits: 20, scale_bits: 4 };

fn weights<const N: usize>(layers: [(&str, &[f32], &[f32]); N]) -> Weights {
    let layer = |w: &[f32], b: &[f32]| Layer { weights: w.to_vec(), bias: b.to_vec() };
    Weights {
        layers: layers.into_iter().map(|(name, w, b)| (name.to_owned(), layer(w, b))).collect::<BTreeMap<_, _>>(),
    }
}

fn model(graph: Graph, weights: Weights) -> Model {
    Model::new(Arc::new(graph), weights).unwrap()
}

/// conv 2x2, then the average of all plus the maximum after a ReLU.
fn branches() -> Model {
    let mut g = GraphBuilder::new("branches", [1, 3, 3], COARSE).unwrap();
    let conv = g.conv("conv", 0, 1, Window::square(2, 1), 1).unwrap();
    let average = g.avg_pool("average", conv, Window::square(2, 2)).unwrap();
    let relu = g.relu("relu", conv).unwrap();
    let maximum = g.max_pool("maximum", relu, Window::square(2, 2)).unwrap();
    let sum = g.add("sum", average, maximum).unwrap();
    g.flatten("flat", sum).unwrap();
    model(g.build().unwrap(), weights([("conv", &[1.0, 0.5, -1.0, 0.25], &[0.1])]))
}

fn image() -> Array4<f32> {
    Array4::from_shape_vec((1, 1, 3, 3), vec![1.0, 0.0, -1.0, 0.5, 0.5, 0.5, 0.0, 1.0, 2.0]).unwrap()
}

#[test]
fn by_hand_in_fixed_point() {
    let m = branches();
    let x = encode_input(m.graph(), &image());
    assert_eq!(x.iter().copied().collect::<Vec<_>>(), [16, 0, -16, 8, 8, 8, 0, 16, 32]);
    // Products: 160, -224, 256, 64; plus the bias round(0.1 * 256) = 26; floor of a sixteenth: 11, -13, 17, 5.
    // Average: 20 * round(16 / 4) / 16 = 5. Maximum: 17.
    assert_eq!(run_fixed(&m, &x).unwrap(), arr2(&[[22]]));
    let ranges = run_fixed_ranges(&m, &x).unwrap();
    let of = |name: &str| ranges.iter().find(|r| r.node == name).map(|r| (r.min, r.max, r.needed_bits)).unwrap();
    assert_eq!(of("conv"), (-198, 282, 10));
    assert_eq!(of("conv.rescale"), (-13, 17, 6));
    assert_eq!(of("relu"), (0, 17, 6));
    assert_eq!(of("average"), (80, 80, 8));
    assert_eq!(of("sum"), (22, 22, 6));
}

#[test]
fn by_hand_in_floating_point() {
    // conv: 0.725, -0.775, 1.1, 0.35; average 0.35; maximum 1.1.
    let y = run_float(&branches(), &image()).unwrap();
    assert!((y[[0, 0]] - 1.45).abs() < 1e-6, "{y}");
}

#[test]
fn one_bit_too_small_by_hand() {
    let m = branches();
    let x = encode_input(m.graph(), &image());
    let mut seen = Vec::new();
    let y = run_fixed_with(&m, &x, &mut |v, bits| {
        seen.push((v, bits));
        true
    });
    // 10, -14, 16, 4: average 16 * 4 / 16 - 1 = 3, maximum 16.
    assert_eq!(y.unwrap(), arr2(&[[19]]));
    assert_eq!(seen, [(186, 4), (-198, 4), (282, 4), (90, 4), (64, 4)]);
    assert_eq!(run_fixed_with(&m, &x, &mut |_, _| false).unwrap(), run_fixed(&m, &x).unwrap());
}

#[test]
fn a_value_may_be_used_twice_and_later() {
    let mut g = GraphBuilder::new("twice", [2, 1, 1], COARSE).unwrap();
    let double = g.add("double", 0, 0).unwrap();
    let positive = g.relu("positive", double).unwrap();
    let more = g.add("more", positive, double).unwrap();
    g.add("all", more, 0).unwrap();
    let m = model(g.build().unwrap(), Weights::default());
    let x = Array4::from_shape_vec((1, 2, 1, 1), vec![3, -5]).unwrap();
    assert_eq!(run_fixed(&m, &x).unwrap(), arr2(&[[15, -15]]));
    assert_eq!(run_float(&m, &x.mapv(|v| v as f32)).unwrap(), arr2(&[[15.0, -15.0]]));
}

#[test]
fn fixed_follows_float_within_rounding() {
    let m = zoo::model("tiny").unwrap();
    let x = Array4::from_shape_fn((50, 1, 8, 8), |(n, _, y, x)| ((n * 7 + y * 3 + x * 5) % 17) as f32 / 8.0 - 1.0);
    let float = run_float(&m, &x).unwrap();
    let fixed = run_fixed(&m, &encode_input(m.graph(), &x)).unwrap();
    for (a, b) in float.iter().zip(&fixed) {
        assert!((f64::from(*a) - m.graph().format().decode(*b)).abs() < 0.01, "{a} {b}");
    }
    // A batch is its images, one by one.
    let one = x.slice(ndarray::s![7..8, .., .., ..]).to_owned();
    assert_eq!(run_float(&m, &one).unwrap().row(0), float.row(7));
}

#[test]
fn an_empty_batch_has_no_scores() {
    let m = zoo::model("tiny").unwrap();
    assert_eq!(run_fixed(&m, &Array4::zeros((0, 1, 8, 8))).unwrap().shape(), [0, 4]);
}

#[test]
fn wrong_shapes_are_refused() {
    let m = zoo::model("tiny").unwrap();
    let e = run_float(&m, &Array4::zeros((1, 1, 8, 9))).unwrap_err().to_string();
    assert!(e.contains("tiny") && e.contains("[1, 8, 9]") && e.contains("[1, 8, 8]"), "{e}");
    assert!(run_fixed(&m, &Array4::zeros((1, 2, 8, 8))).is_err());
    assert!(run_fixed_ranges(&m, &Array4::zeros((1, 1, 8, 7))).is_err());
}

fn scaled(format: FixedPoint, features: usize, weight: f32) -> Model {
    let mut g = GraphBuilder::new("scaled", [features, 1, 1], format).unwrap();
    g.fc("fc", 0, 1).unwrap();
    model(g.build().unwrap(), weights([("fc", &vec![weight; features], &[0.0])]))
}

#[test]
fn values_out_of_range_are_refused_with_the_node() {
    let overflow = |m: &Model, x: i64| {
        let [c, h, w] = m.graph().input_shape();
        match run_fixed(m, &Array4::from_elem((1, c, h, w), x)) {
            Err(Error::Overflow { node, value, bits, .. }) => Some((node, value, bits)),
            _ => None,
        }
    };
    // Inputs of COARSE have 8 signed bits, double-scale values 19.
    let m = scaled(COARSE, 4, 32.0);
    assert_eq!(overflow(&m, 127), None);
    assert_eq!(overflow(&m, -128), None);
    assert_eq!(overflow(&m, 128), Some(("input".to_owned(), 128, 8)));
    assert_eq!(overflow(&m, -129), Some(("input".to_owned(), -129, 8)));
    let m = scaled(COARSE, 8, 64.0);
    // 8 * 1024 * 32 = 2^18 is the first beyond 19 signed bits; its negative is the last within.
    assert_eq!(overflow(&m, 32), Some(("fc".to_owned(), 1 << 18, 19)));
    assert_eq!(overflow(&m, -32), None);
    assert_eq!(overflow(&m, -33), Some(("fc".to_owned(), -(33 << 13), 19)));
}

#[test]
fn sums_beyond_i64_are_exact_or_refused() {
    // Weights of 2^42 and inputs below 2^15: 256 products may leave i64, so the wide sum is used.
    let format = FixedPoint { ring_bits: 64, scale_bits: 12 };
    let m = scaled(format, 256, (1u64 << 30) as f32);
    let x = Array4::from_shape_fn((1, 256, 1, 1), |(_, i, ..)| if i % 2 == 0 { 4095 } else { -4094 });
    assert_eq!(run_fixed(&m, &x).unwrap(), arr2(&[[(128i64 << 42) >> 12]]));
    let e = run_fixed(&m, &Array4::from_elem((1, 256, 1, 1), 32767)).unwrap_err();
    assert!(matches!(e, Error::Overflow { value: i64::MAX, bits: 63, .. }), "{e}");
    let e = run_fixed(&m, &Array4::from_elem((1, 256, 1, 1), -32768)).unwrap_err();
    assert!(matches!(e, Error::Overflow { value: i64::MIN, .. }), "{e}");
}

#[test]
fn weights_that_the_ring_cannot_hold_are_refused() {
    let build = |weight: f32, bias: f32| {
        let mut g = GraphBuilder::new("w", [1, 1, 1], COARSE).unwrap();
        g.fc("fc", 0, 1).unwrap();
        Model::new(Arc::new(g.build().unwrap()), weights([("fc", &[weight], &[bias])]))
    };
    assert!(build(32767.0, 2047.0).is_ok());
    assert!(build(32768.0, 0.0).is_err());
    assert!(build(0.0, -2048.0).is_err());
    assert!(build(f32::MAX, 0.0).is_err());
    assert!(build(f32::NAN, 0.0).is_err());
}

#[test]
fn the_worst_case_holds_and_is_reached() {
    let m = branches();
    let worst = worst_case_ranges(&m, -16, 32);
    // conv at its highest: 32 * (16 + 8 + 4) + 16 * 16 + 26; at its lowest: -16 * 28 - 32 * 16 + 26.
    assert_eq!((worst[0].min, worst[0].max), (-934, 1178));
    let mut extreme = Array4::from_elem((1, 1, 3, 3), 32);
    extreme[[0, 0, 1, 0]] = -16;
    assert_eq!(run_fixed_ranges(&m, &extreme).unwrap()[0].max, 1178);
    for (seen, bound) in run_fixed_ranges(&m, &encode_input(m.graph(), &image())).unwrap().iter().zip(&worst) {
        assert!(bound.min <= seen.min && seen.max <= bound.max, "{seen:?} {bound:?}");
    }
    let m = zoo::model("tiny").unwrap();
    assert!(worst_case_ranges(&m, -(1 << 15), (1 << 15) - 1).iter().all(|r| r.needed_bits <= r.signed_bits));
}

/// Two squares after fully connected layers of two features.
fn squares() -> Model {
    let mut g = GraphBuilder::new("squares", [2, 1, 1], COARSE).unwrap();
    let x = g.fc("fc1", 0, 2).unwrap();
    let x = g.square("square1", x).unwrap();
    let x = g.fc("fc2", x, 1).unwrap();
    g.square("square2", x).unwrap();
    model(g.build().unwrap(), weights([("fc1", &[0.5, 1.0, -0.25, 0.5], &[0.0, 0.5]), ("fc2", &[0.5, -0.5], &[0.0])]))
}

#[test]
fn squares_by_hand() {
    let m = squares();
    let x = Array4::from_shape_vec((1, 2, 1, 1), vec![24, -40]).unwrap();
    // fc1: 24 * 8 - 40 * 16 = -448 and 24 * -4 - 40 * 8 + 128 = -288; sixteenths -28 and -18; squares 784 and 324, 49 and 20.
    // fc2: 49 * 8 - 20 * 8 = 232, 14; 196, 12.
    assert_eq!(run_fixed(&m, &x).unwrap(), arr2(&[[12]]));
    let float = run_float(&m, &x.mapv(|v| v as f32 / 16.0)).unwrap();
    // -1.75 and -1.125 squared: 3.0625 and 1.265625; half their difference squared.
    assert!((float[[0, 0]] - 0.898_437_5 * 0.898_437_5).abs() < 1e-5, "{float}");
    let worst = worst_case_ranges(&m, -16, 16);
    assert_eq!((worst[2].min, worst[2].max), (0, 576), "fc1 lies in -24 to 24");
}

#[test]
fn no_rounding_goes_beyond_the_error_bound() {
    for m in [branches(), squares(), (*zoo::model("tiny").unwrap()).clone()] {
        let bound = score_error_bound(&m);
        assert!(0 < score_tolerance(&m) && score_tolerance(&m) <= bound);
        let [c, h, w] = m.graph().input_shape();
        let x = Array4::from_shape_fn((20, c, h, w), |(n, _, y, x)| ((n * 31 + y * 17 + x * 13) % 33) as i64 - 16);
        let exact = run_fixed(&m, &x).unwrap();
        let mut greatest = 0;
        for pattern in 0..64u64 {
            let mut i = 0u32;
            let noisy = run_fixed_with(&m, &x, &mut |_, _| {
                i = i.wrapping_add(1);
                pattern == 0 || (pattern.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(i) ^ u64::from(i)) & 1 == 1
            });
            let off = (noisy.unwrap() - &exact).mapv(i64::abs).into_iter().max().unwrap();
            greatest = greatest.max(off);
        }
        assert!(0 < greatest && greatest <= bound, "{greatest} {bound}");
    }
}

#[test]
fn labels_and_ties() {
    assert_eq!(label([1, 5, 5, 2]), 1);
    assert_eq!(label([-3.0, -4.0]), 0);
    assert!(label_within(&[10, 20, 17], 1, 0));
    assert!(!label_within(&[10, 20, 17], 2, 1));
    assert!(label_within(&[10, 20, 17], 2, 2));
    assert!(!label_within(&[10, 20, 17], 3, i64::MAX));
}
