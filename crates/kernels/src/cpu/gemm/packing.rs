//! Operands rearranged into panels that the tile kernels read front to back.
//!
//! A panel holds a fixed number of *lanes* (rows of the left operand, columns of the right one). It is a sequence of
//! *steps* along the summed dimension; a step holds one 32-bit word a lane: one `f32`, or two consecutive `bf16` as
//! `vdpbf16ps` takes them. Lanes and steps past the end of the operand are zero.

use half::bf16;

use crate::backend::Compute;
use crate::cpu::buffer::Values;
use crate::cpu::simd::SimdLevel;

/// Rows of a left panel. 14 x 2 accumulators, two right vectors and one broadcast fill the 32 registers of AVX-512.
pub(crate) const LEFT_LANES: usize = 14;
/// Words a step of a left panel takes: one cache line, two words of it unused.
pub(crate) const LEFT_WORDS: usize = 16;
/// Columns of a right panel, and the words of one of its steps.
pub(crate) const RIGHT_LANES: usize = 32;

/// Lanes packed together: the words of one AVX-512 register.
const GROUP: usize = 16;
/// Steps packed before moving on to the next panel where lanes are contiguous: keeps the pages in use few.
const STEPS_AT_ONCE: usize = 32;

/// Number of steps that `depth` elements of the summed dimension take.
pub(crate) fn steps(compute: Compute, depth: usize) -> usize {
    match compute {
        Compute::F32 => depth,
        Compute::Bf16 => depth.div_ceil(2),
    }
}

/// Elements of the summed dimension in one step.
pub(crate) fn elements_per_step(compute: Compute) -> usize {
    match compute {
        Compute::F32 => 1,
        Compute::Bf16 => 2,
    }
}

/// Which index of an operand runs fastest in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Element `(lane, d)` is at `lane * stride + d`.
    DepthContiguous,
    /// Element `(lane, d)` is at `d * stride + lane`.
    LaneContiguous,
}

/// A matrix operand in memory, seen as lanes by depth.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) values: Values<'a>,
    pub(crate) lanes: usize,
    pub(crate) depth: usize,
    pub(crate) stride: usize,
    pub(crate) order: Order,
}

impl<'a> Operand<'a> {
    /// A dense `[lanes, depth]` matrix.
    pub(crate) fn rows(values: Values<'a>, lanes: usize, depth: usize) -> Self {
        Self { values, lanes, depth, stride: depth, order: Order::DepthContiguous }.checked()
    }

    /// A dense `[depth, lanes]` matrix.
    pub(crate) fn columns(values: Values<'a>, lanes: usize, depth: usize) -> Self {
        Self { values, lanes, depth, stride: lanes, order: Order::LaneContiguous }.checked()
    }

    #[track_caller]
    fn checked(self) -> Self {
        let len = match self.values {
            Values::F32(values) => values.len(),
            Values::Bf16(values) => values.len(),
        };
        let needed = self.lanes * self.depth;
        assert!(len >= needed, "an operand of {} x {} needs {needed} elements, got {len}", self.lanes, self.depth);
        self
    }
}

/// Packs left panels `panels` of `operand`, steps `first .. first + count`, into `[panel][step][LEFT_WORDS]`.
pub(crate) fn pack_left(
    level: SimdLevel,
    compute: Compute,
    operand: &Operand<'_>,
    panels: std::ops::Range<usize>,
    first: usize,
    count: usize,
    to: &mut [u32],
) {
    let used = panels.len() * count * LEFT_WORDS;
    let to = &mut to[..used];
    let at_once = if operand.order == Order::LaneContiguous { STEPS_AT_ONCE } else { count };
    let mut done = 0;
    while done < count {
        let now = at_once.min(count - done);
        for (index, panel) in panels.clone().enumerate() {
            let lane = panel * LEFT_LANES;
            let lanes = LEFT_LANES.min(operand.lanes - lane);
            let group = Group { lane, lanes, first: first + done, count: now };
            let start = (index * count + done) * LEFT_WORDS;
            pack_group(level, compute, operand, group, &mut to[start..], LEFT_WORDS);
        }
        done += now;
    }
}

