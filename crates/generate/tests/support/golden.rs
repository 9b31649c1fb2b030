//! Small random models with trained-like weights, from the golden files of `camelid-model`.

use std::collections::HashMap;
use std::path::PathBuf;

use camelid_kernels::{Compute, Cpu, CpuOptions};
use camelid_model::{ArchConfig, LoadedModel, ModelError, Transformer, TransformerOptions, Tuning, WeightSource};
use camelid_text::TextAssets;
use safetensors::SafeTensors;
use serde_json::json;

/// Shape and values of each weight.
struct Memory(HashMap<String, (Vec<usize>, Vec<f32>)>);

impl WeightSource for Memory {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).map(|(shape, _)| shape.clone())
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        Ok(self.0[name].1.clone())
    }
}

/// The model of a file, in f32. It has no tokenizer.
pub(crate) fn model(family: &str) -> Transformer<Cpu> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden");
    let bytes = std::fs::read(folder.join(format!("{family}.safetensors"))).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let config = serde_json::from_str(&header.metadata().as_ref().unwrap()["config"]).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let weights = file.tensors().into_iter().filter_map(|(label, view)| {
        let name = label.strip_prefix("weight/")?.to_owned();
        let words = view.data().chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap()));
        Some((name, (view.shape().to_vec(), words.collect())))
    });
    let loaded = LoadedModel {
        arch: ArchConfig::from_hf(&config).unwrap(),
        weights: Box::new(Memory(weights.collect())),
        text: TextAssets {
            tokenizer_json: Vec::new(),
            tokenizer_config: json!({}),
            chat_template: None,
            generation_config: json!({}),
        },
        source: family.to_owned(),
        config,
    };
    let cpu = Cpu::new(CpuOptions { threads: Some(1), compute: Compute::F32 });
    Transformer::new(cpu, loaded, Tuning::Frozen, 0, TransformerOptions::default()).unwrap()
}
