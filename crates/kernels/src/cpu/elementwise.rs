//! Filling, copying, adding, gathering; dropout and noise; sums over rows and of squares.

use super::buffer::{Buffer, Values, ValuesMut};
use super::simd::Context;
use super::split::Rows;
use super::tile::{Scratch, tiles};
use super::vectorised::for_level;
use crate::backend::DType;
use crate::counter_random::{keep, uniform};

/// Elements of a task: 64 KiB of `f32`, which takes far longer than handing the task to a thread.
pub(super) const BLOCK: usize = 1 << 14;

/// Rows of a task.
pub(super) fn block_rows(width: usize) -> usize {
    (BLOCK / width.max(1)).max(1)
}

#[track_caller]
pub(super) fn expect_len(name: &str, buffer: &Buffer, len: usize) {
    assert!(buffer.len() >= len, "{name} needs {len} elements, got {}", buffer.len());
}

/// The first `len` elements of an output, `width` to the unit.
#[track_caller]
pub(super) fn output<'a>(name: &str, buffer: &'a mut Buffer, len: usize, width: usize) -> Rows<'a> {
    expect_len(name, buffer, len);
    Rows { values: buffer.values_part_mut(0..len), width }
}

/// See [`crate::Backend::fill`].
pub(super) fn fill(ctx: &Context<'_>, buffer: &mut Buffer, value: f32) {
    let len = buffer.len();
    let parts = output("the buffer to fill", buffer, len, 1);
    ctx.threads.run_split(len, BLOCK, parts, |_, mut to| to.values.fill(value));
}

/// Zeros in a buffer of any type.
pub(super) fn clear(ctx: &Context<'_>, buffer: &mut Buffer) {
    if buffer.dtype() == DType::U32 {
        buffer.u32_mut().fill(0);
    } else {
        fill(ctx, buffer, 0.0);
    }
}

/// See [`crate::Backend::copy`].
pub(super) fn copy(ctx: &Context<'_>, from: &Buffer, to: &mut Buffer, len: usize) {
    if from.dtype() == DType::U32 {
        to.u32_mut()[..len].copy_from_slice(&from.u32()[..len]);
        return;
    }
    let from = from.values();
    let parts = output("the target of a copy", to, len, 1);
    ctx.threads.run_split(len, BLOCK, parts, |range, mut to| to.values.copy_from(ctx.level, from.part(range)));
}

/// See [`crate::Backend::write`].
pub(super) fn write(ctx: &Context<'_>, buffer: &mut Buffer, offset: usize, values: &[f32]) {
    let parts = Rows { values: buffer.values_part_mut(offset..offset + values.len()), width: 1 };
    ctx.threads.run_split(values.len(), BLOCK, parts, |range, mut to| {
        to.values.copy_from(ctx.level, Values::F32(&values[range]));
    });
}

/// See [`crate::Backend::read`].
pub(super) fn read(ctx: &Context<'_>, buffer: &Buffer, offset: usize, len: usize) -> Vec<f32> {
    let mut host = vec![0.0; len];
    let from = buffer.values().part(offset..offset + len);
    ctx.threads.run_chunks(&mut host, BLOCK, |block, to| {
        from.part(block * BLOCK..block * BLOCK + to.len()).widen_into(ctx.level, to);
    });
    host
}

/// See [`crate::Backend::add_scaled`].
pub(super) fn add_scaled(ctx: &Context<'_>, to: &mut Buffer, from: &Buffer, factor: f32, len: usize) {
    let from = from.values();
    let parts = output("the target of an addition", to, len, 1);
    ctx.threads.run_split(len, BLOCK, parts, |range, mut to| {
        let mut scratch = Scratch::new();
        for tile in tiles(0..range.len()) {
            let from = from.tile(ctx.level, range.start + tile.start..range.start + tile.end, &mut scratch);
            to.values.update_tile(ctx.level, tile, |to| add(ctx.level, from, factor, to));
        }
    });
}

for_level! {
    /// `to += factor · from`.
    pub(super) add = add_body(from: &[f32], factor: f32, to: &mut [f32])
}

#[inline(always)]
fn add_body<const FUSED: bool>(from: &[f32], factor: f32, to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = super::exponential::multiply_add::<FUSED>(factor, from, *to);
    }
}

