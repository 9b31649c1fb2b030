//! Reading and writing buffers of either element type a tile at a time, so that kernels see `f32` only.
//!
//! A tile of `f32` is the buffer itself; one of bf16 is converted on the stack, where it stays in the first-level
//! cache. Kernels therefore need no version for each combination of types.

use std::mem::MaybeUninit;
use std::ops::Range;

use half::bf16;

use super::buffer::{Values, ValuesMut};
use super::simd::SimdLevel;
use super::vector::round_to_bf16;
use super::vectorised::for_level;

/// Elements of a tile.
pub(crate) const TILE: usize = 1024;

/// Where a tile of bf16 is converted. Not initialised: for tiles of `f32` it is never touched.
#[repr(align(64))]
pub(crate) struct Scratch([MaybeUninit<f32>; TILE]);

impl Scratch {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; TILE])
    }

    /// Converts a tile into the scratch.
    #[inline(always)]
    fn widened(&mut self, level: SimdLevel, from: &[bf16]) -> &mut [f32] {
        let tile = &mut self.0[..from.len()];
        widen(level, from, tile);
        // SAFETY: `widen` has written each of the elements, of which there are as many as `from` has.
        unsafe { tile.assume_init_mut() }
    }

    /// A tile of zeros.
    #[inline(always)]
    fn zeros(&mut self, len: usize) -> &mut [f32] {
        let tile = &mut self.0[..len];
        tile.fill(MaybeUninit::new(0.0));
        // SAFETY: each element has just been written.
        unsafe { tile.assume_init_mut() }
    }
}

/// Cuts a range into tiles.
pub(crate) fn tiles(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(TILE).map(move |start| start..end.min(start + TILE))
}

impl<'a> Values<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    #[track_caller]
    pub(crate) fn part(self, range: Range<usize>) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[range]),
            Self::Bf16(values) => Self::Bf16(&values[range]),
        }
    }

    /// A tile as `f32`.
    pub(crate) fn tile<'s>(self, level: SimdLevel, range: Range<usize>, scratch: &'s mut Scratch) -> &'s [f32]
    where
        'a: 's,
    {
        match self {
            Self::F32(values) => &values[range],
            Self::Bf16(values) => scratch.widened(level, &values[range]),
        }
    }

    /// All elements, converted to `f32`.
    pub(crate) fn widen_into(self, level: SimdLevel, to: &mut [f32]) {
        match self {
            Self::F32(values) => to.copy_from_slice(values),
            Self::Bf16(values) => {
                for (from, to) in values.chunks(TILE).zip(to.chunks_mut(TILE)) {
                    to.copy_from_slice(Scratch::new().widened(level, from));
                }
            }
        }
    }
}

impl ValuesMut<'_> {
    /// Some of the elements, borrowed for less long.
    pub(crate) fn part(&mut self, range: Range<usize>) -> ValuesMut<'_> {
        match self {
            Self::F32(values) => ValuesMut::F32(&mut values[range]),
            Self::Bf16(values) => ValuesMut::Bf16(&mut values[range]),
        }
    }

    /// Lets `task` write a tile, whose contents it must not read.
    pub(crate) fn write_tile(&mut self, level: SimdLevel, range: Range<usize>, task: impl FnOnce(&mut [f32])) {
        match self {
            Self::F32(values) => task(&mut values[range]),
            Self::Bf16(values) => {
                let mut scratch = Scratch::new();
                let tile = scratch.zeros(range.len());
                task(tile);
                narrow(level, tile, &mut values[range]);
            }
        }
    }

    /// Lets `task` change a tile.
    pub(crate) fn update_tile(&mut self, level: SimdLevel, range: Range<usize>, task: impl FnOnce(&mut [f32])) {
        match self {
            Self::F32(values) => task(&mut values[range]),
            Self::Bf16(values) => {
                let mut scratch = Scratch::new();
                let tile = scratch.widened(level, &values[range.clone()]);
                task(tile);
                narrow(level, tile, &mut values[range]);
            }
        }
    }

    /// Takes the same number of elements, converting them.
    pub(crate) fn copy_from(&mut self, level: SimdLevel, from: Values<'_>) {
        match (self, from) {
            (Self::F32(to), from) => from.widen_into(level, to),
            (Self::Bf16(to), Values::F32(from)) => narrow(level, from, to),
            (Self::Bf16(to), Values::Bf16(from)) => to.copy_from_slice(from),
        }
    }

    pub(crate) fn fill(&mut self, value: f32) {
        match self {
            Self::F32(values) => values.fill(value),
            Self::Bf16(values) => values.fill(bf16::from_f32(value)),
        }
    }
}

for_level! {
    /// bf16 to `f32`, exact.
    widen = widen_body(from: &[bf16], to: &mut [MaybeUninit<f32>])
}

#[inline(always)]
fn widen_body<const FUSED: bool>(from: &[bf16], to: &mut [MaybeUninit<f32>]) {
    assert_eq!(from.len(), to.len());
    for (from, to) in from.iter().zip(to) {
        to.write(f32::from_bits(u32::from(from.to_bits()) << 16));
    }
}

for_level! {
    /// Rounds to nearest even; NaN stays NaN.
    narrow = narrow_body(from: &[f32], to: &mut [bf16])
}

#[inline(always)]
fn narrow_body<const FUSED: bool>(from: &[f32], to: &mut [bf16]) {
    assert_eq!(from.len(), to.len());
    for (&from, to) in from.iter().zip(to) {
        *to = round_to_bf16(from);
    }
}
