//! The forward pass.

use super::super::buffer::{Buffer, Values};
use super::super::exponential::{exp, tanh};
use super::super::simd::Context;
use super::super::vector::{Shared, Vectorised, vectorised};
use super::plan::{AttentionPlan, KEYS, QueryTile, ROWS, queries_a_tile, query_tiles};
use super::tile::{HEIGHT, load_head, padded, product, transpose};
#[cfg(target_arch = "x86_64")]
use super::{forward_few, forward_pairs, pairs::LANES, pairs_tile::QueryRows};
use crate::backend::AttentionShape;

/// One tile of queries for one key head: the group of query heads that share it are rows side by side.
struct Tile<'a> {
    shape: AttentionShape,
    plan: &'a AttentionPlan,
    tile: QueryTile,
    kv_head: usize,
    q: Values<'a>,
    k: Values<'a>,
    v: Values<'a>,
    out: &'a Shared<'a>,
    log_normalisers: &'a Shared<'a>,
}

/// Scores of a tile in place: scale, soft cap, mask. `slope` of the cap is not needed here.
#[inline(always)]
pub(super) fn finish_scores<const FUSED: bool>(
    shape: &AttentionShape,
    scores: &mut [f32],
    position: usize,
    tile: usize,
    present: u64,
) {
    match shape.softcap {
        Some(cap) => scores.iter_mut().for_each(|s| *s = cap * tanh::<FUSED>(*s * (shape.scale / cap))),
        None => scores.iter_mut().for_each(|s| *s *= shape.scale),
    }
    let oldest = shape.window.map_or(0, |window| (position + 1).saturating_sub(window as usize));
    if present == u64::MAX && tile + KEYS <= position + 1 && tile >= oldest {
        return;
    }
    for (slot, score) in scores.iter_mut().enumerate() {
        let key = tile + slot;
        if key > position || key < oldest || present >> slot & 1 == 0 {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// Loads a key tile: `[KEYS, width]` rows with zeros where there is no key, and which slots are filled.
#[inline(always)]
pub(super) fn load_keys(
    tile: &QueryTile,
    plan: &AttentionPlan,
    first: usize,
    values: &Values<'_>,
    (row_width, offset, head_dim): (usize, usize, usize),
    to: &mut [f32],
    width: usize,
) -> u64 {
    to.fill(0.0);
    let mut present = 0_u64;
    for (slot, row, count) in tile.key_parts(plan, first) {
        for index in 0..count {
            present |= 1 << (slot + index);
            load_head(values, row + index, row_width, offset, &mut to[(slot + index) * width..][..head_dim]);
        }
    }
    present
}

impl Vectorised for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { shape, plan, tile, kv_head, q, k, v, out, log_normalisers } = self;
        let (dim, group) = (shape.head_dim, shape.heads / shape.kv_heads);
        let (width, q_width, k_width) = (padded(dim), shape.heads * dim, shape.kv_heads * dim);
        let rows = tile.len * group;
        let height = rows.next_multiple_of(HEIGHT);
        let (row, position) = (tile.row(plan), tile.position(plan));
        // Row r of the tile is query r / group, head r % group of the group.
        let place = |r: usize| (row + r / group, (kv_head * group + r % group) * dim);

        let mut queries = vec![0.0; height * width];
        for r in 0..rows {
            let (row, offset) = place(r);
            load_head(&q, row, q_width, offset, &mut queries[r * width..][..dim]);
        }
        let mut sums = vec![0.0; height * width];
        let (mut largest, mut totals) = (vec![f32::NEG_INFINITY; height], vec![0.0_f32; height]);
        let mut keys = vec![0.0; KEYS * width];
        let mut keys_transposed = vec![0.0; width * KEYS];
        let mut scores = vec![0.0; height * KEYS];
        for first in tile.key_tiles(plan, &shape) {
            let head = (k_width, kv_head * dim, dim);
            let present = load_keys(&tile, plan, first, &k, head, &mut keys, width);
            transpose(&keys, KEYS, width, dim, &mut keys_transposed, KEYS);
            product::<FUSED>((height, KEYS, dim), (&queries, width), &keys_transposed, &mut scores, false);
            for r in 0..rows {
                let scores = &mut scores[r * KEYS..][..KEYS];
                finish_scores::<FUSED>(&shape, scores, position + r / group, first, present);
                let tile_largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let new = largest[r].max(tile_largest);
                if new == f32::NEG_INFINITY {
                    scores.fill(0.0);
                    continue;
                }
                // The polynomial exponential stops at exp(-87); what is masked must be exactly zero.
                let mut total = 0.0;
                for score in scores.iter_mut() {
                    let p = exp::<FUSED>(*score - new);
                    *score = if *score == f32::NEG_INFINITY { 0.0 } else { p };
                }
                for score in scores.iter() {
                    total += *score;
                }
                if new > largest[r] {
                    let shrink = if largest[r] == f32::NEG_INFINITY { 0.0 } else { exp::<FUSED>(largest[r] - new) };
                    totals[r] *= shrink;
                    sums[r * width..][..width].iter_mut().for_each(|sum| *sum *= shrink);
                    largest[r] = new;
                }
                totals[r] += total;
            }
            scores[rows * KEYS..].fill(0.0);
            load_keys(&tile, plan, first, &v, head, &mut keys, width);
            product::<FUSED>((height, width, KEYS), (&scores, KEYS), &keys, &mut sums, true);
        }
        for r in 0..rows {
            let (row, offset) = place(r);
            let inverse = 1.0 / totals[r];
            let sums = &mut sums[r * width..][..dim];
            for sum in sums.iter_mut() {
                *sum *= inverse;
            }
            let normaliser = row * shape.heads + kv_head * group + r % group;
            // SAFETY: each (row, head) belongs to one tile.
            unsafe {
                out.part(row * q_width + offset..row * q_width + offset + dim).store(sums, false);
                log_normalisers.part(normaliser..normaliser + 1).store(&[largest[r] + totals[r].ln()], false);
            }
        }
    }
}

/// Whether heads can be worked on as pairs of bf16, in whole vectors.
#[cfg(target_arch = "x86_64")]
pub(super) fn in_pairs(ctx: &Context<'_>, shape: &AttentionShape) -> bool {
    ctx.level.has_bf16() && shape.head_dim.is_multiple_of(LANES)
}

/// See [`crate::Backend::attention`].
pub(crate) fn attention(
    ctx: &Context<'_>,
    shape: AttentionShape,
    plan: &AttentionPlan,
    q: &Buffer,
    k: &Buffer,
    v: &Buffer,
    out: &mut Buffer,
    log_normalisers: &mut Buffer,
) {
    let group = shape.heads / shape.kv_heads;
    assert!(group <= ROWS, "{group} query heads share a key head; at most {ROWS} can");
    let queries = queries_a_tile(group);
    let mut tiles: Vec<QueryTile> = (0..plan.runs.len()).flat_map(|run| query_tiles(plan, run, queries)).collect();
    // The longest first, so that no thread is left alone with one at the end.
    tiles.sort_by_key(|tile| std::cmp::Reverse(tile.position(plan)));
    let (q, k, v) = (q.values(), k.values(), v.values());
    let (out, log_normalisers) = (Shared::new(out.values_mut()), Shared::new(log_normalisers.values_mut()));
    ctx.threads.run(tiles.len() * shape.kv_heads, |task| {
        let (tile, kv_head) = (tiles[task / shape.kv_heads], task % shape.kv_heads);
        let (out, log_normalisers) = (&out, &log_normalisers);
        #[cfg(target_arch = "x86_64")]
        if let (true, Values::Bf16(q), Values::Bf16(k), Values::Bf16(v)) = (in_pairs(ctx, &shape), q, k, v) {
            let queries = QueryRows::new(shape, plan, tile, kv_head);
            let few = queries.rows <= forward_few::FEW;
            let tile = forward_pairs::Tile { queries, q, k, v, out, log_normalisers };
            // SAFETY: the level says that the processor has these instructions; each task has a tile of its own.
            unsafe { if few { tile.run_few() } else { tile.run() } };
            return;
        }
        vectorised(ctx.level, Tile { shape, plan, tile, kv_head, q, k, v, out, log_normalisers });
    });
}
