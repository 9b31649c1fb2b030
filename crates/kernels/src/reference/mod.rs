//! The oracle: every operation as plain `f64` loops over its definition.
//!
//! Slow and obvious on purpose. Nothing here is shared with the fast backends but the trait and the counter-based
//! random numbers, so an error would have to be made twice to go unseen. Values are stored as `f64` whatever the
//! buffer's type: the reference has no rounding to hide behind.

mod activation;
mod attention;
mod elementwise;
mod head;
mod matmul;
mod memory;
mod norm;
mod optimiser;
mod rope;

pub use memory::ReferenceBuffer;

use crate::attention_layout::AttentionLayout;
use crate::backend::*;

/// Plain `f64` loops. `compute` only decides what type activation buffers claim to be.
pub struct Reference {
    compute: Compute,
    account: memory::Account,
}

/// A weight as the reference keeps it: its values and sizes.
pub struct ReferenceMatrix {
    values: Vec<f64>,
    out: usize,
    input: usize,
}

#[cfg(test)]
impl ReferenceMatrix {
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }
}

/// The numbers of a weight `[out, input]`, whichever way it was given.
#[derive(Clone, Copy)]
struct Numbers<'a> {
    values: &'a [f64],
    out: usize,
    input: usize,
}

fn numbers(weight: Weight<'_, ReferenceBuffer, ReferenceMatrix>) -> Numbers<'_> {
    match weight {
        Weight::Prepared(ReferenceMatrix { values, out, input }) => Numbers { values, out: *out, input: *input },
        Weight::Values { values, out, input } => Numbers { values: &values.numbers[..out * input], out, input },
    }
}

impl Reference {
    pub fn new(compute: Compute) -> Self {
        Self { compute, account: memory::Account::default() }
    }
}

impl Backend for Reference {
    type Buffer = ReferenceBuffer;
    type Matrix = ReferenceMatrix;
    type AttentionPlan = AttentionLayout;

    fn name(&self) -> String {
        "reference (f64)".into()
    }

    fn compute(&self) -> Compute {
        self.compute
    }

    fn alloc(&self, dtype: DType, len: usize) -> ReferenceBuffer {
        let mut buffer = self.account.buffer(dtype, len);
        // Whoever reads before writing shall see it.
        buffer.numbers.fill(f64::NAN);
        buffer
    }

    fn zeros(&self, dtype: DType, len: usize) -> ReferenceBuffer {
        self.account.buffer(dtype, len)
    }

    fn upload(&self, values: &[f32]) -> ReferenceBuffer {
        let mut buffer = self.account.buffer(DType::F32, values.len());
        self.write(&mut buffer, 0, values);
        buffer
    }

    fn upload_u32(&self, values: &[u32]) -> ReferenceBuffer {
        let mut buffer = self.account.buffer(DType::U32, values.len());
        buffer.indices.copy_from_slice(values);
        buffer
    }

    fn write(&self, buffer: &mut ReferenceBuffer, offset: usize, values: &[f32]) {
        for (slot, &value) in buffer.numbers[offset..][..values.len()].iter_mut().zip(values) {
            *slot = f64::from(value);
        }
    }

    fn read(&self, buffer: &ReferenceBuffer, offset: usize, len: usize) -> Vec<f32> {
        buffer.numbers[offset..][..len].iter().map(|&v| v as f32).collect()
    }

    fn len(&self, buffer: &ReferenceBuffer) -> usize {
        if buffer.dtype == DType::U32 { buffer.indices.len() } else { buffer.numbers.len() }
    }

    fn dtype(&self, buffer: &ReferenceBuffer) -> DType {
        buffer.dtype
    }

    fn memory(&self) -> Memory {
        self.account.memory()
    }

    fn trim(&self) {}

    fn fill(&self, buffer: &mut ReferenceBuffer, value: f32) {
        buffer.numbers.fill(f64::from(value));
    }

    fn copy(&self, from: &ReferenceBuffer, to: &mut ReferenceBuffer, len: usize) {
        elementwise::copy(from, to, len);
    }

    fn add_scaled(&self, to: &mut ReferenceBuffer, from: &ReferenceBuffer, factor: f32, len: usize) {
        elementwise::add_scaled(to, from, factor, len);
    }

    fn gather_rows(
        &self,
        from: &ReferenceBuffer,
        indices: &ReferenceBuffer,
        rows: usize,
        width: usize,
        to: &mut ReferenceBuffer,
    ) {
        elementwise::gather_rows(from, indices, rows, width, to);
    }

    fn scatter_rows(
        &self,
        from: &ReferenceBuffer,
        indices: &ReferenceBuffer,
        rows: usize,
        width: usize,
        to: &mut ReferenceBuffer,
        accumulate: bool,
    ) {
        elementwise::scatter_rows(from, indices, rows, width, to, accumulate);
    }

    fn dropout(&self, from: &ReferenceBuffer, to: &mut ReferenceBuffer, len: usize, p: f32, seed: u64) {
        elementwise::dropout(from, to, len, p, seed);
    }

    fn add_uniform_noise(
        &self,
        x: &mut ReferenceBuffer,
        magnitude: &ReferenceBuffer,
        rows: usize,
        width: usize,
        seed: u64,
    ) {
        elementwise::add_uniform_noise(x, magnitude, rows, width, seed);
    }

    fn sum_of_squares(&self, buffer: &ReferenceBuffer, len: usize) -> f64 {
        buffer.numbers[..len].iter().map(|v| v * v).sum()
    }

    fn embed(
        &self,
        table: &ReferenceBuffer,
        ids: &ReferenceBuffer,
        rows: usize,
        width: usize,
        factor: f32,
        out: &mut ReferenceBuffer,
    ) {
        elementwise::embed(table, ids, rows, width, factor, out);
    }

    fn embed_backward(
        &self,
        gradient: &ReferenceBuffer,
        ids: &ReferenceBuffer,
        rows: usize,
        width: usize,
        factor: f32,
        table_gradient: &mut ReferenceBuffer,
    ) {
        elementwise::embed_backward(gradient, ids, rows, width, factor, table_gradient);
    }

    fn prepare(&self, weight: &ReferenceBuffer, out: usize, input: usize, _directions: Directions) -> ReferenceMatrix {
        ReferenceMatrix { values: weight.numbers[..out * input].to_vec(), out, input }
    }

    fn prepare_int8(&self, weight: &ReferenceBuffer, out: usize, input: usize) -> ReferenceMatrix {
        ReferenceMatrix { values: matmul::int8(&weight.numbers[..out * input], input), out, input }
    }

    fn linear(
        &self,
        x: &ReferenceBuffer,
        rows: usize,
        weight: Weight<'_, ReferenceBuffer, ReferenceMatrix>,
        bias: Option<&ReferenceBuffer>,
        low_rank: Option<LowRank<'_, ReferenceBuffer>>,
        y: &mut ReferenceBuffer,
        accumulate: bool,
    ) {
        matmul::linear(x, rows, numbers(weight), bias, low_rank, y, accumulate);
    }

    fn linear_input_gradient(
        &self,
        dy: &ReferenceBuffer,
        rows: usize,
        weight: Weight<'_, ReferenceBuffer, ReferenceMatrix>,
        low_rank: Option<LowRank<'_, ReferenceBuffer>>,
        dx: &mut ReferenceBuffer,
        accumulate: bool,
    ) {
        matmul::linear_input_gradient(dy, rows, numbers(weight), low_rank, dx, accumulate);
    }

    fn matmul(
        &self,
        product: Product,
        shape: Shape,
        factor: f32,
        a: &ReferenceBuffer,
        b: &ReferenceBuffer,
        c: &mut ReferenceBuffer,
        accumulate: bool,
    ) {
        matmul::matmul(product, shape, factor, a, b, c, accumulate);
    }

    fn sum_rows(&self, dy: &ReferenceBuffer, rows: usize, width: usize, bias_gradient: &mut ReferenceBuffer) {
        for row in 0..rows {
            for column in 0..width {
                bias_gradient.numbers[column] += dy.numbers[row * width + column];
            }
        }
    }

    fn rms_norm(
        &self,
        x: &ReferenceBuffer,
        rows: usize,
        width: usize,
        weight: &ReferenceBuffer,
        offset: f32,
        epsilon: f32,
        y: &mut ReferenceBuffer,
        inverse_rms: &mut ReferenceBuffer,
    ) {
        norm::rms_norm(x, rows, width, weight, offset, epsilon, y, inverse_rms);
    }

    fn rms_norm_backward(
        &self,
        dy: &ReferenceBuffer,
        x: &ReferenceBuffer,
        rows: usize,
        width: usize,
        weight: &ReferenceBuffer,
        offset: f32,
        inverse_rms: &ReferenceBuffer,
        dx: &mut ReferenceBuffer,
        accumulate: bool,
        dweight: Option<&mut ReferenceBuffer>,
    ) {
        norm::rms_norm_backward(dy, x, rows, width, weight, offset, inverse_rms, dx, accumulate, dweight);
    }

    fn layer_norm(
        &self,
        x: &ReferenceBuffer,
        rows: usize,
        width: usize,
        weight: &ReferenceBuffer,
        bias: &ReferenceBuffer,
        epsilon: f32,
        y: &mut ReferenceBuffer,
        statistics: &mut ReferenceBuffer,
    ) {
        norm::layer_norm(x, rows, width, weight, bias, epsilon, y, statistics);
    }

    fn layer_norm_backward(
        &self,
        dy: &ReferenceBuffer,
        x: &ReferenceBuffer,
        rows: usize,
        width: usize,
        weight: &ReferenceBuffer,
        statistics: &ReferenceBuffer,
        dx: &mut ReferenceBuffer,
        accumulate: bool,
        parameters: Option<(&mut ReferenceBuffer, &mut ReferenceBuffer)>,
    ) {
        norm::layer_norm_backward(dy, x, rows, width, weight, statistics, dx, accumulate, parameters);
    }

    fn rope(
        &self,
        x: &mut ReferenceBuffer,
        rows: usize,
        shape: RopeShape,
        positions: &ReferenceBuffer,
        cos: &ReferenceBuffer,
        sin: &ReferenceBuffer,
        inverse: bool,
    ) {
        rope::rope(x, rows, shape, positions, cos, sin, inverse);
    }

    fn gated(
        &self,
        activation: Activation,
        gate: &ReferenceBuffer,
        up: &ReferenceBuffer,
        len: usize,
        out: &mut ReferenceBuffer,
    ) {
        activation::gated(activation, gate, up, len, out);
    }

    fn gated_backward(
        &self,
        activation: Activation,
        dout: &ReferenceBuffer,
        gate: &ReferenceBuffer,
        up: &ReferenceBuffer,
        len: usize,
        dgate: &mut ReferenceBuffer,
        dup: &mut ReferenceBuffer,
    ) {
        activation::gated_backward(activation, dout, gate, up, len, dgate, dup);
    }

    fn activate(&self, activation: Activation, x: &ReferenceBuffer, len: usize, out: &mut ReferenceBuffer) {
        activation::activate(activation, x, len, out);
    }

    fn activate_backward(
        &self,
        activation: Activation,
        dout: &ReferenceBuffer,
        x: &ReferenceBuffer,
        len: usize,
        dx: &mut ReferenceBuffer,
    ) {
        activation::activate_backward(activation, dout, x, len, dx);
    }

    fn plan_attention(&self, layout: &AttentionLayout) -> AttentionLayout {
        layout.clone()
    }

    fn attention(
        &self,
        shape: AttentionShape,
        plan: &AttentionLayout,
        q: &ReferenceBuffer,
        k: &ReferenceBuffer,
        v: &ReferenceBuffer,
        out: &mut ReferenceBuffer,
        log_normalisers: &mut ReferenceBuffer,
    ) {
        attention::forward(shape, plan, q, k, v, out, log_normalisers);
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        plan: &AttentionLayout,
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
        attention::backward(shape, plan, dout, q, k, v, out, log_normalisers, dq, dk, dv);
    }

    fn head(
        &self,
        hidden: &ReferenceBuffer,
        rows: usize,
        weight: Weight<'_, ReferenceBuffer, ReferenceMatrix>,
        softcap: Option<f32>,
        targets: HeadTargets<'_, ReferenceBuffer>,
        outputs: HeadOutputs<'_, ReferenceBuffer>,
    ) {
        head::forward(hidden, rows, numbers(weight), softcap, targets, outputs);
    }

    fn logits(
        &self,
        hidden: &ReferenceBuffer,
        rows: usize,
        weight: Weight<'_, ReferenceBuffer, ReferenceMatrix>,
        softcap: Option<f32>,
        logits: &mut ReferenceBuffer,
    ) -> Vec<f64> {
        head::logits(hidden, rows, numbers(weight), softcap, logits)
    }

    fn head_backward(
        &self,
        hidden: &ReferenceBuffer,
        rows: usize,
        weight: Weight<'_, ReferenceBuffer, ReferenceMatrix>,
        softcap: Option<f32>,
        targets: HeadTargets<'_, ReferenceBuffer>,
        _log_normalisers: &ReferenceBuffer,
        cotangents: HeadCotangents<'_, ReferenceBuffer>,
        dhidden: &mut ReferenceBuffer,
        dweight: Option<&mut ReferenceBuffer>,
    ) {
        head::backward(hidden, rows, numbers(weight), softcap, targets, cotangents, dhidden, dweight);
    }

    fn adamw(
        &self,
        constants: AdamW,
        parameter: &mut ReferenceBuffer,
        gradient: &ReferenceBuffer,
        first_moment: &mut ReferenceBuffer,
        second_moment: &mut ReferenceBuffer,
        len: usize,
    ) {
        optimiser::adamw(constants, parameter, gradient, first_moment, second_moment, len);
    }
}
