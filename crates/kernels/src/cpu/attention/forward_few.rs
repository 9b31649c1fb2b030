//! The forward pass over bf16 for a few queries, as in decoding. Keys take the lanes of a vector that queries take in
//! `forward_pairs`; every sum is made of the same terms in the same order, so the bits are the same.

use std::arch::x86_64::*;

use half::bf16;

use super::super::exponential::tanh;
use super::super::gemm::packing::avx512::transpose;
use super::forward_pairs::Tile;
use super::pairs::{LANES, interleave, product, round_row, words_of};
use super::pairs_tile::weight;
use super::plan::KEYS;

/// Most rows: those of one register tile of a product.
pub(super) const FEW: usize = 6;

impl Tile<'_> {
    /// # Safety
    /// The processor has AVX-512 with BF16, no other task writes this tile's rows, and it has at most [`FEW`] of them.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    pub(super) unsafe fn run_few(&self) {
        let Self { queries, q, k, v, .. } = self;
        let (rows, dim) = (queries.rows, queries.shape.head_dim);
        let pairs = dim / 2;
        let q_rows: Vec<*const u32> = (0..rows).map(|r| words_of(queries.of(q, r))).collect();
        let nothing = vec![bf16::ZERO; dim];
        let mut key_words = vec![0_u32; pairs * KEYS];
        let mut value_words = vec![0_u32; KEYS / 2 * dim];
        let mut sums = vec![0.0_f32; rows * dim];
        let (mut scores, mut weights) = ([[0.0_f32; KEYS]; FEW], [[0_u32; KEYS / 2]; FEW]);
        let (mut largest, mut totals) = ([f32::NEG_INFINITY; FEW], [0.0_f32; FEW]);
        for first in queries.tile.key_tiles(queries.plan, &queries.shape) {
            let slots = queries.slots(first);
            let (mut key_rows, mut value_rows) = ([nothing.as_slice(); KEYS], [nothing.as_slice(); KEYS]);
            let present = queries.for_each_key(first, |slot, row| {
                (key_rows[slot], value_rows[slot]) = (queries.key_head(k, row), queries.key_head(v, row));
            });
            let width = slots.next_multiple_of(LANES);
            for (number, rows) in key_rows[..width].as_chunks::<LANES>().0.iter().enumerate() {
                columns_of(rows, pairs, &mut key_words[number * LANES..], width);
            }
            let lines: Vec<*mut f32> = scores[..rows].iter_mut().map(|line| line.as_mut_ptr()).collect();
            // SAFETY: queries are rows of `pairs` words, lines are rows of at least `width` sums.
            unsafe { product((&q_rows, 1), &key_words, (width, pairs), &lines, false) };

            let used = slots.div_ceil(2);
            for (r, scores) in scores[..rows].iter_mut().enumerate() {
                self.finish_row(&mut scores[..slots], first, queries.positions[r], present);
                let highest = scores[..slots].iter().fold(largest[r], |highest, &score| highest.max(score));
                let shrink = weight(largest[r], highest);
                largest[r] = highest;
                // Where nothing is visible yet every score is masked, and the base only must not be infinite.
                let base = highest.max(f32::MIN);
                scores[..slots].iter_mut().for_each(|score| *score = weight(*score, base));
                scores[slots..].fill(0.0);
                totals[r] = totals[r] * shrink + scores[..slots].iter().fold(0.0, |added, &score| added + score);
                round_row(scores, &mut weights[r]);
                // Most rows keep their largest score from one tile to the next.
                if shrink < 1.0 {
                    sums[r * dim..][..dim].iter_mut().for_each(|sum| *sum *= shrink);
                }
            }
            for pair in 0..used {
                let to = &mut value_words[pair * dim..][..dim];
                interleave(value_rows[2 * pair], value_rows[2 * pair + 1], to);
            }
            let left: Vec<*const u32> = weights[..rows].iter().map(|line| line.as_ptr()).collect();
            let lines: Vec<*mut f32> = sums.chunks_exact_mut(dim).map(<[f32]>::as_mut_ptr).collect();
            // SAFETY: `weights` has rows of at least `used` words, `lines` are rows of `dim` sums.
            unsafe { product((&left, 1), &value_words, (dim, used), &lines, true) };
        }
        // SAFETY: as promised by the caller.
        unsafe { self.store(&mut sums, &largest, &totals) };
    }

    /// Scales, caps and masks the scores of one query with keys from `first` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    fn finish_row(&self, scores: &mut [f32], first: usize, position: i32, present: u64) {
        let shape = &self.queries.shape;
        match shape.softcap {
            Some(cap) => scores.iter_mut().for_each(|s| *s = cap * tanh::<true>(*s * (shape.scale / cap))),
            None => scores.iter_mut().for_each(|s| *s *= shape.scale),
        }
        let window = shape.window.map_or(i32::MAX, |window| i32::try_from(window).unwrap_or(i32::MAX));
        for (slot, score) in scores.iter_mut().enumerate() {
            let key = (first + slot) as i32;
            let visible = present >> slot & 1 == 1 && key <= position && position - key < window;
            *score = if visible { *score } else { f32::NEG_INFINITY };
        }
    }
}

/// Rows of bf16 as columns of words: `to[p · width + r] = (row r)[2p, 2p + 1]` for `p < pairs`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn columns_of(rows: &[&[bf16]; LANES], pairs: usize, to: &mut [u32], width: usize) {
    assert!(rows.iter().all(|row| row.len() >= 2 * pairs) && to.len() >= (pairs - 1) * width + LANES);
    for first in (0..pairs).step_by(LANES) {
        let count = LANES.min(pairs - first);
        let mask = ((1_u32 << count) - 1) as __mmask16;
        // A loop, as a closure would be a call for each row.
        let mut block = [_mm512_setzero_si512(); LANES];
        for (words, row) in block.iter_mut().zip(rows) {
            // SAFETY: the mask stops at the row's last word.
            *words = unsafe { _mm512_maskz_loadu_epi32(mask, words_of(row).add(first).cast()) };
        }
        for (pair, words) in transpose(&block).into_iter().enumerate().take(count) {
            // SAFETY: checked above.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().add((first + pair) * width).cast(), words) };
        }
    }
}