/// See [`crate::Backend::gather_rows`].
pub(super) fn gather_rows(
    ctx: &Context<'_>,
    from: &Buffer,
    indices: &Buffer,
    rows: usize,
    width: usize,
    to: &mut Buffer,
) {
    let (from, indices) = (from.values(), &indices.u32()[..rows]);
    let parts = output("the target of a gather", to, rows * width, width);
    ctx.threads.run_split(rows, block_rows(width), parts, |range, mut to| {
        for (row, &index) in indices[range].iter().enumerate() {
            let from = from.part(index as usize * width..(index as usize + 1) * width);
            to.values.part(row * width..(row + 1) * width).copy_from(ctx.level, from);
        }
    });
}

/// See [`crate::Backend::scatter_rows`].
pub(super) fn scatter_rows(
    ctx: &Context<'_>,
    from: &Buffer,
    indices: &Buffer,
    rows: usize,
    width: usize,
    to: &mut Buffer,
    accumulate: bool,
) {
    const NO_SOURCE: u32 = u32::MAX;
    if rows == 0 || width == 0 {
        return;
    }
    let target_rows = to.len() / width;
    if rows <= FEW_ROWS {
        return scatter_few_rows(ctx, from.values(), &indices.u32()[..rows], width, to, accumulate);
    }
    // Each row of the target looks up its source, so that no two threads can meet in a row.
    let mut sources = ctx.pool.buffer(DType::U32, target_rows);
    sources.u32_mut().fill(NO_SOURCE);
    for (row, &index) in indices.u32()[..rows].iter().enumerate() {
        let source = &mut sources.u32_mut()[index as usize];
        assert_eq!(*source, NO_SOURCE, "rows are scattered to distinct indices, but {index} comes twice");
        *source = row as u32;
    }
    let (from, sources) = (from.values(), sources.u32());
    let parts = output("the target of a scatter", to, target_rows * width, width);
    ctx.threads.run_split(target_rows, block_rows(width), parts, |range, mut to| {
        let mut scratch = Scratch::new();
        for (row, &source) in sources[range].iter().enumerate().filter(|&(_, &source)| source != NO_SOURCE) {
            let from = from.part(source as usize * width..(source as usize + 1) * width);
            scatter_row(ctx, from, to.values.part(row * width..(row + 1) * width), accumulate, &mut scratch);
        }
    });
}

/// Rows that are scattered one after the other: a token at a time, the target is a whole cache of keys or values.
const FEW_ROWS: usize = 16;

fn scatter_few_rows(
    ctx: &Context<'_>,
    from: Values<'_>,
    indices: &[u32],
    width: usize,
    to: &mut Buffer,
    accumulate: bool,
) {
    let mut scratch = Scratch::new();
    for (row, &index) in indices.iter().enumerate() {
        assert!(!indices[..row].contains(&index), "rows are scattered to distinct indices, but {index} comes twice");
        let from = from.part(row * width..(row + 1) * width);
        let to = to.values_part_mut(index as usize * width..(index as usize + 1) * width);
        scatter_row(ctx, from, to, accumulate, &mut scratch);
    }
}

fn scatter_row(ctx: &Context<'_>, from: Values<'_>, mut to: ValuesMut<'_>, accumulate: bool, scratch: &mut Scratch) {
    if !accumulate {
        return to.copy_from(ctx.level, from);
    }
    for tile in tiles(0..from.len()) {
        let from = from.tile(ctx.level, tile.clone(), scratch);
        to.update_tile(ctx.level, tile, |to| add(ctx.level, from, 1.0, to));
    }
}

/// See [`crate::Backend::dropout`].
pub(super) fn dropout(ctx: &Context<'_>, from: &Buffer, to: &mut Buffer, len: usize, p: f32, seed: u64) {
    let from = from.values();
    let parts = output("the target of dropout", to, len, 1);
    ctx.threads.run_split(len, BLOCK, parts, |range, mut to| {
        let mut scratch = Scratch::new();
        for tile in tiles(0..range.len()) {
            let first = range.start + tile.start;
            let from = from.tile(ctx.level, first..range.start + tile.end, &mut scratch);
            to.values.write_tile(ctx.level, tile, |to| drop_out(ctx.level, from, to, first as u64, p, seed));
        }
    });
}

for_level! {
    /// Dropout of a tile whose first element has index `first`.
    drop_out = drop_out_body(from: &[f32], to: &mut [f32], first: u64, p: f32, seed: u64)
}

