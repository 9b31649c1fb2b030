//! PEFT's folders of low-rank adapters (LoRA): `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value as Json, json};

use super::atomic::{make_folder, write_json};
use super::element_type::ElementType;
use super::hf_folder::read_json;
use super::safetensors_file::SafetensorsFile;
use super::shared_file::file_error;
use super::write_safetensors::{NamedShape, write_safetensors};
use crate::value_head::SCORE;
use crate::{LowRank, ModelError, StateTensor};

pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before a module's path.
const PREFIX: &str = "base_model.model.";
const FACTOR_A: &str = ".lora_A.weight";
const FACTOR_B: &str = ".lora_B.weight";

/// The two factors of one linear layer's update, `scale * b * a`.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRankFactors {
    /// `[rank, inputs]`.
    pub a: Vec<f32>,
    /// `[outputs, rank]`.
    pub b: Vec<f32>,
    pub rank: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// A PEFT adapter in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct PeftAdapter {
    pub low_rank: LowRank,
    /// Name or path of the model that it adapts, as PEFT recorded it.
    pub base: String,
    /// By the path of the module, such as `model.layers.0.self_attn.q_proj`.
    pub factors: BTreeMap<String, LowRankFactors>,
    /// The weight of a reward model's scalar head, trained beside the adapter: `[1, hidden]`.
    pub score: Option<Vec<f32>>,
}

impl PeftAdapter {
    /// Adds the update of the weight `name` to its values, if there is one: `w += scale * b * a`, in f32.
    pub fn merge_into(&self, name: &str, values: &mut [f32]) -> Result<(), ModelError> {
        let Some(factors) = name.strip_suffix(".weight").and_then(|path| self.factors.get(path)) else {
            return Ok(());
        };
        let LowRankFactors { a, b, rank, inputs, outputs } = factors;
        if values.len() != inputs * outputs {
            return Err(ModelError::Invalid {
                reason: format!(
                    "the adapter changes {name} by a matrix of [{outputs}, {inputs}], but the weight has {} elements",
                    values.len()
                ),
                fix: format!("use the adapter with its own base model, {}", self.base),
            });
        }
        let scale = self.low_rank.scale();
        let mut update = vec![0.0_f32; *inputs];
        for (row, b_row) in values.chunks_exact_mut(*inputs).zip(b.chunks_exact(*rank)) {
            update.fill(0.0);
            for (&weight, a_row) in b_row.iter().zip(a.chunks_exact(*inputs)) {
                update.iter_mut().zip(a_row).for_each(|(sum, a)| *sum += weight * a);
            }
            row.iter_mut().zip(&update).for_each(|(value, update)| *value += scale * update);
        }
        Ok(())
    }
}

/// Writes an adapter that `peft` loads. `tensors` are named `<module path>.lora_A.weight` (`[rank, inputs]`) and
/// `<module path>.lora_B.weight` (`[outputs, rank]`), with a reward model's `score.weight` beside them; `base` is the name or path of the model they adapt.
pub fn write_peft_adapter(
    folder: &Path,
    low_rank: &LowRank,
    base: &str,
    tensors: &[StateTensor],
) -> Result<(), ModelError> {
    make_folder(folder)?;
    let mut modules = BTreeSet::new();
    let mut shapes = Vec::with_capacity(tensors.len());
    let (scores, factors): (Vec<_>, Vec<_>) = tensors.iter().partition(|tensor| tensor.name == SCORE);
    for tensor in factors {
        let path = tensor.name.strip_suffix(FACTOR_A).or_else(|| tensor.name.strip_suffix(FACTOR_B));
        let Some(path) = path else {
            return Err(file_error(
                folder,
                format!("tensor {:?} is neither factor of a low-rank adapter", tensor.name),
                "adapters hold tensors named PATH.lora_A.weight and PATH.lora_B.weight",
            ));
        };
        modules.insert(path.rsplit('.').next().unwrap_or(path));
        shapes.push(NamedShape { name: format!("{PREFIX}{}", tensor.name), shape: tensor.shape.clone() });
    }
    for tensor in &scores {
        shapes.push(NamedShape { name: format!("{PREFIX}{SCORE}"), shape: tensor.shape.clone() });
    }
    let mut values = tensors.iter().filter(|tensor| tensor.name != SCORE).chain(scores.iter().copied());
    // Called once for each of `shapes`, in order.
    let mut next = |_: &str| Ok(values.next().map(|tensor| tensor.values.clone()).unwrap_or_default());
    write_safetensors(&folder.join(ADAPTER_WEIGHTS), ElementType::F32, &shapes, &mut next)?;

    let alpha = if low_rank.alpha.fract() == 0.0 { json!(low_rank.alpha as i64) } else { shortest(low_rank.alpha) };
    let config = json!({
        "peft_type": "LORA",
        "task_type": if scores.is_empty() { "CAUSAL_LM" } else { "SEQ_CLS" },
        "base_model_name_or_path": base,
        "r": low_rank.rank,
        "lora_alpha": alpha,
        "lora_dropout": shortest(low_rank.dropout),
        "use_rslora": low_rank.rslora,
        "use_dora": false,
        "target_modules": modules,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": if scores.is_empty() { Json::Null } else { json!(["score"]) },
    });
    write_json(&folder.join(ADAPTER_CONFIG), &config)
}

