//! The operations a model is made of, over device buffers.
//!
//! A model is written once against [`Backend`] and never touches memory itself. [`crate::Reference`] answers every
//! call with plain `f64` loops and is the oracle of all tests; [`crate::Cpu`] is the fast one. A GPU backend is one
//! more implementation of this trait and nothing else.
//!
//! Matrices are row-major. `rows` always counts the rows in use: a buffer may be longer than its matrix.
//! An *activation* buffer has [`Backend::activation_dtype`]; the residual stream, norms' statistics, losses,
//! gradients of parameters and optimiser state are `f32`. Unless stated otherwise a `&Buffer` argument may be
//! `f32` or `bf16`, and accumulation happens in `f32`.
//!
//! Shape errors are programming errors and panic with both shapes; nothing a user types reaches them, because the
//! model checks shapes when weights are loaded.

use crate::attention_layout::AttentionLayout;

/// Element type of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    F32,
    /// 16-bit brain float. `Reference` stores it unrounded.
    Bf16,
    /// Token ids, positions and row indices.
    U32,
}

/// What the inputs of matrix products are rounded to. Accumulation is `f32` either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compute {
    F32,
    Bf16,
}

/// Which operands of `c[m, n] = a · b` are stored transposed. `k` is the summed dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// `a [m, k] · b [n, k]ᵀ`: a linear layer forward.
    Nt,
    /// `a [m, k] · b [k, n]`: the gradient of its input.
    Nn,
    /// `a [k, m]ᵀ · b [k, n]`: the gradient of its weight.
    Tn,
}

/// Sizes of a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

/// Which directions a prepared weight must serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// `linear` only (generation, scoring, the first layer under frozen embeddings).
    Forward,
    /// `linear` and `linear_input_gradient`.
    Both,
}

/// Inputs that share a scale in an int8 weight.
pub const INT8_GROUP: usize = 32;

/// A weight `[out, in]` to multiply with.
pub enum Weight<'a, Buffer, Matrix> {
    /// In the backend's own layout: for weights that stay as they are.
    Prepared(&'a Matrix),
    /// As values: for weights that change with each step. The backend makes its layout for the call and lets it go, so
    /// that training keeps no second copy of the model.
    Values { values: &'a Buffer, out: usize, input: usize },
}

impl<Buffer, Matrix> Clone for Weight<'_, Buffer, Matrix> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Buffer, Matrix> Copy for Weight<'_, Buffer, Matrix> {}

/// A second, thin product added inside a linear layer: `y += left [rows, rank] · right`.
///
/// Forward of a `LoRA` layer: `left = scale · x Aᵀ`, `right = B [out, rank]` (used transposed).
/// Input gradient: `left = scale · dy B`, `right = A [rank, in]` (used as is).
pub struct LowRank<'a, Buffer> {
    pub left: &'a Buffer,
    pub right: &'a Buffer,
    pub rank: usize,
}

/// Gate function of a gated unit, or activation of a plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)` (`SwiGLU`; Shazeer 2020, arXiv 2002.05202).
    Silu,
    /// Exact GELU, `x · Φ(x)` (Hendrycks & Gimpel 2016, arXiv 1606.08415).
    Gelu,
    /// The tanh approximation of GELU (same paper, section 2), Gemma's `gelu_pytorch_tanh`.
    GeluTanh,
}

/// Shape of one attention operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    pub heads: usize,
    /// Key/value heads; a divisor of `heads` (grouped-query attention; Ainslie 2023, arXiv 2305.13245).
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Factor on `q · k`, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// `softcap · tanh(score / softcap)` on scaled scores (Gemma 2).
    pub softcap: Option<f32>,
    /// Sliding window: a query at position `p` sees positions `p - window + 1 ..= p` (Mistral).
    pub window: Option<u32>,
}

/// Rotary embedding of one head (Su 2021, arXiv 2104.09864), in the "rotate half" layout of Hugging Face checkpoints:
/// dimension `i` pairs with `i + rotary_dim / 2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeShape {
    pub heads: usize,
    pub head_dim: usize,
    /// Only the first `rotary_dim` dimensions of a head turn (GPT-NeoX turns a quarter).
    pub rotary_dim: usize,
}

