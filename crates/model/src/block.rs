//! One block: attention and MLP around the residual stream, forward and backward side by side.
//!
//! The forward keeps only what cannot be had again cheaply: the inputs of norms, q, k and v after rotation, the
//! attention's output, gate and up. Norm outputs and the gated product are computed again in the backward.

use camelid_kernels::{AttentionShape, Backend, RopeShape};

use crate::arch::{ArchConfig, Linear, Mlp};
use crate::linear::{AdapterUse, LinearLayer, activations, floats};
use crate::norm::NormLayer;
use crate::tensor::Tensor;

pub(crate) struct Block<B: Backend> {
    pub(crate) window: Option<u32>,
    pub(crate) rope: usize,
    pub(crate) before_attention: NormLayer<B>,
    pub(crate) query_norm: Option<NormLayer<B>>,
    pub(crate) key_norm: Option<NormLayer<B>>,
    pub(crate) after_attention: Option<NormLayer<B>>,
    pub(crate) before_mlp: NormLayer<B>,
    pub(crate) after_mlp: Option<NormLayer<B>>,
    /// By [`Linear`], in the order of [`ArchConfig::linears`].
    pub(crate) linears: Vec<(Linear, LinearLayer<B>)>,
}

/// Cosines and sines of one rotary embedding.
pub(crate) struct RopeTable<B: Backend> {
    pub(crate) cos: B::Buffer,
    pub(crate) sin: B::Buffer,
}

/// What a block needs to know about the pass.
pub(crate) struct Pass<'a, B: Backend> {
    pub(crate) backend: &'a B,
    pub(crate) arch: &'a ArchConfig,
    pub(crate) rows: usize,
    pub(crate) positions: &'a B::Buffer,
    pub(crate) attention: &'a B::AttentionPlan,
    pub(crate) ropes: &'a [RopeTable<B>],
    pub(crate) fused: Option<&'a [B::Buffer; 3]>,
    pub(crate) adapters: bool,
    pub(crate) noise_seed: Option<u64>,
    pub(crate) layer: usize,
}

/// A norm's input as saved, with the statistics of the forward.
struct Normed<B: Backend> {
    input: B::Buffer,
    statistics: B::Buffer,
}

/// What one block keeps for its backward.
pub(crate) struct Saved<B: Backend> {
    before_attention: Normed<B>,
    query_norm: Option<Normed<B>>,
    key_norm: Option<Normed<B>>,
    query: B::Buffer,
    key: B::Buffer,
    value: B::Buffer,
    attended: B::Buffer,
    log_normalisers: B::Buffer,
    after_attention: Option<Normed<B>>,
    before_mlp: Normed<B>,
    gate: Option<B::Buffer>,
    up: B::Buffer,
    after_mlp: Option<Normed<B>>,
    low: LowRanks<B>,
}

/// What a block's forward leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The residual stream after the block.
    Nothing,
    /// That, and what the backward needs.
    Activations,
    /// What the backward needs. The stream is not finished, which spares the block's last product.
    ActivationsOnly,
}

/// What the adapters made of the linear layers' inputs, by layer.
type LowRanks<B> = Vec<(Linear, <B as Backend>::Buffer)>;

/// Earlier keys and values of the same sequence, and where this pass's own go.
pub(crate) struct Cache<'a, B: Backend> {
    pub(crate) keys: &'a mut B::Buffer,
    pub(crate) values: &'a mut B::Buffer,
    pub(crate) own_rows: &'a B::Buffer,
}

