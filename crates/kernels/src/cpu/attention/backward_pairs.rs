//! The backward pass over bf16, with the processor's dot products of pairs.

use half::bf16;

use super::super::vector::{Shared, sum};
use super::pairs::{interleave, product, round_pairs, round_row, transpose, words_of};
use super::pairs_tile::{QueryRows, weight};
use super::plan::{AttentionPlan, KEYS, QueryTile, queries_a_tile, query_tiles};
use crate::backend::AttentionShape;

/// What all tasks read.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) shape: AttentionShape,
    pub(super) plan: &'a AttentionPlan,
    pub(super) dout: &'a [bf16],
    pub(super) q: &'a [bf16],
    pub(super) k: &'a [bf16],
    pub(super) v: &'a [bf16],
    pub(super) out: &'a [bf16],
    pub(super) log_normalisers: &'a [f32],
}

/// One tree and key head, so that the gradients of shared keys are summed in one order.
pub(super) struct Tree<'a> {
    pub(super) inputs: Inputs<'a>,
    pub(super) tree: usize,
    pub(super) kv_head: usize,
    pub(super) dq: &'a Shared<'a>,
    pub(super) dk: &'a Shared<'a>,
    pub(super) dv: &'a Shared<'a>,
}

/// Gradients of a tree's keys and values, `[tree rows, head_dim]`.
struct KeyGradients {
    first_row: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Takes what belongs to slots without a key; it stays zero, because their weights are.
    nowhere: Vec<f32>,
}

