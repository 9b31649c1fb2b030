//! The backward pass: one task a tree and key head, so that the gradients of shared keys are summed in one order.

use super::super::buffer::{Buffer, Values};
use super::super::exponential::exp;
use super::super::simd::Context;
use super::super::vector::{Shared, Vectorised, sum, vectorised};
use super::forward::{finish_scores, load_keys};
use super::plan::{AttentionPlan, KEYS, QueryTile, queries_a_tile, query_tiles};
use super::tile::{HEIGHT, LANES, load_head, padded, product, transpose};
#[cfg(target_arch = "x86_64")]
use super::{backward_pairs, forward::in_pairs};
use crate::backend::AttentionShape;

/// What all tasks read.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    shape: AttentionShape,
    plan: &'a AttentionPlan,
    dout: Values<'a>,
    q: Values<'a>,
    k: Values<'a>,
    v: Values<'a>,
    out: Values<'a>,
    log_normalisers: &'a [f32],
}

struct Tree<'a> {
    inputs: Inputs<'a>,
    tree: usize,
    kv_head: usize,
    dq: &'a Shared<'a>,
    dk: &'a Shared<'a>,
    dv: &'a Shared<'a>,
}

/// `f32` scratch of a task.
struct Scratch {
    queries: Vec<f32>,
    douts: Vec<f32>,
    dqueries: Vec<f32>,
    /// `Σ dout · out` of each row.
    deltas: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    transposed: Vec<f32>,
    scores: Vec<f32>,
    dscores: Vec<f32>,
    scores_transposed: Vec<f32>,
    tile_gradient: Vec<f32>,
}

impl Vectorised for Tree<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Inputs { shape, plan, .. } = self.inputs;
        let (dim, group) = (shape.head_dim, shape.heads / shape.kv_heads);
        let (width, k_width) = (padded(dim), shape.kv_heads * dim);
        let runs = plan.trees[self.tree].clone();
        let first_row = plan.runs[runs.start].own_key_row as usize;
        let tree_rows: usize = plan.runs[runs.clone()].iter().map(|run| run.len as usize).sum();
        let mut dkeys = vec![0.0; tree_rows * width];
        let mut dvalues = vec![0.0; tree_rows * width];
        let queries = queries_a_tile(group);
        let height = (queries * group).next_multiple_of(LANES);
        let zeros = |len: usize| vec![0.0; len];
        let mut scratch = Scratch {
            queries: zeros(height * width),
            douts: zeros(height * width),
            dqueries: zeros(height * width),
            deltas: zeros(height),
            keys: zeros(KEYS * width),
            values: zeros(KEYS * width),
            transposed: zeros(width * KEYS),
            scores: zeros(height * KEYS),
            dscores: zeros(height * KEYS),
            scores_transposed: zeros(KEYS * height),
            tile_gradient: zeros(KEYS * width),
        };
        for run in runs {
            for tile in query_tiles(plan, run, queries) {
                self.tile::<FUSED>(tile, first_row, &mut scratch, &mut dkeys, &mut dvalues);
            }
        }
        for row in 0..tree_rows {
            let start = (first_row + row) * k_width + self.kv_head * dim;
            // SAFETY: each (row, key head) belongs to one task.
            unsafe {
                self.dk.part(start..start + dim).store(&dkeys[row * width..][..dim], false);
                self.dv.part(start..start + dim).store(&dvalues[row * width..][..dim], false);
            }
        }
    }
}

impl Tree<'_> {
    #[inline(always)]
    fn tile<const FUSED: bool>(
        &self,
        tile: QueryTile,
        first_row: usize,
        scratch: &mut Scratch,
        dkeys: &mut [f32],
        dvalues: &mut [f32],
    ) {
        let Inputs { shape, plan, dout, q, k, v, out, log_normalisers } = self.inputs;
        let (dim, group) = (shape.head_dim, shape.heads / shape.kv_heads);
        let (width, q_width, k_width) = (padded(dim), shape.heads * dim, shape.kv_heads * dim);
        let rows = tile.len * group;
        let height = rows.next_multiple_of(HEIGHT);
        let (row, position) = (tile.row(plan), tile.position(plan));
        let head_of = |r: usize| self.kv_head * group + r % group;
        let Scratch { queries, douts, dqueries, deltas, keys, values, transposed, .. } = scratch;
        let (scores, dscores) = (&mut scratch.scores, &mut scratch.dscores);
        let (scores_transposed, tile_gradient) = (&mut scratch.scores_transposed, &mut scratch.tile_gradient);
        queries[rows * width..].fill(0.0);
        douts[rows * width..].fill(0.0);
        dqueries.fill(0.0);
        let mut outs = vec![0.0; dim];
        for r in 0..rows {
            let (row, offset) = (row + r / group, head_of(r) * dim);
            load_head(&q, row, q_width, offset, &mut queries[r * width..][..dim]);
            load_head(&out, row, q_width, offset, &mut outs);
            let dout_row = &mut douts[r * width..][..dim];
            load_head(&dout, row, q_width, offset, dout_row);
            deltas[r] = sum(dim, |i| dout_row[i] * outs[i]);
        }
        for first in tile.key_tiles(plan, &shape) {
            let head = (k_width, self.kv_head * dim, dim);
            let present = load_keys(&tile, plan, first, &k, head, keys, width);
            transpose(keys, KEYS, width, dim, transposed, KEYS);
            product::<FUSED>((height, KEYS, dim), (queries, width), transposed, scores, false);
            load_keys(&tile, plan, first, &v, head, values, width);
            transpose(values, KEYS, width, dim, transposed, KEYS);
            product::<FUSED>((height, KEYS, dim), (douts, width), transposed, dscores, false);
            for r in 0..rows {
                let (scores, dscores) = (&mut scores[r * KEYS..][..KEYS], &mut dscores[r * KEYS..][..KEYS]);
                finish_scores::<FUSED>(&shape, scores, position + r / group, first, present);
                let normaliser = log_normalisers[(row + r / group) * shape.heads + head_of(r)];
                for (score, dscore) in scores.iter_mut().zip(dscores) {
                    let visible = *score != f32::NEG_INFINITY;
                    let p = if visible { exp::<FUSED>(*score - normaliser) } else { 0.0 };
                    let slope = match shape.softcap {
                        Some(cap) if visible => 1.0 - (*score / cap) * (*score / cap),
                        _ => 1.0,
                    };
                    *dscore = p * (*dscore - deltas[r]) * slope * shape.scale;
                    *score = p;
                }
            }
            scores[rows * KEYS..height * KEYS].fill(0.0);
            dscores[rows * KEYS..height * KEYS].fill(0.0);
            product::<FUSED>((height, width, KEYS), (dscores, KEYS), keys, dqueries, true);
            let keys_of_tile = KeyGradient { tile, plan, first, first_row, height, width };
            keys_of_tile.add::<FUSED>(scores, douts, scores_transposed, tile_gradient, dvalues);
            keys_of_tile.add::<FUSED>(dscores, queries, scores_transposed, tile_gradient, dkeys);
        }
        for r in 0..rows {
            let start = (row + r / group) * q_width + head_of(r) * dim;
            // SAFETY: each (row, head) belongs to one task.
            unsafe { self.dq.part(start..start + dim) }.store(&dqueries[r * width..][..dim], false);
        }
    }
}

