//! A base model's weights with an adapter folded in as they are read.

use std::path::Path;

use super::adapter::PeftAdapter;
use super::shared_file::file_error;
use crate::value_head::SCORE;
use crate::{ModelError, WeightSource};

/// Weights of a base model plus an adapter.
pub(crate) struct MergedWeights {
    base: Box<dyn WeightSource + Send>,
    adapter: PeftAdapter,
}

impl MergedWeights {
    /// Checks that every module of the adapter is in the base and has its shape.
    pub(crate) fn new(
        base: Box<dyn WeightSource + Send>,
        adapter: PeftAdapter,
        folder: &Path,
    ) -> Result<Self, ModelError> {
        for (path, factors) in &adapter.factors {
            let expected = vec![factors.outputs, factors.inputs];
            let reason = match base.shape(&format!("{path}.weight")) {
                Some(shape) if shape == expected => continue,
                Some(shape) => {
                    format!("changes {path} by a matrix of {expected:?}, but its weight has shape {shape:?}")
                }
                None => format!("changes {path}, which the base model does not have"),
            };
            let fix = format!("use the adapter with its own base model, {:?}", adapter.base);
            return Err(file_error(folder, reason, fix));
        }
        Ok(Self { base, adapter })
    }
}

impl WeightSource for MergedWeights {
    fn names(&self) -> Vec<String> {
        let mut names = self.base.names();
        if self.adapter.score.is_some() && !names.iter().any(|name| name == SCORE) {
            names.push(SCORE.to_owned());
        }
        names
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match &self.adapter.score {
            Some(score) if name == SCORE => Some(vec![1, score.len()]),
            _ => self.base.shape(name),
        }
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        if let Some(score) = self.adapter.score.as_ref().filter(|_| name == SCORE) {
            return Ok(score.clone());
        }
        let mut values = self.base.load(name)?;
        self.adapter.merge_into(name, &mut values)?;
        Ok(values)
    }
}
