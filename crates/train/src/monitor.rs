//! Watches for over-optimisation: what a held-out reward says of the policy's answers as it leaves where it started.
//!
//! Answers are drawn from the policy's own distribution, one to each prompt and with the same random numbers each time, so that
//! neighbouring measurements differ by what was learned rather than by luck. The KL of an answer is `Σ_t log π(y_t) - log π_ref(y_t)`,
//! which is unbiased in the mean over answers though a single one may be below 0. Nothing here is seen by training: draws have
//! a stream of their own, and the reference, the policy before the stage's first step, never moves.

use camelid_model::{Engine, Want};
use camelid_objectives::over_optimisation::{Trend, Watch};
use serde::Serialize;

use crate::TrainError;
use crate::observer::{Metrics, MonitorReport};
use crate::rewards::Given;
use crate::rollout::{Rollouts, Sampled, candidate, of_tokens, prompt};
use crate::task::{Example, Purpose, Round, Task};

/// The policy before the stage's first step.
pub enum MonitorReference {
    /// A forward pass of the engine that trains.
    Own(Want),
    /// An engine of its own.
    Other(Box<dyn Engine>),
}

/// Measures a stage at the start, every so many steps and at the end.
pub struct Monitor {
    /// The same ones each time.
    pub prompts: Vec<Example>,
    /// Draws answers, and gives them the reward that is not trained on. Its evaluations are sampled.
    pub rollouts: Rollouts,
    pub reference: MonitorReference,
    /// Steps from one measurement to the next; 0 is at the start and the end only.
    pub every: u64,
    /// So many measurements that fall, one after another, end the stage, and the state of the highest is taken; 0 is off.
    pub patience: u32,
    /// Rows computed at once.
    pub token_budget: usize,
    watch: Watch,
}

/// One measurement, an entry a prompt: a line of `distances.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Distances {
    step: u64,
    /// In nats an answer.
    kl: Vec<f64>,
    /// What training rewards; empty where it rewards nothing.
    proxy: Vec<f64>,
    gold: Vec<f64>,
}

impl Monitor {
    pub fn new(prompts: Vec<Example>, rollouts: Rollouts, reference: MonitorReference, token_budget: usize) -> Self {
        Self { prompts, rollouts, reference, every: 0, patience: 0, token_budget, watch: Watch::default() }
    }

    /// What it has seen so far, as part of a checkpoint.
    pub(crate) fn state(&self) -> Vec<f64> {
        self.watch.state()
    }

    /// Takes up what [`Self::state`] gave; nothing at the start of a run.
    pub(crate) fn restore(&mut self, state: &[f64]) {
        self.watch = Watch::restore(state);
    }

    /// Whether the held-out reward has fallen for as long as is allowed.
    pub(crate) fn has_fallen(&self) -> bool {
        self.patience > 0 && self.watch.falls() >= self.patience
    }

    /// The step whose state is to be taken in the end, where the monitor decides on that.
    pub(crate) fn best_step(&self) -> Option<u64> {
        self.watch.peak().filter(|_| self.patience > 0)
    }

    /// Measures the policy after step `step`.
    pub(crate) fn measure(
        &mut self,
        task: &mut dyn Task,
        engine: &mut dyn Engine,
        step: u64,
    ) -> Result<(Distances, MonitorReport), TrainError> {
        let prompts: Vec<&Example> = self.prompts.iter().collect();
        let token_budget = self.token_budget;
        let round = Round { examples: &prompts, step, purpose: Purpose::Evaluation, token_budget };
        let drawn = self.rollouts.sample(engine, &round)?.groups;
        let answers: Vec<&Sampled> = drawn.iter().flatten().collect();
        let proxy = match task.rollouts() {
            Some(training) => {
                let candidates = prompts.iter().zip(&answers);
                let candidates = candidates.map(|(example, answer)| Ok(candidate(prompt(example)?, answer)));
                let (given, _) = training.rewards.of(&candidates.collect::<Result<Vec<_>, TrainError>>()?)?;
                given.iter().map(Given::total).collect()
            }
            None => Vec::new(),
        };
        let sequences: Vec<Example> = answers.iter().map(|answer| Example::from(answer.sequence.clone())).collect();
        let sequences: Vec<&Example> = sequences.iter().collect();
        let reference = match &mut self.reference {
            MonitorReference::Own(want) => of_tokens(engine, &sequences, *want, token_budget)?,
            MonitorReference::Other(reference) => {
                of_tokens(reference.as_mut(), &sequences, Want::default(), token_budget)?
            }
        };
        let kl: Vec<f64> =
            answers.iter().zip(reference).map(|(answer, reference)| divergence(answer, &reference.concat())).collect();
        let gold: Vec<f64> = answers.iter().map(|answer| answer.given.total()).collect();
        let trend = self.watch.see(step, &gold);
        let metrics = metrics(&answers, &kl, &proxy, &gold);
        let report = MonitorReport { step, metrics, falls: trend == Trend::Falls };
        Ok((Distances { step, kl, proxy, gold }, report))
    }
}

fn divergence(answer: &Sampled, reference: &[f32]) -> f64 {
    answer.log_probs.iter().zip(reference).map(|(&policy, &reference)| f64::from(policy) - f64::from(reference)).sum()
}

fn metrics(answers: &[&Sampled], kl: &[f64], proxy: &[f64], gold: &[f64]) -> Metrics {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let tokens: Vec<f64> = answers.iter().map(|answer| answer.log_probs.len() as f64).collect();
    let cut: Vec<f64> = answers.iter().map(|answer| f64::from(u8::from(!answer.ended))).collect();
    let mut metrics: Metrics = [
        ("monitor/reward", mean(gold)),
        ("monitor/kl", mean(kl)),
        // Near the start sampling may estimate a little below 0.
        ("monitor/sqrt_kl", mean(kl).max(0.0).sqrt()),
        ("monitor/answer_tokens", mean(&tokens)),
        ("monitor/clipped_ratio", mean(&cut)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if !proxy.is_empty() {
        metrics.insert("monitor/proxy".into(), mean(proxy));
    }
    metrics
}
