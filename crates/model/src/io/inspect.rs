//! What a model on disk consists of, from its headers alone.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::adapter::{ADAPTER_CONFIG, read_peft_adapter};
use super::gguf::GgufFile;
use super::hf_folder::{CONFIG, FolderWeights, read_json};
use super::load::Form;
use crate::{ModelError, WeightSource};

/// A tensor as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedTensor {
    pub name: String,
    pub shape: Vec<usize>,
    /// Element type by its usual name, such as `BF16` or `Q4_K`.
    pub kind: String,
}

/// A model's configuration and tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct InspectedModel {
    pub path: PathBuf,
    /// `config.json`, its equivalent, or for an adapter its `adapter_config.json`.
    pub config: Json,
    /// In order of name, under the names of the checkpoint.
    pub tensors: Vec<InspectedTensor>,
    /// The model that an adapter changes.
    pub base: Option<String>,
}

impl InspectedModel {
    /// Elements of all tensors.
    pub fn parameters(&self) -> u64 {
        let elements =
            |shape: &[usize]| shape.iter().fold(1_u64, |product, &length| product.saturating_mul(length as u64));
        self.tensors.iter().map(|tensor| elements(&tensor.shape)).fold(0, u64::saturating_add)
    }
}

/// Reads the headers of a Hugging Face folder, a GGUF file or a PEFT adapter.
pub fn inspect_model(path: &Path) -> Result<InspectedModel, ModelError> {
    let describe = |weights: &dyn WeightSource, kind_of: &dyn Fn(&str) -> Option<String>| {
        let names = weights.names().into_iter();
        names
            .map(|name| InspectedTensor {
                shape: weights.shape(&name).unwrap_or_default(),
                kind: kind_of(&name).unwrap_or_default(),
                name,
            })
            .collect()
    };
    let (config, tensors, base) = match Form::of(path)? {
        Form::Gguf => {
            let file = GgufFile::open(path)?;
            let tensors = describe(&file, &|name| file.info(name).map(|info| info.kind.name().to_owned()));
            (file.config().clone(), tensors, None)
        }
        Form::Folder => {
            let config = read_json(&path.join(CONFIG))?;
            let weights = FolderWeights::open(path)?;
            (config, describe(&weights, &|name| weights.type_name(name)), None)
        }
        Form::Adapter => {
            let adapter = read_peft_adapter(path)?;
            let tensors = adapter
                .factors
                .iter()
                .flat_map(|(module, factors)| {
                    [("lora_A", [factors.rank, factors.inputs]), ("lora_B", [factors.outputs, factors.rank])].map(
                        |(factor, shape)| InspectedTensor {
                            name: format!("{module}.{factor}.weight"),
                            shape: shape.to_vec(),
                            kind: "F32".to_owned(),
                        },
                    )
                })
                .collect();
            (read_json(&path.join(ADAPTER_CONFIG))?, tensors, Some(adapter.base))
        }
    };
    Ok(InspectedModel { path: path.to_owned(), config, tensors, base })
}
