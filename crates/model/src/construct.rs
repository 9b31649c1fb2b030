//! From a checkpoint to a model on a device: what is trained gets master weights and moments, the rest only the form
//! it is multiplied in.

use camelid_kernels::{Backend, Directions};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::ModelError;
use crate::arch::{ArchConfig, BlockNorm, Linear, Norm};
use crate::arch_hf::invalid;
use crate::block::{Block, RopeTable};
use crate::linear::{Adapter, LinearLayer, LinearWeight};
use crate::norm::NormLayer;
use crate::rope_table;
use crate::tensor::Tensor;
use crate::tuning::{LowRank, MomentType, Tuning, WeightType};
use crate::value_head::{SCORE, ValueHead};
use crate::weights::WeightSource;

/// Reads tensors and decides what each becomes.
pub(crate) struct Builder<'a, B: Backend> {
    pub(crate) backend: &'a B,
    pub(crate) arch: &'a ArchConfig,
    pub(crate) weights: &'a dyn WeightSource,
    pub(crate) tuning: &'a Tuning,
    pub(crate) moments: MomentType,
    pub(crate) weight_type: WeightType,
    pub(crate) seed: u64,
}

/// Says which parts of a model are trained, after checking that they exist.
pub(crate) fn check_tuning(arch: &ArchConfig, tuning: &Tuning) -> Result<(), ModelError> {
    match tuning {
        Tuning::Frozen | Tuning::Full => Ok(()),
        Tuning::Layers(layers) => match layers.iter().find(|&&layer| layer >= arch.layers.len()) {
            Some(layer) => Err(invalid(
                format!("layer {layer} is to be tuned, but the model has layers 0 to {}", arch.layers.len() - 1),
                "name layers that exist",
            )),
            None => Ok(()),
        },
        Tuning::LowRank(low_rank) => {
            for target in &low_rank.targets {
                if target != "all-linear" && !arch.linears().iter().any(|&l| is_named(arch, l, target)) {
                    let names: Vec<String> =
                        arch.linears().iter().map(|&l| last_part(&arch.linear_path(0, l))).collect();
                    return Err(invalid(
                        format!("lora.targets: this model has no linear layer {target:?}"),
                        format!("use \"all-linear\" or some of {}", names.join(", ")),
                    ));
                }
            }
            Ok(())
        }
    }
}

fn last_part(path: &str) -> String {
    path.rsplit('.').next().unwrap_or(path).to_owned()
}

fn is_named(arch: &ArchConfig, linear: Linear, target: &str) -> bool {
    let path = arch.linear_path(0, linear);
    path == target || path.ends_with(&format!(".{target}"))
}

fn is_adapted(arch: &ArchConfig, linear: Linear, low_rank: &LowRank) -> bool {
    low_rank.targets.iter().any(|target| target == "all-linear" || is_named(arch, linear, target))
}

/// The lowest layer with something trained in it; `None` when nothing is.
pub(crate) fn lowest_trained(arch: &ArchConfig, tuning: &Tuning) -> Option<usize> {
    match tuning {
        Tuning::Frozen => None,
        Tuning::Full => Some(0),
        Tuning::Layers(layers) => layers.iter().min().copied(),
        Tuning::LowRank(low_rank) => arch.linears().iter().any(|&l| is_adapted(arch, l, low_rank)).then_some(0),
    }
}

