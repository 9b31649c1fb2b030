//! How a product is cut into tasks and cache blocks.
//!
//! A task owns some left panels and a range of columns. It packs its left panels (they stay in the second-level cache)
//! and passes every right panel of its range by all of them. An output element is summed in the same order wherever it
//! lies, so that the cuts, which depend on the shape and the number of threads, change no bits.

use std::ops::Range;

use half::bf16;

use super::int8::{self, Scales};
use super::kernel::{self, Place, Segment, Tile};
use super::packing::{self, LEFT_WORDS, Operand, Part, RIGHT_LANES, Side, left_lanes};
use crate::backend::{Compute, DType};
use crate::cpu::buffer::{Buffer, ValuesMut};
use crate::cpu::simd::Context;

/// Most steps summed before the partial sum is written out: bounds the packed left panels of a task.
const MAX_STEPS: usize = 2048;
/// Most left panels of a task.
const MAX_LEFT_PANELS: usize = 8;
/// Most right panels of a task.
const MAX_RIGHT_PANELS: usize = 48;
/// As above, where the partial sums of several blocks of steps are kept beside the output.
const MAX_RIGHT_PANELS_PARTIAL: usize = 16;
/// Right panels packed by one task.
const PACKED_AT_ONCE: usize = 4;
/// Enough tasks that a small team ends nearly together.
const WANTED_TASKS: usize = 16;

/// Packed right panels, possibly a stretch of the summed dimension of a longer matrix.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// Starts at the first step in use of the first panel.
    pub(crate) words: &'a [u32],
    /// Words from one panel to the next.
    pub(crate) stride: usize,
    /// Of panels of eight bits, whose words hold four numbers each.
    pub(crate) scales: Option<Scales<'a>>,
}

impl<'a> Panels<'a> {
    /// Panels as the tile kernels read them.
    pub(crate) fn words(words: &'a [u32], stride: usize) -> Self {
        Self { words, stride, scales: None }
    }

    /// All but the first `panels`.
    pub(crate) fn skip(self, panels: usize) -> Self {
        let scales = self.scales.map(|Scales { values, stride }| Scales { values: &values[panels * stride..], stride });
        Self { words: &self.words[panels * self.stride..], scales, ..self }
    }

    /// Steps `first .. first + steps` of a panel of eight bits.
    fn int8(&self, compute: Compute, panel: usize, first: usize, steps: usize) -> Option<int8::Panel<'a>> {
        let Scales { values, stride } = self.scales?;
        let step_numbers = packing::elements_per_step(compute) * RIGHT_LANES;
        let numbers: &[i8] = bytemuck::cast_slice(&self.words[panel * self.stride..(panel + 1) * self.stride]);
        let scales = &values[panel * stride..(panel + 1) * stride];
        Some(int8::Panel {
            numbers: &numbers[first * step_numbers..(first + steps) * step_numbers],
            scales: &scales[first / int8::group_steps(compute) * RIGHT_LANES..],
            steps,
        })
    }
}

/// A product `factor * left · right + extra.0 · extra.1 + bias` to be computed.
#[derive(Clone, Copy)]
pub(crate) struct Multiplication<'a> {
    pub(crate) left: Operand<'a>,
    pub(crate) right: Panels<'a>,
    /// Columns of the right operand.
    pub(crate) columns: usize,
    /// A second, thin product that is summed in the same registers.
    pub(crate) extra: Option<(Operand<'a>, Panels<'a>)>,
    pub(crate) factor: f32,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) accumulate: bool,
}

/// The first element of a row-major matrix of outputs, shared by tasks that write different parts of it.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) place: Place,
    pub(crate) stride: usize,
}

// SAFETY: tasks that share an output write disjoint parts of it; whoever makes tasks sees to that.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    /// The whole of a dense `[rows, columns]` matrix.
    #[track_caller]
    pub(crate) fn new(values: ValuesMut<'_>, rows: usize, columns: usize) -> Self {
        let (place, len) = match values {
            ValuesMut::F32(values) => (Place::F32(values.as_mut_ptr()), values.len()),
            ValuesMut::Bf16(values) => (Place::Bf16(values.as_mut_ptr()), values.len()),
        };
        assert!(len >= rows * columns, "an output of {rows} x {columns} needs {} elements, got {len}", rows * columns);
        Self { place, stride: columns }
    }

    /// The part of the matrix that begins at an element.
    ///
    /// SAFETY: the element must be inside the matrix.
    pub(crate) unsafe fn at(self, row: usize, column: usize) -> Self {
        // SAFETY: as promised by the caller.
        Self { place: unsafe { self.place.add(row * self.stride + column) }, ..self }
    }
}

/// Cuts `count` things into `parts` ranges of nearly equal length.
fn part(count: usize, parts: usize, index: usize) -> Range<usize> {
    count * index / parts..count * (index + 1) / parts
}

