//! Output projection and log-softmax over the rows that predict something.
//!
//! Logits exist only as tiles of one task: the forward keeps their softmax statistics, the backward computes them again
//! and keeps their cotangents for one block of rows and vocabulary at a time. (The tiling is that of Wijmans 2024,
//! "Cut Your Losses in Large-Vocabulary Language Models", arXiv 2411.09009.)

mod softmax;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use self::softmax::{RowCotangent, RowSoftmax, Statistics};
use super::buffer::{Buffer, Values, ValuesMut};
use super::gemm::blocking::{self, Multiplication, Output, Panels};
use super::gemm::packing::{LEFT_LANES, Operand, RIGHT_LANES};
use super::gemm::{self, CpuWeight, Place, Right};
use super::simd::Context;
use super::vector::Shared;
use crate::backend::{Compute, DType, HeadCotangents, HeadOutputs, HeadTargets, Weight};

/// Left panels and rows of a tile of logits.
const TILE_PANELS: usize = 8;
const TILE_ROWS: usize = TILE_PANELS * LEFT_LANES;
/// Columns of a tile of logits. Statistics are summed by these groups, whatever the rows.
const TILE_COLUMNS: usize = 512;
/// Tiles of rows, and vocabulary, of the block of cotangents that the backward keeps.
const BLOCK_TILES: usize = 10;
const BLOCK_COLUMNS: usize = 4 * TILE_COLUMNS;
/// Groups of columns whose weights the forward lays out at once, where they come as values.
const STRETCH_GROUPS: usize = 8;
/// Rows whose statistics one task joins.
const ROWS_AT_ONCE: usize = 32;

/// `hidden [rows, in]` and the projection.
#[derive(Clone, Copy)]
struct Projection<'a> {
    hidden: Values<'a>,
    rows: usize,
    weight: CpuWeight<'a>,
    vocabulary: usize,
    /// Width of `hidden`.
    input: usize,
    softcap: Option<f32>,
}

/// Panels of the projection for a stretch of the vocabulary.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    panels: Panels<'a>,
    first: usize,
}

impl<'a> Projection<'a> {
    fn new(hidden: &'a Buffer, rows: usize, weight: CpuWeight<'a>, softcap: Option<f32>) -> Self {
        let (vocabulary, input) = gemm::sizes(weight);
        Self { hidden: hidden.values(), rows, weight, vocabulary, input, softcap }
    }

    fn hidden_rows(&self, rows: Range<usize>) -> Values<'a> {
        self.hidden.part(rows.start * self.input..rows.end * self.input)
    }

    /// Capped logits of a tile, in rows of `columns.len()`.
    fn tile(&self, ctx: &Context<'_>, stretch: Stretch<'_>, rows: Range<usize>, columns: Range<usize>) -> Buffer {
        let Stretch { panels, first } = stretch;
        let mut logits = ctx.pool.buffer(DType::F32, rows.len() * columns.len());
        let multiplication = Multiplication {
            left: Operand::rows(self.hidden_rows(rows.clone()), rows.len(), self.input),
            right: panels.skip((columns.start - first) / RIGHT_LANES),
            columns: columns.len(),
            extra: None,
            factor: 1.0,
            bias: None,
            accumulate: false,
        };
        let output = Output::new(logits.values_mut(), rows.len(), columns.len());
        let (left, right) = (0..rows.len().div_ceil(LEFT_LANES), 0..columns.len().div_ceil(RIGHT_LANES));
        // SAFETY: the buffer was made for these rows and columns and is this task's own.
        unsafe { blocking::multiply_part(ctx, &multiplication, left, right, output) };
        if let Some(softcap) = self.softcap {
            softmax::cap(ctx.level, logits.f32_mut(), softcap);
        }
        logits
    }
}

/// The targets of each row.
struct TargetsByRow<'a> {
    /// Targets of row `i` are `starts[i] .. starts[i + 1]`.
    starts: Vec<usize>,
    tokens: &'a [u32],
}