impl<B: Backend> Pass<'_, B> {
    fn usage(&self, linear: Linear) -> AdapterUse {
        // Each layer's each module has a mask of its own.
        let site = (self.layer as u64 + 1) * 64 + linear as u64;
        let dropout_seed = self.noise_seed.map(|seed| seed ^ site.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        AdapterUse { active: self.adapters, dropout_seed }
    }

    fn attention_shape(&self, window: Option<u32>) -> AttentionShape {
        let arch = self.arch;
        AttentionShape {
            heads: arch.heads,
            kv_heads: arch.kv_heads,
            head_dim: arch.head_dim,
            scale: arch.attention_scale,
            softcap: arch.attention_softcap,
            window,
        }
    }

    fn rotate(&self, x: &mut B::Buffer, heads: usize, rope: usize, inverse: bool) {
        let shape = RopeShape { heads, head_dim: self.arch.head_dim, rotary_dim: self.arch.rotary_dim };
        let table = &self.ropes[rope];
        self.backend.rope(x, self.rows, shape, self.positions, &table.cos, &table.sin, inverse);
    }

    fn copy_as_activation(&self, x: &B::Buffer, len: usize) -> B::Buffer {
        let mut copy = activations(self.backend, len);
        self.backend.copy(x, &mut copy, len);
        copy
    }

    fn apply(&self, norm: &NormLayer<B>, x: &B::Buffer, rows: usize) -> (B::Buffer, B::Buffer) {
        let mut y = activations(self.backend, rows * norm.width);
        let statistics = norm.forward(self.backend, x, rows, &mut y);
        (y, statistics)
    }
}

impl<B: Backend> Block<B> {
    fn linear(&self, which: Linear) -> Option<&LinearLayer<B>> {
        self.linears.iter().find(|(linear, _)| *linear == which).map(|(_, layer)| layer)
    }

    fn linear_mut(&mut self, which: Linear) -> Option<&mut LinearLayer<B>> {
        self.linears.iter_mut().find(|(linear, _)| *linear == which).map(|(_, layer)| layer)
    }

    /// `linear(x)` into a new activation buffer; nothing if the block has no such layer.
    fn project(&self, pass: &Pass<'_, B>, which: Linear, x: &B::Buffer, lows: &mut LowRanks<B>) -> Option<B::Buffer> {
        let layer = self.linear(which)?;
        let mut y = activations(pass.backend, pass.rows * layer.out);
        let low = layer.forward(pass.backend, x, pass.rows, pass.usage(which), &mut y, false);
        lows.extend(low.map(|low| (which, low)));
        Some(y)
    }

    /// Adds what the block computes to the residual stream `x` (`f32 [rows, hidden]`), and returns what the backward
    /// needs if that is to be kept.
    pub(crate) fn forward(
        &self,
        pass: &Pass<'_, B>,
        x: &mut B::Buffer,
        cache: Option<Cache<'_, B>>,
        kept: Keep,
    ) -> Option<Saved<B>> {
        let (backend, rows, arch) = (pass.backend, pass.rows, pass.arch);
        let keep = kept != Keep::Nothing;
        let len = rows * arch.hidden;
        let save = |x: &B::Buffer| if keep { Some(pass.copy_as_activation(x, len)) } else { None };

        let mut low = LowRanks::<B>::new();
        let attention_input = save(x);
        let (normed, attention_statistics) = pass.apply(&self.before_attention, x, rows);
        // A parallel block's MLP reads the stream as it was before attention.
        let parallel_mlp = arch.parallel_residual.then(|| (save(x), pass.apply(&self.before_mlp, x, rows)));

        let (query, key, value) = self.query_key_value(pass, &normed, &mut low);
        let (mut query, query_norm) = Self::head_norm(pass, self.query_norm.as_ref(), query, arch.heads, keep);
        let (mut key, key_norm) = Self::head_norm(pass, self.key_norm.as_ref(), key, arch.kv_heads, keep);
        drop(normed);
        pass.rotate(&mut query, arch.heads, self.rope, false);
        pass.rotate(&mut key, arch.kv_heads, self.rope, false);

        let mut attended = activations(backend, rows * arch.heads * arch.head_dim);
        let mut log_normalisers = floats(backend, rows * arch.heads);
        let shape = pass.attention_shape(self.window);
        match cache {
            Some(Cache { keys, values, own_rows }) => {
                let width = arch.kv_heads * arch.head_dim;
                backend.scatter_rows(&key, own_rows, rows, width, keys, false);
                backend.scatter_rows(&value, own_rows, rows, width, values, false);
                backend.attention(shape, pass.attention, &query, keys, values, &mut attended, &mut log_normalisers);
            }
            None => backend.attention(shape, pass.attention, &query, &key, &value, &mut attended, &mut log_normalisers),
        }
        let norm = self.after_attention.as_ref();
        let after_attention = self.add_to_stream(pass, Linear::AttentionOutput, &attended, norm, x, &mut low, keep);

        let (mlp_input, (normed, mlp_statistics)) =
            parallel_mlp.unwrap_or_else(|| (save(x), pass.apply(&self.before_mlp, x, rows)));
        let gate = self.project(pass, Linear::Gate, &normed, &mut low);
        let up = self.project(pass, Linear::Up, &normed, &mut low)?;
        drop(normed);
        let inner = Self::activated(pass, gate.as_ref(), &up);
        let after_mlp = if kept == Keep::ActivationsOnly && self.after_mlp.is_none() {
            let down = self.linear(Linear::Down)?;
            low.extend(down.compress(backend, &inner, rows, pass.usage(Linear::Down)).map(|low| (Linear::Down, low)));
            None
        } else {
            self.add_to_stream(pass, Linear::Down, &inner, self.after_mlp.as_ref(), x, &mut low, keep)
        };

        let (attention_input, mlp_input) = attention_input.zip(mlp_input)?;
        Some(Saved {
            before_attention: Normed { input: attention_input, statistics: attention_statistics },
            query_norm,
            key_norm,
            query,
            key,
            value,
            attended,
            log_normalisers,
            after_attention,
            before_mlp: Normed { input: mlp_input, statistics: mlp_statistics },
            gate,
            up,
            after_mlp,
            low,
        })
    }

