//! Weights of eight bits: `value = scale · q`, `q` from -127 to 127, a scale for each output and each group of inputs.
//!
//! The values are what products see, rounded to bf16 where those are computed in bf16, so an int8 weight gives the bits
//! of the same values kept as words. For a few rows, which only have to read the weights once, numbers become values in
//! registers; for many, a panel becomes words once and serves all of them.

use std::ops::Range;

use half::bf16;

use super::kernel::Tile;
use super::packing::{self, RIGHT_LANES};
use crate::backend::{Compute, DType, INT8_GROUP};
use crate::cpu::buffer::{Buffer, Values};
use crate::cpu::simd::{Context, SimdLevel};
use crate::cpu::split::Strided;
use crate::cpu::vectorised::for_level;

/// Some steps of a panel of 32 outputs.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    /// `[step][output][element of the step]`.
    pub(super) numbers: &'a [i8],
    /// `[group][output]`.
    pub(super) scales: &'a [f32],
    pub(super) steps: usize,
}

/// Scales of consecutive panels.
#[derive(Clone, Copy)]
pub(crate) struct Scales<'a> {
    pub(crate) values: &'a [f32],
    /// From one panel to the next.
    pub(crate) stride: usize,
}

/// Steps that share a scale.
pub(super) fn group_steps(compute: Compute) -> usize {
    INT8_GROUP / packing::elements_per_step(compute)
}

/// Words of a panel, four numbers each.
pub(super) fn panel_words(compute: Compute, input: usize) -> usize {
    packing::steps(compute, input) * packing::elements_per_step(compute) * RIGHT_LANES / 4
}

pub(super) fn panel_scales(input: usize) -> usize {
    input.div_ceil(INT8_GROUP) * RIGHT_LANES
}

/// Numbers and scales of a weight `[out, input]`, a panel of 32 outputs after the other.
pub(super) fn pack(ctx: &Context<'_>, weight: Values<'_>, out: usize, input: usize) -> (Buffer, Buffer) {
    let panels = out.div_ceil(RIGHT_LANES);
    let (words, factors) = (panel_words(ctx.compute, input), panel_scales(input));
    let mut numbers = ctx.pool.buffer(DType::U32, panels * words);
    let mut scales = ctx.pool.buffer(DType::F32, panels * factors);
    let parts =
        (Strided { values: numbers.u32_mut(), width: words }, Strided { values: scales.f32_mut(), width: factors });
    ctx.threads.run_split(panels, 1, parts, |range, (numbers, scales)| {
        numbers.values.fill(0);
        scales.values.fill(0.0);
        let numbers: &mut [i8] = bytemuck::cast_slice_mut(numbers.values);
        let lanes = range.start * RIGHT_LANES..out.min(range.end * RIGHT_LANES);
        pack_lanes(ctx.level, ctx.compute, weight, lanes, input, numbers, scales.values);
    });
    (numbers, scales)
}

/// Quantises some outputs into their panels, the first of which begins with the first of them.
fn pack_lanes(
    level: SimdLevel,
    compute: Compute,
    weight: Values<'_>,
    outputs: Range<usize>,
    input: usize,
    numbers: &mut [i8],
    scales: &mut [f32],
) {
    let per_step = packing::elements_per_step(compute);
    let mut row = vec![0.0; input];
    for (place, output) in outputs.enumerate() {
        let (panel, lane) = (place / RIGHT_LANES, place % RIGHT_LANES);
        match weight.part(output * input..(output + 1) * input) {
            Values::F32(values) => row.copy_from_slice(values),
            Values::Bf16(values) => row.iter_mut().zip(values).for_each(|(to, from)| *to = from.to_f32()),
        }
        let numbers = &mut numbers[panel * panel_words(compute, input) * 4..];
        let scales = &mut scales[panel * panel_scales(input)..];
        for (group, values) in row.chunks(INT8_GROUP).enumerate() {
            let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let scale = largest / 127.0;
            scales[group * RIGHT_LANES + lane] = scale;
            let mut nearest = [0; INT8_GROUP];
            if scale > 0.0 {
                quantise(level, values, scale, &mut nearest);
            }
            for (offset, &number) in nearest[..values.len()].iter().enumerate() {
                let depth = group * INT8_GROUP + offset;
                numbers[(depth / per_step * RIGHT_LANES + lane) * per_step + depth % per_step] = number;
            }
        }
    }
}

for_level! {
    /// The numbers whose values are nearest. In `f64`, where a quotient of two `f32` meets a tie only if it is one.
    quantise = quantise_body(values: &[f32], scale: f32, numbers: &mut [i8; INT8_GROUP])
}

#[inline(always)]
fn quantise_body<const FUSED: bool>(values: &[f32], scale: f32, numbers: &mut [i8; INT8_GROUP]) {
    for (number, &value) in numbers.iter_mut().zip(values) {
        *number = (f64::from(value) / f64::from(scale)).round_ties_even().clamp(-127.0, 127.0) as i8;
    }
}

