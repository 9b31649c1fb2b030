//! Which vector instructions this machine has, and what every operation is handed.

use super::buffer::Pool;
use super::threads::Threads;
use crate::backend::Compute;

/// The widest instruction set the kernels may use. Ordered: a level includes the ones before it on its architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SimdLevel {
    /// Plain Rust; the compiler vectorises for the build's baseline.
    Portable,
    /// 128-bit vectors of 64-bit ARM.
    Neon,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX-512 with BF16 dot products.
    Avx512Bf16,
}

impl SimdLevel {
    /// What the running processor supports.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx512 && is_x86_feature_detected!("avx512bf16") {
                return Self::Avx512Bf16;
            }
            if avx512 {
                return Self::Avx512;
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        if cfg!(target_arch = "aarch64") { Self::Neon } else { Self::Portable }
    }

    /// Whether products of bf16 inputs run on the processor's own instructions.
    pub(crate) fn has_bf16(self) -> bool {
        self == Self::Avx512Bf16
    }

    /// Whether 512-bit vectors may be used.
    pub(crate) fn has_avx512(self) -> bool {
        self >= Self::Avx512
    }

    /// The name shown to users.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
        }
    }
}

/// What an operation needs besides its arguments.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) threads: &'a Threads,
    pub(crate) pool: &'a Pool,
    pub(crate) level: SimdLevel,
    pub(crate) compute: Compute,
}
