//! Generation: the same blocks over keys and values that are kept.
//!
//! The cache is rows of keys and values; which row belongs to which sequence is the caller's business. So sequences share
//! what they have in common, and many of them go on together in one batch.

use camelid_kernels::{AttentionLayout, Backend, DType, KeySpan, QueryRun};

use crate::ModelError;
use crate::arch_hf::invalid;
use crate::batch::fused_rows;
use crate::block::{Cache, Keep, Pass};
use crate::linear::{activations, floats};
use crate::transformer::Transformer;

/// Consecutive tokens of one sequence, to be computed after what is already in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// At least one.
    pub tokens: &'a [u32],
    /// Position of the first token.
    pub position: u32,
    /// Where the sequence's earlier tokens are, in ascending position; together they cover positions below `position`.
    pub context: &'a [KeySpan],
    /// Cache row that the first token's keys and values go to; the others follow.
    pub row: u32,
    pub wanted: Wanted,
}

/// Whose logits are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nobody's: the piece only fills the cache.
    Nothing,
    /// Those after the last token.
    Last,
    /// Those after every token.
    All,
}

/// What a batch of pieces predicts: a row for each place that was wanted, in the pieces' order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logits {
    /// `[rows, vocabulary]`.
    pub values: Vec<f32>,
    /// `log Σ exp(logits)` of each row.
    pub log_normalisers: Vec<f64>,
    pub vocabulary: usize,
}

impl Logits {
    pub fn rows(&self) -> usize {
        self.log_normalisers.len()
    }

    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.vocabulary..][..self.vocabulary]
    }

    /// Natural log-probability of a token, with the bits that scoring it gives.
    pub fn log_prob(&self, row: usize, token: u32) -> f32 {
        (f64::from(self.row(row)[token as usize]) - self.log_normalisers[row]) as f32
    }
}