/// Where the gradient of a key tile goes.
struct KeyGradient<'a> {
    tile: QueryTile,
    plan: &'a AttentionPlan,
    first: usize,
    first_row: usize,
    height: usize,
    width: usize,
}

impl KeyGradient<'_> {
    /// `gradient += weightsᵀ · rows`, for the rows of `gradient` that hold this tile's keys. A method, not a closure:
    /// a closure would be compiled without the caller's vector instructions.
    #[inline(always)]
    fn add<const FUSED: bool>(
        &self,
        weights: &[f32],
        rows: &[f32],
        transposed: &mut [f32],
        product_of_tile: &mut [f32],
        gradient: &mut [f32],
    ) {
        let (height, width) = (self.height, self.width);
        transpose(weights, height, KEYS, KEYS, transposed, height);
        product::<FUSED>((KEYS, width, height), (transposed, height), rows, product_of_tile, false);
        for (slot, key_row, count) in self.tile.key_parts(self.plan, self.first) {
            let to = &mut gradient[(key_row - self.first_row) * width..][..count * width];
            to.iter_mut().zip(&product_of_tile[slot * width..]).for_each(|(to, &from)| *to += from);
        }
    }
}

/// The inputs as bf16, where they are all of that type and heads can be worked on as pairs.
#[cfg(target_arch = "x86_64")]
fn pair_inputs<'a>(ctx: &Context<'_>, inputs: &Inputs<'a>) -> Option<backward_pairs::Inputs<'a>> {
    let Inputs { shape, plan, log_normalisers, .. } = *inputs;
    match (inputs.dout, inputs.q, inputs.k, inputs.v, inputs.out) {
        (Values::Bf16(dout), Values::Bf16(q), Values::Bf16(k), Values::Bf16(v), Values::Bf16(out))
            if in_pairs(ctx, &shape) =>
        {
            Some(backward_pairs::Inputs { shape, plan, dout, q, k, v, out, log_normalisers })
        }
        _ => None,
    }
}

/// See [`crate::Backend::attention_backward`].
pub(crate) fn attention_backward(
    ctx: &Context<'_>,
    shape: AttentionShape,
    plan: &AttentionPlan,
    dout: &Buffer,
    q: &Buffer,
    k: &Buffer,
    v: &Buffer,
    out: &Buffer,
    log_normalisers: &Buffer,
    dq: &mut Buffer,
    dk: &mut Buffer,
    dv: &mut Buffer,
) {
    let inputs = Inputs {
        shape,
        plan,
        dout: dout.values(),
        q: q.values(),
        k: k.values(),
        v: v.values(),
        out: out.values(),
        log_normalisers: log_normalisers.f32(),
    };
    let [dq, dk, dv] = [dq, dk, dv].map(|gradient| Shared::new(gradient.values_mut()));
    #[cfg(target_arch = "x86_64")]
    let pairs = pair_inputs(ctx, &inputs);
    ctx.threads.run(plan.trees.len() * shape.kv_heads, |task| {
        let (tree, kv_head) = (task / shape.kv_heads, task % shape.kv_heads);
        #[cfg(target_arch = "x86_64")]
        if let Some(inputs) = pairs {
            // SAFETY: the level says that the processor has these instructions; each task has a tree and head of its own.
            unsafe { backward_pairs::Tree { inputs, tree, kv_head, dq: &dq, dk: &dk, dv: &dv }.run() };
            return;
        }
        vectorised(ctx.level, Tree { inputs, tree, kv_head, dq: &dq, dk: &dk, dv: &dv });
    });
}
