//! Other records whose likelihood is held up while a policy learns from rewards (PPO-ptx).

use camelid_model::{Cotangents, Engine, Want};
use camelid_objectives::reinforcement::ppo;
use camelid_objectives::sft::Targets;
use camelid_objectives::{Metric, Outcome, Reduced};
use rand_chacha::rand_core::Rng;

use crate::TrainError;
use crate::order::{Order, stream};
use crate::task::{Example, forest, micro_batches};

/// Records, drawn in an order that depends on the seed and on how many were drawn before.
pub struct Pretraining {
    examples: Vec<Example>,
    /// `γ` of Ouyang 2022 (arXiv 2203.02155), eq. 2.
    coefficient: f64,
    /// Records of an update.
    batch_size: usize,
    order: Order,
    drawn: u64,
}

impl Pretraining {
    /// `examples` are demonstrations or texts, at least one.
    pub fn new(examples: Vec<Example>, coefficient: f64, batch_size: usize, seed: u64) -> Self {
        let order = Order::new(stream(seed, "pretraining").next_u64(), examples.len());
        Self { examples, coefficient, batch_size, order, drawn: 0 }
    }

    /// Records drawn so far; all there is to save, and what [`Self::set_drawn`] takes back.
    pub(crate) fn drawn(&self) -> u64 {
        self.drawn
    }

    pub(crate) fn set_drawn(&mut self, drawn: u64) {
        self.drawn = drawn;
    }

    /// Adds the gradients of the next records to those of an update whose sum is divided by `policy_count`. Returns what they
    /// add to the update's loss, and figures of their own.
    pub(crate) fn learn(
        &mut self,
        engine: &mut dyn Engine,
        policy_count: f64,
        token_budget: usize,
    ) -> Result<(Reduced, Vec<Metric>), TrainError> {
        let places = self.drawn..self.drawn + self.batch_size as u64;
        let indices: Vec<usize> = places.map(|place| self.order.record(place)).collect();
        self.drawn += self.batch_size as u64;
        let batch: Vec<&Example> = indices.into_iter().map(|index| &self.examples[index]).collect();
        let weights = batch.iter().flat_map(|example| &example.sequences).flat_map(|sequence| &sequence.weights);
        let count: f64 = weights.map(|&weight| f64::from(weight)).sum();
        let (mut total, mut own) = (Reduced::default(), Vec::new());
        for part in micro_batches(&batch, token_budget) {
            let forest = forest(&part.into_iter().map(|index| batch[index]).collect::<Vec<_>>());
            let scores = engine.forward(&forest, Want { gradients: true, ..Want::default() })?;
            let weights: Vec<f32> = forest.targets.iter().map(|target| target.weight).collect();
            let branches: Vec<u32> = forest.targets.iter().map(|target| target.branch).collect();
            let targets = Targets {
                log_probs: &scores.log_probs,
                weights: &weights,
                branches: &branches,
                hits: &scores.hits,
                entropies: &scores.entropies,
                records: forest.branches as usize,
            };
            let Outcome { loss, metrics, d_log_probs, .. } =
                ppo::pretraining(targets, self.coefficient, policy_count, count);
            engine.backward(&Cotangents { log_probs: d_log_probs, ..Cotangents::default() })?;
            total += loss;
            own.extend(metrics);
        }
        Ok((total, own))
    }
}
