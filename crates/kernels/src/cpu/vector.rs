//! How simple loops become vector code: written once over `f32` slices, compiled for each instruction set.
//!
//! Operations that are bound by memory load a block of either element type into `f32` scratch that fits the first
//! cache, work on it, and store it again; so no operation is written twice for two types.

use std::marker::PhantomData;
use std::ops::Range;

use half::bf16;

use super::buffer::{Values, ValuesMut};
use super::simd::SimdLevel;

/// A loop to be compiled for several instruction sets. `run` must be `#[inline(always)]`.
pub(crate) trait Vectorised {
    type Output;
    /// `FUSED` says whether `mul_add` is one instruction.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Runs a loop with the instructions of `level`.
pub(crate) fn vectorised<V: Vectorised>(level: SimdLevel, work: V) -> V::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if level.has_avx512() {
            // SAFETY: this level is only ever made by detection.
            return unsafe { avx512(work) };
        }
        if level == SimdLevel::Avx2 {
            // SAFETY: as above.
            return unsafe { avx2(work) };
        }
    }
    if level == SimdLevel::Neon { work.run::<true>() } else { work.run::<false>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512<V: Vectorised>(work: V) -> V::Output {
    work.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<V: Vectorised>(work: V) -> V::Output {
    work.run::<true>()
}

/// Rounds to the nearest bf16, ties to even; NaN stays NaN.
#[inline(always)]
pub(crate) fn round_to_bf16(value: f32) -> bf16 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
    bf16::from_bits(if value.is_nan() { (bits >> 16) as u16 | 0x40 } else { rounded })
}

#[inline(always)]
fn widen(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
}

impl Values<'_> {
    /// Elements `start .. start + to.len()` as `f32`.
    #[inline(always)]
    pub(crate) fn load(&self, start: usize, to: &mut [f32]) {
        match self {
            Values::F32(from) => to.copy_from_slice(&from[start..][..to.len()]),
            Values::Bf16(from) => to.iter_mut().zip(&from[start..]).for_each(|(to, &from)| *to = widen(from)),
        }
    }
}

/// A buffer that several tasks write at once, each to a range of its own.
pub(crate) struct Shared<'a> {
    pointer: Pointer,
    len: usize,
    lifetime: PhantomData<&'a mut f32>,
}

enum Pointer {
    F32(*mut f32),
    Bf16(*mut bf16),
}

// SAFETY: the pointers are only used through `range`-checked methods whose callers promise disjoint ranges.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(values: ValuesMut<'a>) -> Self {
        let (pointer, len) = match values {
            ValuesMut::F32(values) => (Pointer::F32(values.as_mut_ptr()), values.len()),
            ValuesMut::Bf16(values) => (Pointer::Bf16(values.as_mut_ptr()), values.len()),
        };
        Self { pointer, len, lifetime: PhantomData }
    }

    #[inline(always)]
    fn check(&self, start: usize, len: usize) {
        assert!(start + len <= self.len, "{start} + {len} is beyond a buffer of {}", self.len);
    }

    /// The elements of `range`, to read and write.
    ///
    /// # Safety
    /// No other task uses an overlapping range meanwhile.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // the point of the type: disjointness is the caller's promise
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> ValuesMut<'_> {
        self.check(range.start, range.len());
        // SAFETY: within the buffer by the check, alone in the range by the caller's promise.
        unsafe {
            match self.pointer {
                Pointer::F32(pointer) => {
                    ValuesMut::F32(std::slice::from_raw_parts_mut(pointer.add(range.start), range.len()))
                }
                Pointer::Bf16(pointer) => {
                    ValuesMut::Bf16(std::slice::from_raw_parts_mut(pointer.add(range.start), range.len()))
                }
            }
        }
    }
}

impl ValuesMut<'_> {
    /// Writes all elements, or adds to them.
    #[inline(always)]
    pub(crate) fn store(&mut self, values: &[f32], accumulate: bool) {
        match (self, accumulate) {
            (ValuesMut::F32(to), false) => to.copy_from_slice(values),
            (ValuesMut::F32(to), true) => to.iter_mut().zip(values).for_each(|(to, &value)| *to += value),
            (ValuesMut::Bf16(to), false) => {
                to.iter_mut().zip(values).for_each(|(to, &value)| *to = round_to_bf16(value));
            }
            (ValuesMut::Bf16(to), true) => {
                to.iter_mut().zip(values).for_each(|(to, &value)| *to = round_to_bf16(widen(*to) + value));
            }
        }
    }
}

/// Lanes of a reduction: the sum of a slice is the sum of this many interleaved sums, whatever the instruction set.
const LANES: usize = 16;

/// `Σ term(i)` over `0 .. len`, in a fixed order.
#[inline(always)]
pub(crate) fn sum(len: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let whole = len / LANES * LANES;
    let mut start = 0;
    while start < whole {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
        start += LANES;
    }
    let tail: f32 = (whole..len).map(&term).sum();
    lanes.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_agrees_with_half() {
        let cases = [0.0, -0.0, 1.0, 1.003_906_3, 1.011_718_8, f32::MAX, f32::INFINITY, f32::MIN_POSITIVE, 1e-40];
        for value in cases.into_iter().chain((0..10_000).map(|i| (i as f32 - 5000.0) * 0.377)) {
            assert_eq!(round_to_bf16(value), bf16::from_f32(value), "{value}");
        }
        assert!(round_to_bf16(f32::NAN).is_nan());
    }
}
