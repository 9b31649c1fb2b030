//! A scalar read from the residual stream, at the last token of each branch or at each target: what reward and value models
//! say.

use camelid_kernels::{Backend, DType, Product, Shape};

use crate::ModelError;
use crate::arch_hf::invalid;
use crate::linear::{activations, floats};
use crate::norm::NormLayer;
use crate::tensor::Tensor;

/// Name of the head's weight, as `transformers`' sequence classifiers have it.
pub(crate) const SCORE: &str = "score.weight";

/// `value = w · norm(x)` at the rows that are read.
pub(crate) struct ValueHead<B: Backend> {
    /// `[1, hidden]`.
    pub(crate) weight: Tensor<B>,
}

/// What the backward needs.
pub(crate) struct KeptValues<B: Backend> {
    rows: B::Buffer,
    count: usize,
    /// For each value, its row's place among the distinct rows.
    places: Vec<usize>,
    input: B::Buffer,
    statistics: B::Buffer,
    normed: B::Buffer,
}

impl<B: Backend> ValueHead<B> {
    /// A value for each entry of `read`, its row in the residual stream `x` (`f32 [rows, hidden]`) before the final norm.
    pub(crate) fn forward(
        &self,
        backend: &B,
        norm: &NormLayer<B>,
        x: &B::Buffer,
        read: &[u32],
    ) -> (Vec<f32>, KeptValues<B>) {
        // Equal sequences end in the same row, and all responses to a prompt start behind its last.
        let mut distinct = read.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let places: Vec<usize> = read.iter().map(|row| distinct.partition_point(|other| other < row)).collect();
        let (count, hidden) = (distinct.len(), norm.width);
        let rows = backend.upload_u32(&distinct);
        let mut input = floats(backend, count * hidden);
        backend.gather_rows(x, &rows, count, hidden, &mut input);
        let mut normed = activations(backend, count * hidden);
        let statistics = norm.forward(backend, &input, count, &mut normed);
        let mut values = floats(backend, count);
        let shape = Shape { m: count, n: 1, k: hidden };
        backend.matmul(Product::Nt, shape, 1.0, &normed, &self.weight.value, &mut values, false);
        let values = backend.read(&values, 0, count);
        let values = places.iter().map(|&place| values[place]).collect();
        (values, KeptValues { rows, count, places, input, statistics, normed })
    }

    /// Adds to the head's and the norm's gradients and to `dx` (`f32 [rows, hidden]`).
    pub(crate) fn backward(
        &mut self,
        backend: &B,
        norm: &mut NormLayer<B>,
        kept: &KeptValues<B>,
        cotangents: &[f32],
        dx: &mut B::Buffer,
    ) -> Result<(), ModelError> {
        if cotangents.len() != kept.places.len() {
            let reason = format!("{} cotangents for {} values", cotangents.len(), kept.places.len());
            return Err(invalid(reason, "give one for each value of the last forward"));
        }
        let (count, hidden) = (kept.count, norm.width);
        let mut sums = vec![0.0; count];
        for (&place, &cotangent) in kept.places.iter().zip(cotangents) {
            sums[place] += cotangent;
        }
        let dvalues = backend.upload(&sums);
        if let Some((gradient, add)) = self.weight.gradient_or_place(backend) {
            let shape = Shape { m: 1, n: hidden, k: count };
            backend.matmul(Product::Tn, shape, 1.0, &dvalues, &kept.normed, gradient, add);
        }
        let mut dnormed = activations(backend, count * hidden);
        let shape = Shape { m: count, n: hidden, k: 1 };
        backend.matmul(Product::Nn, shape, 1.0, &dvalues, &self.weight.value, &mut dnormed, false);
        let mut dinput = backend.alloc(DType::F32, count * hidden);
        norm.backward(backend, &dnormed, &kept.input, &kept.statistics, count, &mut dinput, false);
        backend.scatter_rows(&dinput, &kept.rows, count, hidden, dx, true);
        Ok(())
    }
}
