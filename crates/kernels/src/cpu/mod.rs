//! The fast backend for CPUs: AVX-512 (with BF16), AVX2, NEON and portable code, chosen at run time.
//!
//! One file an operation, each a free function of a [`simd::Context`] and the arguments of the trait's method. What
//! they share: memory ([`buffer`], [`block`]), threads ([`threads`], [`split`]), element types ([`tile`], [`vector`])
//! and instruction sets ([`simd`], [`vectorised`]).

mod activation;
mod adamw;
mod attention;
mod block;
mod buffer;
mod elementwise;
mod embedding;
mod exponential;
mod gemm;
mod head;
mod norm;
mod rope;
mod simd;
mod split;
mod team;
#[cfg(test)]
mod testing;
mod threads;
mod tile;
mod vector;
mod vectorised;

pub use attention::AttentionPlan;
pub use buffer::Buffer;
pub use gemm::PackedMatrix;

use self::buffer::Pool;
use self::simd::{Context, SimdLevel};
use self::threads::Threads;
use crate::attention_layout::AttentionLayout;
use crate::backend::*;

/// How to open a [`Cpu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuOptions {
    /// Size of the thread team; `None` takes one thread a core. Results do not depend on it.
    pub threads: Option<usize>,
    /// [`Compute::Bf16`] needs [`Cpu::supports_bf16`]; without, `F32` is used and [`Backend::compute`] says so.
    pub compute: Compute,
}

/// The processor, through its widest vector instructions and a team of threads of its own.
pub struct Cpu {
    threads: Threads,
    pool: Pool,
    level: SimdLevel,
    compute: Compute,
}

impl Cpu {
    pub fn new(options: CpuOptions) -> Self {
        let level = SimdLevel::detect();
        let compute = if level.has_bf16() { options.compute } else { Compute::F32 };
        Self { threads: Threads::new(options.threads), pool: Pool::default(), level, compute }
    }

    /// Whether this processor multiplies bf16 numbers (AVX-512 BF16).
    pub fn supports_bf16() -> bool {
        SimdLevel::detect().has_bf16()
    }

    fn context(&self) -> Context<'_> {
        Context { threads: &self.threads, pool: &self.pool, level: self.level, compute: self.compute }
    }
}

impl Backend for Cpu {
    type Buffer = Buffer;
    type Matrix = PackedMatrix;
    type AttentionPlan = AttentionPlan;

    fn name(&self) -> String {
        format!("cpu ({}, {} threads)", self.level.name(), self.threads.count())
    }

    fn compute(&self) -> Compute {
        self.compute
    }

    fn alloc(&self, dtype: DType, len: usize) -> Buffer {
        self.pool.buffer(dtype, len)
    }

    fn zeros(&self, dtype: DType, len: usize) -> Buffer {
        let (mut buffer, already_zero) = self.pool.buffer_and_freshness(dtype, len);
        if !already_zero {
            elementwise::clear(&self.context(), &mut buffer);
        }
        buffer
    }

    fn upload(&self, values: &[f32]) -> Buffer {
        let mut buffer = self.pool.buffer(DType::F32, values.len());
        self.write(&mut buffer, 0, values);
        buffer
    }

    fn upload_u32(&self, values: &[u32]) -> Buffer {
        let mut buffer = self.pool.buffer(DType::U32, values.len());
        buffer.u32_mut().copy_from_slice(values);
        buffer
    }

    fn write(&self, buffer: &mut Buffer, offset: usize, values: &[f32]) {
        elementwise::write(&self.context(), buffer, offset, values);
    }

    fn read(&self, buffer: &Buffer, offset: usize, len: usize) -> Vec<f32> {
        elementwise::read(&self.context(), buffer, offset, len)
    }

    fn len(&self, buffer: &Buffer) -> usize {
        buffer.len()
    }

    fn dtype(&self, buffer: &Buffer) -> DType {
        buffer.dtype()
    }

    fn memory(&self) -> Memory {
        self.pool.memory()
    }

    fn trim(&self) {
        self.pool.trim();
    }

    fn fill(&self, buffer: &mut Buffer, value: f32) {
        elementwise::fill(&self.context(), buffer, value);
    }

    fn copy(&self, from: &Buffer, to: &mut Buffer, len: usize) {
        elementwise::copy(&self.context(), from, to, len);
    }

    fn add_scaled(&self, to: &mut Buffer, from: &Buffer, factor: f32, len: usize) {
        elementwise::add_scaled(&self.context(), to, from, factor, len);
    }