/// Packs a whole right operand on the team.
pub(crate) fn pack_right(ctx: &Context<'_>, operand: &Operand<'_>) -> Buffer {
    let words = panel_words(ctx, operand.depth);
    let panels = operand.lanes.div_ceil(RIGHT_LANES);
    let mut buffer = ctx.pool.buffer(DType::U32, panels * words);
    if words > 0 {
        let count = packing::steps(ctx.compute, operand.depth);
        ctx.threads.run_chunks(buffer.u32_mut(), words * PACKED_AT_ONCE, |task, to| {
            let first = task * PACKED_AT_ONCE;
            let part = Part { panels: first..panels.min(first + PACKED_AT_ONCE), first: 0, count };
            packing::pack(ctx.level, ctx.compute, packing::RIGHT, operand, &part, to);
        });
    }
    buffer
}

/// Words of one packed right panel.
pub(crate) fn panel_words(ctx: &Context<'_>, depth: usize) -> usize {
    packing::steps(ctx.compute, depth) * RIGHT_LANES
}

/// Runs a multiplication on the team.
pub(crate) fn multiply(ctx: &Context<'_>, multiplication: &Multiplication<'_>, output: Output) {
    let rows = multiplication.left.lanes;
    let left_panels = rows.div_ceil(left_lanes(rows));
    let right_panels = multiplication.columns.div_ceil(RIGHT_LANES);
    if left_panels == 0 || right_panels == 0 {
        return;
    }
    let wide =
        if keeps_partial_sums(ctx, multiplication, output) { MAX_RIGHT_PANELS_PARTIAL } else { MAX_RIGHT_PANELS };
    let (row_parts, wanted) = if is_thin(rows) {
        (1, ctx.threads.count())
    } else {
        (left_panels.div_ceil(left_panels.div_ceil(WANTED_TASKS).clamp(2, MAX_LEFT_PANELS)), WANTED_TASKS)
    };
    let column_parts = right_panels.div_ceil(wide).max(wanted.div_ceil(row_parts)).min(right_panels);
    ctx.threads.run(row_parts * column_parts, |task| {
        let rows = part(left_panels, row_parts, task % row_parts);
        let columns = part(right_panels, column_parts, task / row_parts);
        // SAFETY: the parts are disjoint and inside the output.
        unsafe {
            let output = output.at(rows.start * left_lanes(multiplication.left.lanes), columns.start * RIGHT_LANES);
            multiply_part(ctx, multiplication, rows, columns, output);
        }
    });
}

/// Whether a product has so few rows that reading the right operand from memory is much of its work. It is read once, by each thread a
/// stretch of its own: tasks of a panel or two would pack the rows again and again and have no next panel to fetch ahead.
fn is_thin(rows: usize) -> bool {
    rows <= MAX_LEFT_PANELS * packing::LEFT_LANES
}

fn keeps_partial_sums(ctx: &Context<'_>, multiplication: &Multiplication<'_>, output: Output) -> bool {
    matches!(output.place, Place::Bf16(_)) && packing::steps(ctx.compute, multiplication.left.depth) > MAX_STEPS
}

