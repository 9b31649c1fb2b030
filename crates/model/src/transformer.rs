//! The model on a device: embedding, blocks, head; forward and backward over a forest.

use camelid_kernels::{Backend, DType, Directions};
use camelid_text::Forest;
use serde_json::Value as Json;

use crate::arch::ArchConfig;
use crate::arch_hf::invalid;
use crate::batch::Batch;
use crate::block::{Block, Keep, Pass, RopeTable, Saved};
use crate::construct::{Builder, check_tuning, lowest_trained};
use crate::decoder::KeyValueCache;
use crate::engine::{Cotangents, Scores, Values, Want};
use crate::linear::{LinearWeight, activations, floats};
use crate::norm::NormLayer;
use crate::output_projection::{Head, KeptHead};
use crate::tensor::Tensor;
use crate::training::EagerUpdate;
use crate::tuning::{MomentType, Tuning, WeightType};
use crate::value_head::{KeptValues, ValueHead};
use crate::weights::{LoadedModel, WeightSource};
use crate::{ModelError, arch::Linear};

/// What else a model is told when it is built.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TransformerOptions {
    /// Magnitude α of uniform noise on embeddings in training (`NEFTune`); 0 is off.
    pub neftune_alpha: f32,
    pub moments: MomentType,
    /// Give the model a scalar head: the checkpoint's, or one that says 0 until it is trained.
    pub value_head: bool,
    /// Keep a copy of the trained parameters as they start: a reference policy, see [`Want::reference`].
    pub keep_reference: bool,
    /// Keep only the input of each block for the backward pass, which then computes the block a second time (Chen 2016,
    /// "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174). Gradients have the same bits.
    pub activation_checkpointing: bool,
    /// What the weights of a model that is not trained are kept in.
    pub weights: WeightType,
}

/// A decoder-only transformer on a backend.
pub struct Transformer<B: Backend> {
    pub(crate) backend: B,
    pub(crate) arch: ArchConfig,
    pub(crate) config: Json,
    pub(crate) text: camelid_text::TextAssets,
    pub(crate) source: String,
    /// Read again when a frozen part must be written out.
    pub(crate) weights: Box<dyn WeightSource + Send>,
    pub(crate) tuning: Tuning,
    pub(crate) options: TransformerOptions,
    pub(crate) embedding: Tensor<B>,
    pub(crate) blocks: Vec<Block<B>>,
    pub(crate) final_norm: NormLayer<B>,
    pub(crate) head: Head<B>,
    pub(crate) value_head: Option<ValueHead<B>>,
    pub(crate) ropes: Vec<RopeTable<B>>,
    rope_positions: usize,
    lowest_trained: Option<usize>,
    /// Optimiser steps taken.
    pub(crate) step: u64,
    /// What the last forward left for the backward.
    kept: Option<Kept<B>>,
    /// Of generation, while there is any.
    pub(crate) cache: Option<KeyValueCache<B>>,
}

struct Kept<B: Backend> {
    batch: Batch<B>,
    blocks: Vec<KeptBlock<B>>,
    /// Absent where no log-probabilities were wanted.
    head: Option<KeptHead<B>>,
    /// Absent where no values were wanted.
    values: Option<KeptValues<B>>,
    adapters: bool,
    noise_seed: Option<u64>,
}

enum KeptBlock<B: Backend> {
    Activations(Saved<B>),
    /// The residual stream before the block.
    Input(B::Buffer),
}

/// Positions a table is made for at first; it grows when a longer sequence comes.
const FIRST_POSITIONS: usize = 1024;

