//! Token embedding.

use super::buffer::Buffer;
use super::elementwise::{block_rows, output};
use super::simd::Context;
use super::tile::{Scratch, tiles};
use super::vectorised::for_level;
use crate::backend::DType;

/// See [`crate::Backend::embed`].
pub(super) fn embed(
    ctx: &Context<'_>,
    table: &Buffer,
    ids: &Buffer,
    rows: usize,
    width: usize,
    factor: f32,
    out: &mut Buffer,
) {
    let (table, ids) = (table.values(), &ids.u32()[..rows]);
    let parts = output("the embedded rows", out, rows * width, width);
    ctx.threads.run_split(rows, block_rows(width), parts, |range, mut out| {
        let mut scratch = Scratch::new();
        for (row, &id) in ids[range].iter().enumerate() {
            let table = table.part(id as usize * width..(id as usize + 1) * width);
            let mut out = out.values.part(row * width..(row + 1) * width);
            for tile in tiles(0..width) {
                let table = table.tile(ctx.level, tile.clone(), &mut scratch);
                out.write_tile(ctx.level, tile, |out| scale(ctx.level, table, factor, out));
            }
        }
    });
}

for_level! {
    /// `to = factor · from`.
    scale = scale_body(from: &[f32], factor: f32, to: &mut [f32])
}

#[inline(always)]
fn scale_body<const FUSED: bool>(from: &[f32], factor: f32, to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = factor * from;
    }
}

/// Rows of the table that one task looks after. Frequent ids lie close together, so there are many small tasks.
const TABLE_ROWS: usize = 64;

/// See [`crate::Backend::embed_backward`].
pub(super) fn embed_backward(
    ctx: &Context<'_>,
    gradient: &Buffer,
    ids: &Buffer,
    rows: usize,
    width: usize,
    factor: f32,
    table_gradient: &mut Buffer,
) {
    if rows == 0 || width == 0 {
        return;
    }
    let (gradient, ids) = (gradient.values(), &ids.u32()[..rows]);
    // Sorted by id and, within an id, by row: each row of the table is summed in row order by the one task that owns it.
    let mut order = ctx.pool.buffer(DType::U32, rows);
    let order = &mut order.u32_mut()[..rows];
    order.iter_mut().zip(0..).for_each(|(slot, row)| *slot = row);
    order.sort_unstable_by_key(|&row| (ids[row as usize], row));
    let order = &*order;
    let vocabulary = table_gradient.len() / width;
    let largest = ids[order[rows - 1] as usize] as usize;
    assert!(largest < vocabulary, "token {largest} is outside the {vocabulary} rows of the table's gradient");
    let parts = output("the table's gradient", table_gradient, vocabulary * width, width);
    ctx.threads.run_split(vocabulary, TABLE_ROWS, parts, |range, mut table| {
        let mut scratch = Scratch::new();
        let first = order.partition_point(|&row| (ids[row as usize] as usize) < range.start);
        for &row in &order[first..] {
            let (row, id) = (row as usize, ids[row as usize] as usize);
            if id >= range.end {
                break;
            }
            let mut table = table.values.part((id - range.start) * width..(id - range.start + 1) * width);
            for tile in tiles(0..width) {
                let from = row * width + tile.start..row * width + tile.end;
                let gradient = gradient.tile(ctx.level, from, &mut scratch);
                table.update_tile(ctx.level, tile, |table| super::elementwise::add(ctx.level, gradient, factor, table));
            }
        }
    });
}