/// Computes left panels `rows` by right panels `columns` into `output`, which begins at their first element.
///
/// SAFETY: `output` is writable for these rows and columns and nothing else uses them meanwhile.
pub(crate) unsafe fn multiply_part(
    ctx: &Context<'_>,
    multiplication: &Multiplication<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    output: Output,
) {
    let Multiplication { left, right, extra, .. } = multiplication;
    let steps = packing::steps(ctx.compute, left.depth);
    let extra_steps = extra.as_ref().map_or(0, |(left, _)| packing::steps(ctx.compute, left.depth));
    check(multiplication, &columns, steps, extra_steps);
    let lanes = left_lanes(left.lanes);
    let row_count = (left.lanes - rows.start * lanes).min(rows.len() * lanes);
    // A row alone is its own panel, without the other lanes' room: a token at a time, that is what is read most.
    let left_words = if row_count == 1 { 1 } else { LEFT_WORDS };
    let pack_left = |operand: &Operand<'_>, first: usize, count: usize, to: &mut [u32]| {
        if row_count == 1 {
            packing::pack_row(ctx.compute, operand, rows.start * lanes, first, &mut to[..count]);
        } else {
            let part = Part { panels: rows.clone(), first, count };
            packing::pack(ctx.level, ctx.compute, Side::left(lanes), operand, &part, to);
        }
    };
    let mut packed = ctx.pool.buffer(DType::U32, rows.len() * left_words * (steps.min(MAX_STEPS) + extra_steps));
    let (packed, packed_extra) = packed.u32_mut().split_at_mut(rows.len() * left_words * steps.min(MAX_STEPS));
    if let Some((left, _)) = extra {
        pack_left(left, 0, extra_steps, packed_extra);
    }
    let column_count = (multiplication.columns - columns.start * RIGHT_LANES).min(columns.len() * RIGHT_LANES);
    let mut partial =
        keeps_partial_sums(ctx, multiplication, output).then(|| ctx.pool.buffer(DType::F32, row_count * column_count));
    let target = match &mut partial {
        Some(partial) => Output { place: Place::F32(partial.f32_mut().as_mut_ptr()), stride: column_count },
        None => output,
    };
    // A left panel of its own reads the numbers once, several read the words that are made of them.
    let in_registers = rows.len() == 1 && int8::in_registers(ctx.level, ctx.compute);
    let mut expanded = (right.scales.is_some() && !in_registers)
        .then(|| ctx.pool.buffer(DType::U32, steps.min(MAX_STEPS) * RIGHT_LANES));
    let mut first = 0;
    loop {
        let count = (steps - first).min(MAX_STEPS);
        let last = first + count == steps;
        pack_left(left, first, count, packed);
        for column in 0..columns.len() {
            let right_panel = columns.start + column;
            let int8 = right.int8(ctx.compute, right_panel, first, count);
            let main_right = match (int8, &mut expanded) {
                (None, _) => right.words[right_panel * right.stride + first * RIGHT_LANES..].as_ptr(),
                (Some(_), None) => std::ptr::null(),
                (Some(panel), Some(expanded)) => {
                    int8::expand(ctx.level, ctx.compute, panel, expanded.u32_mut());
                    expanded.u32().as_ptr()
                }
            };
            let next = (int8.is_none() && column + 1 < columns.len() && is_thin(left.lanes))
                .then(|| right.words[(right_panel + 1) * right.stride + first * RIGHT_LANES..].as_ptr());
            for row in 0..rows.len() {
                let mut segments = [Segment::EMPTY; 2];
                segments[0] = Segment {
                    left: packed[row * count * left_words..].as_ptr(),
                    left_words,
                    right: main_right,
                    ahead: ahead(next, (row, rows.len()), count),
                    steps: count,
                };
                if let (true, Some((_, right))) = (last, extra) {
                    segments[1] = Segment {
                        left: packed_extra[row * extra_steps * left_words..].as_ptr(),
                        left_words,
                        right: right.words[right_panel * right.stride..].as_ptr(),
                        ahead: None,
                        steps: extra_steps,
                    };
                }
                let bias = if last { multiplication.bias } else { None };
                // SAFETY: panels hold the steps named (`check`), rows and columns are inside the part that the caller
                // has given, and the level is the processor's.
                unsafe {
                    let tile = Tile {
                        segments,
                        rows: lanes.min(row_count - row * lanes),
                        columns: RIGHT_LANES.min(column_count - column * RIGHT_LANES),
                        out: target.place.add(row * lanes * target.stride + column * RIGHT_LANES),
                        stride: target.stride,
                        factor: multiplication.factor,
                        bias: bias.map(|bias| bias[right_panel * RIGHT_LANES..].as_ptr()),
                        accumulate: first > 0 || (multiplication.accumulate && partial.is_none()),
                    };
                    match int8.filter(|_| in_registers) {
                        Some(panel) => int8::run(ctx.compute, &tile, panel),
                        None => kernel::run(ctx.level, ctx.compute, &tile),
                    }
                }
            }
        }
        first += count;
        if last {
            break;
        }
    }
    if let (Some(partial), Place::Bf16(out)) = (&partial, output.place) {
        for (row, sums) in partial.f32()[..row_count * column_count].chunks_exact(column_count).enumerate() {
            // SAFETY: the row is inside the part that the caller has given.
            let out = unsafe { std::slice::from_raw_parts_mut(out.add(row * output.stride), column_count) };
            for (out, &sum) in out.iter_mut().zip(sums) {
                *out = bf16::from_f32(if multiplication.accumulate { out.to_f32() + sum } else { sum });
            }
        }
    }
}

/// What of the next right panel to fetch while a left panel passes by this one: the first two fetch half each, so that neither memory
/// nor processor waits for the other. One left panel alone reads as fast as memory brings.
fn ahead(next: Option<*const u32>, (row, rows): (usize, usize), steps: usize) -> Option<*const u32> {
    let half = steps * RIGHT_LANES / 2;
    next.filter(|_| rows >= 2 && row < 2).map(|next| next.wrapping_add(row * half))
}

/// Panics unless every panel the kernels will read is there.
#[track_caller]
fn check(multiplication: &Multiplication<'_>, columns: &Range<usize>, steps: usize, extra_steps: usize) {
    let holds = |panels: &Panels<'_>, steps: usize| {
        columns.is_empty() || (columns.end - 1) * panels.stride + steps * RIGHT_LANES <= panels.words.len()
    };
    // Panels of eight bits are cut with checks of their own.
    let right = &multiplication.right;
    assert!(right.scales.is_some() || holds(right, steps), "the packed right operand is too short");
    if let Some((left, right)) = &multiplication.extra {
        assert_eq!(left.lanes, multiplication.left.lanes, "rows of the thin product");
        assert!(holds(right, extra_steps), "the packed right operand of the thin product is too short");
    }
    if let Some(bias) = multiplication.bias {
        assert!(bias.len() >= multiplication.columns, "bias of {} for {}", bias.len(), multiplication.columns);
    }
}