impl<'a> TargetsByRow<'a> {
    fn new(targets: HeadTargets<'a, Buffer>, rows: usize, vocabulary: usize) -> Self {
        let of_rows = &targets.rows.u32()[..targets.count];
        let tokens = &targets.tokens.u32()[..targets.count];
        assert!(of_rows.is_sorted(), "rows of targets are not ascending");
        assert!(of_rows.last().is_none_or(|&row| (row as usize) < rows), "a target's row is not below {rows}");
        assert!(tokens.iter().all(|&token| (token as usize) < vocabulary), "a target is not below {vocabulary}");
        let mut starts = vec![0; rows + 1];
        for &row in of_rows {
            starts[row as usize + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        Self { starts, tokens }
    }

    fn of(&self, row: usize) -> Range<usize> {
        self.starts[row]..self.starts[row + 1]
    }

    /// Targets of a row whose token is among `columns`, with the token's place in them.
    fn within(&self, row: usize, columns: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        self.of(row).filter_map(move |target| {
            let token = self.tokens[target] as usize;
            columns.contains(&token).then(|| (target, token - columns.start))
        })
    }
}

/// Takes the rows and columns of a tile, and its logits.
type SeesTile<'a> = dyn Fn(Range<usize>, Range<usize>, &[f32]) + Sync + 'a;

/// Softmax statistics of each row. `seen` gets every tile of logits, in rows of `columns.len()`: each element of the matrix
/// once, from one task.
fn statistics(ctx: &Context<'_>, projection: &Projection<'_>, seen: &SeesTile<'_>) -> Vec<RowSoftmax> {
    let (rows, vocabulary) = (projection.rows, projection.vocabulary);
    let tiles = rows.div_ceil(TILE_ROWS);
    let groups = vocabulary.div_ceil(TILE_COLUMNS);
    let none = Statistics { max: f32::NEG_INFINITY, sum: 0.0, weighted: 0.0 };
    let mut parts = vec![none; groups * tiles * TILE_ROWS];
    // A weight given as values is laid out a stretch at a time.
    let stretch_groups = match projection.weight {
        Weight::Prepared(_) => groups,
        Weight::Values { .. } => STRETCH_GROUPS,
    };
    for (stretch, parts) in parts.chunks_mut((stretch_groups * tiles * TILE_ROWS).max(1)).enumerate() {
        let first_group = stretch * stretch_groups;
        let first = first_group * TILE_COLUMNS;
        let end = vocabulary.min(first + stretch_groups * TILE_COLUMNS);
        let right = Right::forward(ctx, projection.weight, first..end);
        let stretch = Stretch { panels: right.panels(), first };
        ctx.threads.run_chunks(parts, TILE_ROWS, |task, parts| {
            // Tasks next to each other share a group's weights.
            let (group, tile) = (first_group + task / tiles, task % tiles);
            let tile_rows = tile * TILE_ROWS..rows.min((tile + 1) * TILE_ROWS);
            let columns = group * TILE_COLUMNS..vocabulary.min((group + 1) * TILE_COLUMNS);
            let logits = projection.tile(ctx, stretch, tile_rows.clone(), columns.clone());
            for (part, logits) in parts.iter_mut().zip(logits.f32().chunks_exact(columns.len())) {
                *part = softmax::statistics(ctx.level, logits);
            }
            seen(tile_rows, columns, logits.f32());
        });
    }
    let mut softmaxes = vec![RowSoftmax::default(); rows];
    ctx.threads.run_chunks(&mut softmaxes, ROWS_AT_ONCE, |task, softmaxes| {
        for (offset, softmax) in softmaxes.iter_mut().enumerate() {
            let row = task * ROWS_AT_ONCE + offset;
            *softmax = softmax::combine((0..groups).map(|group| parts[group * tiles * TILE_ROWS + row]));
        }
    });
    softmaxes
}

/// Softmax statistics of each row, and the logit of each target.
fn score(ctx: &Context<'_>, projection: &Projection<'_>, targets: &TargetsByRow<'_>) -> (Vec<RowSoftmax>, Vec<f32>) {
    let logits_of_targets: Vec<AtomicU32> = targets.tokens.iter().map(|_| AtomicU32::new(0)).collect();
    let softmaxes = statistics(ctx, projection, &|rows, columns, logits| {
        for (row, logits) in rows.zip(logits.chunks_exact(columns.len())) {
            for (target, place) in targets.within(row, columns.clone()) {
                // Each target's token lies in one tile, so there is one writer.
                logits_of_targets[target].store(logits[place].to_bits(), Ordering::Relaxed);
            }
        }
    });
    let logits = logits_of_targets.into_iter().map(|bits| f32::from_bits(bits.into_inner())).collect();
    (softmaxes, logits)
}

/// See [`crate::Backend::logits`].
pub(crate) fn logits(
    ctx: &Context<'_>,
    hidden: &Buffer,
    rows: usize,
    weight: CpuWeight<'_>,
    softcap: Option<f32>,
    logits: &mut Buffer,
) -> Vec<f64> {
    let projection = Projection::new(hidden, rows, weight, softcap);
    let vocabulary = projection.vocabulary;
    let all = Shared::new(logits.values_mut());
    let softmaxes = statistics(ctx, &projection, &|rows, columns, tile| {
        for (row, tile) in rows.zip(tile.chunks_exact(columns.len())) {
            let start = row * vocabulary;
            // SAFETY: each element is in one tile, and each tile in one task.
            unsafe { all.part(start + columns.start..start + columns.end).store(tile, false) };
        }
    });
    softmaxes.into_iter().map(|softmax| softmax.log_normaliser).collect()
}

/// See [`crate::Backend::head`].
pub(crate) fn head(
    ctx: &Context<'_>,
    hidden: &Buffer,
    rows: usize,
    weight: CpuWeight<'_>,
    softcap: Option<f32>,
    targets: HeadTargets<'_, Buffer>,
    outputs: HeadOutputs<'_, Buffer>,
) {
    let projection = Projection::new(hidden, rows, weight, softcap);
    let by_row = TargetsByRow::new(targets, rows, projection.vocabulary);
    let (softmaxes, logits) = score(ctx, &projection, &by_row);
    let HeadOutputs { log_probs, mut entropies, hits, log_normalisers } = outputs;
    for (to, softmax) in log_normalisers.f32_mut().iter_mut().zip(&softmaxes) {
        *to = softmax.log_normaliser as f32;
    }
    let (log_probs, hits) = (log_probs.f32_mut(), hits.f32_mut());
    for (row, softmax) in softmaxes.iter().enumerate() {
        for target in by_row.of(row) {
            log_probs[target] = (f64::from(logits[target]) - softmax.log_normaliser) as f32;
            hits[target] = if logits[target] >= softmax.max { 1.0 } else { 0.0 };
            if let Some(entropies) = &mut entropies {
                entropies.f32_mut()[target] = softmax.entropy as f32;
            }
        }
    }
}

/// See [`crate::Backend::head_backward`].
pub(crate) fn head_backward(
    ctx: &Context<'_>,
    hidden: &Buffer,
    rows: usize,
    weight: CpuWeight<'_>,
    softcap: Option<f32>,
    targets: HeadTargets<'_, Buffer>,
    log_normalisers: &Buffer,
    cotangents: HeadCotangents<'_, Buffer>,
    dhidden: &mut Buffer,
    mut dweight: Option<&mut Buffer>,
) {
    let projection = Projection::new(hidden, rows, weight, softcap);
    let by_row = TargetsByRow::new(targets, rows, projection.vocabulary);
    let of_log_probs = cotangents.log_probs.f32();
    let sum = |values: &[f32], row: usize| values[by_row.of(row)].iter().sum::<f32>();
    // The forward does not hand entropies of rows on, so they are computed again where they are wanted.
    let of_entropies = cotangents.entropies.map(|cotangents| (cotangents.f32(), score(ctx, &projection, &by_row).0));
    let terms: Vec<RowCotangent> = (0..rows)
        .map(|row| RowCotangent {
            log_normaliser: log_normalisers.f32()[row],
            log_prob: sum(of_log_probs, row),
            entropy_cotangent: of_entropies.as_ref().map_or(0.0, |(cotangents, _)| sum(cotangents, row)),
            entropy: of_entropies.as_ref().map_or(0.0, |(_, softmaxes)| softmaxes[row].entropy as f32),
        })
        .collect();
    let (input, vocabulary) = (projection.input, projection.vocabulary);
    let kept = match ctx.compute {
        Compute::F32 => DType::F32,
        Compute::Bf16 => DType::Bf16,
    };
    let tiles = rows.div_ceil(TILE_ROWS);
    let block = tiles.div_ceil(tiles.div_ceil(BLOCK_TILES).max(1)).max(1) * TILE_ROWS;
    for start in (0..rows).step_by(block) {
        let block_rows = start..rows.min(start + block);
        let depth = block_rows.len();
        let hidden = projection.hidden_rows(block_rows.clone());
        let packed_hidden =
            dweight.is_some().then(|| blocking::pack_right(ctx, &Operand::columns(hidden, input, depth)));
        let mut dhidden_block = ctx.pool.buffer(DType::F32, depth * input);
        for first in (0..vocabulary).step_by(BLOCK_COLUMNS) {
            let columns = first..vocabulary.min(first + BLOCK_COLUMNS);
            let mut dlogits = ctx.pool.buffer(kept, depth * columns.len());
            let (forward, backward) =
                (Right::forward(ctx, weight, columns.clone()), Right::backward(ctx, weight, columns.clone()));
            logit_cotangents(
                ctx,
                (&projection, Stretch { panels: forward.panels(), first }),
                (&by_row, of_log_probs, &terms),
                block_rows.clone(),
                columns.clone(),
                &mut dlogits,
            );
            let to_hidden = Multiplication {
                left: Operand::rows(dlogits.values(), depth, columns.len()),
                right: backward.panels(),
                columns: input,
                extra: None,
                factor: 1.0,
                bias: None,
                accumulate: first > 0,
            };
            blocking::multiply(ctx, &to_hidden, Output::new(dhidden_block.values_mut(), depth, input));
            if let (Some(dweight), Some(packed)) = (&mut dweight, &packed_hidden) {
                let to_weight = Multiplication {
                    left: Operand::columns(dlogits.values(), columns.len(), depth),
                    right: Panels::words(packed.u32(), blocking::panel_words(ctx, depth)),
                    accumulate: true,
                    ..to_hidden
                };
                let dweight = ValuesMut::F32(&mut dweight.f32_mut()[first * input..columns.end * input]);
                blocking::multiply(ctx, &to_weight, Output::new(dweight, columns.len(), input));
            }
        }
        let range = block_rows.start * input..block_rows.end * input;
        match dhidden.values_mut() {
            ValuesMut::F32(to) => to[range].copy_from_slice(&dhidden_block.f32()[..depth * input]),
            ValuesMut::Bf16(to) => softmax::narrow(ctx.level, &dhidden_block.f32()[..depth * input], &mut to[range]),
        }
    }
}

/// Cotangents of the logits of some rows and columns, in rows of `columns.len()`.
fn logit_cotangents(
    ctx: &Context<'_>,
    (projection, stretch): (&Projection<'_>, Stretch<'_>),
    (targets, of_log_probs, terms): (&TargetsByRow<'_>, &[f32], &[RowCotangent]),
    rows: Range<usize>,
    columns: Range<usize>,
    dlogits: &mut Buffer,
) {
    let tiles = rows.len().div_ceil(TILE_ROWS);
    let groups = columns.len().div_ceil(TILE_COLUMNS);
    let output = Output::new(dlogits.values_mut(), rows.len(), columns.len());
    ctx.threads.run(tiles * groups, |task| {
        let (group, tile) = (task / tiles, task % tiles);
        let (row_offset, column_offset) = (tile * TILE_ROWS, group * TILE_COLUMNS);
        let rows = rows.start + row_offset..rows.end.min(rows.start + row_offset + TILE_ROWS);
        let columns = columns.start + column_offset..columns.end.min(columns.start + column_offset + TILE_COLUMNS);
        let mut logits = projection.tile(ctx, stretch, rows.clone(), columns.clone());
        for (offset, logits) in logits.f32_mut().chunks_exact_mut(columns.len()).enumerate() {
            let row = rows.start + offset;
            // The targets' own terms need the logits that the next call overwrites; there are few.
            let own: Vec<(usize, f32)> = targets
                .within(row, columns.clone())
                .map(|(target, place)| {
                    let share = projection.softcap.map_or(0.0, |softcap| logits[place] / softcap);
                    (place, of_log_probs[target] * (1.0 - share * share))
                })
                .collect();
            softmax::cotangents(ctx.level, logits, terms[row], projection.softcap);
            for (place, term) in own {
                logits[place] += term;
            }
            // SAFETY: tasks own disjoint tiles of the output, and this is one row of this task's.
            unsafe {
                match output.at(row_offset + offset, column_offset).place {
                    Place::F32(to) => {
                        std::slice::from_raw_parts_mut(to, logits.len()).copy_from_slice(logits);
                    }
                    Place::Bf16(to) => {
                        softmax::narrow(ctx.level, logits, std::slice::from_raw_parts_mut(to, logits.len()));
                    }
                }
            }
        }
    });
}