    fn query_key_value(
        &self,
        pass: &Pass<'_, B>,
        x: &B::Buffer,
        low: &mut LowRanks<B>,
    ) -> (B::Buffer, B::Buffer, B::Buffer) {
        let arch = pass.arch;
        let fused = self.project(pass, Linear::QueryKeyValue, x, low).zip(pass.fused);
        if let Some((fused, rows_of)) = fused {
            let [query, key, value] = rows_of.each_ref().map(|indices| {
                let mut part = activations(pass.backend, pass.rows * arch.heads * arch.head_dim);
                pass.backend.gather_rows(&fused, indices, pass.rows * arch.heads, arch.head_dim, &mut part);
                part
            });
            return (query, key, value);
        }
        let mut project = |which| {
            let empty = || activations(pass.backend, 0);
            self.project(pass, which, x, low).unwrap_or_else(empty)
        };
        (project(Linear::Query), project(Linear::Key), project(Linear::Value))
    }

    fn head_norm(
        pass: &Pass<'_, B>,
        norm: Option<&NormLayer<B>>,
        x: B::Buffer,
        heads: usize,
        keep: bool,
    ) -> (B::Buffer, Option<Normed<B>>) {
        let Some(norm) = norm else { return (x, None) };
        let (y, statistics) = pass.apply(norm, &x, pass.rows * heads);
        (y, keep.then_some(Normed { input: x, statistics }))
    }

    /// `activation(gate) · up`, or `activation(up)`.
    fn activated(pass: &Pass<'_, B>, gate: Option<&B::Buffer>, up: &B::Buffer) -> B::Buffer {
        let len = pass.rows * pass.arch.intermediate;
        let mut inner = activations(pass.backend, len);
        match (pass.arch.mlp, gate) {
            (Mlp::Gated(activation), Some(gate)) => pass.backend.gated(activation, gate, up, len, &mut inner),
            (Mlp::Plain(activation) | Mlp::Gated(activation), _) => {
                pass.backend.activate(activation, up, len, &mut inner);
            }
        }
        inner
    }

    /// `x += linear(y)`, through the norm that follows if there is one.
    fn add_to_stream(
        &self,
        pass: &Pass<'_, B>,
        which: Linear,
        y: &B::Buffer,
        norm: Option<&NormLayer<B>>,
        x: &mut B::Buffer,
        lows: &mut LowRanks<B>,
        keep: bool,
    ) -> Option<Normed<B>> {
        let Some(norm) = norm else {
            let layer = self.linear(which)?;
            let low = layer.forward(pass.backend, y, pass.rows, pass.usage(which), x, true);
            lows.extend(low.map(|low| (which, low)));
            return None;
        };
        let input = self.project(pass, which, y, lows)?;
        let mut normed = floats(pass.backend, pass.rows * norm.width);
        let statistics = norm.forward(pass.backend, &input, pass.rows, &mut normed);
        pass.backend.add_scaled(x, &normed, 1.0, pass.rows * norm.width);
        keep.then_some(Normed { input, statistics })
    }

