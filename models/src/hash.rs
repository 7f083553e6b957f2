//! Pinned files: what was fetched or embedded is what was meant.

use sha2::{Digest, Sha256};

/// SHA-256 in lower-case hexadecimal, as `sha256sum` prints it.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// What is wrong with the bytes if their SHA-256 is not `expected`: a sentence with both hashes.
#[must_use]
pub fn sha256_mismatch(bytes: &[u8], expected: &str) -> Option<String> {
    let is = sha256_hex(bytes);
    (is != expected).then(|| format!("its sha256 is {is}, it should be {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_vector() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), abc);
        assert_eq!(sha256_mismatch(b"abc", abc), None);
        let why = sha256_mismatch(b"abd", abc).unwrap();
        assert!(why.contains(abc) && why.contains(&sha256_hex(b"abd")));
    }
}
