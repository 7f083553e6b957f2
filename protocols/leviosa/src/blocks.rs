//! A party's arithmetic on its shares of a block, the same for client and server.

use rand::CryptoRng;
use si_rlwe::field::Field;

use crate::bits;
use crate::code::Code;
use crate::columns::Row;
use crate::deviation::InsecureDeviation;

/// Codewords of the bits of a block, and the block without its lowest `f` bits. The first block of a run is where cheats are.
pub(crate) fn truncate(
    code: &Code,
    block: &[u64],
    f: u32,
    first: bool,
    deviation: Option<InsecureDeviation>,
    rng: &mut impl CryptoRng,
) -> (Vec<Row>, Vec<u64>) {
    let (field, narrow) = (code.field(), code.parameters().threshold);
    let mut bits: Vec<[u64; bits::BITS]> = block.iter().map(|&x| bits::split(field, x)).collect();
    let weights = bits::high_weights(field, f);
    let high = |bits: &[u64; bits::BITS]| weights.iter().zip(bits).map(|(w, b)| w * b).sum::<u64>();
    let mut values: Vec<u64> = bits.iter().map(high).collect();
    if first {
        match deviation {
            Some(InsecureDeviation::NotABit) => {
                // The same number with 2 at the place of a bit and, if need be, -1 below it.
                bits[0][1] = field.add(bits[0][1], 1);
                bits[0][0] = field.sub(bits[0][0], 2);
            }
            Some(InsecureDeviation::OtherBits) => {
                bits[0][20] ^= 1;
                values[0] = high(&bits[0]);
            }
            _ => {}
        }
    }
    let row = |i: usize| code.encode(&bits.iter().map(|b| b[i]).collect::<Vec<_>>(), narrow, rng);
    ((0..bits::BITS).map(row).collect(), values)
}

pub(crate) fn add_blocks(field: Field, a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(&a, &b)| field.add(a, b)).collect()
}

pub(crate) fn sub_blocks(field: Field, a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(&a, &b)| field.sub(a, b)).collect()
}

/// z^2 + 2 cross.
pub(crate) fn squared(field: Field, z: &[u64], cross: impl Fn(usize) -> u64) -> Vec<u64> {
    let twice = |x| field.add(x, x);
    z.iter().enumerate().map(|(i, &z)| field.mul_add(twice(cross(i)), z, z)).collect()
}

/// Zeros in place of neurons that are no inputs of the layer: nothing masks those.
pub(crate) fn only_inputs(mut block: Vec<u64>, width: usize, inputs: usize) -> Vec<u64> {
    block.iter_mut().enumerate().filter(|(i, _)| i % width >= inputs).for_each(|(_, x)| *x = 0);
    block
}
