//! Cuts the embedded sample `mnist` out of `mnist-heldout` and prints the hashes that index.toml pins.
//!
//! `cargo run --release -p si-datasets --example make_sample`, after `make fetch`.

use std::path::Path;

use si_datasets::{encode_idx, load};
use si_models::sha256_hex;

/// 512 queries, 100 public samples and some more: 549 kB.
const SAMPLE: usize = 700;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sample = load("mnist-heldout")?.first(SAMPLE)?;
    let pixels: Vec<u8> = sample.images.iter().map(|p| (p * 255.0).round() as u8).collect();
    let labels: Vec<u8> = sample.labels.iter().map(|l| *l as u8).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("embedded");
    for (name, bytes) in [
        ("mnist-sample-images.idx3-ubyte", encode_idx(&[SAMPLE, 28, 28], &pixels)),
        ("mnist-sample-labels.idx1-ubyte", encode_idx(&[SAMPLE], &labels)),
    ] {
        std::fs::write(folder.join(name), &bytes)?;
        println!("{name}: {} bytes, sha256 {}", bytes.len(), sha256_hex(&bytes));
    }
    println!("content sha256 {}", sample.sha256);
    Ok(())
}
