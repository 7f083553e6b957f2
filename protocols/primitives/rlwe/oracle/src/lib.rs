//! An independent BFV implementation, `fhe` 0.1.1, with the parameters of `si-rlwe`: the oracle of its tests, and a measure for
//! its kernels. Not part of any protocol.

use std::sync::Arc;

use fhe::bfv::{BfvParameters, BfvParametersBuilder, Ciphertext, Encoding, Plaintext, SecretKey, dot_product_scalar};
use fhe_traits::{FheDecoder, FheDecrypter, FheEncoder, FheEncrypter};
use rand_fhe::SeedableRng;
use rand_fhe::rngs::StdRng;

/// One party that holds everything.
pub struct Fhe {
    params: Arc<BfvParameters>,
    key: SecretKey,
    rng: StdRng,
}

impl Fhe {
    /// A fresh key for dimension `n`, these primes and the plaintext modulus `t`.
    ///
    /// # Errors
    /// If `fhe` refuses the parameters.
    pub fn new(n: usize, moduli: &[u64], t: u64, seed: u64) -> fhe::Result<Self> {
        let params =
            BfvParametersBuilder::new().set_degree(n).set_moduli(moduli).set_plaintext_modulus(t).build_arc()?;
        let mut rng = StdRng::seed_from_u64(seed);
        let key = SecretKey::random(&params, &mut rng);
        Ok(Self { params, key, rng })
    }

    /// An encryption of the polynomial with these coefficients modulo t.
    ///
    /// # Errors
    /// If there are more than n coefficients.
    pub fn encrypt(&mut self, coefficients: &[u64]) -> fhe::Result<Ciphertext> {
        let plain = Plaintext::try_encode(coefficients, Encoding::poly(), &self.params)?;
        self.key.try_encrypt(&plain, &mut self.rng)
    }

    /// A weight polynomial, transformed.
    ///
    /// # Errors
    /// If there are more than n coefficients.
    pub fn weights(&self, coefficients: &[i64]) -> fhe::Result<Plaintext> {
        Plaintext::try_encode(coefficients, Encoding::poly(), &self.params)
    }

    /// Sum of products: the multiply-accumulate of a linear layer.
    ///
    /// # Errors
    /// If there is nothing to add up.
    pub fn dot(ciphertexts: &[Ciphertext], weights: &[Plaintext]) -> fhe::Result<Ciphertext> {
        dot_product_scalar(ciphertexts.iter(), weights.iter())
    }

    /// All n coefficients modulo t.
    ///
    /// # Errors
    /// If the ciphertext has other parameters.
    pub fn decrypt(&self, ciphertext: &Ciphertext) -> fhe::Result<Vec<u64>> {
        Vec::try_decode(&self.key.try_decrypt(ciphertext)?, Encoding::poly())
    }
}
