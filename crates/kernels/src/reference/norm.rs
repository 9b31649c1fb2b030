//! `RMSNorm` and `LayerNorm`.

use super::memory::ReferenceBuffer;

pub(super) fn rms_norm(
    x: &ReferenceBuffer,
    rows: usize,
    width: usize,
    weight: &ReferenceBuffer,
    offset: f32,
    epsilon: f32,
    y: &mut ReferenceBuffer,
    inverse_rms: &mut ReferenceBuffer,
) {
    for row in 0..rows {
        let x = &x.numbers[row * width..][..width];
        let mean_square = x.iter().map(|v| v * v).sum::<f64>() / width as f64;
        let inverse = 1.0 / (mean_square + f64::from(epsilon)).sqrt();
        inverse_rms.numbers[row] = inverse;
        for (column, x) in x.iter().enumerate() {
            y.numbers[row * width + column] = x * inverse * (f64::from(offset) + weight.numbers[column]);
        }
    }
}

pub(super) fn rms_norm_backward(
    dy: &ReferenceBuffer,
    x: &ReferenceBuffer,
    rows: usize,
    width: usize,
    weight: &ReferenceBuffer,
    offset: f32,
    inverse_rms: &ReferenceBuffer,
    dx: &mut ReferenceBuffer,
    accumulate: bool,
    mut dweight: Option<&mut ReferenceBuffer>,
) {
    for row in 0..rows {
        let inverse = inverse_rms.numbers[row];
        let at = |column: usize| row * width + column;
        let scaled = |column: usize| dy.numbers[at(column)] * (f64::from(offset) + weight.numbers[column]);
        let projection =
            (0..width).map(|c| scaled(c) * x.numbers[at(c)]).sum::<f64>() * inverse * inverse / width as f64;
        for column in 0..width {
            let value = inverse * (scaled(column) - x.numbers[at(column)] * projection);
            let slot = &mut dx.numbers[at(column)];
            *slot = if accumulate { *slot + value } else { value };
            if let Some(dweight) = dweight.as_deref_mut() {
                dweight.numbers[column] += dy.numbers[at(column)] * x.numbers[at(column)] * inverse;
            }
        }
    }
}

pub(super) fn layer_norm(
    x: &ReferenceBuffer,
    rows: usize,
    width: usize,
    weight: &ReferenceBuffer,
    bias: &ReferenceBuffer,
    epsilon: f32,
    y: &mut ReferenceBuffer,
    statistics: &mut ReferenceBuffer,
) {
    for row in 0..rows {
        let x = &x.numbers[row * width..][..width];
        let mean = x.iter().sum::<f64>() / width as f64;
        let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / width as f64;
        let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
        statistics.numbers[2 * row] = mean;
        statistics.numbers[2 * row + 1] = inverse;
        for (column, x) in x.iter().enumerate() {
            y.numbers[row * width + column] = (x - mean) * inverse * weight.numbers[column] + bias.numbers[column];
        }
    }
}

pub(super) fn layer_norm_backward(
    dy: &ReferenceBuffer,
    x: &ReferenceBuffer,
    rows: usize,
    width: usize,
    weight: &ReferenceBuffer,
    statistics: &ReferenceBuffer,
    dx: &mut ReferenceBuffer,
    accumulate: bool,
    mut parameters: Option<(&mut ReferenceBuffer, &mut ReferenceBuffer)>,
) {
    for row in 0..rows {
        let (mean, inverse) = (statistics.numbers[2 * row], statistics.numbers[2 * row + 1]);
        let at = |column: usize| row * width + column;
        let normed = |column: usize| (x.numbers[at(column)] - mean) * inverse;
        let scaled = |column: usize| dy.numbers[at(column)] * weight.numbers[column];
        let mean_scaled = (0..width).map(scaled).sum::<f64>() / width as f64;
        let mean_projected = (0..width).map(|c| scaled(c) * normed(c)).sum::<f64>() / width as f64;
        for column in 0..width {
            let value = inverse * (scaled(column) - mean_scaled - normed(column) * mean_projected);
            let slot = &mut dx.numbers[at(column)];
            *slot = if accumulate { *slot + value } else { value };
            if let Some((dweight, dbias)) = parameters.as_mut() {
                dweight.numbers[column] += dy.numbers[at(column)] * normed(column);
                dbias.numbers[column] += dy.numbers[at(column)];
            }
        }
    }
}
