/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can be wrong with parameters, layers, weights or a peer's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The ring dimension is not one the security table and the transforms cover.
    #[error("ring dimension {n} is not supported: choose 4096 or 8192")]
    Dimension {
        /// Dimension asked for.
        n: usize,
    },
    /// The ciphertext modulus is too large for 128-bit security at this dimension.
    #[error(
        "a ciphertext modulus of {q_bits} bits at N = {n} is below 128-bit security: \
         the Homomorphic Encryption Standard allows at most {max_bits} bits for ternary secrets"
    )]
    Insecure {
        /// Ring dimension.
        n: usize,
        /// Upper bound on log2 q.
        q_bits: u32,
        /// Greatest log2 q allowed.
        max_bits: u32,
    },
    /// The plaintext modulus is malformed: no width in 1..=64, or not an odd prime below 2^58.
    #[error("plaintext modulus: {why}")]
    PlainModulus {
        /// What is wrong with it.
        why: String,
    },
    /// The plaintext modulus leaves too little of the ciphertext modulus for noise and flooding.
    #[error(
        "a plaintext modulus of {t_bits} bits is too large for a ciphertext modulus of {q_bits} bits: weights of \
         L2 norm {want} could not be hidden with {statistical_bits} bits (at most {max}); \
         take more primes or a larger ring dimension"
    )]
    PlainTooLarge {
        /// Bits of the plaintext modulus.
        t_bits: u32,
        /// Bits of the ciphertext modulus.
        q_bits: u32,
        /// L2 norm that must at least fit.
        want: u64,
        /// L2 norm that would fit.
        max: u64,
        /// Statistical security parameter.
        statistical_bits: u32,
    },
    /// The layer makes no sense or does not fit the ring dimension.
    #[error("layer: {why}")]
    Layer {
        /// What is wrong with it.
        why: String,
    },
    /// A slice given by the caller has the wrong length.
    #[error("{what}: {got} elements where the layer has {want}")]
    Length {
        /// Which tensor.
        what: &'static str,
        /// Elements given.
        got: usize,
        /// Elements needed.
        want: usize,
    },
    /// The weights are so large that flooding would not hide the noise they cause.
    #[error(
        "weights packed into one answer have L2 norm {norm}, of which {statistical_bits} bits of statistical \
         security allow at most {max}: use a smaller scale, fewer filters per polynomial or more primes"
    )]
    WeightNorm {
        /// Euclidean norm of the weights that meet in one output polynomial, rounded up.
        norm: u64,
        /// Greatest norm allowed.
        max: u64,
        /// Statistical security parameter.
        statistical_bits: u32,
    },
    /// Keys, weights or plans were made for other parameters or another layer.
    #[error("{what} were made for another {of}")]
    Mismatch {
        /// The object.
        what: &'static str,
        /// What differs: parameters, plan or key.
        of: &'static str,
    },
    /// A peer's message is not what the plan says it should be.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// Which message.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        Self::Malformed { what, why: why.into() }
    }
}