/// The panel as words of `compute`, as [`packing`] lays them out.
pub(super) fn expand(level: SimdLevel, compute: Compute, panel: Panel<'_>, words: &mut [u32]) {
    let (group_steps, per_step) = (group_steps(compute), packing::elements_per_step(compute));
    let step_numbers = per_step * RIGHT_LANES;
    assert!(panel.numbers.len() >= panel.steps * step_numbers && words.len() >= panel.steps * RIGHT_LANES);
    assert!(panel.scales.len() >= panel.steps.div_ceil(group_steps) * RIGHT_LANES);
    #[cfg(target_arch = "x86_64")]
    if in_registers(level, compute) {
        // SAFETY: the level says that the processor has the instructions; the lengths have just been checked.
        unsafe { avx512::expand(compute, panel, words.as_mut_ptr()) };
        return;
    }
    let _ = level;
    for step in 0..panel.steps {
        let scales = &panel.scales[step / group_steps * RIGHT_LANES..][..RIGHT_LANES];
        let numbers = &panel.numbers[step * step_numbers..][..step_numbers];
        let words = &mut words[step * RIGHT_LANES..][..RIGHT_LANES];
        for (lane, (word, scale)) in words.iter_mut().zip(scales).enumerate() {
            let value = |element: usize| f32::from(numbers[lane * per_step + element]) * scale;
            *word = match compute {
                Compute::F32 => value(0).to_bits(),
                Compute::Bf16 => {
                    let half = |element| u32::from(bf16::from_f32(value(element)).to_bits());
                    half(0) | half(1) << 16
                }
            };
        }
    }
}

/// Whether [`run`] can be used.
pub(super) fn in_registers(level: SimdLevel, compute: Compute) -> bool {
    cfg!(target_arch = "x86_64")
        && match compute {
            Compute::F32 => level.has_avx512(),
            Compute::Bf16 => level.has_bf16(),
        }
}

