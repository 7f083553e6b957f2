//! The linear layers of ResNet50 one by one: windows, ciphertexts, bytes, CPU time of each party, memory.
//!
//! `cargo run --release -p si-cheetah --example linear_layers -- [batch] [Mbit/s of the cost model]`
//!
//! Shapes: ResNet50 v1, 224x224, 1000 classes, strides on the first 1x1 convolution of a stage and on its shortcut (as in the
//! networks of `si-models`; v1.5 has them on the 3x3). Ring 2^37, random weights of 9 bits and a sign (cost does not depend on
//! them), random shares. Both parties in this one process in turn, nothing sent: `client` encrypts and decrypts, `server`
//! does the rest with the weights transformed within (once for the batch), by as many threads as `RAYON_NUM_THREADS` says.
//! Times are CPU times of one run, the last line is elapsed time; for layers that
//! occur several times they and the bytes are of all occurrences (measured once and multiplied). Some outputs are checked
//! against the definition.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use si_rlwe::{CostWeights, Layer, LinearPlan, Params, generate_keys};

const RING_BITS: u32 = 37;

/// How often a layer occurs, and the layer, for one image.
fn resnet50() -> Vec<(usize, Layer)> {
    let conv = |c, hw, m, k, stride| Layer {
        batch: 1,
        in_channels: c,
        in_hw: [hw; 2],
        out_channels: m,
        kernel: [k; 2],
        stride: [stride; 2],
        padding: [k / 2; 4],
        groups: 1,
    };
    let mut layers = vec![(1, conv(3, 224, 64, 7, 2))];
    let mut input = (64, 56);
    for (blocks, width, stride) in [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)] {
        let (channels, hw) = input;
        let (out, small) = (4 * width, hw / stride);
        layers.extend([
            (1, conv(channels, hw, width, 1, stride)),
            (1, conv(channels, hw, out, 1, stride)),
            (blocks, conv(width, small, width, 3, 1)),
            (blocks, conv(width, small, out, 1, 1)),
            (blocks - 1, conv(out, small, width, 1, 1)),
        ]);
        input = (out, small);
    }
    layers.push((1, Layer::fully_connected(1, 2048, 1000)));
    layers
}

