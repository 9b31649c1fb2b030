//! Attention over an explicit list of visible keys for each query.

use super::memory::ReferenceBuffer;
use crate::attention_layout::{AttentionLayout, QueryRun};
use crate::backend::AttentionShape;

/// Calls `visit(query row, visible key rows)` for every query, the keys in ascending position.
fn for_each_query(layout: &AttentionLayout, window: Option<u32>, mut visit: impl FnMut(usize, &[usize])) {
    for run in &layout.runs {
        for i in 0..run.len {
            visit((run.row + i) as usize, &visible(run, i, window));
        }
    }
}

fn visible(run: &QueryRun, i: u32, window: Option<u32>) -> Vec<usize> {
    let position = run.position + i;
    let near = |key_position: u32| window.is_none_or(|w| key_position + w > position);
    let context = run.context.iter().flat_map(|span| (0..span.len).map(|j| (span.row + j, span.position + j)));
    let own = (0..=i).map(|j| (run.own_key_row + j, run.position + j));
    context.chain(own).filter(|&(_, p)| near(p)).map(|(row, _)| row as usize).collect()
}

fn score(shape: AttentionShape, q: &[f64], k: &[f64]) -> f64 {
    let raw = q.iter().zip(k).map(|(a, b)| a * b).sum::<f64>() * f64::from(shape.scale);
    shape.softcap.map_or(raw, |cap| f64::from(cap) * (raw / f64::from(cap)).tanh())
}

struct Head {
    query: usize,
    key: usize,
}

fn offsets(shape: AttentionShape, head: usize) -> Head {
    Head { query: head * shape.head_dim, key: head / (shape.heads / shape.kv_heads) * shape.head_dim }
}

pub(super) fn forward(
    shape: AttentionShape,
    layout: &AttentionLayout,
    q: &ReferenceBuffer,
    k: &ReferenceBuffer,
    v: &ReferenceBuffer,
    out: &mut ReferenceBuffer,
    log_normalisers: &mut ReferenceBuffer,
) {
    let (dim, q_width, k_width) = (shape.head_dim, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    for_each_query(layout, shape.window, |row, keys| {
        for head in 0..shape.heads {
            let at = offsets(shape, head);
            let query = &q.numbers[row * q_width + at.query..][..dim];
            let scores: Vec<f64> =
                keys.iter().map(|&key| score(shape, query, &k.numbers[key * k_width + at.key..][..dim])).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_normaliser = largest + scores.iter().map(|s| (s - largest).exp()).sum::<f64>().ln();
            log_normalisers.numbers[row * shape.heads + head] = log_normaliser;
            for d in 0..dim {
                let values = keys.iter().zip(&scores);
                out.numbers[row * q_width + at.query + d] =
                    values.map(|(&key, s)| (s - log_normaliser).exp() * v.numbers[key * k_width + at.key + d]).sum();
            }
        }
    });
}

pub(super) fn backward(
    shape: AttentionShape,
    layout: &AttentionLayout,
    dout: &ReferenceBuffer,
    q: &ReferenceBuffer,
    k: &ReferenceBuffer,
    v: &ReferenceBuffer,
    out: &ReferenceBuffer,
    log_normalisers: &ReferenceBuffer,
    dq: &mut ReferenceBuffer,
    dk: &mut ReferenceBuffer,
    dv: &mut ReferenceBuffer,
) {
    let (dim, q_width, k_width) = (shape.head_dim, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    for gradient in [&mut *dq, &mut *dk, &mut *dv] {
        gradient.numbers.fill(0.0);
    }
    for_each_query(layout, shape.window, |row, keys| {
        for head in 0..shape.heads {
            let at = offsets(shape, head);
            let query = row * q_width + at.query;
            let dot_out: f64 = (0..dim).map(|d| dout.numbers[query + d] * out.numbers[query + d]).sum();
            for &key_row in keys {
                let key = key_row * k_width + at.key;
                let s = score(shape, &q.numbers[query..][..dim], &k.numbers[key..][..dim]);
                let p = (s - log_normalisers.numbers[row * shape.heads + head]).exp();
                let dp: f64 = (0..dim).map(|d| dout.numbers[query + d] * v.numbers[key + d]).sum();
                let cap_slope = shape.softcap.map_or(1.0, |cap| 1.0 - (s / f64::from(cap)).powi(2));
                let ds = p * (dp - dot_out) * cap_slope * f64::from(shape.scale);
                for d in 0..dim {
                    dv.numbers[key + d] += p * dout.numbers[query + d];
                    dq.numbers[query + d] += ds * k.numbers[key + d];
                    dk.numbers[key + d] += ds * q.numbers[query + d];
                }
            }
        }
    });
}
