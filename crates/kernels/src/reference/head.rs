//! Output projection and log-softmax.

use super::Numbers;
use super::memory::ReferenceBuffer;
use crate::backend::{HeadCotangents, HeadOutputs, HeadTargets};

/// Logits of one row after the soft cap.
fn row_logits(hidden: &ReferenceBuffer, row: usize, weight: Numbers<'_>, softcap: Option<f32>) -> Vec<f64> {
    let x = &hidden.numbers[row * weight.input..][..weight.input];
    (0..weight.out)
        .map(|token| {
            let raw: f64 = x.iter().zip(&weight.values[token * weight.input..]).map(|(a, b)| a * b).sum();
            softcap.map_or(raw, |cap| f64::from(cap) * (raw / f64::from(cap)).tanh())
        })
        .collect()
}

fn log_normaliser(logits: &[f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + logits.iter().map(|l| (l - largest).exp()).sum::<f64>().ln()
}

fn entropy(logits: &[f64], log_normaliser: f64) -> f64 {
    logits.iter().map(|l| -(l - log_normaliser).exp() * (l - log_normaliser)).sum()
}

/// All logits of all rows, and each row's `log Σ exp`.
pub(super) fn logits(
    hidden: &ReferenceBuffer,
    rows: usize,
    weight: Numbers<'_>,
    softcap: Option<f32>,
    logits: &mut ReferenceBuffer,
) -> Vec<f64> {
    let normalisers = (0..rows).map(|row| {
        let of_row = row_logits(hidden, row, weight, softcap);
        logits.numbers[row * weight.out..][..weight.out].copy_from_slice(&of_row);
        log_normaliser(&of_row)
    });
    normalisers.collect()
}

pub(super) fn forward(
    hidden: &ReferenceBuffer,
    rows: usize,
    weight: Numbers<'_>,
    softcap: Option<f32>,
    targets: HeadTargets<'_, ReferenceBuffer>,
    outputs: HeadOutputs<'_, ReferenceBuffer>,
) {
    let HeadOutputs { log_probs, mut entropies, hits, log_normalisers } = outputs;
    for row in 0..rows {
        let logits = row_logits(hidden, row, weight, softcap);
        let normaliser = log_normaliser(&logits);
        log_normalisers.numbers[row] = normaliser;
        let mut best = 0;
        for (token, &logit) in logits.iter().enumerate() {
            if logit > logits[best] {
                best = token;
            }
        }
        for target in (0..targets.count).filter(|&t| targets.rows.indices[t] as usize == row) {
            let token = targets.tokens.indices[target] as usize;
            log_probs.numbers[target] = logits[token] - normaliser;
            hits.numbers[target] = f64::from(u8::from(token == best));
            if let Some(entropies) = entropies.as_deref_mut() {
                entropies.numbers[target] = entropy(&logits, normaliser);
            }
        }
    }
}

pub(super) fn backward(
    hidden: &ReferenceBuffer,
    rows: usize,
    weight: Numbers<'_>,
    softcap: Option<f32>,
    targets: HeadTargets<'_, ReferenceBuffer>,
    cotangents: HeadCotangents<'_, ReferenceBuffer>,
    dhidden: &mut ReferenceBuffer,
    mut dweight: Option<&mut ReferenceBuffer>,
) {
    let input = weight.input;
    for row in 0..rows {
        let logits = row_logits(hidden, row, weight, softcap);
        let normaliser = log_normaliser(&logits);
        let row_entropy = entropy(&logits, normaliser);
        let mut dlogits = vec![0.0; weight.out];
        for target in (0..targets.count).filter(|&t| targets.rows.indices[t] as usize == row) {
            let dlogp = cotangents.log_probs.numbers[target];
            let dentropy = cotangents.entropies.map_or(0.0, |e| e.numbers[target]);
            for (token, slot) in dlogits.iter_mut().enumerate() {
                let log_p = logits[token] - normaliser;
                *slot -= log_p.exp() * (dlogp + dentropy * (log_p + row_entropy));
            }
            dlogits[targets.tokens.indices[target] as usize] += dlogp;
        }
        if let Some(cap) = softcap {
            for (slot, logit) in dlogits.iter_mut().zip(&logits) {
                *slot *= 1.0 - (logit / f64::from(cap)).powi(2);
            }
        }
        for i in 0..input {
            dhidden.numbers[row * input + i] = (0..weight.out).map(|t| dlogits[t] * weight.values[t * input + i]).sum();
        }
        if let Some(dweight) = dweight.as_deref_mut() {
            for (token, d) in dlogits.iter().enumerate() {
                for i in 0..input {
                    dweight.numbers[token * input + i] += d * hidden.numbers[row * input + i];
                }
            }
        }
    }
}