/// Packs one right panel of `operand`, all steps, into `[step][RIGHT_LANES]`.
pub(crate) fn pack_right_panel(
    level: SimdLevel,
    compute: Compute,
    operand: &Operand<'_>,
    panel: usize,
    to: &mut [u32],
) {
    let count = steps(compute, operand.depth);
    let at_once = if operand.order == Order::LaneContiguous { STEPS_AT_ONCE } else { count };
    let mut done = 0;
    while done < count {
        let now = at_once.min(count - done);
        for half in 0..RIGHT_LANES / GROUP {
            let lane = (panel * RIGHT_LANES + half * GROUP).min(operand.lanes);
            let lanes = GROUP.min(operand.lanes - lane);
            let group = Group { lane, lanes, first: done, count: now };
            pack_group(level, compute, operand, group, &mut to[done * RIGHT_LANES + half * GROUP..], RIGHT_LANES);
        }
        done += now;
    }
}

/// Up to 16 lanes and some steps of an operand.
#[derive(Clone, Copy)]
struct Group {
    lane: usize,
    lanes: usize,
    first: usize,
    count: usize,
}

/// Writes 16 words (unused lanes zero) to `to[step * stride ..]` for each step of the group.
fn pack_group(level: SimdLevel, compute: Compute, operand: &Operand<'_>, group: Group, to: &mut [u32], stride: usize) {
    if group.count == 0 {
        return;
    }
    assert!(to.len() >= (group.count - 1) * stride + GROUP, "a packed panel is too short");
    if group.lanes == 0 {
        for step in 0..group.count {
            to[step * stride..][..GROUP].fill(0);
        }
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if level.has_bf16() || (level.has_avx512() && compute == Compute::F32) {
        let depth = group.first * elements_per_step(compute);
        let left = operand.depth - depth;
        let origin = match operand.order {
            Order::DepthContiguous => group.lane * operand.stride + depth,
            Order::LaneContiguous => depth * operand.stride + group.lane,
        };
        let task = avx512::Task {
            stride: operand.stride,
            lanes: group.lanes,
            depth: left,
            steps: group.count,
            to: to.as_mut_ptr(),
            to_stride: stride,
        };
        // SAFETY: the level says that the processor has the instructions; `origin` and the masks derived from `lanes`
        // and `depth` keep reads inside the operand, whose size `Operand::checked` has compared with the slice; writes
        // stay inside `to` by the assertion above.
        unsafe { avx512::pack(compute, operand.values, origin, operand.order, task) };
        return;
    }
    let _ = level;
    pack_group_portable(compute, operand, group, to, stride);
}

fn pack_group_portable(compute: Compute, operand: &Operand<'_>, group: Group, to: &mut [u32], stride: usize) {
    let value = |lane: usize, depth: usize| {
        if depth >= operand.depth {
            return 0.0;
        }
        let index = match operand.order {
            Order::DepthContiguous => lane * operand.stride + depth,
            Order::LaneContiguous => depth * operand.stride + lane,
        };
        match operand.values {
            Values::F32(values) => values[index],
            Values::Bf16(values) => values[index].to_f32(),
        }
    };
    for step in 0..group.count {
        let words = &mut to[step * stride..][..GROUP];
        let depth = (group.first + step) * elements_per_step(compute);
        for (offset, word) in words.iter_mut().enumerate() {
            let lane = group.lane + offset;
            *word = if offset >= group.lanes {
                0
            } else if compute == Compute::F32 {
                value(lane, depth).to_bits()
            } else {
                let low = bf16::from_f32(value(lane, depth)).to_bits();
                let high = bf16::from_f32(value(lane, depth + 1)).to_bits();
                u32::from(low) | u32::from(high) << 16
            };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{GROUP, Order};
    use crate::backend::Compute;
    use crate::cpu::buffer::Values;

    #[derive(Clone, Copy)]
    pub(super) struct Task {
        pub(super) stride: usize,
        pub(super) lanes: usize,
        /// Elements of the summed dimension from the first step to the operand's end.
        pub(super) depth: usize,
        pub(super) steps: usize,
        pub(super) to: *mut u32,
        pub(super) to_stride: usize,
    }

    /// SAFETY: needs AVX-512 F and BW, and BF16 when `compute` is `Bf16`; see `pack_group` for the memory.
    pub(super) unsafe fn pack(compute: Compute, values: Values<'_>, origin: usize, order: Order, task: Task) {
        // SAFETY: as promised by the caller.
        unsafe {
            match (values, compute, order) {
                (Values::F32(v), Compute::F32, Order::DepthContiguous) => rows_f32_f32(v.as_ptr().add(origin), task),
                (Values::F32(v), Compute::F32, Order::LaneContiguous) => columns_f32_f32(v.as_ptr().add(origin), task),
                (Values::F32(v), Compute::Bf16, Order::DepthContiguous) => rows_f32_bf16(v.as_ptr().add(origin), task),
                (Values::F32(v), Compute::Bf16, Order::LaneContiguous) => {
                    columns_f32_bf16(v.as_ptr().add(origin), task);
                }
                (Values::Bf16(v), Compute::F32, Order::DepthContiguous) => {
                    rows_bf16_f32(v.as_ptr().cast::<u16>().add(origin), task);
                }
                (Values::Bf16(v), Compute::F32, Order::LaneContiguous) => {
                    columns_bf16_f32(v.as_ptr().cast::<u16>().add(origin), task);
                }
                (Values::Bf16(v), Compute::Bf16, Order::DepthContiguous) => {
                    rows_bf16_bf16(v.as_ptr().cast::<u16>().add(origin), task);
                }
                (Values::Bf16(v), Compute::Bf16, Order::LaneContiguous) => {
                    columns_bf16_bf16(v.as_ptr().cast::<u16>().add(origin), task);
                }
            }
        }
    }

    /// The low `count` bits set, at most 16.
    fn mask16(count: usize) -> __mmask16 {
        ((1_u32 << count.min(16)) - 1) as __mmask16
    }

    /// The low `count` bits set, at most 32.
    fn mask32(count: usize) -> __mmask32 {
        ((1_u64 << count.min(32)) - 1) as __mmask32
    }

    /// A 16 x 16 transposition of words, four rounds of shuffles that each double the runs of transposed words.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
        let zero = _mm512_setzero_si512();
        let mut pairs = [zero; 16];
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        let mut quads = [zero; 16];
        for i in 0..4 {
            quads[4 * i] = _mm512_unpacklo_epi64(pairs[4 * i], pairs[4 * i + 2]);
            quads[4 * i + 1] = _mm512_unpackhi_epi64(pairs[4 * i], pairs[4 * i + 2]);
            quads[4 * i + 2] = _mm512_unpacklo_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
            quads[4 * i + 3] = _mm512_unpackhi_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
        }
        let mut columns = [zero; 16];
        for i in 0..4 {
            let low = _mm512_shuffle_i32x4::<0x88>(quads[i], quads[4 + i]);
            let high = _mm512_shuffle_i32x4::<0xdd>(quads[i], quads[4 + i]);
            let low_rest = _mm512_shuffle_i32x4::<0x88>(quads[8 + i], quads[12 + i]);
            let high_rest = _mm512_shuffle_i32x4::<0xdd>(quads[8 + i], quads[12 + i]);
            columns[i] = _mm512_shuffle_i32x4::<0x88>(low, low_rest);
            columns[4 + i] = _mm512_shuffle_i32x4::<0x88>(high, high_rest);
            columns[8 + i] = _mm512_shuffle_i32x4::<0xdd>(low, low_rest);
            columns[12 + i] = _mm512_shuffle_i32x4::<0xdd>(high, high_rest);
        }
        columns
    }

    /// Packs lanes whose depth is contiguous: 16 steps of each lane at a time, transposed in registers.
    macro_rules! rows {
        ($name:ident, $element:ty, $features:literal, $per_step:literal, |$from:ident, $left:ident| $load:expr) => {
            #[target_feature(enable = $features)]
            unsafe fn $name(from: *const $element, task: Task) {
                let mut step = 0;
                while step < task.steps {
                    let depth = step * $per_step;
                    let $left = task.depth - depth;
                    let mut words = [_mm512_setzero_si512(); GROUP];
                    for (lane, word) in words.iter_mut().enumerate() {
                        if lane < task.lanes {
                            // SAFETY: lane and depth are inside the operand; the mask stops at its end.
                            *word = unsafe {
                                let $from = from.add(lane * task.stride + depth);
                                $load
                            };
                        }
                    }
                    let columns = transpose(words);
                    let count = GROUP.min(task.steps - step);
                    for (offset, column) in columns.iter().enumerate() {
                        if offset < count {
                            // SAFETY: `to` has 16 words at every step.
                            unsafe {
                                _mm512_storeu_si512(task.to.add((step + offset) * task.to_stride).cast(), *column);
                            }
                        }
                    }
                    step += GROUP;
                }
            }
        };
    }

    rows!(rows_f32_f32, f32, "avx512f", 1, |from, left| _mm512_maskz_loadu_epi32(mask16(left), from.cast()));
    rows!(rows_bf16_bf16, u16, "avx512f,avx512bw", 2, |from, left| {
        _mm512_maskz_loadu_epi16(mask32(left), from.cast())
    });
    rows!(rows_bf16_f32, u16, "avx512f,avx512bw,avx512vl", 1, |from, left| {
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask16(left), from.cast())))
    });
    rows!(rows_f32_bf16, f32, "avx512f,avx512bw,avx512bf16", 2, |from, left| {
        let low = _mm512_maskz_loadu_ps(mask16(left), from);
        let high = _mm512_maskz_loadu_ps(mask16(left.saturating_sub(16)), from.wrapping_add(16));
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    });

    /// Packs lanes that are contiguous: one or two rows of memory make a step.
    macro_rules! columns {
        ($name:ident, $element:ty, $features:literal, $per_step:literal, |$from:ident, $mask:ident| $load:expr) => {
            #[target_feature(enable = $features)]
            unsafe fn $name(from: *const $element, task: Task) {
                let lanes = mask16(task.lanes);
                for step in 0..task.steps {
                    let mut word = _mm512_setzero_si512();
                    for part in 0..$per_step {
                        let depth = step * $per_step + part;
                        if depth < task.depth {
                            // SAFETY: the row is inside the operand; the mask stops at its last lane.
                            let half = unsafe {
                                let $from = from.add(depth * task.stride);
                                let $mask = lanes;
                                $load
                            };
                            word = if part == 0 { half } else { _mm512_or_si512(word, _mm512_slli_epi32::<16>(half)) };
                        }
                    }
                    // SAFETY: `to` has 16 words at every step.
                    unsafe { _mm512_storeu_si512(task.to.add(step * task.to_stride).cast(), word) };
                }
            }
        };
    }

    columns!(columns_f32_f32, f32, "avx512f", 1, |from, mask| _mm512_maskz_loadu_epi32(mask, from.cast()));
    columns!(columns_bf16_f32, u16, "avx512f,avx512bw,avx512vl", 1, |from, mask| {
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from.cast())))
    });
    columns!(columns_bf16_bf16, u16, "avx512f,avx512bw,avx512vl", 2, |from, mask| {
        _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from.cast()))
    });
    columns!(columns_f32_bf16, f32, "avx512f,avx512bw,avx512vl,avx512bf16", 2, |from, mask| {
        let rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from));
        _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(rounded))
    });
}