/// A model that can be sampled from.
pub trait Generate {
    /// Makes a cache of so many rows for sequences up to `longest` tokens; what an earlier one held is gone.
    fn open_cache(&mut self, rows: usize, longest: usize);
    /// Lets the cache go.
    fn close_cache(&mut self);
    /// Bytes that a row of the cache takes.
    fn cache_row_bytes(&self) -> usize;
    /// Most tokens that the model was made for.
    fn max_positions(&self) -> usize;
    fn vocabulary(&self) -> usize;
    /// Computes the pieces together. Results of a piece do not depend on the others.
    fn extend(&mut self, pieces: &[Piece<'_>]) -> Result<Logits, ModelError>;
}

/// Keys and values of each layer, `[rows, kv_heads · head_dim]` each.
pub(crate) struct KeyValueCache<B: Backend> {
    keys: Vec<B::Buffer>,
    values: Vec<B::Buffer>,
    rows: usize,
}

impl<B: Backend> KeyValueCache<B> {
    fn new(model: &Transformer<B>, rows: usize) -> Self {
        let width = model.arch.kv_heads * model.arch.head_dim;
        let dtype = model.backend.activation_dtype();
        let cache = || model.blocks.iter().map(|_| model.backend.zeros(dtype, rows * width)).collect();
        Self { keys: cache(), values: cache(), rows }
    }
}

impl<B: Backend> Generate for Transformer<B> {
    fn open_cache(&mut self, rows: usize, longest: usize) {
        self.cache = None;
        self.reach(longest);
        self.cache = Some(KeyValueCache::new(self, rows));
    }

    fn close_cache(&mut self) {
        self.cache = None;
        self.backend.trim();
    }

    fn cache_row_bytes(&self) -> usize {
        let bytes = if self.backend.activation_dtype() == DType::F32 { 4 } else { 2 };
        2 * bytes * self.blocks.len() * self.arch.kv_heads * self.arch.head_dim
    }

    fn max_positions(&self) -> usize {
        self.arch.max_positions()
    }

    fn vocabulary(&self) -> usize {
        self.arch.vocabulary
    }

    fn extend(&mut self, pieces: &[Piece<'_>]) -> Result<Logits, ModelError> {
        let Some(mut cache) = self.cache.take() else {
            return Err(invalid("tokens are to be generated without a cache", "open one first"));
        };
        let logits = self.extend_in(&mut cache, pieces);
        self.cache = Some(cache);
        logits
    }
}

impl<B: Backend> Transformer<B> {
    fn check_pieces(&self, cache: &KeyValueCache<B>, pieces: &[Piece<'_>]) -> Result<usize, ModelError> {
        let mut rows = 0;
        let mut farthest = 0;
        for Piece { tokens, position, context, row, .. } in pieces {
            if let Some(token) = tokens.iter().find(|&&token| token as usize >= self.arch.vocabulary) {
                let reason = format!("token {token} is beyond the vocabulary of {}", self.arch.vocabulary);
                return Err(invalid(reason, "use the tokenizer that belongs to this model"));
            }
            let seen = context.iter().map(|span| span.row + span.len).max().unwrap_or(0);
            let last = (*row as usize + tokens.len()).max(seen as usize);
            if tokens.is_empty() || last > cache.rows {
                let reason = format!("{} tokens do not fit into row {row} of {}", tokens.len(), cache.rows);
                return Err(invalid(reason, "start a shorter conversation"));
            }
            rows += tokens.len();
            farthest = farthest.max(*position as usize + tokens.len());
        }
        Ok(if rows == 0 { 0 } else { farthest })
    }

    fn extend_in(&mut self, cache: &mut KeyValueCache<B>, pieces: &[Piece<'_>]) -> Result<Logits, ModelError> {
        let farthest = self.check_pieces(cache, pieces)?;
        let vocabulary = self.arch.vocabulary;
        if farthest == 0 {
            return Ok(Logits { vocabulary, ..Logits::default() });
        }
        self.reach(farthest);
        let (backend, arch) = (&self.backend, &self.arch);
        let (mut tokens, mut positions, mut own_rows, mut wanted) = (vec![], vec![], vec![], vec![]);
        let mut runs = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let (row, len) = (tokens.len() as u32, piece.tokens.len() as u32);
            let context = piece.context.to_vec();
            runs.push(QueryRun { row, len, position: piece.position, context, own_key_row: piece.row });
            tokens.extend_from_slice(piece.tokens);
            positions.extend(piece.position..piece.position + len);
            own_rows.extend(piece.row..piece.row + len);
            match piece.wanted {
                Wanted::Nothing => {}
                Wanted::Last => wanted.push(row + len - 1),
                Wanted::All => wanted.extend(row..row + len),
            }
        }
        let rows = tokens.len();
        let layout = AttentionLayout { runs, query_rows: rows as u32, key_rows: cache.rows as u32 };
        let attention = backend.plan_attention(&layout);
        let (positions, own_rows) = (backend.upload_u32(&positions), backend.upload_u32(&own_rows));
        let fused = self.fused_heads().map(|heads| fused_rows(backend, rows, heads));
        let mut x = floats(backend, rows * arch.hidden);
        let ids = backend.upload_u32(&tokens);
        backend.embed(&self.embedding.value, &ids, rows, arch.hidden, arch.embedding_factor, &mut x);
        for (layer, block) in self.blocks.iter().enumerate() {
            let pass = Pass {
                backend,
                arch,
                rows,
                positions: &positions,
                attention: &attention,
                ropes: &self.ropes,
                fused: fused.as_ref(),
                adapters: true,
                noise_seed: None,
                layer,
            };
            let (keys, values) = (&mut cache.keys[layer], &mut cache.values[layer]);
            block.forward(&pass, &mut x, Some(Cache { keys, values, own_rows: &own_rows }), Keep::Nothing);
        }
        if wanted.is_empty() {
            return Ok(Logits { vocabulary, ..Logits::default() });
        }
        let count = wanted.len();
        let mut last = floats(backend, count * arch.hidden);
        backend.gather_rows(&x, &backend.upload_u32(&wanted), count, arch.hidden, &mut last);
        let mut normed = activations(backend, count * arch.hidden);
        self.final_norm.forward(backend, &last, count, &mut normed);
        let mut logits = floats(backend, count * vocabulary);
        let log_normalisers = backend.logits(&normed, count, self.head_weight(), arch.logit_softcap, &mut logits);
        Ok(Logits { values: backend.read(&logits, 0, count * vocabulary), log_normalisers, vocabulary })
    }

    /// A decoder for one sequence of up to `capacity` tokens.
    pub fn decoder(&mut self, capacity: usize) -> Decoder<'_, B> {
        self.open_cache(capacity, capacity);
        Decoder { model: self, capacity, len: 0 }
    }
}

/// One growing sequence.
pub struct Decoder<'a, B: Backend> {
    model: &'a mut Transformer<B>,
    capacity: usize,
    len: usize,
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

    /// Feeds tokens and returns what is predicted after the last of them.
    pub fn predict(&mut self, tokens: &[u32]) -> Result<Logits, ModelError> {
        if self.len + tokens.len() > self.capacity {
            return Err(invalid(
                format!("{} tokens do not fit after {} of {}", tokens.len(), self.len, self.capacity),
                "start a shorter conversation",
            ));
        }
        let position = self.len as u32;
        let context = [KeySpan { row: 0, len: position, position: 0 }];
        let context = if position > 0 { &context[..] } else { &[] };
        let piece = Piece { tokens, position, context, row: position, wanted: Wanted::Last };
        let logits = self.model.extend(&[piece])?;
        self.len += tokens.len();
        Ok(logits)
    }

    /// As [`Self::predict`], the logits only, one for each token of the vocabulary.
    pub fn append(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        Ok(self.predict(tokens)?.values)
    }
}

impl<B: Backend> Drop for Decoder<'_, B> {
    fn drop(&mut self) {
        self.model.cache = None;
    }
}
