//! Two-party linear layers on ring-LWE ciphertexts, in the style of Cheetah (Huang, Lu, Hong, Ding, USENIX Security 2022):
//! the client holds a key and a share of a tensor, the server the weights and the other share; afterwards they hold shares of
//! the convolution or matrix product, exact modulo t. No peer is needed: messages are bytes.
//!
//! ```
//! # fn main() -> Result<(), si_rlwe::Error> {
//! # use rand::SeedableRng;
//! use si_rlwe::{CostWeights, Layer, LinearPlan, Params, PublicKey, generate_keys};
//! # let (mut client_rng, mut server_rng) =
//! #     (rand_chacha::ChaCha20Rng::from_seed([1; 32]), rand_chacha::ChaCha20Rng::from_seed([2; 32]));
//! // Public, the same for both: ring 2^37, a matrix of 2 rows and 3 columns.
//! let params = Params::for_ring(37)?;
//! let plan = LinearPlan::new(&params, &Layer::fully_connected(1, 3, 2), &CostWeights::default())?;
//!
//! // Once per session: the client's keys, the public one sent to the server.
//! let (secret, public) = generate_keys(&params, &mut client_rng);
//! let public = PublicKey::decode(&params, &public.encode())?;
//! // Once per layer: the server's weights.
//! let weights = plan.encode_weights(&[1, 2, 3, -4, 5, -6])?;
//!
//! // Client's share (10, 20, 30) up, answers down. The server's own share is (0, 0, 1).
//! let queries = plan.encrypt(&secret, &[10, 20, 30], &mut client_rng)?;
//! let (answers, server) = plan.answer(&public, &weights, &queries, Some(&[0, 0, 1]), &mut server_rng)?;
//! let client = plan.decrypt(&secret, &answers)?;
//! let y = |i: usize| (client[i] + server[i]) % (1 << 37);
//! assert_eq!((y(0), y(1)), (143, (1 << 37) - 126));
//! # Ok(()) }
//! ```
//!
//! To stream, use [`LinearPlan::encrypt_part`] for each of [`LinearPlan::parts`], [`LinearPlan::answering`] and
//! [`LinearPlan::decryption`]. Sizes of messages are known beforehand: [`LinearPlan::query_bytes`],
//! [`LinearPlan::answer_messages`], [`LinearPlan::cost`].
//!
//! **Security.** Semi-honest parties; 128 bits classical (Homomorphic Encryption Standard); answers hide the weights up to a
//! statistical distance of 2^-40 or less for each revealed coefficient. [`noise`] derives both correctness and
//! hiding. Malformed messages are refused with an error; they are not proof against a *malicious* party.
//!
//! `SI_NO_SIMD=1` in the environment when [`Params`] are made selects scalar kernels (transforms and products; the `aes` crate
//! keeps its hardware instructions). Results are the same bit for bit.

mod ahead;
mod client;
mod encrypt;
mod error;
pub mod field;
mod keys;
mod layer;
mod mac;
mod modulus;
pub mod noise;
mod ntt;
pub mod ole;
mod packing;
mod params;
mod plain;
mod plan;
mod poly;
mod prg;
mod seal;
mod server;
pub mod slots;
mod vector;
mod weights;
mod wire;

pub use ahead::{LayerAhead, WeightsAhead};
pub use client::Decryption;
pub use error::{Error, Result};
pub use keys::{PublicKey, SecretKey, generate_keys};
pub use layer::Layer;
#[doc(hidden)]
pub use mac::Products;
pub use params::{AnswerFormat, Params, PrimeChain, STATISTICAL_BITS};
pub use plain::PlainModulus;
pub use plan::{Cost, CostWeights, LinearPlan, Window};
pub use server::Answering;
pub use weights::{EncodedWeights, PlainWeights};
