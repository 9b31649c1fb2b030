//! A parameter, and beside it what training needs if it is trained.

use camelid_kernels::{AdamW, Backend, DType};

use crate::ModelError;
use crate::arch_hf::invalid;
use crate::engine::StateTensor;
use crate::tuning::MomentType;

/// A parameter kept as `f32` values. Frozen matrices are not kept this way: only their prepared form is.
pub(crate) struct Tensor<B: Backend> {
    /// Name in the checkpoint.
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) value: B::Buffer,
    pub(crate) training: Option<TrainingState<B>>,
}

/// Gradient (`f32`) and optimiser moments.
pub(crate) struct TrainingState<B: Backend> {
    /// Nothing until a backward pass adds to it, and nothing again after the optimiser's step.
    pub(crate) gradient: Option<B::Buffer>,
    pub(crate) first_moment: B::Buffer,
    pub(crate) second_moment: B::Buffer,
    /// Values of an earlier step, for a reference policy; only where one is kept.
    pub(crate) reference: Option<B::Buffer>,
}

impl<B: Backend> Tensor<B> {
    /// Trained if `moments` says what type its moments have.
    pub(crate) fn new(
        backend: &B,
        name: String,
        shape: Vec<usize>,
        values: &[f32],
        moments: Option<MomentType>,
    ) -> Self {
        let training = moments.map(|moments| {
            let zeros = || backend.zeros(moments.dtype(), values.len());
            TrainingState { gradient: None, first_moment: zeros(), second_moment: zeros(), reference: None }
        });
        Self { name, shape, value: backend.upload(values), training }
    }

    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The gradient to add to, for a parameter that is trained.
    pub(crate) fn gradient_mut(&mut self, backend: &B) -> Option<&mut B::Buffer> {
        let len = self.len();
        let training = self.training.as_mut()?;
        Some(training.gradient.get_or_insert_with(|| backend.zeros(DType::F32, len)))
    }

    /// As [`Self::gradient_mut`], for a product that either adds or overwrites: whether it must add.
    pub(crate) fn gradient_or_place(&mut self, backend: &B) -> Option<(&mut B::Buffer, bool)> {
        let len = self.len();
        let training = self.training.as_mut()?;
        let add = training.gradient.is_some();
        Some((training.gradient.get_or_insert_with(|| backend.alloc(DType::F32, len)), add))
    }

    /// The gradient to add to, out of the tensor; [`Self::put_gradient`] brings it back.
    pub(crate) fn take_gradient(&mut self, backend: &B) -> Option<B::Buffer> {
        self.gradient_mut(backend)?;
        self.training.as_mut()?.gradient.take()
    }

    pub(crate) fn put_gradient(&mut self, gradient: Option<B::Buffer>) {
        if let Some(training) = &mut self.training {
            training.gradient = gradient;
        }
    }

    /// Starts to keep the values as they are now.
    pub(crate) fn keep_reference(&mut self, backend: &B) {
        let len = self.len();
        let Some(training) = &mut self.training else { return };
        let mut copy = backend.alloc(DType::F32, len);
        backend.copy(&self.value, &mut copy, len);
        training.reference = Some(copy);
    }

    /// Exchanges the values and the kept copy.
    pub(crate) fn swap_reference(&mut self) {
        if let Some(reference) = self.training.as_mut().and_then(|training| training.reference.as_mut()) {
            std::mem::swap(&mut self.value, reference);
        }
    }

    /// `reference = share · value + (1 - share) · reference`.
    pub(crate) fn move_reference(&mut self, backend: &B, share: f32) {
        let len = self.len();
        let Some(reference) = self.training.as_mut().and_then(|training| training.reference.as_mut()) else { return };
        if share >= 1.0 {
            return backend.copy(&self.value, reference, len);
        }
        let mut moved = backend.zeros(DType::F32, len);
        backend.add_scaled(&mut moved, reference, 1.0 - share, len);
        backend.add_scaled(&mut moved, &self.value, share, len);
        *reference = moved;
    }

    /// `value = reference`.
    pub(crate) fn take_reference(&mut self, backend: &B) {
        let len = self.len();
        let Self { value, training, .. } = self;
        if let Some(reference) = training.as_ref().and_then(|training| training.reference.as_ref()) {
            backend.copy(reference, value, len);
        }
    }

    /// Matrices are decayed, norms and biases are not.
    fn is_decayed(&self) -> bool {
        self.shape.len() > 1
    }

    /// One optimiser step; the gradient is let go.
    pub(crate) fn step(&mut self, backend: &B, constants: AdamW) {
        let (decayed, len) = (self.is_decayed(), self.len());
        let Some(training) = &mut self.training else { return };
        let gradient = training.gradient.take().unwrap_or_else(|| backend.zeros(DType::F32, len));
        let weight_decay = if decayed { constants.weight_decay } else { 0.0 };
        let TrainingState { first_moment, second_moment, .. } = training;
        backend.adamw(
            AdamW { weight_decay, ..constants },
            &mut self.value,
            &gradient,
            first_moment,
            second_moment,
            len,
        );
    }

    /// Sum of squares of the gradient; an error when it is not finite.
    pub(crate) fn gradient_squares(&self, backend: &B) -> Result<f64, ModelError> {
        let gradient = self.training.as_ref().and_then(|training| training.gradient.as_ref());
        let sum = gradient.map_or(0.0, |gradient| backend.sum_of_squares(gradient, self.len()));
        if sum.is_finite() {
            return Ok(sum);
        }
        Err(invalid(
            format!("the gradient of {} is not finite", self.name),
            "lower the learning rate, or look for broken records in this batch (camelid inspect batch)",
        ))
    }

    pub(crate) fn state(&self, backend: &B, suffix: &str, buffer: &B::Buffer) -> StateTensor {
        let name = format!("{}{suffix}", self.name);
        StateTensor { name, shape: self.shape.clone(), values: backend.read(buffer, 0, self.len()) }
    }
}