impl Tree<'_> {
    /// # Safety
    /// The processor has AVX-512 with BF16, and no other task writes this tree's rows of this key head.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    pub(super) unsafe fn run(&self) {
        let Inputs { shape, plan, .. } = self.inputs;
        let dim = shape.head_dim;
        let runs = plan.trees[self.tree].clone();
        let tree_rows: usize = plan.runs[runs.clone()].iter().map(|run| run.len as usize).sum();
        let zeros = || vec![0.0_f32; tree_rows * dim];
        let first_row = plan.runs[runs.start].own_key_row as usize;
        let mut gradients = KeyGradients { first_row, keys: zeros(), values: zeros(), nowhere: vec![0.0; dim] };
        for run in runs {
            for tile in query_tiles(plan, run, queries_a_tile(shape.heads / shape.kv_heads)) {
                // SAFETY: as promised by the caller.
                unsafe { self.tile(tile, &mut gradients) };
            }
        }
        for row in 0..tree_rows {
            let place = (first_row + row) * shape.kv_heads + self.kv_head;
            // SAFETY: each (row, key head) belongs to one task, as promised by the caller.
            unsafe {
                self.dk.part(place * dim..(place + 1) * dim).store(&gradients.keys[row * dim..][..dim], false);
                self.dv.part(place * dim..(place + 1) * dim).store(&gradients.values[row * dim..][..dim], false);
            }
        }
    }

    /// SAFETY: as for [`Self::run`].
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    unsafe fn tile(&self, tile: QueryTile, gradients: &mut KeyGradients) {
        let Inputs { shape, plan, dout, q, k, v, out, log_normalisers } = self.inputs;
        let queries = QueryRows::new(shape, plan, tile, self.kv_head);
        let (rows, width, dim) = (queries.rows, queries.width, shape.head_dim);
        let pairs = dim / 2;
        let nothing = vec![bf16::ZERO; dim];
        // Beyond the rows stand zeros, whose products are zero.
        let rows_of = |values| -> Vec<&[bf16]> {
            (0..width).map(|r| if r < rows { queries.of(values, r) } else { &nothing }).collect()
        };
        let (q_rows, dout_rows, out_rows) = (rows_of(q), rows_of(dout), rows_of(out));
        let words = || vec![0_u32; pairs * width];
        let [mut q_columns, mut dout_columns, mut q_pairs, mut dout_pairs] = [(); 4].map(|()| words());
        transpose(&q_rows, width, &mut q_columns);
        transpose(&dout_rows, width, &mut dout_columns);
        for pair in 0..width / 2 {
            interleave(q_rows[2 * pair], q_rows[2 * pair + 1], &mut q_pairs[pair * dim..][..dim]);
            interleave(dout_rows[2 * pair], dout_rows[2 * pair + 1], &mut dout_pairs[pair * dim..][..dim]);
        }
        let [mut deltas, mut normalisers] = [(); 2].map(|()| vec![0.0_f32; width]);
        for r in 0..rows {
            let (dout, out) = (dout_rows[r], out_rows[r]);
            deltas[r] = sum(dim, |i| dout[i].to_f32() * out[i].to_f32());
            let (row, head) = queries.place(r);
            normalisers[r] = log_normalisers[row * shape.heads + head];
        }

        let [mut scores, mut dscores] = [(); 2].map(|()| vec![0.0_f32; KEYS * width]);
        let [mut weight_rows, mut dscore_rows] = [(); 2].map(|()| vec![0_u32; KEYS * width / 2]);
        let mut dscore_pairs = vec![0_u32; KEYS / 2 * width];
        let mut key_words = vec![0_u32; KEYS / 2 * dim];
        let mut dqueries = vec![0.0_f32; rows * dim];
        for first in tile.key_tiles(plan, &shape) {
            let slots = queries.slots(first);
            let (mut key_rows, mut value_rows) = ([nothing.as_slice(); KEYS], [nothing.as_slice(); KEYS]);
            let mut dkeys = [gradients.nowhere.as_mut_ptr(); KEYS];
            let mut dvalues = dkeys;
            let present = queries.for_each_key(first, |slot, row| {
                (key_rows[slot], value_rows[slot]) = (queries.key_head(k, row), queries.key_head(v, row));
                let range = (row - gradients.first_row) * dim..(row + 1 - gradients.first_row) * dim;
                dkeys[slot] = gradients.keys[range.clone()].as_mut_ptr();
                dvalues[slot] = gradients.values[range].as_mut_ptr();
            });
            let [keys, values] = [key_rows, value_rows].map(|rows| rows.map(words_of));
            let lines = |values: &mut [f32]| -> Vec<*mut f32> {
                values.chunks_exact_mut(width).map(<[f32]>::as_mut_ptr).collect()
            };
            let (score_lines, dscore_lines) = (lines(&mut scores), lines(&mut dscores));
            // SAFETY: keys and values are rows of `pairs` words,
            // lines are rows of `width` sums.
            unsafe {
                product((&keys[..slots], 1), &q_columns, (width, pairs), &score_lines[..slots], false);
                product((&values[..slots], 1), &dout_columns, (width, pairs), &dscore_lines[..slots], false);
            }
            let lines = scores.chunks_exact_mut(width).zip(dscores.chunks_exact_mut(width));
            for (slot, (scores, dscores)) in lines.enumerate().take(slots) {
                queries.finish_scores(scores, first + slot, present >> slot & 1 == 1);
                for (r, (score, dscore)) in scores.iter_mut().zip(dscores).enumerate() {
                    let p = weight(*score, normalisers[r]);
                    let slope = match shape.softcap {
                        Some(cap) => 1.0 - (score.max(-cap) / cap) * (score.max(-cap) / cap),
                        None => 1.0,
                    };
                    *dscore = p * (*dscore - deltas[r]) * slope * shape.scale;
                    *score = p;
                }
            }
            scores[slots * width..].fill(0.0);
            dscores[slots * width..].fill(0.0);
            let used = slots.div_ceil(2);
            for pair in 0..used {
                let (low, high) = dscores[2 * pair * width..][..2 * width].split_at(width);
                round_pairs(low, high, &mut dscore_pairs[pair * width..][..width]);
                interleave(key_rows[2 * pair], key_rows[2 * pair + 1], &mut key_words[pair * dim..][..dim]);
            }
            round_row(&scores[..slots * width], &mut weight_rows);
            round_row(&dscores[..slots * width], &mut dscore_rows);
            let columns: Vec<*const u32> = dscore_pairs[..rows].iter().map(std::ptr::from_ref).collect();
            let dquery_lines: Vec<*mut f32> = dqueries.chunks_exact_mut(dim).map(<[f32]>::as_mut_ptr).collect();
            let rows_of = |words: &[u32]| -> Vec<*const u32> {
                words.chunks_exact(width / 2).take(slots).map(<[u32]>::as_ptr).collect()
            };
            let (weight_rows, dscore_rows) = (rows_of(&weight_rows), rows_of(&dscore_rows));
            // SAFETY: each left operand has the pairs that it is multiplied over; the gradients of keys and values are
            // rows of `dim` sums, the same one only for slots without a key, whose products are zero.
            unsafe {
                product((&columns, width), &key_words, (dim, used), &dquery_lines, true);
                product((&weight_rows, 1), &dout_pairs, (dim, width / 2), &dvalues[..slots], true);
                product((&dscore_rows, 1), &q_pairs, (dim, width / 2), &dkeys[..slots], true);
            }
        }
        for (r, dquery) in dqueries.chunks_exact(dim).enumerate() {
            let (row, head) = queries.place(r);
            let place = row * shape.heads + head;
            // SAFETY: each (row, head) belongs to one task, as promised by the caller.
            unsafe { self.dq.part(place * dim..(place + 1) * dim) }.store(dquery, false);
        }
    }
}
