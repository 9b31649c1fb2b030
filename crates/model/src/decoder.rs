//! One token after another: the same blocks over a cache of keys and values.

use camelid_kernels::{AttentionLayout, Backend, DType, KeySpan, QueryRun};

use crate::ModelError;
use crate::arch_hf::invalid;
use crate::batch::fused_rows;
use crate::block::{Cache, Pass};
use crate::linear::{activations, floats};
use crate::transformer::Transformer;

/// A growing sequence. Keys and values of each layer stay on the device.
pub struct Decoder<'a, B: Backend> {
    model: &'a Transformer<B>,
    /// `[capacity, kv_heads · head_dim]` each, by layer.
    keys: Vec<B::Buffer>,
    values: Vec<B::Buffer>,
    capacity: usize,
    len: usize,
}

impl<B: Backend> Transformer<B> {
    /// A decoder for sequences of up to `capacity` tokens.
    pub fn decoder(&mut self, capacity: usize) -> Decoder<'_, B> {
        self.reach(capacity);
        let width = self.arch.kv_heads * self.arch.head_dim;
        let cache = || {
            let dtype = self.backend.activation_dtype();
            self.blocks.iter().map(|_| self.backend.zeros(dtype, capacity * width)).collect()
        };
        Decoder { keys: cache(), values: cache(), model: self, capacity, len: 0 }
    }
}

impl<B: Backend> Decoder<'_, B> {
    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Feeds tokens and returns the logits after the last of them, one for each token of the vocabulary.
    pub fn append(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let model = self.model;
        let (backend, arch) = (&model.backend, &model.arch);
        let rows = tokens.len();
        if rows == 0 || self.len + rows > self.capacity {
            return Err(invalid(
                format!("{rows} tokens do not fit after {} of {}", self.len, self.capacity),
                "start a shorter conversation",
            ));
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= arch.vocabulary) {
            let reason = format!("token {token} is beyond the vocabulary of {}", arch.vocabulary);
            return Err(invalid(reason, "use the tokenizer that belongs to this model"));
        }
        let past = self.len as u32;
        let places: Vec<u32> = (past..past + rows as u32).collect();
        let own_rows = backend.upload_u32(&places);
        let context = if past > 0 { vec![KeySpan { row: 0, len: past, position: 0 }] } else { Vec::new() };
        let attention = backend.plan_attention(&AttentionLayout {
            runs: vec![QueryRun { row: 0, len: rows as u32, position: past, context, own_key_row: past }],
            query_rows: rows as u32,
            key_rows: past + rows as u32,
        });
        let ids = backend.upload_u32(tokens);
        let fused = model.fused_heads().map(|heads| fused_rows(backend, rows, heads));
        let mut x = floats(backend, rows * arch.hidden);
        backend.embed(&model.embedding.value, &ids, rows, arch.hidden, arch.embedding_factor, &mut x);
        for (layer, block) in model.blocks.iter().enumerate() {
            let pass = Pass {
                backend,
                arch,
                rows,
                positions: &own_rows,
                attention: &attention,
                ropes: &model.ropes,
                fused: fused.as_ref(),
                adapters: true,
                noise_seed: None,
                layer,
            };
            let cache = Cache { keys: &mut self.keys[layer], values: &mut self.values[layer], own_rows: &own_rows };
            block.forward(&pass, &mut x, Some(cache), false);
        }
        self.len += rows;
        let mut last = floats(backend, arch.hidden);
        backend.gather_rows(&x, &backend.upload_u32(&[rows as u32 - 1]), 1, arch.hidden, &mut last);
        let mut normed = activations(backend, arch.hidden);
        model.final_norm.forward(backend, &last, 1, &mut normed);
        let mut logits = backend.alloc(DType::F32, arch.vocabulary);
        backend.linear(&normed, 1, model.head_weight(), None, None, &mut logits, false);
        let mut logits = backend.read(&logits, 0, arch.vocabulary);
        if let Some(cap) = arch.logit_softcap {
            for logit in &mut logits {
                *logit = cap * (*logit / cap).tanh();
            }
        }
        Ok(logits)
    }
}