    /// Turns `dx`, the gradient of the block's output (`f32 [rows, hidden]`), into that of its input. Without
    /// `continue_below`, nothing lower is trained and `dx` is left as it is after the block's own gradients.
    pub(crate) fn backward(&mut self, pass: &Pass<'_, B>, saved: Saved<B>, dx: &mut B::Buffer, continue_below: bool) {
        let (backend, rows, arch) = (pass.backend, pass.rows, pass.arch);
        let len = rows * arch.hidden;
        let Saved { before_attention, query_norm, key_norm, query, key, value, attended, .. } = saved;
        let Saved { log_normalisers, after_attention, before_mlp, gate, up, after_mlp, low, .. } = saved;
        // The parallel block's two halves both start from the gradient of the output.
        let dattention_parallel = arch.parallel_residual.then(|| {
            let mut copy = floats(backend, len);
            backend.copy(dx, &mut copy, len);
            copy
        });

        let dout = into_linear(pass, self.after_mlp.as_mut(), after_mlp, dx);
        let dnormed = self.mlp_backward(pass, &before_mlp, gate, up, &low, &dout);
        self.before_mlp.backward(backend, &dnormed, &before_mlp.input, &before_mlp.statistics, rows, dx, true);
        drop((dout, dnormed, before_mlp));

        let dout = into_linear(
            pass,
            self.after_attention.as_mut(),
            after_attention,
            dattention_parallel.as_ref().unwrap_or(dx),
        );
        let mut dattended = activations(backend, rows * arch.heads * arch.head_dim);
        self.through(pass, Linear::AttentionOutput, &dout, &attended, &low, Some((&mut dattended, false)));
        let (mut dquery, mut dkey) =
            (activations(backend, backend.len(&query)), activations(backend, backend.len(&key)));
        let mut dvalue = activations(backend, backend.len(&value));
        backend.attention_backward(
            pass.attention_shape(self.window),
            pass.attention,
            &dattended,
            &query,
            &key,
            &value,
            &attended,
            &log_normalisers,
            &mut dquery,
            &mut dkey,
            &mut dvalue,
        );
        drop((dattended, attended, query, key, value, log_normalisers));
        pass.rotate(&mut dquery, arch.heads, self.rope, true);
        pass.rotate(&mut dkey, arch.kv_heads, self.rope, true);
        let dquery = head_norm_backward(pass, self.query_norm.as_mut(), query_norm, dquery, arch.heads);
        let dkey = head_norm_backward(pass, self.key_norm.as_mut(), key_norm, dkey, arch.kv_heads);

        let (normed, _) = pass.apply(&self.before_attention, &before_attention.input, rows);
        let norm_is_trained = self.before_attention.weight.training.is_some();
        let needed = continue_below || norm_is_trained;
        let mut dnormed = activations(backend, if needed { len } else { 0 });
        let mut first = true;
        let mut into = |block: &mut Self, which, dy: &B::Buffer| {
            let dx = needed.then_some((&mut dnormed, !std::mem::take(&mut first)));
            block.through(pass, which, dy, &normed, &low, dx);
        };
        if let Some(rows_of) = pass.fused {
            let mut fused = activations(backend, 3 * rows * arch.heads * arch.head_dim);
            for (part, indices) in [&dquery, &dkey, &dvalue].into_iter().zip(rows_of) {
                backend.scatter_rows(part, indices, rows * arch.heads, arch.head_dim, &mut fused, false);
            }
            into(self, Linear::QueryKeyValue, &fused);
        } else {
            into(self, Linear::Query, &dquery);
            into(self, Linear::Key, &dkey);
            into(self, Linear::Value, &dvalue);
        }
        if needed {
            let Normed { input, statistics } = &before_attention;
            self.before_attention.backward(backend, &dnormed, input, statistics, rows, dx, true);
        }
    }

