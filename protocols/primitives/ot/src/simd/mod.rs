//! Kernels that use the vector instructions of the processor, chosen at run time; each has a scalar twin beside its
//! caller, and gives the same bits.

#[cfg(target_arch = "x86_64")]
pub(crate) mod aes_x86;
#[cfg(target_arch = "x86_64")]
pub(crate) mod clmul_x86;
#[cfg(target_arch = "x86_64")]
mod lanes_x86;
#[cfg(target_arch = "x86_64")]
pub(crate) mod lpn_x86;

#[cfg(target_arch = "x86_64")]
pub(crate) mod transpose_x86;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tree_x86;

use std::sync::OnceLock;

/// Which kernels run (local).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Portable code, and the `aes` crate (which itself uses what the processor has).
    Scalar,
    /// AES-NI, carry-less multiplication and AVX2.
    Avx2,
    /// AVX-512 with VAES, VPCLMULQDQ and GFNI.
    Avx512,
}

impl Level {
    /// The best level of this processor, or the scalar one if the environment variable `SI_NO_SIMD` is set to 1.
    pub(crate) fn detect() -> Self {
        #[cfg(test)]
        if let Some(level) = FORCED.get() {
            return level;
        }
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            if std::env::var_os("SI_NO_SIMD").is_some_and(|v| v == "1") { Self::Scalar } else { Self::of_processor() }
        })
    }

    #[cfg(target_arch = "x86_64")]
    fn of_processor() -> Self {
        let avx2 = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("sse4.1");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("gfni");
        match (avx2, avx512) {
            (_, true) => Self::Avx512,
            (true, false) => Self::Avx2,
            (false, false) => Self::Scalar,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of_processor() -> Self {
        Self::Scalar
    }

    /// The levels that can run here, the scalar one first.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        match Self::of_processor() {
            Self::Scalar => vec![Self::Scalar],
            Self::Avx2 => vec![Self::Scalar, Self::Avx2],
            Self::Avx512 => vec![Self::Scalar, Self::Avx2, Self::Avx512],
        }
    }

    /// Runs `f` with this level in the present thread.
    #[cfg(test)]
    pub(crate) fn force<T>(self, f: impl FnOnce() -> T) -> T {
        let before = FORCED.replace(Some(self));
        let out = f();
        FORCED.set(before);
        out
    }
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<Level>> = const { std::cell::Cell::new(None) };
}