impl<B: Backend> Transformer<B> {
    /// Loads a model's weights onto `backend`. `seed` decides the adapter's initial values.
    ///
    /// Errors name the tensor or the setting: missing or misshapen tensors, layers or adapter targets that the model
    /// does not have.
    pub fn new(
        backend: B,
        model: LoadedModel,
        tuning: Tuning,
        seed: u64,
        options: TransformerOptions,
    ) -> Result<Self, ModelError> {
        let LoadedModel { arch, config, weights, text, source } = model;
        check_tuning(&arch, &tuning)?;
        if options.weights == WeightType::Int8 && tuning != Tuning::Frozen {
            return Err(invalid(
                "weights of eight bits cannot be trained",
                "train with weights as computed, and use int8 to generate with the result",
            ));
        }
        check_shapes(&arch, weights.as_ref())?;
        let builder = Builder {
            backend: &backend,
            arch: &arch,
            weights: weights.as_ref(),
            tuning: &tuning,
            moments: options.moments,
            weight_type: options.weights,
            seed,
        };
        let full = tuning == Tuning::Full;
        let directions = if tuning == Tuning::Frozen { Directions::Forward } else { Directions::Both };
        let mut embedding = builder.tensor(arch.embedding_name(), full)?;
        let prepare = |table: &Tensor<B>| builder.frozen(&table.value, arch.vocabulary, arch.hidden, directions);
        let head = match (arch.tied, full) {
            (true, true) => Head::Embedding,
            // A model with a scalar head predicts tokens only while it is checked: not worth a second form of the table.
            (true, false) if options.value_head => Head::Embedding,
            (true, false) => Head::Own(prepare(&embedding)),
            (false, true) => Head::Own(LinearWeight::Trained(builder.tensor(arch.head_name(), true)?)),
            (false, false) => Head::Own(prepare(&builder.tensor(arch.head_name(), false)?)),
        };
        if !full {
            // A frozen table is only looked up; the residual stream it starts is f32 all the same.
            let len = embedding.len();
            let mut small = activations(&backend, len);
            backend.copy(&embedding.value, &mut small, len);
            embedding.value = small;
        }
        let blocks = (0..arch.layers.len()).map(|layer| builder.block(layer)).collect::<Result<_, _>>()?;
        let final_norm = builder.norm(arch.final_norm_path(), arch.hidden, arch.norm, full)?;
        let value_head = options.value_head.then(|| builder.value_head(tuning != Tuning::Frozen)).transpose()?;
        let positions = FIRST_POSITIONS.min(arch.max_positions.max(1));
        let ropes = Builder::ropes(&backend, &arch, positions);
        let lowest_trained = lowest_trained(&arch, &tuning);
        // Loading leaves blocks of odd sizes behind.
        backend.trim();
        let mut model = Self {
            backend,
            arch,
            config,
            text,
            source,
            weights,
            tuning,
            options,
            embedding,
            blocks,
            final_norm,
            head,
            value_head,
            ropes,
            rope_positions: positions,
            lowest_trained,
            step: 0,
            kept: None,
            cache: None,
        };
        if options.keep_reference {
            model.for_each_tensor_mut(&mut |backend, tensor| tensor.keep_reference(backend));
        }
        Ok(model)
    }

    pub fn arch(&self) -> &ArchConfig {
        &self.arch
    }

    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Heads whose q, k and v come out of one matrix.
    pub(crate) fn fused_heads(&self) -> Option<usize> {
        self.arch.linears().contains(&Linear::QueryKeyValue).then_some(self.arch.heads)
    }

    /// Makes sure the rotary tables reach this many positions.
    pub(crate) fn reach(&mut self, positions: usize) {
        if positions > self.rope_positions {
            self.rope_positions = positions.next_power_of_two();
            self.ropes = Builder::ropes(&self.backend, &self.arch, self.rope_positions);
        }
    }

    fn check(&self, forest: &Forest) -> Result<(), ModelError> {
        let fix = "use the tokenizer that belongs to this model";
        if let Some(token) = forest.tokens.iter().find(|&&token| token as usize >= self.arch.vocabulary) {
            return Err(invalid(format!("token {token} is beyond the vocabulary of {}", self.arch.vocabulary), fix));
        }
        if let Some(target) = forest.targets.iter().find(|target| target.token as usize >= self.arch.vocabulary) {
            let reason = format!("target token {} is beyond the vocabulary of {}", target.token, self.arch.vocabulary);
            return Err(invalid(reason, fix));
        }
        Ok(())
    }

    /// Rows that the scalar head is read at, one for each value.
    fn rows_of_values(&self, forest: &Forest, values: Values) -> Result<Vec<u32>, ModelError> {
        if values != Values::None && self.value_head.is_none() {
            return Err(invalid("values are wanted of a model without a scalar head", "train a reward model first"));
        }
        if values == Values::Ends && forest.ends.len() != forest.branches as usize {
            return Err(invalid("a value is wanted at the end of an empty sequence", "leave no sequence empty"));
        }
        Ok(match values {
            Values::None => Vec::new(),
            Values::Ends => forest.ends.clone(),
            Values::Targets => forest.targets.iter().map(|target| target.row).collect(),
        })
    }