/// Constants of one fused `AdamW` step (Loshchilov & Hutter 2017, arXiv 1711.05101, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    pub learning_rate: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    pub weight_decay: f32,
    /// 1 at the first update; bias correction uses it.
    pub step: u64,
    /// Factor on the gradient before anything else: `1 / global count`, times the clip factor.
    pub gradient_scale: f32,
}

/// What [`Backend::head`] writes for each target; buffers are `f32` of length `targets`.
pub struct HeadOutputs<'a, Buffer> {
    /// `log softmax(logits[row])[token]`.
    pub log_probs: &'a mut Buffer,
    /// Entropy of the row's distribution in nats, when wanted.
    pub entropies: Option<&'a mut Buffer>,
    /// 1 where the target token is the row's most likely token, else 0.
    pub hits: &'a mut Buffer,
    /// `log Σ exp(logits)` of each *row* of `hidden`, length `rows`; the backward needs it.
    pub log_normalisers: &'a mut Buffer,
}

/// Which (row, token) pairs are scored. Several targets may share a row (the branches of a tree).
pub struct HeadTargets<'a, Buffer> {
    /// Index of the target's row in `hidden`, `u32`, length `count`, ascending.
    pub rows: &'a Buffer,
    /// Target token id, `u32`, length `count`.
    pub tokens: &'a Buffer,
    pub count: usize,
}

/// Cotangents that enter [`Backend::head_backward`], `f32` of length `targets`.
pub struct HeadCotangents<'a, Buffer> {
    pub log_probs: &'a Buffer,
    pub entropies: Option<&'a Buffer>,
}

/// Copies the references, whatever they refer to; a derived implementation would ask for buffers that can be copied.
macro_rules! copy_references {
    ($($name:ident)+) => {$(
        impl<Buffer> Clone for $name<'_, Buffer> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<Buffer> Copy for $name<'_, Buffer> {}
    )+};
}

copy_references! { LowRank HeadTargets HeadCotangents }

