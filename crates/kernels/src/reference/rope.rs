//! Rotary embedding.

use super::memory::ReferenceBuffer;
use crate::backend::RopeShape;

pub(super) fn rope(
    x: &mut ReferenceBuffer,
    rows: usize,
    shape: RopeShape,
    positions: &ReferenceBuffer,
    cos: &ReferenceBuffer,
    sin: &ReferenceBuffer,
    inverse: bool,
) {
    let half = shape.rotary_dim / 2;
    for row in 0..rows {
        let angle = positions.indices[row] as usize * half;
        for head in 0..shape.heads {
            let start = (row * shape.heads + head) * shape.head_dim;
            for i in 0..half {
                let c = cos.numbers[angle + i];
                let s = if inverse { -sin.numbers[angle + i] } else { sin.numbers[angle + i] };
                let (a, b) = (x.numbers[start + i], x.numbers[start + half + i]);
                x.numbers[start + i] = a * c - b * s;
                x.numbers[start + half + i] = b * c + a * s;
            }
        }
    }
}
