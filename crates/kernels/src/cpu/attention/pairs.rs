//! Small products of bf16 pairs, summed in `f32`, on scratch that stays in the first two caches.
//!
//! A word holds two neighbours of the summed dimension. The right operand has rows of words, a row for each pair; the
//! left operand's words are read one at a time, so they may lie anywhere. Each element is summed over pairs in order,
//! whatever the number of rows and columns.

use std::arch::x86_64::*;

use half::bf16;

/// Columns of a vector; widths of right operands are multiples of it.
pub(super) const LANES: usize = 16;
/// Rows of a register tile.
const ROWS: usize = 6;
/// Vectors of a register tile.
const VECTORS: usize = 4;

/// `out[i][j] (+)= Σ_p left[i][p · stride] · right[p · columns + j]` for `p < pairs`, `j < columns`.
///
/// # Safety
/// The processor has AVX-512 with BF16. `left` points to words up to `(pairs - 1) · stride`, `out` to `columns` sums,
/// no two the same; `columns` is a multiple of [`LANES`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn product(
    (left, stride): (&[*const u32], usize),
    right: &[u32],
    (columns, pairs): (usize, usize),
    out: &[*mut f32],
    accumulate: bool,
) {
    assert!(left.len() == out.len() && columns.is_multiple_of(LANES) && right.len() >= columns * pairs);
    for (left, out) in left.chunks(ROWS).zip(out.chunks(ROWS)) {
        let mut column = 0;
        while column < columns {
            let part = Part { left, stride, right: right.as_ptr(), columns, pairs, column, out, accumulate };
            let wide = columns - column >= VECTORS * LANES;
            // SAFETY: as promised by the caller; the columns of the tile are below `columns`.
            unsafe { if wide { rows::<VECTORS>(&part) } else { rows::<1>(&part) } }
            column += if wide { VECTORS * LANES } else { LANES };
        }
    }
}

/// A register tile's share of a product.
struct Part<'a> {
    left: &'a [*const u32],
    stride: usize,
    right: *const u32,
    columns: usize,
    pairs: usize,
    column: usize,
    out: &'a [*mut f32],
    accumulate: bool,
}

/// SAFETY: as for [`product`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn rows<const VECTORS: usize>(part: &Part<'_>) {
    // SAFETY: as promised by the caller.
    unsafe {
        match part.left.len() {
            1 => tile::<1, VECTORS>(part),
            2 => tile::<2, VECTORS>(part),
            3 => tile::<3, VECTORS>(part),
            4 => tile::<4, VECTORS>(part),
            5 => tile::<5, VECTORS>(part),
            _ => tile::<6, VECTORS>(part),
        }
    }
}

/// SAFETY: as for [`product`], with `part.left.len() == R`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn tile<const R: usize, const V: usize>(part: &Part<'_>) {
    let left: [*const u32; R] = std::array::from_fn(|row| part.left[row]);
    let out: [*mut f32; R] = std::array::from_fn(|row| part.out[row]);
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    // SAFETY: every pointer is used within what the caller promised for it.
    unsafe {
        if part.accumulate {
            for (sums, out) in sums.iter_mut().zip(out) {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_loadu_ps(out.add(part.column + vector * LANES));
                }
            }
        }
        let mut right = part.right.add(part.column);
        for pair in 0..part.pairs {
            let mut words = [_mm512_setzero_si512(); V];
            for (vector, word) in words.iter_mut().enumerate() {
                *word = _mm512_loadu_si512(right.add(vector * LANES).cast());
            }
            for (sums, left) in sums.iter_mut().zip(left) {
                let value = _mm512_set1_epi32(left.add(pair * part.stride).read_unaligned().cast_signed());
                for (sum, &word) in sums.iter_mut().zip(&words) {
                    *sum = _mm512_dpbf16_ps(
                        *sum,
                        std::mem::transmute::<__m512i, __m512bh>(value),
                        std::mem::transmute::<__m512i, __m512bh>(word),
                    );
                }
            }
            right = right.add(part.columns);
        }
        // A copy, so that the sums themselves have no address and stay in registers above.
        let finished = sums;
        for (sums, out) in finished.iter().zip(out) {
            for (vector, &sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(out.add(part.column + vector * LANES), sum);
            }
        }
    }
}

/// Where a row's words begin. Words are read unaligned.
pub(super) fn words_of(row: &[bf16]) -> *const u32 {
    row.as_ptr().cast::<u8>().cast()
}

/// Two rows of bf16 as one row of words, the first row in the low halves.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) fn interleave(low: &[bf16], high: &[bf16], to: &mut [u32]) {
    let rows = low.chunks_exact(LANES).zip(high.chunks_exact(LANES));
    for (to, (low, high)) in to.chunks_exact_mut(LANES).zip(rows) {
        // SAFETY: each slice has LANES elements.
        unsafe {
            let low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(low.as_ptr().cast()));
            let high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(high.as_ptr().cast()));
            let words = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
            _mm512_storeu_si512(to.as_mut_ptr().cast(), words);
        }
    }
}

/// 16 sums rounded to bf16, in the low halves of words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
fn rounded(values: &[f32; LANES]) -> __m256i {
    // SAFETY: 16 elements are read; both types are 256 plain bits.
    unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(values.as_ptr()))) }
}

/// Two rows rounded to bf16, as one row of words.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) fn round_pairs(low: &[f32], high: &[f32], to: &mut [u32]) {
    let rows = low.as_chunks::<LANES>().0.iter().zip(high.as_chunks::<LANES>().0);
    for (to, (low, high)) in to.chunks_exact_mut(LANES).zip(rows) {
        let low = _mm512_cvtepu16_epi32(rounded(low));
        let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(rounded(high)));
        // SAFETY: LANES words are written.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), _mm512_or_si512(low, high)) };
    }
}

/// A row rounded to bf16: a word for each two neighbours.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) fn round_row(from: &[f32], to: &mut [u32]) {
    for (to, from) in to.chunks_exact_mut(LANES / 2).zip(from.as_chunks::<LANES>().0) {
        // SAFETY: LANES / 2 words are written.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), rounded(from)) };
    }
}

/// Rows of bf16 as the right operand whose columns they are: `to[p][r] = (row r)[2p, 2p + 1]`.
pub(super) fn transpose(rows: &[&[bf16]], width: usize, to: &mut [u32]) {
    for (row, values) in rows.iter().enumerate() {
        for (pair, values) in values.chunks_exact(2).enumerate() {
            to[pair * width + row] = u32::from(values[0].to_bits()) | u32::from(values[1].to_bits()) << 16;
        }
    }
}
