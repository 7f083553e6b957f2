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
    let (mut word, mut filled) = (0u64, 0);
    for &v in values {
        let v = v & mask;
        word |= v << filled;
        filled += bits;
        if filled >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= 64;
            // The bits of v that found no room; none if it began at the word.
            word = v.checked_shr(bits - filled).unwrap_or(0);
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..filled.div_ceil(8) as usize]);
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
    let width = bits as usize;
    // While eight bytes from a value's first on are there and hold all of it.
    let whole = match bytes.len().checked_sub(8) {
        Some(last) if width <= 57 => out.len().min((last * 8 + 7) / width + 1),
        _ => 0,
    };
    let (fast, rest) = out.split_at_mut(whole);
    for (i, o) in fast.iter_mut().enumerate() {
        let (byte, shift) = (i * width / 8, i * width % 8);
        let mut window = [0; 8];
        window.copy_from_slice(&bytes[byte..byte + 8]);
        *o = u64::from_le_bytes(window) >> shift & mask;
    }
    for (i, o) in rest.iter_mut().enumerate() {
        let start = (whole + i) * width;
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
