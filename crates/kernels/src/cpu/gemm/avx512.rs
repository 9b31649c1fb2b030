//! The tile kernels in AVX-512, for `f32` (fused multiply-add) and `bf16` (dot products of pairs).

use std::arch::x86_64::*;

use super::kernel::{Place, Tile};
use super::packing::RIGHT_LANES;

/// `sum + left * right` on 16 lanes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn multiply_f32(sum: __m512, left: __m512i, right: __m512i) -> __m512 {
    _mm512_fmadd_ps(_mm512_castsi512_ps(left), _mm512_castsi512_ps(right), sum)
}

/// `sum + left[0] * right[0] + left[1] * right[1]` on 16 lanes of two bf16 each.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn multiply_bf16(sum: __m512, left: __m512i, right: __m512i) -> __m512 {
    // SAFETY: both types are 512 plain bits.
    let (left, right) =
        unsafe { (std::mem::transmute::<__m512i, __m512bh>(left), std::mem::transmute::<__m512i, __m512bh>(right)) };
    _mm512_dpbf16_ps(sum, left, right)
}

/// Rounds to nearest even with integer instructions, for processors without bf16 ones. NaN stays NaN.
#[inline]
#[target_feature(enable = "avx512f")]
fn narrow_integer(values: __m512) -> __m256i {
    let bits = _mm512_castps_si512(values);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(values, values);
    let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
    _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(_mm512_mask_mov_epi32(rounded, nan, quiet)))
}

/// Rounds to nearest even.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn narrow_bf16(values: __m512) -> __m256i {
    // SAFETY: both types are 256 plain bits.
    unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values)) }
}

/// Asks for a row of outputs, so that it is there when the sums are.
///
/// SAFETY: the row is inside the tile.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn prefetch_row(tile: &Tile, row: usize) {
    // SAFETY: as promised by the caller.
    let (first, last) = unsafe {
        let row = tile.out.add(row * tile.stride);
        let end = row.add(tile.columns - 1);
        (row.address(), end.address())
    };
    _mm_prefetch::<_MM_HINT_ET0>(first);
    _mm_prefetch::<_MM_HINT_ET0>(last);
}

macro_rules! kernel {
    ($run:ident, $rows:ident, $tile:ident, $finish:ident, $features:literal, $multiply:ident, $narrow:ident) => {
        /// SAFETY: as for `kernel::run`.
        pub(super) unsafe fn $run(tile: &Tile) {
            // SAFETY: as promised by the caller.
            unsafe { if tile.columns <= 16 { $rows::<1>(tile) } else { $rows::<2>(tile) } }
        }

        /// SAFETY: as for `kernel::run`, with at most `16 * VECTORS` columns.
        unsafe fn $rows<const VECTORS: usize>(tile: &Tile) {
            // SAFETY: as promised by the caller.
            unsafe {
                match tile.rows {
                    1 => $tile::<1, VECTORS>(tile),
                    2 => $tile::<2, VECTORS>(tile),
                    3 => $tile::<3, VECTORS>(tile),
                    4 => $tile::<4, VECTORS>(tile),
                    5 => $tile::<5, VECTORS>(tile),
                    6 => $tile::<6, VECTORS>(tile),
                    7 => $tile::<7, VECTORS>(tile),
                    8 => $tile::<8, VECTORS>(tile),
                    9 => $tile::<9, VECTORS>(tile),
                    10 => $tile::<10, VECTORS>(tile),
                    11 => $tile::<11, VECTORS>(tile),
                    12 => $tile::<12, VECTORS>(tile),
                    13 => $tile::<13, VECTORS>(tile),
                    _ => $tile::<14, VECTORS>(tile),
                }
            }
        }

        /// SAFETY: as for `kernel::run`, with `tile.rows == ROWS` and at most `16 * VECTORS` columns.
        #[target_feature(enable = $features)]
        unsafe fn $tile<const ROWS: usize, const VECTORS: usize>(tile: &Tile) {
            for row in 0..ROWS {
                // SAFETY: the first and last element of the row are inside the output.
                unsafe { prefetch_row(tile, row) };
            }
            let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
            for segment in &tile.segments {
                let (mut left, mut right) = (segment.left, segment.right);
                // What is read anyway is fetched where there is nothing else to fetch.
                let (mut ahead, line) = segment.ahead.map_or((right, 0), |ahead| (ahead, 16));
                for _ in 0..segment.steps {
                    // SAFETY: the panels hold `steps` steps.
                    unsafe {
                        let first = _mm512_loadu_si512(right.cast());
                        let second = _mm512_loadu_si512(right.add(16 * (VECTORS - 1)).cast());
                        for (row, sums) in sums.iter_mut().enumerate() {
                            let value = _mm512_set1_epi32(left.add(row).read().cast_signed());
                            sums[0] = $multiply(sums[0], value, first);
                            if VECTORS == 2 {
                                sums[1] = $multiply(sums[1], value, second);
                            }
                        }
                        left = left.add(segment.left_words);
                        right = right.add(RIGHT_LANES);
                        _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                        ahead = ahead.wrapping_add(line);
                    }
                }
            }
            // A copy, so that the sums themselves have no address and stay in registers above.
            let finished = sums;
            // SAFETY: as promised by the caller.
            unsafe { $finish(tile, &finished) };
        }

        /// Scales, adds and stores the sums.
        ///
        /// SAFETY: as for `kernel::run`; `sums` has `tile.rows` rows of at least `tile.columns` columns.
        #[inline(never)]
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $finish<const VECTORS: usize>(tile: &Tile, sums: &[[__m512; VECTORS]]) {
            let factor = _mm512_set1_ps(tile.factor);
            for half in 0..VECTORS.min(tile.columns.div_ceil(16)) {
                let mask = ((1_u32 << (tile.columns - 16 * half).min(16)) - 1) as __mmask16;
                let bias = match tile.bias {
                    // SAFETY: bias has a value for every column, and the mask stops at the last.
                    Some(bias) => unsafe { _mm512_maskz_loadu_ps(mask, bias.add(16 * half)) },
                    None => _mm512_setzero_ps(),
                };
                for (row, sums) in sums.iter().enumerate() {
                    let mut value = _mm512_fmadd_ps(sums[half], factor, bias);
                    let offset = row * tile.stride + 16 * half;
                    // SAFETY: the row is inside the tile and the mask stops at its last column.
                    unsafe {
                        match tile.out {
                            Place::F32(out) => {
                                let out = out.add(offset);
                                if tile.accumulate {
                                    value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), value);
                                }
                                _mm512_mask_storeu_ps(out, mask, value);
                            }
                            Place::Bf16(out) => {
                                let out = out.add(offset).cast::<i16>();
                                if tile.accumulate {
                                    let old = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, out));
                                    let old = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(old));
                                    value = _mm512_add_ps(old, value);
                                }
                                _mm256_mask_storeu_epi16(out, mask, $narrow(value));
                            }
                        }
                    }
                }
            }
        }
    };
}

kernel!(run_f32, rows_f32, tile_f32, finish_f32, "avx512f,avx512bw,avx512vl", multiply_f32, narrow_integer);
kernel!(
    run_bf16,
    rows_bf16,
    tile_bf16,
    finish_bf16,
    "avx512f,avx512bw,avx512vl,avx512bf16",
    multiply_bf16,
    narrow_bf16
);