/// As [`super::kernel::run`], with the panel in place of the first segment's right operand.
///
/// SAFETY: as for `kernel::run`, but `segments[0].right` is not read; [`in_registers`] holds; the panel has the first
/// segment's steps.
pub(super) unsafe fn run(compute: Compute, tile: &Tile, panel: Panel<'_>) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as promised by the caller.
    unsafe {
        avx512::run(compute, tile, panel);
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("products with {compute:?} numbers in registers, {} steps of {}", panel.steps, tile.rows);
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::super::avx512::{finish_bf16, finish_f32, multiply_bf16, multiply_f32};
    use super::super::kernel::Tile;
    use super::super::packing::RIGHT_LANES;
    use super::{Panel, group_steps};
    use crate::backend::Compute;

    /// Sixteen values from the numbers at `from`.
    ///
    /// SAFETY: 16 numbers are readable.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn values(from: *const i8, scales: __m512) -> __m512 {
        // SAFETY: as promised by the caller.
        let numbers = unsafe { _mm_loadu_si128(from.cast()) };
        _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(numbers)), scales)
    }

    /// Scales of a group, arranged as the values of a step are.
    ///
    /// SAFETY: 32 scales are readable.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn factors_f32(scales: *const f32) -> [__m512; 2] {
        // SAFETY: as promised by the caller.
        unsafe { [_mm512_loadu_ps(scales), _mm512_loadu_ps(scales.add(16))] }
    }

    /// As [`factors_f32`]: two elements of a step after another share an output's scale.
    ///
    /// SAFETY: 32 scales are readable.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn factors_bf16(scales: *const f32) -> [__m512; 4] {
        let low = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
        let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
        // SAFETY: as promised by the caller.
        let [first, second] = unsafe { factors_f32(scales) };
        [
            _mm512_permutexvar_ps(low, first),
            _mm512_permutexvar_ps(high, first),
            _mm512_permutexvar_ps(low, second),
            _mm512_permutexvar_ps(high, second),
        ]
    }

    /// The two vectors of words of a step.
    ///
    /// SAFETY: 32 numbers are readable.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn words_f32(numbers: *const i8, factors: &[__m512; 2]) -> [__m512i; 2] {
        // SAFETY: as promised by the caller.
        unsafe {
            let (first, second) = (values(numbers, factors[0]), values(numbers.add(16), factors[1]));
            [_mm512_castps_si512(first), _mm512_castps_si512(second)]
        }
    }

    /// As [`words_f32`], pairs of bf16.
    ///
    /// SAFETY: 64 numbers are readable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn words_bf16(numbers: *const i8, factors: &[__m512; 4]) -> [__m512i; 2] {
        // SAFETY: as promised by the caller; the conversion's type is 512 plain bits.
        unsafe {
            let pair = |place: usize| {
                let low = values(numbers.add(16 * place), factors[place]);
                let high = values(numbers.add(16 * (place + 1)), factors[place + 1]);
                std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
            };
            [pair(0), pair(2)]
        }
    }

    macro_rules! kernel {
        (
            $rows:ident, $tile:ident, $expand:ident, $features:literal, $compute:expr, $per_step:literal, $factors:ident,
            $words:ident, $multiply:ident, $finish:ident
        ) => {
            /// SAFETY: as for `super::run`.
            unsafe fn $rows(tile: &Tile, panel: Panel<'_>) {
                // SAFETY: as promised by the caller.
                unsafe {
                    match tile.rows {
                        1 => $tile::<1>(tile, panel),
                        2 => $tile::<2>(tile, panel),
                        3 => $tile::<3>(tile, panel),
                        4 => $tile::<4>(tile, panel),
                        5 => $tile::<5>(tile, panel),
                        6 => $tile::<6>(tile, panel),
                        7 => $tile::<7>(tile, panel),
                        8 => $tile::<8>(tile, panel),
                        9 => $tile::<9>(tile, panel),
                        10 => $tile::<10>(tile, panel),
                        11 => $tile::<11>(tile, panel),
                        12 => $tile::<12>(tile, panel),
                        13 => $tile::<13>(tile, panel),
                        _ => $tile::<14>(tile, panel),
                    }
                }
            }

            /// SAFETY: as for `super::run`, with `tile.rows == ROWS`.
            #[target_feature(enable = $features)]
            unsafe fn $tile<const ROWS: usize>(tile: &Tile, panel: Panel<'_>) {
                let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
                let (mut left, mut numbers) = (tile.segments[0].left, panel.numbers.as_ptr());
                let mut scales = panel.scales.as_ptr();
                let mut remaining = panel.steps;
                while remaining > 0 {
                    let steps = remaining.min(group_steps($compute));
                    remaining -= steps;
                    // SAFETY: the panel holds the segment's steps and their scales.
                    unsafe {
                        let factors = $factors(scales);
                        scales = scales.add(RIGHT_LANES);
                        for _ in 0..steps {
                            let [first, second] = $words(numbers, &factors);
                            for (row, sums) in sums.iter_mut().enumerate() {
                                let value = _mm512_set1_epi32(left.add(row).read().cast_signed());
                                *sums = [$multiply(sums[0], value, first), $multiply(sums[1], value, second)];
                            }
                            left = left.add(tile.segments[0].left_words);
                            numbers = numbers.add($per_step * RIGHT_LANES);
                        }
                    }
                }
                let (mut left, mut right) = (tile.segments[1].left, tile.segments[1].right);
                for _ in 0..tile.segments[1].steps {
                    // SAFETY: the panels hold `steps` steps.
                    unsafe {
                        let (first, second) =
                            (_mm512_loadu_si512(right.cast()), _mm512_loadu_si512(right.add(16).cast()));
                        for (row, sums) in sums.iter_mut().enumerate() {
                            let value = _mm512_set1_epi32(left.add(row).read().cast_signed());
                            *sums = [$multiply(sums[0], value, first), $multiply(sums[1], value, second)];
                        }
                        left = left.add(tile.segments[1].left_words);
                        right = right.add(RIGHT_LANES);
                    }
                }
                // A copy, so that the sums themselves have no address and stay in registers above.
                let finished = sums;
                // SAFETY: as promised by the caller.
                unsafe { $finish(tile, &finished) };
            }

            /// SAFETY: `to` has room for the panel's words.
            #[target_feature(enable = $features)]
            unsafe fn $expand(panel: Panel<'_>, to: *mut u32) {
                for step in 0..panel.steps {
                    // SAFETY: the panel holds its steps and their scales, and `to` as many.
                    unsafe {
                        let factors = $factors(panel.scales.as_ptr().add(step / group_steps($compute) * RIGHT_LANES));
                        let numbers = panel.numbers.as_ptr().add(step * $per_step * RIGHT_LANES);
                        let [first, second] = $words(numbers, &factors);
                        _mm512_storeu_si512(to.add(step * RIGHT_LANES).cast(), first);
                        _mm512_storeu_si512(to.add(step * RIGHT_LANES + 16).cast(), second);
                    }
                }
            }
        };
    }

    kernel!(
        rows_f32,
        tile_f32,
        expand_f32,
        "avx512f,avx512bw,avx512vl",
        Compute::F32,
        1,
        factors_f32,
        words_f32,
        multiply_f32,
        finish_f32
    );
    kernel!(
        rows_bf16,
        tile_bf16,
        expand_bf16,
        "avx512f,avx512bw,avx512vl,avx512bf16",
        Compute::Bf16,
        2,
        factors_bf16,
        words_bf16,
        multiply_bf16,
        finish_bf16
    );

    /// SAFETY: as for `super::run`.
    pub(super) unsafe fn run(compute: Compute, tile: &Tile, panel: Panel<'_>) {
        // SAFETY: as promised by the caller.
        unsafe {
            match compute {
                Compute::F32 => rows_f32(tile, panel),
                Compute::Bf16 => rows_bf16(tile, panel),
            }
        }
    }

    /// SAFETY: the processor has the instructions, the panel its steps, and `to` room for the panel's words.
    pub(super) unsafe fn expand(compute: Compute, panel: Panel<'_>, to: *mut u32) {
        // SAFETY: as promised by the caller.
        unsafe {
            match compute {
                Compute::F32 => expand_f32(panel, to),
                Compute::Bf16 => expand_bf16(panel, to),
            }
        }
    }
}
