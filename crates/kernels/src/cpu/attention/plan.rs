//! The layout, cut into tiles.

use std::ops::Range;

use crate::attention_layout::{AttentionLayout, KeySpan, QueryRun};
use crate::backend::AttentionShape;

/// Positions of a key tile.
pub(super) const KEYS: usize = 64;
/// Rows of a query tile: query rows times the heads that share a key head.
pub(super) const ROWS: usize = 64;

/// A layout with its trees found.
pub struct AttentionPlan {
    pub(super) runs: Vec<QueryRun>,
    /// For each tree its runs.
    pub(super) trees: Vec<Range<usize>>,
}

pub(crate) fn plan(layout: &AttentionLayout) -> AttentionPlan {
    let runs = layout.runs.clone();
    let mut starts: Vec<usize> = (0..runs.len()).filter(|&run| runs[run].context.is_empty()).collect();
    if starts.first() != Some(&0) && !runs.is_empty() {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([runs.len()]);
    let trees = starts.iter().zip(ends).map(|(&start, end)| start..end).collect();
    AttentionPlan { runs, trees }
}

/// Consecutive queries of one run.
#[derive(Clone, Copy)]
pub(super) struct QueryTile {
    pub(super) run: usize,
    /// First query, counted within the run.
    pub(super) first: usize,
    pub(super) len: usize,
}

/// The tiles of a run, for tiles of `queries` queries.
pub(super) fn query_tiles(plan: &AttentionPlan, run: usize, queries: usize) -> impl Iterator<Item = QueryTile> + use<> {
    let len = plan.runs[run].len as usize;
    (0..len).step_by(queries).map(move |first| QueryTile { run, first, len: queries.min(len - first) })
}

/// Queries of a tile for heads in groups of `group`.
pub(super) fn queries_a_tile(group: usize) -> usize {
    (ROWS / group).max(1)
}

impl QueryTile {
    pub(super) fn row(&self, plan: &AttentionPlan) -> usize {
        plan.runs[self.run].row as usize + self.first
    }

    pub(super) fn position(&self, plan: &AttentionPlan) -> usize {
        plan.runs[self.run].position as usize + self.first
    }

    /// First positions of the key tiles that some query of this tile sees.
    pub(super) fn key_tiles(
        &self,
        plan: &AttentionPlan,
        shape: &AttentionShape,
    ) -> impl Iterator<Item = usize> + use<> {
        let position = self.position(plan);
        let oldest = shape.window.map_or(0, |window| (position + 1).saturating_sub(window as usize));
        (oldest / KEYS * KEYS..position + self.len).step_by(KEYS)
    }

    /// Parts of the key tile at `tile`: `(first slot, first key row, count)`.
    pub(super) fn key_parts(&self, plan: &AttentionPlan, tile: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let run = &plan.runs[self.run];
        let own = KeySpan { row: run.own_key_row, len: (self.first + self.len) as u32, position: run.position };
        run.context.iter().copied().chain([own]).filter_map(move |span| {
            let (start, end) = (span.position as usize, (span.position + span.len) as usize);
            let (from, to) = (start.max(tile), end.min(tile + KEYS));
            (from < to).then(|| (from - tile, span.row as usize + from - start, to - from))
        })
    }
}
