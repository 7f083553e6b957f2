//! Linear layers over a prime field on batched ciphertexts with rotations: the homomorphic part of CrypTFlow2's SCI_HE (Rathee
//! et al., CCS 2020), which follows Gazelle (Juvekar, Vaikuntanathan, Chandrakasan, USENIX Security 2018) and DELPHI.
//!
//! N = 8192; the plaintext modulus is a prime p = 1 mod 2N, so a plaintext is a vector of N *slots* in Z_p, two rows of N/2, on
//! which sums and products act slot by slot, and automorphisms rotate both rows or swap them.
//!
//! ```
//! # fn main() -> Result<(), si_rlwe::Error> {
//! # use rand::SeedableRng;
//! use si_rlwe::slots::{RotationKeys, SlotParams, SlotPlan, encode_rotation_key};
//! use si_rlwe::{Layer, PublicKey, generate_keys};
//! # let (mut client_rng, mut server_rng) =
//! #     (rand_chacha::ChaCha20Rng::from_seed([1; 32]), rand_chacha::ChaCha20Rng::from_seed([2; 32]));
//! // Public, the same for both: a prime field of 37 bits, a matrix of 2 rows and 3 columns.
//! let params = SlotParams::for_bits(37)?;
//! let plan = SlotPlan::new(&params, &Layer::fully_connected(1, 3, 2))?;
//!
//! // Once per session: the client's keys, for the rotations of all layers (the union of `SlotPlan::rotations`).
//! let (secret, public) = generate_keys(params.scheme(), &mut client_rng);
//! let public = PublicKey::decode(params.scheme(), &public.encode())?;
//! let mut keys = RotationKeys::new(&params, &public)?;
//! for &rotation in plan.rotations() {
//!     let message = encode_rotation_key(&params, &secret, rotation, &mut client_rng)?;
//!     keys.insert(rotation, &message)?;
//! }
//! // Once per layer: the server's weights.
//! let weights = plan.weights(&[1, 2, 3, -4, 5, -6])?;
//!
//! // Client's share (10, 20, 30) up, answers down. The server's own share is (0, 0, 1).
//! let queries = plan.encrypt(&secret, &[10, 20, 30], &mut client_rng)?;
//! let (answers, server) = plan.answer(&keys, &weights, &queries, Some(&[0, 0, 1]), &mut server_rng)?;
//! let client = plan.decrypt(&secret, &answers)?;
//! let y = |i: usize| (client[i] + server[i]) % params.field();
//! assert_eq!((y(0), y(1)), (143, params.field() - 126));
//! # Ok(()) }
//! ```
//!
//! To stream, use [`SlotPlan::encrypt_part`], [`SlotPlan::answer_part`] and [`SlotPlan::decrypt_part`] for each of
//! [`SlotPlan::parts`]. Shares are field elements below p, flat and row-major as in [`crate::Layer`].
//!
//! **Security.** As for [`crate::LinearPlan`], and [`noise`] has the budget: every slot of an answer is masked, every coefficient
//! flooded, and the bound on the noise holds for any weights, so nothing is refused because of their values. Key-switching
//! keys are RLWE samples modulo q P of 200 bits (218 are allowed) under circular security, as in every scheme with rotations.

mod client;
pub(crate) mod encode;
mod galois;
mod keys;
mod layout;
mod mac;
pub mod noise;
mod params;
mod plan;
mod server;
mod switch;
mod weights;

pub use galois::Rotation;
pub use keys::{RotationKeys, encode_rotation_key, rotation_key_bytes};
pub use params::SlotParams;
pub use plan::{SlotCost, SlotPlan};
#[doc(hidden)]
pub use switch::RotationBench;
pub use weights::SlotWeights;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, generate_keys};
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    /// Periodic plaintexts and plaintexts of full length, tiles, phases, merges and folds.
    #[test]
    fn scalar_and_vector_kernels_send_the_same_bytes() {
        let conv = Layer { in_hw: [9, 9], kernel: [3, 3], stride: [2, 1], ..Layer::fully_connected(1, 3, 5) };
        for layer in [conv, Layer::fully_connected(1, 300, 3)] {
            let both = [false, true].map(|scalar| {
                let params = SlotParams::with_kernels(SlotParams::for_bits(37).unwrap().field(), scalar).unwrap();
                let plan = SlotPlan::new(&params, &layer).unwrap();
                let mut rng = ChaCha20Rng::seed_from_u64(3);
                let (secret, public) = generate_keys(params.scheme(), &mut rng);
                let mut keys = RotationKeys::new(&params, &public).unwrap();
                let mut sent = Vec::new();
                for &rotation in plan.rotations() {
                    let message = encode_rotation_key(&params, &secret, rotation, &mut rng).unwrap();
                    keys.insert(rotation, &message).unwrap();
                    sent.push(message);
                }
                let share: Vec<u64> = (0..plan.input_len() as u64).map(|i| i << 20).collect();
                let weights: Vec<i64> = (0..plan.weight_len() as i64).map(|i| i % 99 - 49).collect();
                let weights = plan.weights(&weights).unwrap();
                let queries = plan.encrypt(&secret, &share, &mut rng).unwrap();
                let (answers, _) = plan.answer(&keys, &weights, &queries, Some(&share), &mut rng).unwrap();
                let output = plan.decrypt(&secret, &answers).unwrap();
                sent.extend(queries);
                sent.extend(answers);
                (sent, output)
            });
            assert!(both[0] == both[1], "{layer:?}");
        }
    }
}