    fn gather_rows(&self, from: &Buffer, indices: &Buffer, rows: usize, width: usize, to: &mut Buffer) {
        elementwise::gather_rows(&self.context(), from, indices, rows, width, to);
    }

    fn scatter_rows(
        &self,
        from: &Buffer,
        indices: &Buffer,
        rows: usize,
        width: usize,
        to: &mut Buffer,
        accumulate: bool,
    ) {
        elementwise::scatter_rows(&self.context(), from, indices, rows, width, to, accumulate);
    }

    fn dropout(&self, from: &Buffer, to: &mut Buffer, len: usize, p: f32, seed: u64) {
        elementwise::dropout(&self.context(), from, to, len, p, seed);
    }

    fn add_uniform_noise(&self, x: &mut Buffer, magnitude: &Buffer, rows: usize, width: usize, seed: u64) {
        elementwise::add_uniform_noise(&self.context(), x, magnitude, rows, width, seed);
    }

    fn sum_of_squares(&self, buffer: &Buffer, len: usize) -> f64 {
        elementwise::sum_of_squares(&self.context(), buffer, len)
    }

    fn embed(&self, table: &Buffer, ids: &Buffer, rows: usize, width: usize, factor: f32, out: &mut Buffer) {
        embedding::embed(&self.context(), table, ids, rows, width, factor, out);
    }

    fn embed_backward(
        &self,
        gradient: &Buffer,
        ids: &Buffer,
        rows: usize,
        width: usize,
        factor: f32,
        table_gradient: &mut Buffer,
    ) {
        embedding::embed_backward(&self.context(), gradient, ids, rows, width, factor, table_gradient);
    }

    fn prepare(&self, weight: &Buffer, out: usize, input: usize, directions: Directions) -> PackedMatrix {
        gemm::prepare(&self.context(), weight, out, input, directions)
    }

    fn prepare_int8(&self, weight: &Buffer, out: usize, input: usize) -> PackedMatrix {
        gemm::prepare_int8(&self.context(), weight, out, input)
    }

    fn linear(
        &self,
        x: &Buffer,
        rows: usize,
        weight: Weight<'_, Buffer, PackedMatrix>,
        bias: Option<&Buffer>,
        low_rank: Option<LowRank<'_, Buffer>>,
        y: &mut Buffer,
        accumulate: bool,
    ) {
        gemm::linear(&self.context(), x, rows, weight, bias, low_rank, y, accumulate);
    }

    fn linear_input_gradient(
        &self,
        dy: &Buffer,
        rows: usize,
        weight: Weight<'_, Buffer, PackedMatrix>,
        low_rank: Option<LowRank<'_, Buffer>>,
        dx: &mut Buffer,
        accumulate: bool,
    ) {
        gemm::linear_input_gradient(&self.context(), dy, rows, weight, low_rank, dx, accumulate);
    }

    fn matmul(
        &self,
        product: Product,
        shape: Shape,
        factor: f32,
        a: &Buffer,
        b: &Buffer,
        c: &mut Buffer,
        accumulate: bool,
    ) {
        gemm::matmul(&self.context(), product, shape, factor, a, b, c, accumulate);
    }

    fn sum_rows(&self, dy: &Buffer, rows: usize, width: usize, bias_gradient: &mut Buffer) {
        elementwise::sum_rows(&self.context(), dy, rows, width, bias_gradient);
    }

    fn rms_norm(
        &self,
        x: &Buffer,
        rows: usize,
        width: usize,
        weight: &Buffer,
        offset: f32,
        epsilon: f32,
        y: &mut Buffer,
        inverse_rms: &mut Buffer,
    ) {
        norm::rms_norm(&self.context(), x, rows, width, weight, offset, epsilon, y, inverse_rms);
    }

    fn rms_norm_backward(
        &self,
        dy: &Buffer,
        x: &Buffer,
        rows: usize,
        width: usize,
        weight: &Buffer,
        offset: f32,
        inverse_rms: &Buffer,
        dx: &mut Buffer,
        accumulate: bool,
        dweight: Option<&mut Buffer>,
    ) {
        norm::rms_norm_backward(
            &self.context(),
            dy,
            x,
            rows,
            width,
            weight,
            offset,
            inverse_rms,
            dx,
            accumulate,
            dweight,
        );
    }

