//! The seam between a model and a method.
//!
//! A method never sees a tensor: it gets the log-probability of each target and hands back how its loss changes with
//! each. A data-parallel or remote engine implements the same trait.

use camelid_text::Forest;

use crate::ModelError;
use crate::decoder::Generate;

/// What a forward pass must deliver besides log-probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is wanted or not, whatever the others are
pub struct Want {
    /// Keep what `backward` needs.
    pub gradients: bool,
    /// Entropy of each target row's distribution.
    pub entropy: bool,
    /// Run with the adapter switched off: the reference policy.
    pub without_adapter: bool,
    /// Run with the kept copy of the trained parameters: a reference policy that can be moved. The engine must keep one.
    pub reference: bool,
    /// Where the scalar head is read. The model must have one.
    pub values: Values,
    /// Leave log-probabilities, entropies and hits out, and with them the output projection: a critic reads the rows of
    /// its targets, not what they predict.
    pub without_log_probs: bool,
    /// Dropout and embedding noise, drawn from this stream; `None` in evaluation.
    pub noise_seed: Option<u64>,
}

/// Rows at which the scalar head is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Values {
    #[default]
    None,
    /// One value for each branch, at its last token: the reward of a response.
    Ends,
    /// One value for each target, at the row that predicts it: what is expected of the rest before that token is chosen,
    /// PPO's V(s) (Schulman 2017, arXiv 1707.06347, section 5). Targets that share a row share its value.
    Targets,
}

/// One value for each target of the forest, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Natural-log probabilities; empty when left out.
    pub log_probs: Vec<f32>,
    /// Nats; empty unless wanted.
    pub entropies: Vec<f32>,
    /// Whether the target token was the most likely one; empty when log-probabilities are left out.
    pub hits: Vec<bool>,
    /// Of the scalar head: one for each branch or each target, as wanted.
    pub values: Vec<f32>,
}

/// Derivatives of the *summed* loss with respect to `Scores`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cotangents {
    /// One for each target; empty when log-probabilities were left out.
    pub log_probs: Vec<f32>,
    /// Empty, or one for each target.
    pub entropies: Vec<f32>,
    /// One for each value of the forward.
    pub values: Vec<f32>,
}

/// One optimiser step over the gradients accumulated since the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    pub learning_rate: f32,
    /// Global count the summed loss is divided by.
    pub denominator: f64,
    /// Clip the global norm of the divided gradient to this; infinite means off.
    pub max_grad_norm: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    /// Applied to matrices only; norms and biases are not decayed.
    pub weight_decay: f32,
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Updated {
    /// Global norm of the divided gradient, before clipping.
    pub grad_norm: f64,
    /// Optimiser steps taken so far.
    pub step: u64,
}

/// A tensor of the training state on the host, for checkpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A model that can be scored, sampled from, trained and saved.
pub trait Engine: Generate {
    /// Scores each target. With `want.gradients`, the next call must be `backward`.
    fn forward(&mut self, forest: &Forest, want: Want) -> Result<Scores, ModelError>;
    /// Adds to the gradients of the trained parameters.
    fn backward(&mut self, cotangents: &Cotangents) -> Result<(), ModelError>;
    /// Divides, clips, steps and zeroes the gradients.
    fn update(&mut self, update: &Update) -> Result<Updated, ModelError>;
    /// `backward` for the last micro-batch of a step and then `update`. An engine may carry both out together, which
    /// takes less memory; after an error some parameters may have been stepped.
    fn backward_and_update(&mut self, cotangents: &Cotangents, update: &Update) -> Result<Updated, ModelError> {
        self.backward(cotangents)?;
        self.update(update)
    }
    /// Moves the kept copy of the trained parameters: `share · what they are now + (1 - share) · copy`. Once a step, the copy
    /// is their exponential moving average with decay `1 - share`.
    fn update_reference(&mut self, share: f32) -> Result<(), ModelError>;
    /// The trained parameters become the kept copy, which stays. Where the copy followed every step, it is the exponential
    /// moving average of the parameters, and this is how the average is saved. Moments stay as they are.
    fn take_reference(&mut self) -> Result<(), ModelError>;
    /// Forgets accumulated gradients.
    fn zero_gradients(&mut self);

    /// Log-probabilities of `tokens[from ..]`, each computed as generation does it: from the cache, a token at a time.
    fn decode_log_probs(&mut self, tokens: &[u32], from: usize) -> Result<Vec<f32>, ModelError>;

    /// Trained parameters, under their checkpoint names (those of the adapter where one is trained), each with its optimiser moments
    /// as `<name>.first_moment` and `<name>.second_moment`. A tensor at a time, so that saving needs no second copy.
    fn visit_state(&self, visit: &mut dyn FnMut(StateTensor) -> Result<(), ModelError>) -> Result<(), ModelError>;
    /// Restores what `visit_state` produced; `step` is the optimiser's step count.
    fn restore_state(
        &mut self,
        step: u64,
        fetch: &mut dyn FnMut(&str) -> Result<Vec<f32>, ModelError>,
    ) -> Result<(), ModelError>;
    /// Accumulated gradients under checkpoint names; tests and self-checks read them.
    fn visit_gradients(&self, visit: &mut dyn FnMut(StateTensor) -> Result<(), ModelError>) -> Result<(), ModelError>;

    /// Writes the result of training: a PEFT adapter folder when an adapter was trained, else a Hugging Face folder.
    fn save(&self, folder: &std::path::Path) -> Result<(), ModelError>;

    /// Number of parameters, and of those trained.
    fn parameters(&self) -> (usize, usize);
    /// Floating-point operations of a forward (and, with `gradients`, backward) pass over this forest.
    fn flops(&self, forest: &Forest, gradients: bool) -> f64;
    /// Bytes in use and peak on the device.
    fn memory(&self) -> camelid_kernels::Memory;
    /// Backend name and precision, for logs.
    fn describe(&self) -> String;
}
