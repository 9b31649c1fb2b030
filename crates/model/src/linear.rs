//! A linear layer, with or without a trained weight, a bias, an adapter.

use camelid_kernels::{Backend, DType, LowRank as LowRankTerm, Product, Shape, Weight};

use crate::tensor::Tensor;

/// `y = x Wᵀ + bias + scale · x Aᵀ Bᵀ`.
pub(crate) struct LinearLayer<B: Backend> {
    pub(crate) out: usize,
    pub(crate) input: usize,
    pub(crate) weight: LinearWeight<B>,
    pub(crate) bias: Option<Tensor<B>>,
    pub(crate) adapter: Option<Adapter<B>>,
}

/// A frozen weight is kept in the layout that is multiplied fastest, a trained one as its values.
pub(crate) enum LinearWeight<B: Backend> {
    Frozen(B::Matrix),
    Trained(Tensor<B>),
}

impl<B: Backend> LinearWeight<B> {
    pub(crate) fn trained(&self) -> Option<&Tensor<B>> {
        if let Self::Trained(tensor) = self { Some(tensor) } else { None }
    }

    pub(crate) fn trained_mut(&mut self) -> Option<&mut Tensor<B>> {
        if let Self::Trained(tensor) = self { Some(tensor) } else { None }
    }

    pub(crate) fn of(&self, out: usize, input: usize) -> Weight<'_, B::Buffer, B::Matrix> {
        match self {
            Self::Frozen(matrix) => Weight::Prepared(matrix),
            Self::Trained(tensor) => Weight::Values { values: &tensor.value, out, input },
        }
    }
}

/// A low-rank term beside a frozen weight.
pub(crate) struct Adapter<B: Backend> {
    /// `[rank, in]`.
    pub(crate) a: Tensor<B>,
    /// `[out, rank]`.
    pub(crate) b: Tensor<B>,
    pub(crate) rank: usize,
    pub(crate) scale: f32,
    pub(crate) dropout: f32,
}

/// How this pass uses adapters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdapterUse {
    pub(crate) active: bool,
    /// Seed of this layer's dropout mask; `None` drops nothing.
    pub(crate) dropout_seed: Option<u64>,
}

impl<B: Backend> Adapter<B> {
    /// The adapter's input: `x`, or `x` with elements dropped.
    fn dropped(&self, backend: &B, x: &B::Buffer, len: usize, seed: Option<u64>) -> Option<B::Buffer> {
        let seed = seed.filter(|_| self.dropout > 0.0)?;
        let mut dropped = backend.alloc(backend.activation_dtype(), len);
        backend.dropout(x, &mut dropped, len, self.dropout, seed);
        Some(dropped)
    }

    /// `scale · x Aᵀ`, `[rows, rank]`.
    fn compress(&self, backend: &B, x: &B::Buffer, rows: usize, input: usize) -> B::Buffer {
        let mut low = backend.alloc(backend.activation_dtype(), rows * self.rank);
        let shape = Shape { m: rows, n: self.rank, k: input };
        backend.matmul(Product::Nt, shape, self.scale, x, &self.a.value, &mut low, false);
        low
    }
}

