//! What the forward and the backward over bf16 pairs share: the rows of a query tile, the keys of a key tile, and the
//! scores between them, a row for each *key* so that what belongs to a query is a column.

use half::bf16;

use super::super::exponential::{exp, tanh};
use super::pairs::LANES;
use super::plan::{AttentionPlan, KEYS, QueryTile};
use crate::backend::AttentionShape;

/// A query tile for one key head: the group of query heads that share it are rows side by side.
pub(super) struct QueryRows<'a> {
    pub(super) shape: AttentionShape,
    pub(super) plan: &'a AttentionPlan,
    pub(super) tile: QueryTile,
    pub(super) kv_head: usize,
    /// Query heads that share a key head.
    pub(super) group: usize,
    pub(super) rows: usize,
    /// `rows` rounded up to whole vectors.
    pub(super) width: usize,
    /// Position of each column's query; what is beyond the rows sees what the first row sees.
    pub(super) positions: Vec<i32>,
}

impl<'a> QueryRows<'a> {
    pub(super) fn new(shape: AttentionShape, plan: &'a AttentionPlan, tile: QueryTile, kv_head: usize) -> Self {
        let group = shape.heads / shape.kv_heads;
        let rows = tile.len * group;
        let width = rows.next_multiple_of(LANES);
        let first = tile.position(plan) as i32;
        let query = |r: usize| if r < rows { r / group } else { 0 };
        let positions = (0..width).map(|r| first + query(r) as i32).collect();
        Self { shape, plan, tile, kv_head, group, rows, width, positions }
    }

    /// The row of the batch and the query head of row `r`.
    pub(super) fn place(&self, r: usize) -> (usize, usize) {
        (self.tile.row(self.plan) + r / self.group, self.kv_head * self.group + r % self.group)
    }

    /// Row `r` of a buffer `[rows, heads · head_dim]`.
    pub(super) fn of<'v>(&self, values: &'v [bf16], r: usize) -> &'v [bf16] {
        let (row, head) = self.place(r);
        &values[(row * self.shape.heads + head) * self.shape.head_dim..][..self.shape.head_dim]
    }

    /// Slots of the key tile at `first` that some query may see; the rest come after all of them.
    pub(super) fn slots(&self, first: usize) -> usize {
        KEYS.min(self.tile.position(self.plan) + self.tile.len - first)
    }

    /// Calls `found(slot, key row)` for each key of the tile at `first` and returns which slots hold one.
    pub(super) fn for_each_key(&self, first: usize, mut found: impl FnMut(usize, usize)) -> u64 {
        let mut present = 0_u64;
        for (slot, row, count) in self.tile.key_parts(self.plan, first) {
            for index in 0..count {
                present |= 1 << (slot + index);
                found(slot + index, row + index);
            }
        }
        present
    }

    /// This key head of a row of a buffer `[rows, kv_heads · head_dim]`.
    pub(super) fn key_head<'v>(&self, values: &'v [bf16], row: usize) -> &'v [bf16] {
        &values[(row * self.shape.kv_heads + self.kv_head) * self.shape.head_dim..][..self.shape.head_dim]
    }

    /// Scales, caps and masks the scores of one key with every row.
    #[inline(always)]
    pub(super) fn finish_scores(&self, scores: &mut [f32], key: usize, present: bool) {
        let shape = &self.shape;
        match shape.softcap {
            Some(cap) => scores.iter_mut().for_each(|s| *s = cap * tanh::<true>(*s * (shape.scale / cap))),
            None => scores.iter_mut().for_each(|s| *s *= shape.scale),
        }
        let key = key as i32;
        let window = shape.window.map_or(i32::MAX, |window| i32::try_from(window).unwrap_or(i32::MAX));
        let (earliest, latest) = (self.positions[0], self.positions[self.rows - 1]);
        if present && key <= earliest && latest - key < window {
            return;
        }
        for (score, &position) in scores.iter_mut().zip(&self.positions) {
            let visible = present && key <= position && position - key < window;
            *score = if visible { *score } else { f32::NEG_INFINITY };
        }
    }
}

/// `exp(score - base)`, exactly zero for what is masked: the polynomial stops at exp(-87).
#[inline(always)]
pub(super) fn weight(score: f32, base: f32) -> f32 {
    let p = exp::<true>(score - base);
    if score == f32::NEG_INFINITY { 0.0 } else { p }
}