/// The number with the fewest digits that is still this f32: 0.05 and not 0.05000000074505806.
fn shortest(value: f32) -> Json {
    value.to_string().parse::<f64>().map_or(Json::Null, Json::from)
}

/// Reads an adapter written by us or by `peft`.
pub fn read_peft_adapter(folder: &Path) -> Result<PeftAdapter, ModelError> {
    let config_path = folder.join(ADAPTER_CONFIG);
    let config = read_json(&config_path)?;
    let (low_rank, base) = read_config(&config_path, &config)?;
    let file = SafetensorsFile::open(&folder.join(ADAPTER_WEIGHTS))?;
    let fail = |reason: String| file_error(file.path(), reason, "save the adapter again with peft or camelid");

    let mut factors = BTreeMap::new();
    let mut seen = 0;
    let names = file.names();
    for name in &names {
        let Some(path) = name.strip_suffix(FACTOR_A) else { continue };
        let pair = format!("{path}{FACTOR_B}");
        let Some((a, b)) = file.info(name).zip(file.info(&pair)) else {
            return Err(fail(format!("tensor {pair:?} is missing")));
        };
        let (&[rank, inputs], &[outputs, b_rank]) = (a.shape.as_slice(), b.shape.as_slice()) else {
            return Err(fail(format!(
                "tensors {name:?} and {pair:?} of shapes {:?}, {:?} are no matrices",
                a.shape, b.shape
            )));
        };
        if rank != b_rank || rank != low_rank.rank {
            return Err(fail(format!(
                "{name:?} has rank {rank} and {pair:?} rank {b_rank}, but {ADAPTER_CONFIG} says {}",
                low_rank.rank
            )));
        }
        let module = path.strip_prefix(PREFIX).unwrap_or(path).to_owned();
        let (a, b) = (file.load(name)?, file.load(&pair)?);
        factors.insert(module, LowRankFactors { a, b, rank, inputs, outputs });
        seen += 2;
    }
    let score_name = format!("{PREFIX}{SCORE}");
    let score = file.info(&score_name).is_some().then(|| file.load(&score_name)).transpose()?;
    if seen + usize::from(score.is_some()) != names.len() {
        let factor = |name: &str| name.ends_with(FACTOR_A) || name.ends_with(FACTOR_B);
        let other = names.iter().find(|name| !factor(name) && **name != score_name);
        return Err(fail(match other {
            Some(name) => format!("tensor {name:?} is not a low-rank factor; such adapters cannot be read"),
            None => "a lora_B tensor has no lora_A".to_owned(),
        }));
    }
    if factors.is_empty() {
        return Err(fail("holds no adapter".to_owned()));
    }
    Ok(PeftAdapter { low_rank, base, factors, score })
}

fn read_config(path: &Path, config: &Json) -> Result<(LowRank, String), ModelError> {
    let fail = |reason: String| file_error(path, reason, "only plain LoRA adapters can be read");
    let kind = config["peft_type"].as_str().unwrap_or("(none)");
    if kind != "LORA" {
        return Err(fail(format!("peft_type is {kind}")));
    }
    for feature in ["use_dora", "fan_in_fan_out", "use_qalora", "lora_bias"] {
        if config[feature].as_bool() == Some(true) {
            return Err(fail(format!("{feature} is true")));
        }
    }
    if let Some(bias) = config["bias"].as_str().filter(|bias| *bias != "none") {
        return Err(fail(format!("bias is {bias:?}")));
    }
    for pattern in ["rank_pattern", "alpha_pattern"] {
        if config[pattern].as_object().is_some_and(|pattern| !pattern.is_empty()) {
            return Err(fail(format!("{pattern} is not empty")));
        }
    }
    let rank = config["r"].as_u64().filter(|rank| *rank > 0).ok_or_else(|| fail("r is not a rank".to_owned()))?;
    let alpha = config["lora_alpha"].as_f64().ok_or_else(|| fail("lora_alpha is not a number".to_owned()))?;
    let targets = match &config["target_modules"] {
        Json::String(all) => vec![all.clone()],
        Json::Array(modules) => modules.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let base = config["base_model_name_or_path"].as_str().unwrap_or_default().to_owned();
    let low_rank = LowRank {
        rank: rank as usize,
        alpha: alpha as f32,
        rslora: config["use_rslora"].as_bool().unwrap_or(false),
        dropout: config["lora_dropout"].as_f64().unwrap_or(0.0) as f32,
        targets,
    };
    Ok((low_rank, base))
}
