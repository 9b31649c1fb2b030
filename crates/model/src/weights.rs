//! Where weights come from, seen from the inside: names, shapes and values, a tensor at a time.

use camelid_text::TextAssets;
use serde_json::Value as Json;

use crate::{ArchConfig, ModelError};

/// A checkpoint under Hugging Face names. Values are handed out as `f32` whatever they are stored as.
pub trait WeightSource {
    fn names(&self) -> Vec<String>;
    /// `None` if there is no such tensor.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;
    /// Values in row-major order; checks that all are finite.
    fn load(&self, name: &str) -> Result<Vec<f32>, ModelError>;
}

/// A model as found on disk: its architecture and vocabulary are read, its weights are not.
pub struct LoadedModel {
    pub arch: ArchConfig,
    /// The `config.json` (or what a GGUF's metadata amounts to), kept to be written out again.
    pub config: Json,
    pub weights: Box<dyn WeightSource + Send>,
    pub text: TextAssets,
    /// Path or name, for messages and as the base of an adapter.
    pub source: String,
}

impl LoadedModel {
    /// Whether it has a scalar head: a reward model.
    pub fn has_value_head(&self) -> bool {
        self.weights.shape(crate::value_head::SCORE).is_some()
    }
}