/// Pseudo-random numbers of `bits` bits.
fn numbers(seed: u64, len: usize, bits: u32) -> Vec<u64> {
    (0..len as u64)
        .map(|i| {
            let x = (i + seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> (64 - bits)
        })
        .collect()
}

/// One output by the definition of a convolution, modulo 2^64.
fn output(l: &Layer, out_hw: [usize; 2], index: usize, input: &[u64], weights: &[i64]) -> u64 {
    let [oh, ow] = out_hw;
    let (x, y, m, n) =
        (index % ow, index / ow % oh, index / (ow * oh) % l.out_channels, index / (ow * oh * l.out_channels));
    let mut sum = 0u64;
    for c in 0..l.in_channels {
        for u in 0..l.kernel[0] {
            for v in 0..l.kernel[1] {
                let row = (y * l.stride[0] + u).wrapping_sub(l.padding[0]);
                let col = (x * l.stride[1] + v).wrapping_sub(l.padding[1]);
                if row < l.in_hw[0] && col < l.in_hw[1] {
                    let pixel = input[((n * l.in_channels + c) * l.in_hw[0] + row) * l.in_hw[1] + col];
                    let weight = weights[((m * l.in_channels + c) * l.kernel[0] + u) * l.kernel[1] + v];
                    sum = sum.wrapping_add(pixel.wrapping_mul(weight as u64));
                }
            }
        }
    }
    sum
}

/// Greatest resident memory of this process so far, in MiB.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let batch: usize = args.next().map_or(Ok(1), |a| a.parse())?;
    let costs = match args.next() {
        Some(rate) => CostWeights::for_link(1_000_000 * rate.parse::<u64>()?),
        None => CostWeights::default(),
    };
    let params = Params::for_ring(RING_BITS)?;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (secret, public) = generate_keys(&params, &mut rng);
    let mask = u64::MAX >> (64 - RING_BITS);
    println!("batch {batch}, {costs:?}");
    println!(
        "{:<28} {:>22} {:>5} {:>6} {:>6} {:>8} {:>7} {:>9} {:>9} {:>9} {:>9}",
        "layer",
        "M_w,C_w,images,tile",
        "parts",
        "ct up",
        "ct dn",
        "products",
        "weights",
        "MB up",
        "MB down",
        "client ms",
        "server ms"
    );
    let (mut up, mut down, mut bytes_up, mut bytes_down, mut products, mut polys) = (0, 0, 0, 0, 0, 0);
    let (mut client_time, mut server_time, mut elapsed) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for (times, layer) in resnet50() {
        let layer = Layer { batch, ..layer };
        let plan = LinearPlan::new(&params, &layer, &costs)?;
        let [client_share, server_share] = [1, 2].map(|seed| numbers(seed << 40, plan.input_len(), RING_BITS));
        let plain: Vec<i64> = numbers(3, plan.weight_len(), 10).iter().map(|&w| w as i64 - 512).collect();

        let start = ProcessTime::now();
        let queries = plan.encrypt(&secret, &client_share, &mut rng)?;
        let encrypted = start.elapsed();
        let (start, clock) = (ProcessTime::now(), Instant::now());
        let weights = plan.defer_weights(&plain)?;
        let (answers, server_out) = plan.answer(&public, &weights, &queries, Some(&server_share), &mut rng)?;
        let server = start.elapsed();
        let served = clock.elapsed();
        let start = ProcessTime::now();
        let client_out = plan.decrypt(&secret, &answers)?;
        let client = encrypted + start.elapsed();

        let input: Vec<u64> = client_share.iter().zip(&server_share).map(|(a, b)| a.wrapping_add(*b)).collect();
        let [oh, ow] = [0, 1].map(|i| (layer.in_hw[i] + 2 * layer.padding[i] - layer.kernel[i]) / layer.stride[i] + 1);
        for index in (0..plan.output_len()).step_by(plan.output_len() / 50 + 1) {
            let got = client_out[index].wrapping_add(server_out[index]) & mask;
            if got != output(&layer, [oh, ow], index, &input, &plain) & mask {
                return Err(format!("output {index} of {layer:?} is wrong").into());
            }
        }

        let (cost, w) = (plan.cost(), plan.window());
        let count = times as u32;
        let ms = |time: Duration| (time * count).as_secs_f64() * 1e3;
        let name = match layer.in_hw {
            [1, 1] => format!("fc {}->{}", layer.in_channels, layer.out_channels),
            [hw, _] => format!(
                "{times} x {k}x{k}/{s} {}->{}@{hw}",
                layer.in_channels,
                layer.out_channels,
                k = layer.kernel[0],
                s = layer.stride[0]
            ),
        };
        let window = format!("{},{},{},{}x{}", w.filters, w.channels, w.images, w.out_rows, w.out_cols);
        let mb = |bytes: usize| (times * bytes) as f64 / 1e6;
        println!(
            "{name:<28} {window:>22} {:>5} {:>6} {:>6} {:>8} {:>7} {:>9.2} {:>9.2} {:>9.1} {:>9.1}",
            cost.parts,
            times * cost.ciphertexts_up,
            times * cost.ciphertexts_down,
            times * cost.products,
            times * cost.weight_polys,
            mb(cost.bytes_up),
            mb(cost.bytes_down),
            ms(client),
            ms(server)
        );
        up += times * cost.ciphertexts_up;
        down += times * cost.ciphertexts_down;
        bytes_up += times * cost.bytes_up;
        bytes_down += times * cost.bytes_down;
        products += times * cost.products;
        polys += times * cost.weight_polys;
        client_time += client * count;
        server_time += server * count;
        elapsed += served * count;
    }
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!("all: {up} ciphertexts up, {down} down, {products} products, {polys} weight polynomials");
    println!(
        "traffic: {:.1} MiB up + {:.1} MiB down = {:.1} MiB",
        mib(bytes_up),
        mib(bytes_down),
        mib(bytes_up + bytes_down)
    );
    println!(
        "CPU: client {:.2} s + server {:.2} s = {:.2} s",
        client_time.as_secs_f64(),
        server_time.as_secs_f64(),
        (client_time + server_time).as_secs_f64()
    );
    println!("elapsed: server {:.2} s", elapsed.as_secs_f64());
    if let Some(peak) = peak_mib() {
        println!("peak memory of both parties in this process: {peak} MiB");
    }
    Ok(())
}
