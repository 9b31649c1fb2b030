//! Activations and gated units.

use super::memory::ReferenceBuffer;
use crate::backend::Activation;

/// `sqrt(2 / π)` and the cubic coefficient of the tanh approximation of GELU.
const TANH_GELU: (f64, f64) = (0.797_884_560_802_865_4, 0.044_715);

pub(super) fn value(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * normal_cdf(x),
        Activation::GeluTanh => 0.5 * x * (1.0 + (TANH_GELU.0 * (x + TANH_GELU.1 * x.powi(3))).tanh()),
    }
}

pub(super) fn slope(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => {
            let sigmoid = 1.0 / (1.0 + (-x).exp());
            sigmoid * (1.0 + x * (1.0 - sigmoid))
        }
        Activation::Gelu => {
            let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            normal_cdf(x) + x * density
        }
        Activation::GeluTanh => {
            let t = (TANH_GELU.0 * (x + TANH_GELU.1 * x.powi(3))).tanh();
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * TANH_GELU.0 * (1.0 + 3.0 * TANH_GELU.1 * x * x)
        }
    }
}

fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

pub(super) fn gated(
    activation: Activation,
    gate: &ReferenceBuffer,
    up: &ReferenceBuffer,
    len: usize,
    out: &mut ReferenceBuffer,
) {
    for i in 0..len {
        out.numbers[i] = value(activation, gate.numbers[i]) * up.numbers[i];
    }
}

pub(super) fn gated_backward(
    activation: Activation,
    dout: &ReferenceBuffer,
    gate: &ReferenceBuffer,
    up: &ReferenceBuffer,
    len: usize,
    dgate: &mut ReferenceBuffer,
    dup: &mut ReferenceBuffer,
) {
    for i in 0..len {
        dgate.numbers[i] = dout.numbers[i] * up.numbers[i] * slope(activation, gate.numbers[i]);
        dup.numbers[i] = dout.numbers[i] * value(activation, gate.numbers[i]);
    }
}

pub(super) fn activate(activation: Activation, x: &ReferenceBuffer, len: usize, out: &mut ReferenceBuffer) {
    for i in 0..len {
        out.numbers[i] = value(activation, x.numbers[i]);
    }
}

pub(super) fn activate_backward(
    activation: Activation,
    dout: &ReferenceBuffer,
    x: &ReferenceBuffer,
    len: usize,
    dx: &mut ReferenceBuffer,
) {
    for i in 0..len {
        dx.numbers[i] = dout.numbers[i] * slope(activation, x.numbers[i]);
    }
}
