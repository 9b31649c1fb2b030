//! Operands rearranged into panels that the tile kernels read front to back.
//!
//! A panel holds a fixed number of *lanes* (rows of the left operand, columns of the right one). It is a sequence of
//! *steps* along the summed dimension; a step holds one 32-bit word a lane: one `f32`, or two consecutive `bf16` as
//! `vdpbf16ps` takes them. Lanes and steps past the end of the operand are zero.

use std::ops::Range;

use half::bf16;

use crate::backend::Compute;
use crate::cpu::buffer::Values;
use crate::cpu::simd::SimdLevel;

/// Most rows of a left panel. 14 x 2 accumulators, two right vectors and one broadcast fill the 32 registers of AVX-512.
pub(crate) const LEFT_LANES: usize = 14;
/// Words a step of a left panel takes: one cache line, two words of it unused.
pub(crate) const LEFT_WORDS: usize = 16;
/// Columns of a right panel, and the words of one of its steps.
pub(crate) const RIGHT_LANES: usize = 32;

/// Words of one AVX-512 register, the most lanes packed together.
const GROUP: usize = 16;

/// How panels of one side are laid out: `[panel][step][groups * 16]`.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    /// Lanes of a panel.
    lanes: usize,
    /// Stretches of 16 words that a step of a panel has.
    groups: usize,
}

/// Rows of a left panel where there are `rows` in all: as few panels as can be, of nearly equal length, since a short one at the end
/// would take nearly as long as a full one.
pub(crate) fn left_lanes(rows: usize) -> usize {
    rows.div_ceil(rows.div_ceil(LEFT_LANES).max(1)).max(1)
}

impl Side {
    /// Left panels of so many rows.
    pub(crate) fn left(lanes: usize) -> Self {
        Self { lanes, groups: LEFT_WORDS / GROUP }
    }
}

pub(crate) const RIGHT: Side = Side { lanes: RIGHT_LANES, groups: RIGHT_LANES / GROUP };

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

/// Some panels and steps of an operand, to be packed.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) panels: Range<usize>,
    /// First step.
    pub(crate) first: usize,
    /// Number of steps.
    pub(crate) count: usize,
}

/// Packs a part of `operand` into `[panel][step][words]`.
pub(crate) fn pack(level: SimdLevel, compute: Compute, side: Side, operand: &Operand<'_>, part: &Part, to: &mut [u32]) {
    let panel_words = part.count * side.groups * GROUP;
    let to = &mut to[..part.panels.len() * panel_words];
    if to.is_empty() {
        return;
    }
    assert!(steps(compute, operand.depth) >= part.first + part.count, "steps beyond the operand");
    #[cfg(target_arch = "x86_64")]
    if level.has_bf16() || (level.has_avx512() && compute == Compute::F32) {
        let lane = part.panels.start * side.lanes;
        let depth = part.first * elements_per_step(compute);
        let origin = match operand.order {
            Order::DepthContiguous => lane * operand.stride + depth,
            Order::LaneContiguous => depth * operand.stride + lane,
        };
        let task = avx512::Task {
            stride: operand.stride,
            lanes: operand.lanes - lane,
            depth: operand.depth - depth,
            panels: part.panels.len(),
            steps: part.count,
            group_lanes: side.lanes / side.groups,
            groups: side.groups,
            to: to.as_mut_ptr(),
        };
        // SAFETY: the level says that the processor has the instructions; lanes and depth that are left keep reads inside
        // the operand, whose size `Operand::checked` has compared with the slice; `to` has room for all panels.
        unsafe { avx512::pack(compute, operand.values, origin, operand.order, task) };
        return;
    }
    let _ = level;
    pack_portable(compute, side, operand, part, to);
}

/// Packs steps of one lane, a word each.
pub(crate) fn pack_row(compute: Compute, operand: &Operand<'_>, lane: usize, first: usize, to: &mut [u32]) {
    let per_step = elements_per_step(compute);
    let first = first * per_step;
    let depth = (operand.depth - first).min(to.len() * per_step);
    assert!(depth.div_ceil(per_step) == to.len(), "steps beyond the operand");
    let (start, stride) = match operand.order {
        Order::DepthContiguous => (lane * operand.stride + first, 1),
        Order::LaneContiguous => (first * operand.stride + lane, operand.stride),
    };
    match (operand.values, compute) {
        (Values::F32(values), Compute::F32) => {
            let values = values[start..].iter().step_by(stride);
            to.iter_mut().zip(values).for_each(|(to, value)| *to = value.to_bits());
        }
        (Values::Bf16(values), Compute::F32) => {
            let values = values[start..].iter().step_by(stride);
            to.iter_mut().zip(values).for_each(|(to, value)| *to = value.to_f32().to_bits());
        }
        (Values::F32(values), Compute::Bf16) => {
            let half = |index: usize| values[start + index * stride];
            pack_pairs(depth, to, |index| bf16::from_f32(half(index)));
        }
        (Values::Bf16(values), Compute::Bf16) if stride == 1 => {
            let (pairs, rest) = values[start..start + depth].as_chunks::<2>();
            for (to, [low, high]) in to.iter_mut().zip(pairs) {
                *to = u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16;
            }
            if let (Some(to), Some(last)) = (to.last_mut(), rest.first()) {
                *to = u32::from(last.to_bits());
            }
        }
        (Values::Bf16(values), Compute::Bf16) => pack_pairs(depth, to, |index| values[start + index * stride]),
    }
}

