//! Values of `bits` bits each, least significant bit first, without gaps: the wire format of every share.

use crate::Error;

/// Bytes that `count` values of `bits` bits take.
#[must_use]
pub const fn packed_len(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Appends `values` to `out`, `bits` (1..=64) bits each; higher bits of a value are ignored.
pub fn pack(values: &[u64], bits: u32, out: &mut Vec<u8>) {
    debug_assert!((1..=64).contains(&bits));
    let mask = u64::MAX >> (64 - bits);
    out.reserve(packed_len(values.len(), bits));
    // At most 7 bits wait in `acc` before a value is added, so 71 bits are the most it ever holds.
    let (mut acc, mut filled) = (0u128, 0u32);
    for &v in values {
        acc |= u128::from(v & mask) << filled;
        filled += bits;
        let whole = (filled / 8) as usize;
        out.extend_from_slice(&acc.to_le_bytes()[..whole]);
        acc >>= whole * 8;
        filled %= 8;
    }
    if filled > 0 {
        out.push(acc as u8);
    }
}

/// The `count` values of `bits` bits packed in `bytes`.
///
/// # Errors
/// If the length does not fit, or the padding is not zero (one value has one encoding).
pub fn unpack(bytes: &[u8], count: usize, bits: u32) -> Result<Vec<u64>, Error> {
    // The length is checked before anything is allocated: `count` may come from a peer.
    check(bytes, count, bits)?;
    let mut out = vec![0; count];
    unpack_into(bytes, bits, &mut out)?;
    Ok(out)
}

/// As [`unpack`], into a slice whose length is the count.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_into(bytes: &[u8], bits: u32, out: &mut [u64]) -> Result<(), Error> {
    check(bytes, out.len(), bits)?;
    let mask = u64::MAX >> (64 - bits);
    for (i, o) in out.iter_mut().enumerate() {
        let start = i * bits as usize;
        let (byte, shift) = (start / 8, start % 8);
        let mut window = [0u8; 16];
        let take = (bytes.len() - byte).min(9);
        window[..take].copy_from_slice(&bytes[byte..byte + take]);
        *o = (u128::from_le_bytes(window) >> shift) as u64 & mask;
    }
    Ok(())
}

fn check(bytes: &[u8], count: usize, bits: u32) -> Result<(), Error> {
    if !(1..=64).contains(&bits) {
        return Err(Error::Width { bits });
    }
    let used = count.saturating_mul(bits as usize);
    if bytes.len() != used.div_ceil(8) {
        return Err(Error::PackedLength { got: bytes.len(), want: used.div_ceil(8), count, bits });
    }
    match bytes.last() {
        Some(last) if !used.is_multiple_of(8) && last >> (used % 8) != 0 => Err(Error::Padding),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_and_count_survives() {
        for bits in 1..=64u32 {
            for count in [0usize, 1, 2, 3, 7, 8, 9, 31, 64, 65] {
                let mask = u64::MAX >> (64 - bits);
                let values: Vec<u64> =
                    (0..count as u64).map(|i| (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask).collect();
                let mut bytes = Vec::new();
                pack(&values, bits, &mut bytes);
                assert_eq!(bytes.len(), packed_len(count, bits));
                assert_eq!(unpack(&bytes, count, bits).unwrap(), values, "bits {bits} count {count}");
            }
        }
    }

    #[test]
    fn wrong_lengths_and_padding_are_refused() {
        let mut bytes = Vec::new();
        pack(&[1, 2, 3], 5, &mut bytes);
        assert!(matches!(unpack(&bytes, 4, 5), Err(Error::PackedLength { .. })));
        assert!(matches!(unpack(&bytes[..1], 3, 5), Err(Error::PackedLength { .. })));
        assert!(matches!(unpack(&bytes, usize::MAX, 5), Err(Error::PackedLength { .. })));
        bytes[1] |= 0x80;
        assert_eq!(unpack(&bytes, 3, 5), Err(Error::Padding));
    }
}
