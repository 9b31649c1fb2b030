//! What the tests of the operations share: a small machine, buffers from values, reproducible values.

use half::bf16;

use super::buffer::{Buffer, Pool, Values, ValuesMut};
use super::simd::{Context, SimdLevel};
use super::threads::Threads;
use crate::backend::{Compute, DType};

/// Owns what a [`Context`] borrows.
pub(crate) struct Machine {
    threads: Threads,
    pool: Pool,
    level: SimdLevel,
    compute: Compute,
}

impl Machine {
    pub(crate) fn new(level: SimdLevel, compute: Compute, threads: usize) -> Self {
        Self { threads: Threads::new(Some(threads)), pool: Pool::default(), level, compute }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context { threads: &self.threads, pool: &self.pool, level: self.level, compute: self.compute }
    }

    pub(crate) fn buffer(&self, dtype: DType, values: &[f32]) -> Buffer {
        let mut buffer = self.pool.buffer(dtype, values.len());
        match buffer.values_mut() {
            ValuesMut::F32(to) => to.copy_from_slice(values),
            ValuesMut::Bf16(to) => to.iter_mut().zip(values).for_each(|(to, &from)| *to = bf16::from_f32(from)),
        }
        buffer
    }

    pub(crate) fn indices(&self, values: &[u32]) -> Buffer {
        let mut buffer = self.pool.buffer(DType::U32, values.len());
        buffer.u32_mut().copy_from_slice(values);
        buffer
    }
}

/// A buffer's values.
pub(crate) fn host(buffer: &Buffer) -> Vec<f32> {
    match buffer.values() {
        Values::F32(values) => values.to_vec(),
        Values::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
    }
}

/// The levels this machine can run in a compute mode, fastest first.
pub(crate) fn levels(compute: Compute) -> Vec<SimdLevel> {
    let best = SimdLevel::detect();
    let candidates = if cfg!(target_arch = "aarch64") {
        vec![SimdLevel::Neon, SimdLevel::Portable]
    } else {
        vec![SimdLevel::Avx512Bf16, SimdLevel::Avx512, SimdLevel::Avx2, SimdLevel::Portable]
    };
    candidates.into_iter().filter(|&level| level <= best && (compute == Compute::F32 || level.has_bf16())).collect()
}

/// Reproducible values in [-1, 1] that are not exact in bf16.
pub(crate) fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}
