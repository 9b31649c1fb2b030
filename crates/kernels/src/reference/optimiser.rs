//! `AdamW`.

use super::memory::ReferenceBuffer;
use crate::backend::AdamW;

pub(super) fn adamw(
    constants: AdamW,
    parameter: &mut ReferenceBuffer,
    gradient: &ReferenceBuffer,
    first_moment: &mut ReferenceBuffer,
    second_moment: &mut ReferenceBuffer,
    len: usize,
) {
    let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay, step, gradient_scale } = constants;
    let [learning_rate, beta1, beta2] = [learning_rate, beta1, beta2].map(f64::from);
    let correction1 = 1.0 - beta1.powf(step as f64);
    let correction2 = 1.0 - beta2.powf(step as f64);
    for i in 0..len {
        let g = gradient.numbers[i] * f64::from(gradient_scale);
        let m = &mut first_moment.numbers[i];
        *m = beta1 * *m + (1.0 - beta1) * g;
        let v = &mut second_moment.numbers[i];
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        let p = &mut parameter.numbers[i];
        *p -= learning_rate * f64::from(weight_decay) * *p;
        *p -= learning_rate * (*m / correction1) / ((*v / correction2).sqrt() + f64::from(epsilon));
    }
}
