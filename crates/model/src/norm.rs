//! Either norm behind one pair of calls.

use camelid_kernels::Backend;

use crate::arch::Norm;
use crate::linear::floats;
use crate::tensor::Tensor;

pub(crate) struct NormLayer<B: Backend> {
    pub(crate) kind: Norm,
    pub(crate) epsilon: f32,
    pub(crate) width: usize,
    pub(crate) weight: Tensor<B>,
    /// Present in `LayerNorm` only.
    pub(crate) bias: Option<Tensor<B>>,
}

impl<B: Backend> NormLayer<B> {
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<B>> {
        [&self.weight].into_iter().chain(&self.bias)
    }

    pub(crate) fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor<B>> {
        [&mut self.weight].into_iter().chain(&mut self.bias)
    }

    /// Writes `y` and returns the rows' statistics, which the backward needs.
    pub(crate) fn forward(&self, backend: &B, x: &B::Buffer, rows: usize, y: &mut B::Buffer) -> B::Buffer {
        match (self.kind, &self.bias) {
            (Norm::Layer, Some(bias)) => {
                let mut statistics = floats(backend, 2 * rows);
                backend.layer_norm(
                    x,
                    rows,
                    self.width,
                    &self.weight.value,
                    &bias.value,
                    self.epsilon,
                    y,
                    &mut statistics,
                );
                statistics
            }
            (kind, _) => {
                let offset = if let Norm::Rms { offset } = kind { offset } else { 0.0 };
                let mut inverse_rms = floats(backend, rows);
                backend.rms_norm(x, rows, self.width, &self.weight.value, offset, self.epsilon, y, &mut inverse_rms);
                inverse_rms
            }
        }
    }

    /// `dx (+)= …` and the gradients of the parameters, if trained. `x` and `statistics` are those of the forward.
    pub(crate) fn backward(
        &mut self,
        backend: &B,
        dy: &B::Buffer,
        x: &B::Buffer,
        statistics: &B::Buffer,
        rows: usize,
        dx: &mut B::Buffer,
        accumulate: bool,
    ) {
        // Taken out of the weight for the call, because the call also reads the weight's value.
        let mut taken = self.weight.take_gradient(backend);
        let (dweight, value) = (taken.as_mut(), &self.weight.value);
        match (self.kind, &mut self.bias) {
            (Norm::Layer, Some(bias)) => {
                let parameters = dweight.zip(bias.gradient_mut(backend));
                backend.layer_norm_backward(dy, x, rows, self.width, value, statistics, dx, accumulate, parameters);
            }
            (kind, _) => {
                let offset = if let Norm::Rms { offset } = kind { offset } else { 0.0 };
                backend.rms_norm_backward(dy, x, rows, self.width, value, offset, statistics, dx, accumulate, dweight);
            }
        }
        self.weight.put_gradient(taken);
    }
}