    /// Gradient of the MLP's normed input, from that of its output.
    fn mlp_backward(
        &mut self,
        pass: &Pass<'_, B>,
        before_mlp: &Normed<B>,
        gate: Option<B::Buffer>,
        up: B::Buffer,
        low: &LowRanks<B>,
        dout: &B::Buffer,
    ) -> B::Buffer {
        let (backend, rows, arch) = (pass.backend, pass.rows, pass.arch);
        let inner_len = rows * arch.intermediate;
        let inner = Self::activated(pass, gate.as_ref(), &up);
        let mut dinner = activations(backend, inner_len);
        self.through(pass, Linear::Down, dout, &inner, low, Some((&mut dinner, false)));
        drop(inner);
        let mut dup = activations(backend, inner_len);
        let dgate = match (arch.mlp, &gate) {
            (Mlp::Gated(activation), Some(gate)) => {
                let mut dgate = activations(backend, inner_len);
                backend.gated_backward(activation, &dinner, gate, &up, inner_len, &mut dgate, &mut dup);
                Some(dgate)
            }
            (Mlp::Plain(activation) | Mlp::Gated(activation), _) => {
                backend.activate_backward(activation, &dinner, &up, inner_len, &mut dup);
                None
            }
        };
        drop((dinner, gate, up));
        let (normed, _) = pass.apply(&self.before_mlp, &before_mlp.input, rows);
        let mut dnormed = activations(backend, rows * arch.hidden);
        self.through(pass, Linear::Up, &dup, &normed, low, Some((&mut dnormed, false)));
        if let Some(dgate) = dgate {
            self.through(pass, Linear::Gate, &dgate, &normed, low, Some((&mut dnormed, true)));
        }
        dnormed
    }

    /// Backward of one linear layer.
    fn through(
        &mut self,
        pass: &Pass<'_, B>,
        which: Linear,
        dy: &B::Buffer,
        x: &B::Buffer,
        lows: &LowRanks<B>,
        dx: Option<(&mut B::Buffer, bool)>,
    ) {
        let usage = pass.usage(which);
        let low = lows.iter().find(|(linear, _)| *linear == which).map(|(_, low)| low);
        if let Some(layer) = self.linear_mut(which) {
            layer.backward(pass.backend, dy, x, low, pass.rows, usage, dx);
        }
    }
}

/// The gradient that enters a block's last linear layer, as activations: through the norm after it if there is one.
fn into_linear<B: Backend>(
    pass: &Pass<'_, B>,
    norm: Option<&mut NormLayer<B>>,
    saved: Option<Normed<B>>,
    dx: &B::Buffer,
) -> B::Buffer {
    let len = pass.rows * pass.arch.hidden;
    match norm.zip(saved) {
        Some((norm, Normed { input, statistics })) => {
            let mut through = activations(pass.backend, len);
            norm.backward(pass.backend, dx, &input, &statistics, pass.rows, &mut through, false);
            through
        }
        None => pass.copy_as_activation(dx, len),
    }
}

fn head_norm_backward<B: Backend>(
    pass: &Pass<'_, B>,
    norm: Option<&mut NormLayer<B>>,
    saved: Option<Normed<B>>,
    dy: B::Buffer,
    heads: usize,
) -> B::Buffer {
    let Some((norm, Normed { input, statistics })) = norm.zip(saved) else { return dy };
    let rows = pass.rows * heads;
    let mut dx = activations(pass.backend, rows * norm.width);
    norm.backward(pass.backend, &dy, &input, &statistics, rows, &mut dx, false);
    dx
}

impl<B: Backend> Block<B> {
    /// Norms in the order of [`ArchConfig::block_norms`], then linear layers.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<B>> {
        let norms = std::iter::once(&self.before_attention)
            .chain(&self.query_norm)
            .chain(&self.key_norm)
            .chain(&self.after_attention)
            .chain(std::iter::once(&self.before_mlp))
            .chain(&self.after_mlp);
        norms.flat_map(NormLayer::tensors).chain(self.linears.iter().flat_map(|(_, layer)| layer.tensors()))
    }

    /// As [`Self::tensors`].
    pub(crate) fn tensors_mut(&mut self) -> Vec<&mut Tensor<B>> {
        let norms = std::iter::once(&mut self.before_attention)
            .chain(&mut self.query_norm)
            .chain(&mut self.key_norm)
            .chain(&mut self.after_attention)
            .chain(std::iter::once(&mut self.before_mlp))
            .chain(&mut self.after_mlp);
        let linears = self.linears.iter_mut().flat_map(|(_, layer)| layer.tensors_mut());
        norms.flat_map(NormLayer::tensors_mut).chain(linears).collect()
    }
}
