//! Running one operation on several backends and comparing what they answer.

use std::sync::LazyLock;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, DType, Reference};
use proptest::prelude::*;

/// A compute mode on one thread and on three, which must give the same bits.
pub(crate) struct Machine {
    pub(crate) compute: Compute,
    pub(crate) alone: Cpu,
    pub(crate) team: Cpu,
}

pub(crate) static MACHINES: LazyLock<Vec<Machine>> = LazyLock::new(|| {
    let mut modes = vec![Compute::F32];
    modes.extend(Cpu::supports_bf16().then_some(Compute::Bf16));
    let cpu = |threads, compute| Cpu::new(CpuOptions { threads: Some(threads), compute });
    modes.into_iter().map(|compute| Machine { compute, alone: cpu(1, compute), team: cpu(3, compute) }).collect()
});

pub(crate) static REFERENCE: LazyLock<Reference> = LazyLock::new(|| Reference::new(Compute::F32));

/// Largest error of an element as a part of its own size plus a twentieth of the largest of its vector.
#[derive(Clone, Copy)]
pub(crate) struct Tolerance {
    pub(crate) f32: f64,
    /// For machines that compute in bf16.
    pub(crate) bf16: f64,
}

impl Tolerance {
    /// Sums in `f32`; results that may be stored in bf16, whose half unit is 2⁻⁹ of a value.
    pub(crate) const ROUNDING: Self = Self { f32: 1e-5, bf16: 4e-3 };
    /// The same when even a machine that computes in `f32` is handed bf16 buffers.
    pub(crate) const STORED: Self = Self { f32: 4e-3, bf16: 4e-3 };
}

/// Evaluates `$body`, a list of host vectors, with `$backend` bound to the reference and to each machine, and compares.
macro_rules! agree {
    ($tolerance:expr, |$backend:ident| $body:block) => {{
        let wanted: Vec<Vec<f32>> = {
            let $backend = &*$crate::harness::REFERENCE;
            $body
        };
        for machine in &*$crate::harness::MACHINES {
            let alone: Vec<Vec<f32>> = {
                let $backend = &machine.alone;
                $body
            };
            let team: Vec<Vec<f32>> = {
                let $backend = &machine.team;
                $body
            };
            $crate::harness::compare($tolerance, machine.compute, &wanted, &alone, &team);
        }
    }};
}
pub(crate) use agree;

#[track_caller]
pub(crate) fn compare(
    tolerance: Tolerance,
    compute: Compute,
    wanted: &[Vec<f32>],
    alone: &[Vec<f32>],
    team: &[Vec<f32>],
) {
    let tolerance = if compute == Compute::F32 { tolerance.f32 } else { tolerance.bf16 };
    assert_eq!(wanted.len(), alone.len());
    for (output, (wanted, (alone, team))) in wanted.iter().zip(alone.iter().zip(team)).enumerate() {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(alone), bits(team), "output {output} depends on the threads ({compute:?})");
        assert_eq!(wanted.len(), alone.len());
        let largest = wanted.iter().fold(0.0, |largest: f64, &value| largest.max(f64::from(value).abs()));
        for (index, (&wanted, &got)) in wanted.iter().zip(alone).enumerate() {
            let error = (f64::from(wanted) - f64::from(got)).abs();
            let allowed = tolerance * (f64::from(wanted).abs() + 0.05 * largest);
            assert!(
                error <= allowed && got.is_finite(),
                "output {output}, element {index}: got {got}, wanted {wanted} ({compute:?})"
            );
        }
    }
}

/// Reproducible values in [-1, 1], multiples of 2⁻⁷: exact in bf16, so that all machines have the same inputs.
pub(crate) fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 33) % 257) as f32 / 128.0 - 1.0
        })
        .collect()
}

/// Reproducible indices below `bound`.
pub(crate) fn indices(len: usize, bound: usize, seed: u64) -> Vec<u32> {
    let mut state = (seed + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 20) % bound as u64) as u32
        })
        .collect()
}

/// A buffer of a given type.
pub(crate) fn typed<B: Backend>(backend: &B, dtype: DType, values: &[f32]) -> B::Buffer {
    let mut buffer = backend.alloc(dtype, values.len());
    backend.write(&mut buffer, 0, values);
    buffer
}

/// A buffer of the type that the backend's layers exchange.
pub(crate) fn activation<B: Backend>(backend: &B, values: &[f32]) -> B::Buffer {
    typed(backend, backend.activation_dtype(), values)
}

/// All of a buffer.
pub(crate) fn host<B: Backend>(backend: &B, buffer: &B::Buffer) -> Vec<f32> {
    backend.read(buffer, 0, backend.len(buffer))
}

/// Sizes on both sides of what vectors, tiles and blocks are cut by.
pub(crate) fn size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1), Just(3), Just(16), Just(17), Just(63), Just(65), Just(100), Just(257), 1_usize..40]
}

pub(crate) fn dtype() -> impl Strategy<Value = DType> {
    prop_oneof![Just(DType::F32), Just(DType::Bf16)]
}

/// Failures are printed with their smallest input; nothing is kept on disk.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