    pub(crate) fn run_forward(&mut self, forest: &Forest, want: Want) -> Result<Scores, ModelError> {
        self.kept = None;
        self.check(forest)?;
        let read = self.rows_of_values(forest, want.values)?;
        let predicts = !forest.targets.is_empty() && !want.without_log_probs;
        if !predicts && read.is_empty() {
            return Ok(Scores::default());
        }
        let deepest = forest.runs.iter().map(|run| run.position + run.len).max().unwrap_or(0);
        self.reach(deepest as usize);
        let (backend, hidden) = (&self.backend, self.arch.hidden);
        let batch = Batch::new(backend, forest, self.fused_heads());
        let keep = want.gradients && self.lowest_trained.is_some();
        let adapters = !want.without_adapter;

        let mut x = floats(backend, batch.rows * hidden);
        backend.embed(&self.embedding.value, &batch.ids, batch.rows, hidden, self.arch.embedding_factor, &mut x);
        if let Some(seed) = want.noise_seed.filter(|_| self.options.neftune_alpha > 0.0) {
            let magnitudes = backend.upload(&noise_magnitudes(forest, self.options.neftune_alpha, hidden));
            backend.add_uniform_noise(&mut x, &magnitudes, batch.rows, hidden, seed);
        }
        let mut saved = Vec::new();
        for (layer, block) in self.blocks.iter().enumerate() {
            let keep = keep && self.lowest_trained.is_some_and(|lowest| layer >= lowest);
            let pass = self.pass(&batch, layer, adapters, want.noise_seed);
            // The backward starts with the last block, so nothing would be gained by letting go of its activations.
            if keep && self.options.activation_checkpointing && layer + 1 < self.blocks.len() {
                let mut input = floats(backend, batch.rows * hidden);
                backend.copy(&x, &mut input, batch.rows * hidden);
                saved.push(KeptBlock::Input(input));
                block.forward(&pass, &mut x, None, Keep::Nothing);
            } else {
                let keep = if keep { Keep::Activations } else { Keep::Nothing };
                saved.extend(block.forward(&pass, &mut x, None, keep).map(KeptBlock::Activations));
            }
        }

        let mut scores = Scores::default();
        let head = predicts.then(|| self.head_forward(&batch.targets, &x, want, &mut scores));
        let mut values = None;
        if let Some(head) = self.value_head.as_ref().filter(|_| !read.is_empty()) {
            let (found, kept) = head.forward(backend, &self.final_norm, &x, &read);
            scores.values = found;
            values = Some(kept);
        }
        drop(x);
        if keep {
            let noise_seed = want.noise_seed;
            self.kept = Some(Kept { batch, blocks: saved, head, values, adapters, noise_seed });
        }
        Ok(scores)
    }

