//! The value model of PPO: what is expected of the rest of an answer before each of its tokens.

use camelid_model::{Cotangents, Engine, Update, Values, Want};
use camelid_objectives::Reduced;
use camelid_text::Forest;

use crate::TrainError;
use crate::rollout::of_tokens;
use crate::task::Example;

/// A model of its own with a scalar head, trained beside the policy.
pub struct Critic {
    engine: Box<dyn Engine>,
    /// Of the policy's learning rate.
    learning_rate_share: f32,
    /// What its gradients are divided by at the next update.
    count: f64,
}

impl Critic {
    /// The model must have a scalar head and the policy's vocabulary.
    pub fn new(engine: Box<dyn Engine>, learning_rate_share: f32) -> Self {
        Self { engine, learning_rate_share, count: 0.0 }
    }

    pub(crate) fn engine(&mut self) -> &mut dyn Engine {
        &mut *self.engine
    }

    /// One value for each learned token of each example's sequences.
    pub(crate) fn values(
        &mut self,
        examples: &[&Example],
        token_budget: usize,
    ) -> Result<Vec<Vec<Vec<f32>>>, TrainError> {
        of_tokens(&mut *self.engine, examples, reading(Want::default()), token_budget)
    }

    /// One value for each target of the forest; [`Self::backward`] must follow.
    pub(crate) fn forward(&mut self, forest: &Forest, want: Want) -> Result<Vec<f32>, TrainError> {
        Ok(self.engine.forward(forest, reading(want))?.values)
    }

    /// `loss` is that of the values of the last forward; only its count is read.
    pub(crate) fn backward(&mut self, d_values: Vec<f32>, loss: Reduced) -> Result<(), TrainError> {
        self.count += loss.count;
        Ok(self.engine.backward(&Cotangents { values: d_values, ..Cotangents::default() })?)
    }

    /// Takes the update that the policy took, at its own learning rate.
    pub(crate) fn update(&mut self, update: &Update) -> Result<(), TrainError> {
        let learning_rate = update.learning_rate * self.learning_rate_share;
        let denominator = std::mem::take(&mut self.count);
        self.engine.update(&Update { learning_rate, denominator, ..*update })?;
        Ok(())
    }
}

/// Values and nothing else: without log-probabilities there is no output projection.
fn reading(want: Want) -> Want {
    Want { values: Values::Targets, without_log_probs: true, entropy: false, ..want }
}
