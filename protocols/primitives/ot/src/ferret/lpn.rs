//! The public code: each output is the sum of 10 entries of the secret, at positions that a public stream names.

use crate::block::Block;
use crate::cipher::Prg;
use crate::ferret::params::LOCALITY;
use crate::simd::Level;
#[cfg(target_arch = "x86_64")]
use crate::simd::lpn_x86;

/// Rows whose positions are drawn together (local); an even number, since two rows take five blocks.
const BATCH: usize = 64;

/// A 10-local code with rows of positions below 2^log_k. Row i takes the 32-bit words 10 i .. 10 i + 10 of the stream,
/// each reduced by masking, which is exact as k is a power of two.
pub(crate) struct Lpn {
    stream: Prg,
}

impl Lpn {
    /// The code that a public key names.
    pub(crate) fn new(key: Block) -> Self {
        Self { stream: Prg::new(key) }
    }

    /// Adds rows `first_row..` of the code, applied to `secret`, to `out`. `first_row` and the length must be even.
    pub(crate) fn add(&self, first_row: u64, secret: &[Block], out: &mut [Block]) {
        debug_assert!(first_row.is_multiple_of(2) && out.len().is_multiple_of(2) && secret.len().is_power_of_two());
        let mask = secret.len() - 1;
        let level = Level::detect();
        let mut words = [0; BATCH * LOCALITY / 4];
        for (n, rows) in out.chunks_mut(BATCH).enumerate() {
            let words = &mut words[..rows.len() * LOCALITY / 4];
            self.stream.fill((first_row + (n * BATCH) as u64) / 2 * 5, words);
            let positions: &mut [u32] = bytemuck::cast_slice_mut(words);
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 | Level::Avx512 => lpn_x86::add(level, positions, secret, rows),
                _ => {
                    for (row, p) in rows.iter_mut().zip(positions.chunks_exact(LOCALITY)) {
                        for p in p {
                            *row ^= secret[*p as usize & mask];
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_adds_the_same_rows() {
        let secret: Vec<Block> = (1..=4096).map(|i| i * 0x1_0000_0001_0000_0001).collect();
        let rows = |level: Level| {
            let mut out: Vec<Block> = (0..998).collect();
            level.force(|| Lpn::new(5).add(64, &secret, &mut out));
            out
        };
        for level in Level::all() {
            assert_eq!(rows(level), rows(Level::Scalar), "{level:?}");
        }
    }

    #[test]
    fn rows_do_not_depend_on_how_they_are_batched() {
        let lpn = Lpn::new(5);
        let secret: Vec<Block> = (1..=256).map(|i| i * 0x1_0000_0001_0000_0001).collect();
        let mut whole = vec![0; 300];
        lpn.add(0, &secret, &mut whole);
        let mut parts = vec![0; 300];
        for (from, to) in [(0, 2), (2, 130), (130, 300)] {
            lpn.add(from, &secret, &mut parts[from as usize..to]);
        }
        assert_eq!(whole, parts);
    }
}
