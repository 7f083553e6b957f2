//! The linear layers of a network on slots over a field of 37 bits, both parties in one thread: CPU time, traffic, keys.
//!
//! `cargo run --release -p si-rlwe --example slots -- squeezenet` (or `resnet50`, `conv56`, `conv14`, `fc`); `plan` as second
//! argument prints the costs alone.

use std::collections::BTreeSet;

use cpu_time::ThreadTime;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use si_rlwe::slots::{RotationKeys, SlotCost, SlotParams, SlotPlan, encode_rotation_key, rotation_key_bytes};
use si_rlwe::{Error, Layer, generate_keys};

fn conv(c: usize, hw: usize, m: usize, k: usize, stride: usize, padding: usize) -> Layer {
    Layer {
        in_channels: c,
        in_hw: [hw; 2],
        out_channels: m,
        kernel: [k; 2],
        stride: [stride; 2],
        padding: [padding; 4],
        ..Layer::fully_connected(1, 1, 1)
    }
}

/// SqueezeNet 1.0 (Iandola et al. 2016) on 227x227 images: 26 convolutions.
fn squeezenet() -> Vec<Layer> {
    let mut layers = vec![conv(3, 227, 96, 7, 2, 0)];
    let fires = [
        (96, 16, 64, 55),
        (128, 16, 64, 55),
        (128, 32, 128, 55),
        (256, 32, 128, 27),
        (256, 48, 192, 27),
        (384, 48, 192, 27),
        (384, 64, 256, 27),
        (512, 64, 256, 13),
    ];
    for (input, squeeze, expand, hw) in fires {
        layers.push(conv(input, hw, squeeze, 1, 1, 0));
        layers.push(conv(squeeze, hw, expand, 1, 1, 0));
        layers.push(conv(squeeze, hw, expand, 3, 1, 1));
    }
    layers.push(conv(512, 13, 1000, 1, 1, 0));
    layers
}

/// ResNet50 v1 (He et al. 2016) on 224x224 images: 53 convolutions and a matrix.
fn resnet50() -> Vec<Layer> {
    let mut layers = vec![conv(3, 224, 64, 7, 2, 3)];
    let (mut channels, mut hw) = (64, 56);
    for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
        let width = 64 << stage;
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            layers.push(conv(channels, hw, width, 1, 1, 0));
            layers.push(conv(width, hw, width, 3, stride, 1));
            layers.push(conv(width, hw / stride, 4 * width, 1, 1, 0));
            if block == 0 {
                layers.push(conv(channels, hw, 4 * width, 1, stride, 0));
            }
            (channels, hw) = (4 * width, hw / stride);
        }
    }
    layers.push(Layer::fully_connected(1, 2048, 1000));
    layers
}

fn main() -> Result<(), Error> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "squeezenet".into());
    let layers = match name.as_str() {
        "conv56" => vec![conv(64, 56, 64, 3, 1, 1)],
        "conv14" => vec![conv(256, 14, 256, 3, 1, 1)],
        "fc" => vec![Layer::fully_connected(1, 2048, 1000)],
        "resnet50" => resnet50(),
        _ => squeezenet(),
    };
    let params = SlotParams::for_bits(37)?;
    let plans = layers.iter().map(|layer| SlotPlan::new(&params, layer)).collect::<Result<Vec<_>, _>>()?;
    if std::env::args().nth(2).is_some_and(|arg| arg == "plan") {
        let keys: BTreeSet<_> = plans.iter().flat_map(|plan| plan.rotations().iter().copied()).collect();
        let sum = |field: fn(&SlotCost) -> usize| plans.iter().map(|plan| field(&plan.cost())).sum::<usize>();
        plans.iter().for_each(|plan| println!("{:?} {:?}", plan.layer(), plan.cost()));
        println!(
            "{name}: {} keys, up {} ciphertexts {} bytes, down {} and {}, hoisted {}, rotations {}, products {}",
            keys.len(),
            sum(|c| c.ciphertexts_up),
            sum(|c| c.bytes_up),
            sum(|c| c.ciphertexts_down),
            sum(|c| c.bytes_down),
            sum(|c| c.hoisted_rotations),
            sum(|c| c.rotations),
            sum(|c| c.products)
        );
        return Ok(());
    }
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let start = ThreadTime::now();
    let (secret, public) = generate_keys(params.scheme(), &mut rng);
    let rotations: BTreeSet<_> = plans.iter().flat_map(|plan| plan.rotations().iter().copied()).collect();
    let mut keys = RotationKeys::new(&params, &public)?;
    for &rotation in &rotations {
        keys.insert(rotation, &encode_rotation_key(&params, &secret, rotation, &mut rng)?)?;
    }
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "{} keys, {:.1} MiB, {:.3} s",
        rotations.len(),
        mib(rotations.len() * rotation_key_bytes(&params)),
        start.elapsed().as_secs_f64()
    );
    let (mut times, mut bytes) = ([0.0; 3], 0);
    for (layer, plan) in layers.iter().zip(&plans) {
        let share: Vec<u64> =
            (1..=plan.input_len() as u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % params.field()).collect();
        let plain: Vec<i64> = share.iter().cycle().take(plan.weight_len()).map(|x| (x % 8192) as i64 - 4096).collect();
        let weights = plan.weights(&plain)?;
        let mut output = vec![0; plan.output_len()];
        let mut client = output.clone();
        let mut spent = [0.0; 3];
        for part in 0..plan.parts() {
            let mut clock = ThreadTime::now();
            let mut lap = |spent: &mut f64| {
                *spent += clock.elapsed().as_secs_f64();
                clock = ThreadTime::now();
            };
            let query = plan.encrypt_part(&secret, part, &share, &mut rng)?;
            lap(&mut spent[0]);
            let answer = plan.answer_part(&keys, &weights, part, &query, Some(&share), &mut output, &mut rng)?;
            lap(&mut spent[1]);
            plan.decrypt_part(&secret, part, &answer, &mut client)?;
            lap(&mut spent[2]);
        }
        let cost = plan.cost();
        println!(
            "{:?} {}x{} -> {}: encrypt {:.3} answer {:.3} decrypt {:.3} s, {:.2} MiB, {:.1} bits, {cost:?}",
            layer.kernel,
            layer.in_channels,
            layer.in_hw[0],
            layer.out_channels,
            spent[0],
            spent[1],
            spent[2],
            mib(cost.bytes_up + cost.bytes_down),
            plan.statistical_bits(),
        );
        times.iter_mut().zip(spent).for_each(|(sum, s)| *sum += s);
        bytes += cost.bytes_up + cost.bytes_down;
    }
    println!("{name}: {times:.3?} s of CPU, {:.3} in all, {:.1} MiB", times.iter().sum::<f64>(), mib(bytes));
    Ok(())
}