    fn layer_norm(
        &self,
        x: &Buffer,
        rows: usize,
        width: usize,
        weight: &Buffer,
        bias: &Buffer,
        epsilon: f32,
        y: &mut Buffer,
        statistics: &mut Buffer,
    ) {
        norm::layer_norm(&self.context(), x, rows, width, weight, bias, epsilon, y, statistics);
    }

    fn layer_norm_backward(
        &self,
        dy: &Buffer,
        x: &Buffer,
        rows: usize,
        width: usize,
        weight: &Buffer,
        statistics: &Buffer,
        dx: &mut Buffer,
        accumulate: bool,
        parameters: Option<(&mut Buffer, &mut Buffer)>,
    ) {
        norm::layer_norm_backward(&self.context(), dy, x, rows, width, weight, statistics, dx, accumulate, parameters);
    }

    fn rope(
        &self,
        x: &mut Buffer,
        rows: usize,
        shape: RopeShape,
        positions: &Buffer,
        cos: &Buffer,
        sin: &Buffer,
        inverse: bool,
    ) {
        rope::rope(&self.context(), x, rows, shape, positions, cos, sin, inverse);
    }

    fn gated(&self, activation: Activation, gate: &Buffer, up: &Buffer, len: usize, out: &mut Buffer) {
        activation::gated(&self.context(), activation, gate, up, len, out);
    }

    fn gated_backward(
        &self,
        activation: Activation,
        dout: &Buffer,
        gate: &Buffer,
        up: &Buffer,
        len: usize,
        dgate: &mut Buffer,
        dup: &mut Buffer,
    ) {
        activation::gated_backward(&self.context(), activation, dout, gate, up, len, dgate, dup);
    }

    fn activate(&self, activation: Activation, x: &Buffer, len: usize, out: &mut Buffer) {
        activation::activate(&self.context(), activation, x, len, out);
    }

    fn activate_backward(&self, activation: Activation, dout: &Buffer, x: &Buffer, len: usize, dx: &mut Buffer) {
        activation::activate_backward(&self.context(), activation, dout, x, len, dx);
    }

    fn plan_attention(&self, layout: &AttentionLayout) -> AttentionPlan {
        attention::plan(layout)
    }

    fn attention(
        &self,
        shape: AttentionShape,
        plan: &AttentionPlan,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        out: &mut Buffer,
        log_normalisers: &mut Buffer,
    ) {
        attention::attention(&self.context(), shape, plan, q, k, v, out, log_normalisers);
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        plan: &AttentionPlan,
        dout: &Buffer,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        out: &Buffer,
        log_normalisers: &Buffer,
        dq: &mut Buffer,
        dk: &mut Buffer,
        dv: &mut Buffer,
    ) {
        attention::attention_backward(&self.context(), shape, plan, dout, q, k, v, out, log_normalisers, dq, dk, dv);
    }

    fn head(
        &self,
        hidden: &Buffer,
        rows: usize,
        weight: Weight<'_, Buffer, PackedMatrix>,
        softcap: Option<f32>,
        targets: HeadTargets<'_, Buffer>,
        outputs: HeadOutputs<'_, Buffer>,
    ) {
        head::head(&self.context(), hidden, rows, weight, softcap, targets, outputs);
    }

    fn logits(
        &self,
        hidden: &Buffer,
        rows: usize,
        weight: Weight<'_, Buffer, PackedMatrix>,
        softcap: Option<f32>,
        logits: &mut Buffer,
    ) -> Vec<f64> {
        head::logits(&self.context(), hidden, rows, weight, softcap, logits)
    }

    fn head_backward(
        &self,
        hidden: &Buffer,
        rows: usize,
        weight: Weight<'_, Buffer, PackedMatrix>,
        softcap: Option<f32>,
        targets: HeadTargets<'_, Buffer>,
        log_normalisers: &Buffer,
        cotangents: HeadCotangents<'_, Buffer>,
        dhidden: &mut Buffer,
        dweight: Option<&mut Buffer>,
    ) {
        head::head_backward(
            &self.context(),
            hidden,
            rows,
            weight,
            softcap,
            targets,
            log_normalisers,
            cotangents,
            dhidden,
            dweight,
        );
    }

    fn adamw(
        &self,
        constants: AdamW,
        parameter: &mut Buffer,
        gradient: &Buffer,
        first_moment: &mut Buffer,
        second_moment: &mut Buffer,
        len: usize,
    ) {
        adamw::adamw(&self.context(), constants, parameter, gradient, first_moment, second_moment, len);
    }
}