impl<B: Backend> Builder<'_, B> {
    fn trains_layer(&self, layer: usize) -> bool {
        match self.tuning {
            Tuning::Full => true,
            Tuning::Layers(layers) => layers.contains(&layer),
            Tuning::Frozen | Tuning::LowRank(_) => false,
        }
    }

    /// A gradient passes through this layer.
    fn is_differentiated(&self, layer: usize) -> bool {
        lowest_trained(self.arch, self.tuning).is_some_and(|lowest| layer >= lowest)
    }

    pub(crate) fn tensor(&self, name: &str, trained: bool) -> Result<Tensor<B>, ModelError> {
        let shape = self.weights.shape(name).ok_or_else(|| {
            invalid(format!("{name}: the model has no such tensor"), "take the model from its source again")
        })?;
        Ok(Tensor::new(
            self.backend,
            name.to_owned(),
            shape,
            &self.weights.load(name)?,
            trained.then_some(self.moments),
        ))
    }

    pub(crate) fn norm(&self, path: &str, width: usize, kind: Norm, trained: bool) -> Result<NormLayer<B>, ModelError> {
        let bias = match kind {
            Norm::Layer => Some(self.tensor(&format!("{path}.bias"), trained)?),
            Norm::Rms { .. } => None,
        };
        let weight = self.tensor(&format!("{path}.weight"), trained)?;
        Ok(NormLayer { kind, epsilon: self.arch.epsilon, width, weight, bias })
    }

    /// The checkpoint's scalar head, or one of zeros: an untrained reward model then prefers nothing.
    pub(crate) fn value_head(&self, trained: bool) -> Result<ValueHead<B>, ModelError> {
        let hidden = self.arch.hidden;
        let values = match self.weights.shape(SCORE) {
            None => vec![0.0; hidden],
            Some(shape) if shape == [1, hidden] => self.weights.load(SCORE)?,
            Some(shape) => {
                return Err(invalid(
                    format!("tensor {SCORE:?} has shape {shape:?}; a scalar head has [1, {hidden}]"),
                    "use a model with one label (num_labels = 1)",
                ));
            }
        };
        let moments = trained.then_some(self.moments);
        Ok(ValueHead { weight: Tensor::new(self.backend, SCORE.to_owned(), vec![1, hidden], &values, moments) })
    }

    /// A weight that stays as it is, in the form it is multiplied in.
    pub(crate) fn frozen(
        &self,
        weight: &B::Buffer,
        out: usize,
        input: usize,
        directions: Directions,
    ) -> LinearWeight<B> {
        LinearWeight::Frozen(match self.weight_type {
            WeightType::Computed => self.backend.prepare(weight, out, input, directions),
            WeightType::Int8 => self.backend.prepare_int8(weight, out, input),
        })
    }

    pub(crate) fn block(&self, layer: usize) -> Result<Block<B>, ModelError> {
        let (arch, trained) = (self.arch, self.trains_layer(layer));
        let norm = |which| self.norm(&arch.norm_path(layer, which), arch.norm_width(which), arch.norm, trained);
        let present = arch.block_norms();
        let optional = |which| if present.contains(&which) { norm(which).map(Some) } else { Ok(None) };
        let linears = arch.linears().into_iter().map(|which| Ok((which, self.linear(layer, which, trained)?)));
        Ok(Block {
            window: arch.layers[layer].window,
            rope: arch.layers[layer].rope,
            before_attention: norm(BlockNorm::BeforeAttention)?,
            query_norm: optional(BlockNorm::Query)?,
            key_norm: optional(BlockNorm::Key)?,
            after_attention: optional(BlockNorm::AfterAttention)?,
            before_mlp: norm(BlockNorm::BeforeMlp)?,
            after_mlp: optional(BlockNorm::AfterMlp)?,
            linears: linears.collect::<Result<_, ModelError>>()?,
        })
    }

    fn linear(&self, layer: usize, which: Linear, trained: bool) -> Result<LinearLayer<B>, ModelError> {
        let path = self.arch.linear_path(layer, which);
        let (out, input) = self.arch.linear_shape(which);
        let weight = self.tensor(&format!("{path}.weight"), trained)?;
        let directions = if self.is_differentiated(layer) { Directions::Both } else { Directions::Forward };
        let weight =
            if trained { LinearWeight::Trained(weight) } else { self.frozen(&weight.value, out, input, directions) };
        let has_bias = self.arch.linear_has_bias(which);
        let bias = if has_bias { Some(self.tensor(&format!("{path}.bias"), trained)?) } else { None };
        let adapter = match self.tuning {
            Tuning::LowRank(low_rank) if is_adapted(self.arch, which, low_rank) => {
                Some(self.adapter(&path, out, input, low_rank))
            }
            _ => None,
        };
        Ok(LinearLayer { out, input, weight, bias, adapter })
    }

    /// A starts uniform in ±1/sqrt(in), `peft`'s Kaiming initialisation with a = sqrt(5); B starts at zero, so that the
    /// adapted model starts as its base.
    fn adapter(&self, path: &str, out: usize, input: usize, low_rank: &LowRank) -> Adapter<B> {
        let label = format!("adapter {path}");
        let key = blake3::Hasher::new().update(&self.seed.to_le_bytes()).update(label.as_bytes()).finalize();
        let mut random = ChaCha8Rng::from_seed(*key.as_bytes());
        let bound = 1.0 / (input as f32).sqrt();
        let rank = low_rank.rank;
        let uniform = |bits: u32| (bits >> 8) as f32 / 8_388_608.0 - 1.0;
        let a: Vec<f32> = (0..rank * input).map(|_| bound * uniform(random.next_u32())).collect();
        let tensor = |name: &str, shape: [usize; 2], values: &[f32]| {
            Tensor::new(self.backend, format!("{path}.{name}.weight"), shape.to_vec(), values, Some(self.moments))
        };
        Adapter {
            a: tensor("lora_A", [rank, input], &a),
            b: tensor("lora_B", [out, rank], &vec![0.0; out * rank]),
            rank,
            scale: low_rank.scale(),
            dropout: low_rank.dropout,
        }
    }

    /// Tables for this many positions, one for each rotary embedding of the model.
    pub(crate) fn ropes(backend: &B, arch: &ArchConfig, positions: usize) -> Vec<RopeTable<B>> {
        let table = |&rope| {
            let (cos, sin) = rope_table::table(rope, arch.rotary_dim, positions);
            RopeTable { cos: backend.upload(&cos), sin: backend.upload(&sin) }
        };
        arch.ropes.iter().map(table).collect()
    }
}
