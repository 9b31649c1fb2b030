//! Unpaired feedback as a task: KTO with its estimate of the KL divergence, BCO with its moving shift.

use camelid_model::{Engine, Want};
use camelid_objectives::Outcome;
use camelid_objectives::preference::bco::{Bco, shift};
use camelid_objectives::preference::kto::{Kto, kl_estimate};
use camelid_objectives::preference::{Response, Sequence, UnpairedLoss, unpaired_loss};
use camelid_objectives::{Metric, Reduced};
use camelid_text::{Encoded, Forest};

use crate::TrainError;
use crate::preference::in_target_order;
use crate::reference::Reference;
use crate::task::{Example, Label, Purpose, Task, branch_sums, forest, micro_batches, targets_of_branches};

/// Which method, and with it which baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnpairedMethod {
    Kto(Kto),
    /// With the decay of the moving average of its shift.
    Bco(Bco, f64),
}

/// Single responses, good or bad, under a method and a reference policy.
pub struct UnpairedTask {
    pub method: UnpairedMethod,
    pub reference: Reference,
    /// KTO's `z`, BCO's `δ`; the step's, not the micro-batch's.
    baseline: f64,
}

impl UnpairedTask {
    pub fn new(method: UnpairedMethod, reference: Reference) -> Self {
        Self { method, reference, baseline: 0.0 }
    }

    fn loss(&self) -> &dyn UnpairedLoss {
        match &self.method {
            UnpairedMethod::Kto(kto) => kto,
            UnpairedMethod::Bco(bco, _) => bco,
        }
    }

    /// Rewards of the good and of the bad examples, without gradients.
    fn rewards(
        &self,
        engine: &mut dyn Engine,
        bco: Bco,
        examples: &[&Example],
        token_budget: usize,
    ) -> Result<[Vec<f64>; 2], TrainError> {
        let mut rewards = [Vec::new(), Vec::new()];
        for batch in micro_batches(examples, token_budget) {
            let part: Vec<&Example> = batch.iter().map(|&index| examples[index]).collect();
            let forest = forest(&part);
            let sums = branch_sums(&forest, &engine.forward(&forest, Want::default())?);
            for (example, log_prob) in part.iter().zip(sums) {
                let sequence = Sequence { log_prob, reference: self.reference.of(example, 0)?, length: 1.0 };
                rewards[usize::from(!desirable(example)?)].push(bco.reward(&sequence));
            }
        }
        Ok(rewards)
    }
}

fn desirable(example: &Example) -> Result<bool, TrainError> {
    match example.label {
        Label::Desirable(desirable) => Ok(desirable),
        _ => Err(TrainError::Data {
            reason: format!("record {} has no label", example.record() + 1),
            fix: "give this stage unpaired feedback: prompt, completion, label".into(),
        }),
    }
}

/// Each example's prompt with the response to another: their log-ratio estimates how far the policy has moved.
fn mismatched(examples: &[&Example]) -> Vec<Example> {
    let prompt = |sequence: &Encoded| {
        sequence.weights.iter().position(|weight| *weight != 0.0).unwrap_or(sequence.weights.len())
    };
    let count = examples.len();
    let pairs = (0..count).filter(|_| count > 1).map(|index| (examples[index], examples[(index + 1) % count]));
    let splice = |(own, other): (&Example, &Example)| {
        let (own, other) = (own.sequences.first()?, other.sequences.first()?);
        let (own_end, other_start) = (prompt(own), prompt(other));
        let join = |a: &[f32], b: &[f32]| [a, b].concat();
        Some(Example::from(Encoded {
            tokens: [&own.tokens[..own_end], &other.tokens[other_start..]].concat(),
            weights: join(&own.weights[..own_end], &other.weights[other_start..]),
            record: own.record,
        }))
    };
    pairs.filter_map(splice).collect()
}

impl Task for UnpairedTask {
    fn begin(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        token_budget: usize,
        purpose: Purpose,
    ) -> Result<(), TrainError> {
        self.reference.prepare(engine, examples, token_budget)?;
        match self.method {
            UnpairedMethod::Kto(_) => {
                let mismatched = mismatched(examples);
                let mismatched: Vec<&Example> = mismatched.iter().collect();
                let mut sequences = Vec::new();
                for batch in micro_batches(&mismatched, token_budget) {
                    let part: Vec<&Example> = batch.iter().map(|&index| mismatched[index]).collect();
                    let forest = forest(&part);
                    let policy = branch_sums(&forest, &engine.forward(&forest, Want::default())?);
                    let reference = self.reference.score(engine, &forest)?;
                    let sequence = |(log_prob, reference)| Sequence { log_prob, reference, length: 1.0 };
                    sequences.extend(policy.into_iter().zip(reference).map(sequence));
                }
                self.baseline = kl_estimate(&sequences);
            }
            UnpairedMethod::Bco(bco, decay) if purpose == Purpose::Training => {
                let [good, bad] = self.rewards(engine, bco, examples, token_budget)?;
                self.baseline = shift(self.baseline, decay, &good, &bad);
            }
            UnpairedMethod::Bco(..) => {}
        }
        Ok(())
    }

    fn state(&self) -> Vec<f64> {
        // KTO's estimate is made anew in every step.
        if matches!(self.method, UnpairedMethod::Bco(..)) { vec![self.baseline] } else { Vec::new() }
    }

    fn restore(&mut self, state: &[f64]) {
        self.baseline = state.first().copied().unwrap_or(0.0);
    }

    fn stepped(&mut self, engine: &mut dyn Engine, step: u64) -> Result<(), TrainError> {
        self.reference.follow(engine, step)
    }

    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError> {
        let scores = engine.forward(forest, want)?;
        let targets = targets_of_branches(forest);
        let mut responses = Vec::with_capacity(examples.len());
        for (example, targets) in examples.iter().zip(&targets) {
            let response = Response {
                log_probs: targets.iter().map(|&target| scores.log_probs[target]).collect(),
                weights: targets.iter().map(|&target| forest.targets[target].weight).collect(),
                reference: self.reference.of(example, 0)?,
                score: None,
            };
            responses.push((response, desirable(example)?));
        }
        let mut outcome = unpaired_loss(self.loss(), &responses, self.baseline);
        let name = match self.method {
            UnpairedMethod::Kto(_) => "kl",
            UnpairedMethod::Bco(..) => "shift",
        };
        outcome.metrics.push(Metric::new(name, Reduced::new(self.baseline, 1.0)));
        Ok(in_target_order(outcome, &targets))
    }
}
