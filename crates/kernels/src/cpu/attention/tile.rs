//! Small matrix products on `f32` scratch that stays in the first two caches, and moving rows into it.

use super::super::buffer::Values;

/// Columns that a product works on at a time; widths in scratch are padded to it.
pub(super) const LANES: usize = 32;
/// Rows that a product works on at a time; heights in scratch are padded to it.
pub(super) const HEIGHT: usize = 4;

/// The width that a head takes in scratch.
pub(super) fn padded(width: usize) -> usize {
    width.next_multiple_of(LANES)
}

/// `c [m, n] (+)= a [m, k] · b [k, n]`, row-major with row lengths `a_width`, `n`, `n`. `m` is a multiple of
/// [`HEIGHT`] and `n` of [`LANES`]. Each element is summed over `k` in order.
#[inline(always)]
pub(super) fn product<const FUSED: bool>(
    (m, n, k): (usize, usize, usize),
    (a, a_width): (&[f32], usize),
    b: &[f32],
    c: &mut [f32],
    accumulate: bool,
) {
    assert!(m.is_multiple_of(HEIGHT) && n.is_multiple_of(LANES) && k <= a_width);
    assert!(a.len() >= m * a_width && b.len() >= k * n && c.len() >= m * n);
    for row in (0..m).step_by(HEIGHT) {
        let a_rows: [&[f32]; HEIGHT] = std::array::from_fn(|r| &a[(row + r) * a_width..][..k]);
        for column in (0..n).step_by(LANES) {
            let mut sums = [[0.0_f32; LANES]; HEIGHT];
            if accumulate {
                for (r, sums) in sums.iter_mut().enumerate() {
                    sums.copy_from_slice(&c[(row + r) * n + column..][..LANES]);
                }
            }
            for step in 0..k {
                let right: &[f32; LANES] = b[step * n + column..][..LANES].try_into().unwrap_or(&[0.0; LANES]);
                for (sums, a_row) in sums.iter_mut().zip(a_rows) {
                    let left = a_row[step];
                    for (sum, &right) in sums.iter_mut().zip(right) {
                        *sum = if FUSED { left.mul_add(right, *sum) } else { *sum + left * right };
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                c[(row + r) * n + column..][..LANES].copy_from_slice(sums);
            }
        }
    }
}

/// `to [columns, rows_padded] = from [rows, width]ᵀ`.
#[inline(always)]
pub(super) fn transpose(from: &[f32], rows: usize, width: usize, columns: usize, to: &mut [f32], to_width: usize) {
    for column in 0..columns {
        let line = &mut to[column * to_width..][..rows];
        for (row, slot) in line.iter_mut().enumerate() {
            *slot = from[row * width + column];
        }
    }
}

/// Copies one head of a row into scratch, the padding left as it is (zero).
#[inline(always)]
pub(super) fn load_head(values: &Values<'_>, row: usize, row_width: usize, offset: usize, to: &mut [f32]) {
    values.load(row * row_width + offset, to);
}
