//! Elementwise and row operations, embedding.

use super::memory::ReferenceBuffer;
use crate::counter_random::{keep, uniform};

pub(super) fn copy(from: &ReferenceBuffer, to: &mut ReferenceBuffer, len: usize) {
    to.numbers[..len].copy_from_slice(&from.numbers[..len]);
}

pub(super) fn add_scaled(to: &mut ReferenceBuffer, from: &ReferenceBuffer, factor: f32, len: usize) {
    for (t, f) in to.numbers[..len].iter_mut().zip(&from.numbers[..len]) {
        *t += f64::from(factor) * f;
    }
}

pub(super) fn gather_rows(
    from: &ReferenceBuffer,
    indices: &ReferenceBuffer,
    rows: usize,
    width: usize,
    to: &mut ReferenceBuffer,
) {
    for (row, &index) in indices.indices[..rows].iter().enumerate() {
        for column in 0..width {
            to.numbers[row * width + column] = from.numbers[index as usize * width + column];
        }
    }
}

pub(super) fn scatter_rows(
    from: &ReferenceBuffer,
    indices: &ReferenceBuffer,
    rows: usize,
    width: usize,
    to: &mut ReferenceBuffer,
    accumulate: bool,
) {
    for (row, &index) in indices.indices[..rows].iter().enumerate() {
        for column in 0..width {
            let value = from.numbers[row * width + column];
            let slot = &mut to.numbers[index as usize * width + column];
            *slot = if accumulate { *slot + value } else { value };
        }
    }
}

pub(super) fn dropout(from: &ReferenceBuffer, to: &mut ReferenceBuffer, len: usize, p: f32, seed: u64) {
    for i in 0..len {
        to.numbers[i] = if keep(seed, i as u64, p) { from.numbers[i] / (1.0 - f64::from(p)) } else { 0.0 };
    }
}

pub(super) fn add_uniform_noise(
    x: &mut ReferenceBuffer,
    magnitude: &ReferenceBuffer,
    rows: usize,
    width: usize,
    seed: u64,
) {
    for row in 0..rows {
        for column in 0..width {
            let index = row * width + column;
            x.numbers[index] += magnitude.numbers[row] * f64::from(uniform(seed, index as u64) * 2.0 - 1.0);
        }
    }
}

pub(super) fn embed(
    table: &ReferenceBuffer,
    ids: &ReferenceBuffer,
    rows: usize,
    width: usize,
    factor: f32,
    out: &mut ReferenceBuffer,
) {
    for (row, &id) in ids.indices[..rows].iter().enumerate() {
        for column in 0..width {
            out.numbers[row * width + column] = f64::from(factor) * table.numbers[id as usize * width + column];
        }
    }
}

pub(super) fn embed_backward(
    gradient: &ReferenceBuffer,
    ids: &ReferenceBuffer,
    rows: usize,
    width: usize,
    factor: f32,
    table_gradient: &mut ReferenceBuffer,
) {
    for (row, &id) in ids.indices[..rows].iter().enumerate() {
        for column in 0..width {
            table_gradient.numbers[id as usize * width + column] +=
                f64::from(factor) * gradient.numbers[row * width + column];
        }
    }
}