fn pack_pairs(depth: usize, to: &mut [u32], value: impl Fn(usize) -> bf16) {
    for (step, to) in to.iter_mut().enumerate() {
        let high = if 2 * step + 1 < depth { value(2 * step + 1).to_bits() } else { 0 };
        *to = u32::from(value(2 * step).to_bits()) | u32::from(high) << 16;
    }
}

fn pack_portable(compute: Compute, side: Side, operand: &Operand<'_>, part: &Part, to: &mut [u32]) {
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
    let words = side.groups * GROUP;
    for (panel, to) in part.panels.clone().zip(to.chunks_exact_mut(part.count * words)) {
        for (step, to) in (part.first..).zip(to.chunks_exact_mut(words)) {
            let depth = step * elements_per_step(compute);
            for (offset, word) in to.iter_mut().enumerate() {
                let lane = panel * side.lanes + offset;
                *word = if offset >= side.lanes || lane >= operand.lanes {
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
}

#[cfg(target_arch = "x86_64")]
pub(in crate::cpu) mod avx512 {
    use std::arch::x86_64::*;

    use super::{GROUP, Order};
    use crate::backend::Compute;
    use crate::cpu::buffer::Values;

    #[derive(Clone, Copy)]
    pub(super) struct Task {
        pub(super) stride: usize,
        /// Lanes from the first panel's first to the operand's last.
        pub(super) lanes: usize,
        /// Elements of the summed dimension from the first step to the operand's end.
        pub(super) depth: usize,
        pub(super) panels: usize,
        pub(super) steps: usize,
        /// Lanes of a group of a panel.
        pub(super) group_lanes: usize,
        /// Groups of a panel.
        pub(super) groups: usize,
        pub(super) to: *mut u32,
    }

    impl Task {
        /// Words of a step of one panel.
        fn step_words(&self) -> usize {
            self.groups * GROUP
        }

        /// Where a group, counted over all panels, has its words of the first step.
        fn place(&self, group: usize) -> *mut u32 {
            let (panel, group) = (group / self.groups, group % self.groups);
            self.to.wrapping_add((panel * self.steps * self.groups + group) * GROUP)
        }
    }

    /// Steps packed before moving on to the next group where lanes are contiguous.
    const STEPS_AT_ONCE: usize = 16;

    /// SAFETY: needs AVX-512 F and BW, and BF16 when `compute` is `Bf16`; see `super::pack` for the memory.
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
    pub(crate) fn transpose(rows: &[__m512i; 16]) -> [__m512i; 16] {
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

    /// Packs lanes whose depth is contiguous: 16 steps of a group of lanes at a time, transposed in registers.
    macro_rules! rows {
        ($name:ident, $element:ty, $features:literal, $per_step:literal, |$from:ident, $left:ident| $load:expr) => {
            #[target_feature(enable = $features)]
            unsafe fn $name(from: *const $element, task: Task) {
                for group in 0..task.panels * task.groups {
                    let first = group * task.group_lanes;
                    let lanes = task.lanes.saturating_sub(first).min(task.group_lanes);
                    let from = from.wrapping_add(first * task.stride);
                    let (to, step_words) = (task.place(group), task.step_words());
                    let mut step = 0;
                    while step < task.steps {
                        let depth = step * $per_step;
                        let $left = task.depth - depth;
                        let mut words = [_mm512_setzero_si512(); GROUP];
                        for (lane, word) in words.iter_mut().enumerate() {
                            if lane < lanes {
                                // SAFETY: lane and depth are inside the operand; the mask stops at its end.
                                *word = unsafe {
                                    let $from = from.add(lane * task.stride + depth);
                                    $load
                                };
                            }
                        }
                        let columns = transpose(&words);
                        let count = GROUP.min(task.steps - step);
                        for (offset, column) in columns.iter().enumerate() {
                            if offset < count {
                                // SAFETY: every step of the group has 16 words.
                                unsafe { _mm512_storeu_si512(to.add((step + offset) * step_words).cast(), *column) };
                            }
                        }
                        step += GROUP;
                    }
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

    /// Packs lanes that are contiguous: one or two rows of memory make a step. Some steps of all groups are packed before
    /// the next ones, so that the rows in use fit the first cache.
    macro_rules! columns {
        ($name:ident, $element:ty, $features:literal, $per_step:literal, |$from:ident, $mask:ident| $load:expr) => {
            #[target_feature(enable = $features)]
            unsafe fn $name(from: *const $element, task: Task) {
                let groups = task.panels * task.groups;
                let step_words = task.step_words();
                for block in (0..task.steps).step_by(STEPS_AT_ONCE) {
                    let end = task.steps.min(block + STEPS_AT_ONCE);
                    for group in 0..groups {
                        let first = group * task.group_lanes;
                        let $mask = mask16(task.lanes.saturating_sub(first).min(task.group_lanes));
                        let mut to = task.place(group).wrapping_add(block * step_words);
                        let mut $from = from.wrapping_add(block * $per_step * task.stride + first);
                        for step in block..end {
                            // SAFETY: the rows are inside the operand and the mask stops at its last lane; every step of
                            // the group has 16 words.
                            unsafe {
                                let mut word = $load;
                                $from = $from.wrapping_add(task.stride);
                                if $per_step == 2 {
                                    if step * 2 + 1 < task.depth {
                                        word = _mm512_or_si512(word, _mm512_slli_epi32::<16>($load));
                                    }
                                    $from = $from.wrapping_add(task.stride);
                                }
                                _mm512_storeu_si512(to.cast(), word);
                            }
                            to = to.wrapping_add(step_words);
                        }
                    }
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