    /// With `eager`, each parameter is stepped as soon as its gradient is complete.
    pub(crate) fn run_backward(
        &mut self,
        cotangents: &Cotangents,
        mut eager: Option<&mut EagerUpdate>,
    ) -> Result<(), ModelError> {
        let Some(kept) = self.kept.take() else {
            return Err(invalid("backward was called without a forward that kept gradients", "set want.gradients"));
        };
        let Kept { batch, blocks: mut saved, head, values, adapters, noise_seed } = kept;
        let (rows, hidden) = (batch.rows, self.arch.hidden);
        let scored = head.as_ref().map_or(0, |_| batch.targets.count);
        if cotangents.log_probs.len() != scored {
            let reason = format!("{} cotangents for {scored} targets", cotangents.log_probs.len());
            return Err(invalid(reason, "give one for each log-probability of the last forward"));
        }
        let mut dx = self.backend.zeros(DType::F32, rows * hidden);
        if let Some(head) = head {
            self.head_backward(&batch.targets, head, cotangents, &mut dx);
        }
        if let (Some(head), Some(kept)) = (&mut self.value_head, &values) {
            head.backward(&self.backend, &mut self.final_norm, kept, &cotangents.values, &mut dx)?;
        }
        drop(values);

        let lowest = self.lowest_trained.unwrap_or(0);
        let embedding_is_trained = self.embedding.training.is_some();
        for layer in (lowest..self.blocks.len()).rev() {
            let Some(kept) = saved.pop() else { break };
            let pass = Pass {
                backend: &self.backend,
                arch: &self.arch,
                rows,
                positions: &batch.positions,
                attention: &batch.attention,
                ropes: &self.ropes,
                fused: batch.fused.as_ref(),
                adapters,
                noise_seed,
                layer,
            };
            let block = &mut self.blocks[layer];
            let saved = match kept {
                KeptBlock::Activations(saved) => Some(saved),
                KeptBlock::Input(mut x) => block.forward(&pass, &mut x, None, Keep::ActivationsOnly),
            };
            let Some(saved) = saved else { break };
            block.backward(&pass, saved, &mut dx, layer > lowest || embedding_is_trained);
            if let Some(eager) = &mut eager {
                // Nothing below reads this block's parameters again.
                eager.step(&self.backend, block.tensors_mut())?;
            }
        }
        let factor = self.arch.embedding_factor;
        if let Some(gradient) = self.embedding.gradient_mut(&self.backend) {
            self.backend.embed_backward(&dx, &batch.ids, rows, hidden, factor, gradient);
        }
        if let Some(eager) = eager {
            let outside =
                outside_blocks_mut(&mut self.embedding, &mut self.final_norm, &mut self.head, &mut self.value_head);
            eager.step(&self.backend, outside)?;
        }
        Ok(())
    }

    pub(crate) fn pass<'a>(
        &'a self,
        batch: &'a Batch<B>,
        layer: usize,
        adapters: bool,
        noise_seed: Option<u64>,
    ) -> Pass<'a, B> {
        Pass {
            backend: &self.backend,
            arch: &self.arch,
            rows: batch.rows,
            positions: &batch.positions,
            attention: &batch.attention,
            ropes: &self.ropes,
            fused: batch.fused.as_ref(),
            adapters,
            noise_seed,
            layer,
        }
    }
}

/// The tensors that belong to no block.
pub(crate) fn outside_blocks_mut<'a, B: Backend>(
    embedding: &'a mut Tensor<B>,
    final_norm: &'a mut NormLayer<B>,
    head: &'a mut Head<B>,
    value_head: &'a mut Option<ValueHead<B>>,
) -> Vec<&'a mut Tensor<B>> {
    let mut list = vec![embedding];
    list.extend(final_norm.tensors_mut());
    if let Head::Own(weight) = head {
        list.extend(weight.trained_mut());
    }
    list.extend(value_head.iter_mut().map(|head| &mut head.weight));
    list
}

/// α / sqrt(L · d) for each row, L the length of the longest branch of its tree (Jain 2023, algorithm 1).
fn noise_magnitudes(forest: &Forest, alpha: f32, hidden: usize) -> Vec<f32> {
    let mut root_of = Vec::with_capacity(forest.runs.len());
    let mut depth = vec![0; forest.runs.len()];
    for (index, run) in forest.runs.iter().enumerate() {
        let root: usize = run.parent.map_or(index, |parent| root_of[parent as usize]);
        root_of.push(root);
        depth[root] = depth[root].max(run.position + run.len);
    }
    let rows = forest.runs.iter().zip(&root_of);
    rows.flat_map(|(run, &root)| {
        let magnitude = alpha / ((depth[root] as usize * hidden) as f32).sqrt();
        std::iter::repeat_n(magnitude, run.len as usize)
    })
    .collect()
}

/// Every tensor that the architecture needs is there, in its shape.
fn check_shapes(arch: &ArchConfig, weights: &dyn WeightSource) -> Result<(), ModelError> {
    for (name, wanted) in arch.tensors() {
        match weights.shape(&name) {
            Some(found) if found == wanted => {}
            Some(found) => {
                return Err(invalid(
                    format!("tensor {name:?} has shape {found:?}, config.json asks for {wanted:?}"),
                    "take config.json and weights from the same source",
                ));
            }
            None => {
                return Err(invalid(
                    format!("tensor {name:?} is missing"),
                    "take the complete model from its source again",
                ));
            }
        }
    }
    Ok(())
}
