//! Tile kernels: up to 14 x 32 outputs summed in registers over whole panels, then written once.
//!
//! Whatever the number of rows or columns in use, an output is `Σ` over steps in ascending order of the same
//! instruction on the same operands, so its bits depend on neither.

use half::bf16;

use super::packing::RIGHT_LANES;
use crate::backend::Compute;
use crate::cpu::simd::SimdLevel;

/// A stretch of the summed dimension: one left and one right panel.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub(super) left: *const u32,
    /// Words of a step of the left panel: [`super::packing::LEFT_WORDS`], or 1 where there is one row.
    pub(super) left_words: usize,
    pub(super) right: *const u32,
    /// Memory to be fetched into the second cache meanwhile, a cache line a step.
    pub(super) ahead: Option<*const u32>,
    pub(super) steps: usize,
}

impl Segment {
    pub(super) const EMPTY: Self =
        Self { left: std::ptr::null(), left_words: 0, right: std::ptr::null(), ahead: None, steps: 0 };
}

/// Where a matrix of outputs begins.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    F32(*mut f32),
    Bf16(*mut bf16),
}

impl Place {
    pub(super) fn address(self) -> *const i8 {
        match self {
            Self::F32(pointer) => pointer.cast(),
            Self::Bf16(pointer) => pointer.cast(),
        }
    }

    /// SAFETY: the moved pointer must stay inside the matrix.
    pub(crate) unsafe fn add(self, offset: usize) -> Self {
        // SAFETY: as promised by the caller.
        unsafe {
            match self {
                Self::F32(pointer) => Self::F32(pointer.add(offset)),
                Self::Bf16(pointer) => Self::Bf16(pointer.add(offset)),
            }
        }
    }
}

/// `out = factor * Σ segments + bias`, plus what `out` held when `accumulate`.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) segments: [Segment; 2],
    /// 1 to 14.
    pub(super) rows: usize,
    /// 1 to 32.
    pub(super) columns: usize,
    pub(super) out: Place,
    /// Elements from one row of `out` to the next.
    pub(super) stride: usize,
    pub(super) factor: f32,
    /// One value a column.
    pub(super) bias: Option<*const f32>,
    pub(super) accumulate: bool,
}

/// SAFETY: the segments hold `steps` steps of packed panels of `compute`'s words, `out` is writable for `rows` x
/// `columns`, `bias` is readable for `columns`, and the processor has `level`.
pub(super) unsafe fn run(level: SimdLevel, compute: Compute, tile: &Tile) {
    // SAFETY: as promised by the caller.
    unsafe {
        match (compute, level) {
            #[cfg(target_arch = "x86_64")]
            (Compute::Bf16, SimdLevel::Avx512Bf16) => super::avx512::run_bf16(tile),
            #[cfg(target_arch = "x86_64")]
            (Compute::F32, SimdLevel::Avx512Bf16 | SimdLevel::Avx512) => super::avx512::run_f32(tile),
            #[cfg(target_arch = "x86_64")]
            (Compute::F32, SimdLevel::Avx2) => run_avx2(tile),
            #[cfg(target_arch = "aarch64")]
            (Compute::F32, SimdLevel::Neon) => run_rows::<true>(tile),
            (Compute::F32, _) => run_rows::<false>(tile),
            (Compute::Bf16, _) => unreachable!("bf16 products need bf16 instructions; the backend computes in f32"),
        }
    }
}

/// SAFETY: as for [`run`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2(tile: &Tile) {
    // SAFETY: as promised by the caller.
    unsafe { run_rows::<true>(tile) };
}

/// Columns of a portable tile: two AVX2 registers or four of NEON.
const COLUMNS: usize = 16;

/// Cuts the tile into pieces of at most five rows and 16 columns, whose accumulators fit 16 registers.
///
/// SAFETY: as for [`run`].
#[inline(always)]
unsafe fn run_rows<const FUSED: bool>(tile: &Tile) {
    for column in (0..tile.columns).step_by(COLUMNS) {
        let mut row = 0;
        while row < tile.rows {
            // SAFETY: as promised by the caller; row and column are inside the tile.
            unsafe {
                match tile.rows - row {
                    1 => run_piece::<1, FUSED>(tile, row, column),
                    2 => run_piece::<2, FUSED>(tile, row, column),
                    3 => run_piece::<3, FUSED>(tile, row, column),
                    4 => run_piece::<4, FUSED>(tile, row, column),
                    _ => run_piece::<5, FUSED>(tile, row, column),
                }
            }
            row += 5;
        }
    }
}

/// SAFETY: as for [`run`].
#[inline(always)]
unsafe fn run_piece<const ROWS: usize, const FUSED: bool>(tile: &Tile, row: usize, column: usize) {
    let mut sums = [[0.0_f32; COLUMNS]; ROWS];
    for segment in &tile.segments {
        for step in 0..segment.steps {
            // SAFETY: the panels hold `steps` steps; `f32` words were packed from `f32` bits.
            let (left, right) = unsafe {
                let left = segment.left.add(step * segment.left_words + row).cast::<[f32; ROWS]>().read();
                let right = segment.right.add(step * RIGHT_LANES + column).cast::<[f32; COLUMNS]>().read();
                (left, right)
            };
            for (sums, left) in sums.iter_mut().zip(left) {
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = if FUSED { left.mul_add(right, *sum) } else { *sum + left * right };
                }
            }
        }
    }
    let columns = COLUMNS.min(tile.columns - column);
    for (i, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate().take(columns) {
            let offset = (row + i) * tile.stride + column + j;
            // SAFETY: the output is inside the tile; bias has a value for every column.
            unsafe {
                let mut value = sum * tile.factor;
                if let Some(bias) = tile.bias {
                    value += *bias.add(column + j);
                }
                match tile.out {
                    Place::F32(out) => {
                        let out = out.add(offset);
                        *out = if tile.accumulate { *out + value } else { value };
                    }
                    Place::Bf16(out) => {
                        let out = out.add(offset);
                        *out = bf16::from_f32(if tile.accumulate { (*out).to_f32() + value } else { value });
                    }
                }
            }
        }
    }
}