/// The operation set. See the module documentation for conventions.
pub trait Backend: Send + Sync + Sized + 'static {
    /// Device memory of one element type.
    type Buffer: Send + Sync;
    /// A weight `[out, in]` in whatever layout the backend multiplies fastest.
    type Matrix: Send + Sync;
    /// An [`AttentionLayout`] turned into the backend's own schedule, once a batch and reused by every layer.
    type AttentionPlan: Send + Sync;

    /// Name and instruction set, such as `cpu (avx512-bf16, 2 threads)`.
    fn name(&self) -> String;
    fn compute(&self) -> Compute;
    /// `F32` when `compute` is `F32`, else `Bf16`.
    fn activation_dtype(&self) -> DType {
        match self.compute() {
            Compute::F32 => DType::F32,
            Compute::Bf16 => DType::Bf16,
        }
    }

    // Memory. A dropped buffer goes back to the backend's pool.

    /// A buffer of `len` elements, contents unspecified.
    fn alloc(&self, dtype: DType, len: usize) -> Self::Buffer;
    /// A buffer of zeros.
    fn zeros(&self, dtype: DType, len: usize) -> Self::Buffer;
    fn upload(&self, values: &[f32]) -> Self::Buffer;
    fn upload_u32(&self, values: &[u32]) -> Self::Buffer;
    /// Overwrites `buffer[offset ..]` with `values`, converting to the buffer's type.
    fn write(&self, buffer: &mut Self::Buffer, offset: usize, values: &[f32]);
    /// Copies `buffer[offset .. offset + len]` to the host.
    fn read(&self, buffer: &Self::Buffer, offset: usize, len: usize) -> Vec<f32>;
    fn len(&self, buffer: &Self::Buffer) -> usize;
    fn dtype(&self, buffer: &Self::Buffer) -> DType;
    /// Bytes held by live buffers and matrices, and the most ever held.
    fn memory(&self) -> Memory;
    /// Gives pooled memory that no buffer uses back to the system.
    fn trim(&self);

    // Elementwise and row operations.

    fn fill(&self, buffer: &mut Self::Buffer, value: f32);
    /// `to[..len] = from[..len]`, converting types.
    fn copy(&self, from: &Self::Buffer, to: &mut Self::Buffer, len: usize);
    /// `to[i] += factor · from[i]` for `i < len`.
    fn add_scaled(&self, to: &mut Self::Buffer, from: &Self::Buffer, factor: f32, len: usize);
    /// `to[i] = from[indices[i]]`, rows of `width`; `rows` = number of indices.
    fn gather_rows(
        &self,
        from: &Self::Buffer,
        indices: &Self::Buffer,
        rows: usize,
        width: usize,
        to: &mut Self::Buffer,
    );
    /// `to[indices[i]] = from[i]` (or `+=` when `accumulate`), rows of `width`. Indices are distinct.
    fn scatter_rows(
        &self,
        from: &Self::Buffer,
        indices: &Self::Buffer,
        rows: usize,
        width: usize,
        to: &mut Self::Buffer,
        accumulate: bool,
    );
    /// Inverted dropout: each element is zeroed with probability `p`, else scaled by `1 / (1 - p)`.
    /// The mask is a pure function of `(seed, element index)`, so the backward is the same call on the gradient.
    fn dropout(&self, from: &Self::Buffer, to: &mut Self::Buffer, len: usize, p: f32, seed: u64);
    /// `x[row, :] += magnitude[row] · u`, `u` uniform in [-1, 1], a pure function of `(seed, element index)` (`NEFTune`;
    /// Jain 2023, arXiv 2310.05914, algorithm 1, with magnitude = α / sqrt(L · d)).
    fn add_uniform_noise(&self, x: &mut Self::Buffer, magnitude: &Self::Buffer, rows: usize, width: usize, seed: u64);
    /// Sum of squares in `f64`, in an order that does not depend on the thread count.
    fn sum_of_squares(&self, buffer: &Self::Buffer, len: usize) -> f64;

    // Embedding.

    /// `out[i, :] = factor · table[ids[i], :]`, `out` is `f32 [rows, width]`.
    fn embed(
        &self,
        table: &Self::Buffer,
        ids: &Self::Buffer,
        rows: usize,
        width: usize,
        factor: f32,
        out: &mut Self::Buffer,
    );
    /// `table_gradient[ids[i], :] += factor · gradient[i, :]`, in row order.
    fn embed_backward(
        &self,
        gradient: &Self::Buffer,
        ids: &Self::Buffer,
        rows: usize,
        width: usize,
        factor: f32,
        table_gradient: &mut Self::Buffer,
    );

    // Matrix products.

    /// Prepares a weight `[out, in]` for `linear` (and, when asked, `linear_input_gradient`).
    fn prepare(&self, weight: &Self::Buffer, out: usize, input: usize, directions: Directions) -> Self::Matrix;
    /// As `prepare` for the forward direction only, in eight bits: `W[o, i] = scale[o, i / INT8_GROUP] · q[o, i]` with
    /// `scale = max |W| / 127` over the group in `f32` and `q` the nearest integer, ties to even. Products see these values,
    /// rounded as those of any weight are.
    fn prepare_int8(&self, weight: &Self::Buffer, out: usize, input: usize) -> Self::Matrix;
    /// `y [rows, out] (+)= x [rows, in] · Wᵀ + bias + low_rank.left · low_rank.rightᵀ`, where `right` is `[out, rank]`.
    fn linear(
        &self,
        x: &Self::Buffer,
        rows: usize,
        weight: Weight<'_, Self::Buffer, Self::Matrix>,
        bias: Option<&Self::Buffer>,
        low_rank: Option<LowRank<'_, Self::Buffer>>,
        y: &mut Self::Buffer,
        accumulate: bool,
    );
    /// `dx [rows, in] (+)= dy [rows, out] · W + low_rank.left · low_rank.right`, where `right` is `[rank, in]`.
    fn linear_input_gradient(
        &self,
        dy: &Self::Buffer,
        rows: usize,
        weight: Weight<'_, Self::Buffer, Self::Matrix>,
        low_rank: Option<LowRank<'_, Self::Buffer>>,
        dx: &mut Self::Buffer,
        accumulate: bool,
    );
    /// `c [m, n] = factor · product(a, b)`, or `+=` when `accumulate`. Weight gradients are `Tn` with
    /// `m = out, n = in, k = rows`, `a = dy`, `b = x`, `c` the `f32` gradient.
    fn matmul(
        &self,
        product: Product,
        shape: Shape,
        factor: f32,
        a: &Self::Buffer,
        b: &Self::Buffer,
        c: &mut Self::Buffer,
        accumulate: bool,
    );
    /// `bias_gradient[j] += Σ_i dy[i, j]`, in row order.
    fn sum_rows(&self, dy: &Self::Buffer, rows: usize, width: usize, bias_gradient: &mut Self::Buffer);

    // Norms. `x` is the residual stream or a saved copy of it.

    /// `y = x / sqrt(mean(x²) + epsilon) · (offset + weight)` on rows of `width` (Zhang & Sennrich 2019, arXiv
    /// 1910.07467; `offset` is 1 for Gemma, else 0). `inverse_rms` (`f32 [rows]`) is kept for the backward.
    fn rms_norm(
        &self,
        x: &Self::Buffer,
        rows: usize,
        width: usize,
        weight: &Self::Buffer,
        offset: f32,
        epsilon: f32,
        y: &mut Self::Buffer,
        inverse_rms: &mut Self::Buffer,
    );
    /// `dx (+)= ∂/∂x`, `dweight += ∂/∂weight` when given.
    fn rms_norm_backward(
        &self,
        dy: &Self::Buffer,
        x: &Self::Buffer,
        rows: usize,
        width: usize,
        weight: &Self::Buffer,
        offset: f32,
        inverse_rms: &Self::Buffer,
        dx: &mut Self::Buffer,
        accumulate: bool,
        dweight: Option<&mut Self::Buffer>,
    );
    /// `y = (x - mean) · inverse_deviation · weight + bias` on rows of `width` (Ba 2016, arXiv 1607.06450).
    /// `statistics` is `f32 [rows, 2]`: mean and inverse deviation.
    fn layer_norm(
        &self,
        x: &Self::Buffer,
        rows: usize,
        width: usize,
        weight: &Self::Buffer,
        bias: &Self::Buffer,
        epsilon: f32,
        y: &mut Self::Buffer,
        statistics: &mut Self::Buffer,
    );
    /// `dx (+)= ∂/∂x`; `parameters` are `dweight` and `dbias`, added to when given.
    fn layer_norm_backward(
        &self,
        dy: &Self::Buffer,
        x: &Self::Buffer,
        rows: usize,
        width: usize,
        weight: &Self::Buffer,
        statistics: &Self::Buffer,
        dx: &mut Self::Buffer,
        accumulate: bool,
        parameters: Option<(&mut Self::Buffer, &mut Self::Buffer)>,
    );

    // Position, activation, attention.

    /// Turns `x [rows, heads · head_dim]` in place. `cos` and `sin` are `f32 [positions, rotary_dim / 2]` and
    /// `positions` (`u32 [rows]`) picks their row. `inverse` turns back, which is the backward.
    fn rope(
        &self,
        x: &mut Self::Buffer,
        rows: usize,
        shape: RopeShape,
        positions: &Self::Buffer,
        cos: &Self::Buffer,
        sin: &Self::Buffer,
        inverse: bool,
    );
    /// `out[i] = activation(gate[i]) · up[i]` for `i < len`.
    fn gated(&self, activation: Activation, gate: &Self::Buffer, up: &Self::Buffer, len: usize, out: &mut Self::Buffer);
    /// Cotangents of both inputs, overwritten.
    fn gated_backward(
        &self,
        activation: Activation,
        dout: &Self::Buffer,
        gate: &Self::Buffer,
        up: &Self::Buffer,
        len: usize,
        dgate: &mut Self::Buffer,
        dup: &mut Self::Buffer,
    );
    /// `out[i] = activation(x[i])`.
    fn activate(&self, activation: Activation, x: &Self::Buffer, len: usize, out: &mut Self::Buffer);
    fn activate_backward(
        &self,
        activation: Activation,
        dout: &Self::Buffer,
        x: &Self::Buffer,
        len: usize,
        dx: &mut Self::Buffer,
    );

    fn plan_attention(&self, layout: &AttentionLayout) -> Self::AttentionPlan;
    /// `out = softmax(mask(q kᵀ · scale)) v`, a head at a time, without ever holding a rows x rows buffer (Dao 2022,
    /// arXiv 2205.14135). `q, out: [query rows, heads · head_dim]`; `k, v: [key rows, kv_heads · head_dim]`;
    /// `log_normalisers`: `f32 [query rows, heads]`, for the backward.
    fn attention(
        &self,
        shape: AttentionShape,
        plan: &Self::AttentionPlan,
        q: &Self::Buffer,
        k: &Self::Buffer,
        v: &Self::Buffer,
        out: &mut Self::Buffer,
        log_normalisers: &mut Self::Buffer,
    );
    /// Cotangents of q, k and v, overwritten. Only for layouts whose key rows are the query rows.
    fn attention_backward(
        &self,
        shape: AttentionShape,
        plan: &Self::AttentionPlan,
        dout: &Self::Buffer,
        q: &Self::Buffer,
        k: &Self::Buffer,
        v: &Self::Buffer,
        out: &Self::Buffer,
        log_normalisers: &Self::Buffer,
        dq: &mut Self::Buffer,
        dk: &mut Self::Buffer,
        dv: &mut Self::Buffer,
    );

    // Output projection and log-softmax, over target rows only, in chunks: logits of the whole batch never exist.

    /// `hidden [rows, in]` are the normed states of the rows that predict something; `weight` is `[vocabulary, in]`.
    /// `softcap` is applied to logits (Gemma 2).
    fn head(
        &self,
        hidden: &Self::Buffer,
        rows: usize,
        weight: Weight<'_, Self::Buffer, Self::Matrix>,
        softcap: Option<f32>,
        targets: HeadTargets<'_, Self::Buffer>,
        outputs: HeadOutputs<'_, Self::Buffer>,
    );
    /// The logits that [`Self::head`] scores, `f32 [rows, vocabulary]`, and for each row `log Σ exp(logits)`: a token's
    /// log-probability is its logit less that, in `f64` and then rounded, with the bits that `head` gives.
    fn logits(
        &self,
        hidden: &Self::Buffer,
        rows: usize,
        weight: Weight<'_, Self::Buffer, Self::Matrix>,
        softcap: Option<f32>,
        logits: &mut Self::Buffer,
    ) -> Vec<f64>;
    /// `dhidden` (`f32` or activation, overwritten) and, when given, `dweight (f32 [vocabulary, in]) +=`.
    fn head_backward(
        &self,
        hidden: &Self::Buffer,
        rows: usize,
        weight: Weight<'_, Self::Buffer, Self::Matrix>,
        softcap: Option<f32>,
        targets: HeadTargets<'_, Self::Buffer>,
        log_normalisers: &Self::Buffer,
        cotangents: HeadCotangents<'_, Self::Buffer>,
        dhidden: &mut Self::Buffer,
        dweight: Option<&mut Self::Buffer>,
    );

    // Optimiser.

    /// One fused step on `len` elements; parameter and gradient are `f32`, and `gradient` is left as it is. Moments are
    /// both `f32` or both bf16. bf16 moments are rounded up or down at random in proportion to the distance, by a pure
    /// function of `(step, element index)`: rounded to the nearest, a second moment that changes by a thousandth a step
    /// would never change.
    fn adamw(
        &self,
        constants: AdamW,
        parameter: &mut Self::Buffer,
        gradient: &Self::Buffer,
        first_moment: &mut Self::Buffer,
        second_moment: &mut Self::Buffer,
        len: usize,
    );
}

/// Bytes of device memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub in_use: usize,
    /// Held in the pool and not in use.
    pub pooled: usize,
    pub peak: usize,
}