impl<B: Backend> LinearLayer<B> {
    /// Weight (if trained), bias, adapter.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<B>> {
        let adapter = self.adapter.iter().flat_map(|adapter| [&adapter.a, &adapter.b]);
        self.weight.trained().into_iter().chain(&self.bias).chain(adapter)
    }

    /// As [`Self::tensors`].
    pub(crate) fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor<B>> {
        let adapter = self.adapter.iter_mut().flat_map(|adapter| [&mut adapter.a, &mut adapter.b]);
        self.weight.trained_mut().into_iter().chain(&mut self.bias).chain(adapter)
    }

    fn active(&self, usage: AdapterUse) -> Option<&Adapter<B>> {
        self.adapter.as_ref().filter(|_| usage.active)
    }

    /// What the backward needs of the adapter: `scale · x Aᵀ`, `[rows, rank]`.
    pub(crate) fn compress(&self, backend: &B, x: &B::Buffer, rows: usize, usage: AdapterUse) -> Option<B::Buffer> {
        let adapter = self.active(usage)?;
        let dropped = adapter.dropped(backend, x, rows * self.input, usage.dropout_seed);
        Some(adapter.compress(backend, dropped.as_ref().unwrap_or(x), rows, self.input))
    }

    /// `y [rows, out] (+)= …`; returns what [`Self::compress`] does.
    pub(crate) fn forward(
        &self,
        backend: &B,
        x: &B::Buffer,
        rows: usize,
        usage: AdapterUse,
        y: &mut B::Buffer,
        accumulate: bool,
    ) -> Option<B::Buffer> {
        let bias = self.bias.as_ref().map(|bias| &bias.value);
        let low = self.compress(backend, x, rows, usage);
        let term = self.active(usage).zip(low.as_ref()).map(|(adapter, left)| LowRankTerm {
            left,
            right: &adapter.b.value,
            rank: adapter.rank,
        });
        backend.linear(x, rows, self.weight.of(self.out, self.input), bias, term, y, accumulate);
        low
    }

    /// Adds to the gradients of what is trained here, and writes (or adds) the gradient of `x` when asked. `low` is what
    /// the forward returned.
    pub(crate) fn backward(
        &mut self,
        backend: &B,
        dy: &B::Buffer,
        x: &B::Buffer,
        low: Option<&B::Buffer>,
        rows: usize,
        usage: AdapterUse,
        dx: Option<(&mut B::Buffer, bool)>,
    ) {
        let (out, input) = (self.out, self.input);
        if let Some((gradient, add)) = self.weight.trained_mut().and_then(|weight| weight.gradient_or_place(backend)) {
            let shape = Shape { m: out, n: input, k: rows };
            backend.matmul(Product::Tn, shape, 1.0, dy, x, gradient, add);
        }
        if let Some(gradient) = self.bias.as_mut().and_then(|bias| bias.gradient_mut(backend)) {
            backend.sum_rows(dy, rows, out, gradient);
        }
        let adapter = self.adapter.as_mut().filter(|_| usage.active);
        let dlow = adapter.zip(low).map(|(adapter, low)| {
            let dropped = adapter.dropped(backend, x, rows * input, usage.dropout_seed);
            adapter_backward(backend, adapter, dy, dropped.as_ref().unwrap_or(x), low, rows, (out, input))
        });
        let Some((dx, accumulate)) = dx else { return };
        let term = |right| dlow.as_ref().map(|(left, rank)| LowRankTerm { left, right, rank: *rank });
        match self.active(usage) {
            Some(adapter) if adapter.dropout > 0.0 && usage.dropout_seed.is_some() => {
                backend.linear_input_gradient(dy, rows, self.weight.of(out, input), None, dx, accumulate);
                if let (Some((left, rank)), Some(seed)) = (&dlow, usage.dropout_seed) {
                    let len = rows * input;
                    let mut through = backend.alloc(backend.activation_dtype(), len);
                    let shape = Shape { m: rows, n: input, k: *rank };
                    backend.matmul(Product::Nn, shape, 1.0, left, &adapter.a.value, &mut through, false);
                    let mut kept = backend.alloc(backend.activation_dtype(), len);
                    backend.dropout(&through, &mut kept, len, adapter.dropout, seed);
                    backend.add_scaled(dx, &kept, 1.0, len);
                }
            }
            Some(adapter) => {
                backend.linear_input_gradient(
                    dy,
                    rows,
                    self.weight.of(out, input),
                    term(&adapter.a.value),
                    dx,
                    accumulate,
                );
            }
            None => backend.linear_input_gradient(dy, rows, self.weight.of(out, input), None, dx, accumulate),
        }
    }
}

/// Gradients of A and B from the adapter's own input `x`; returns `scale · dy B` `[rows, rank]`, through which the input's
/// gradient flows.
fn adapter_backward<B: Backend>(
    backend: &B,
    adapter: &mut Adapter<B>,
    dy: &B::Buffer,
    x: &B::Buffer,
    low: &B::Buffer,
    rows: usize,
    (out, input): (usize, usize),
) -> (B::Buffer, usize) {
    let rank = adapter.rank;
    let mut dlow = backend.alloc(backend.activation_dtype(), rows * rank);
    let to_rank = Shape { m: rows, n: rank, k: out };
    backend.matmul(Product::Nn, to_rank, adapter.scale, dy, &adapter.b.value, &mut dlow, false);
    if let Some((gradient, add)) = adapter.b.gradient_or_place(backend) {
        backend.matmul(Product::Tn, Shape { m: out, n: rank, k: rows }, 1.0, dy, low, gradient, add);
    }
    if let Some((gradient, add)) = adapter.a.gradient_or_place(backend) {
        backend.matmul(Product::Tn, Shape { m: rank, n: input, k: rows }, 1.0, &dlow, x, gradient, add);
    }
    (dlow, rank)
}

/// A layer's buffer of activations.
pub(crate) fn activations<B: Backend>(backend: &B, len: usize) -> B::Buffer {
    backend.alloc(backend.activation_dtype(), len)
}

/// An `f32` buffer.
pub(crate) fn floats<B: Backend>(backend: &B, len: usize) -> B::Buffer {
    backend.alloc(DType::F32, len)
}