#[inline(always)]
fn drop_out_body<const FUSED: bool>(from: &[f32], to: &mut [f32], first: u64, p: f32, seed: u64) {
    let scale = 1.0 / (1.0 - p);
    for (index, (to, &from)) in (first..).zip(to.iter_mut().zip(from)) {
        *to = if keep(seed, index, p) { from * scale } else { 0.0 };
    }
}

/// See [`crate::Backend::add_uniform_noise`].
pub(super) fn add_uniform_noise(
    ctx: &Context<'_>,
    x: &mut Buffer,
    magnitude: &Buffer,
    rows: usize,
    width: usize,
    seed: u64,
) {
    let magnitude = magnitude.f32();
    let parts = output("the matrix that takes noise", x, rows * width, width);
    ctx.threads.run_split(rows, block_rows(width), parts, |range, mut x| {
        for (row, &magnitude) in magnitude[range.clone()].iter().enumerate() {
            for tile in tiles(row * width..(row + 1) * width) {
                let first = (range.start * width + tile.start) as u64;
                x.values.update_tile(ctx.level, tile, |x| add_noise(ctx.level, x, first, magnitude, seed));
            }
        }
    });
}

for_level! {
    /// Noise for a tile of one row whose first element has index `first`.
    add_noise = add_noise_body(x: &mut [f32], first: u64, magnitude: f32, seed: u64)
}

#[inline(always)]
fn add_noise_body<const FUSED: bool>(x: &mut [f32], first: u64, magnitude: f32, seed: u64) {
    for (index, x) in (first..).zip(x) {
        *x += magnitude * (uniform(seed, index) * 2.0 - 1.0);
    }
}

/// See [`crate::Backend::sum_of_squares`].
pub(super) fn sum_of_squares(ctx: &Context<'_>, buffer: &Buffer, len: usize) -> f64 {
    expect_len("the buffer to be squared", buffer, len);
    let values = buffer.values();
    ctx.threads.sum(len, BLOCK, |range| {
        let mut scratch = Scratch::new();
        tiles(range).map(|tile| squares(ctx.level, values.tile(ctx.level, tile, &mut scratch))).sum()
    })
}

for_level! {
    /// Sum of squares of a tile: eight sums in `f64`, joined in order.
    squares = squares_body(values: &[f32]) -> f64
}

#[inline(always)]
fn squares_body<const FUSED: bool>(values: &[f32]) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += f64::from(value) * f64::from(value);
    }
    sums.iter().sum()
}

/// See [`crate::Backend::sum_rows`].
pub(super) fn sum_rows(ctx: &Context<'_>, dy: &Buffer, rows: usize, width: usize, bias_gradient: &mut Buffer) {
    expect_len("the cotangent", dy, rows * width);
    let dy = dy.values();
    let block = block_rows(width);
    let mut partial = ctx.pool.buffer(DType::F32, rows.div_ceil(block) * width);
    let parts = Rows { values: partial.values_mut(), width };
    ctx.threads.run_split(rows.div_ceil(block), 1, parts, |blocks, mut sums| {
        let mut scratch = Scratch::new();
        sums.values.fill(0.0);
        for row in blocks.start * block..rows.min(blocks.end * block) {
            for tile in tiles(0..width) {
                let dy = dy.tile(ctx.level, row * width + tile.start..row * width + tile.end, &mut scratch);
                sums.values.update_tile(ctx.level, tile, |sums| add(ctx.level, dy, 1.0, sums));
            }
        }
    });
    add_partial_sums(ctx, &partial, rows.div_ceil(block), width, bias_gradient);
}

/// `gradient[j] += Σ_i partial[i, j]`, the blocks' sums of a gradient of a parameter, in block order.
pub(super) fn add_partial_sums(
    ctx: &Context<'_>,
    partial: &Buffer,
    blocks: usize,
    width: usize,
    gradient: &mut Buffer,
) {
    /// Columns of a task.
    const COLUMNS: usize = 256;
    let partial = partial.f32();
    let parts = output("the gradient of a parameter", gradient, width, 1);
    ctx.threads.run_split(width, COLUMNS, parts, |columns, mut to| {
        to.values.update_tile(ctx.level, 0..columns.len(), |to| {
            for block in 0..blocks {
                add(ctx.level, &partial[block * width + columns.start..block * width + columns.end], 1.0, to);
            }
        });
    });
}
