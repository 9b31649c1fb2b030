//! A base model's weights with an adapter folded in as they are read.

use std::path::Path;

use super::adapter::PeftAdapter;
use super::shared_file::file_error;
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
        self.base.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.base.shape(name)
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let mut values = self.base.load(name)?;
        self.adapter.merge_into(name, &mut values)?;
        Ok(values)
    }
}
