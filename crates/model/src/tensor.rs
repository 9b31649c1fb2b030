//! A parameter, and beside it what training needs if it is trained.

use camelid_kernels::{AdamW, Backend, DType};

use crate::engine::StateTensor;

/// A parameter kept as `f32` values. Frozen matrices are not kept this way: only their prepared form is.
pub(crate) struct Tensor<B: Backend> {
    /// Name in the checkpoint.
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) value: B::Buffer,
    pub(crate) training: Option<TrainingState<B>>,
}

/// Gradient and optimiser moments, all `f32`.
pub(crate) struct TrainingState<B: Backend> {
    pub(crate) gradient: B::Buffer,
    pub(crate) first_moment: B::Buffer,
    pub(crate) second_moment: B::Buffer,
}

impl<B: Backend> Tensor<B> {
    pub(crate) fn new(backend: &B, name: String, shape: Vec<usize>, values: &[f32], trained: bool) -> Self {
        let zeros = || backend.zeros(DType::F32, values.len());
        let training =
            trained.then(|| TrainingState { gradient: zeros(), first_moment: zeros(), second_moment: zeros() });
        Self { name, shape, value: backend.upload(values), training }
    }

    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub(crate) fn gradient_mut(&mut self) -> Option<&mut B::Buffer> {
        self.training.as_mut().map(|training| &mut training.gradient)
    }

    /// Matrices are decayed, norms and biases are not.
    fn is_decayed(&self) -> bool {
        self.shape.len() > 1
    }

    /// One optimiser step; the gradient is zeroed for the next.
    pub(crate) fn step(&mut self, backend: &B, constants: AdamW) {
        let (decayed, len) = (self.is_decayed(), self.len());
        let Some(training) = &mut self.training else { return };
        let weight_decay = if decayed { constants.weight_decay } else { 0.0 };
        let TrainingState { gradient, first_moment, second_moment } = training;
        backend.adamw(AdamW { weight_decay, ..constants }, &mut self.value, gradient, first_moment, second_moment, len);
        backend.fill(gradient, 0.0);
    }

    pub(crate) fn state(&self, backend: &B, suffix: &str, buffer: &B::Buffer) -> StateTensor {
        let name = format!("{}{suffix}", self.name);
        StateTensor { name, shape: self.shape.clone(), values: backend.read(buffer, 0, self.len()) }
    }
}
