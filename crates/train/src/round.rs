//! From answers to rewards for each of their tokens: what methods that learn from samples have in common.

use camelid_model::{Engine, Want};
use camelid_objectives::reinforcement::shaping::{self, Shaped, Shaping};
use camelid_objectives::{Metric, Reduced};

use crate::TrainError;
use crate::rollout::{Rollout, Sampled, of_tokens};
use crate::task::{Example, Label};

/// A prompt's answers as what is trained on.
pub(crate) fn example(group: Vec<Sampled>) -> Example {
    let (mut sequences, mut rollouts) = (Vec::new(), Vec::new());
    for Sampled { sequence, log_probs, ended, given, .. } in group {
        sequences.push(sequence);
        rollouts.push(Rollout { log_probs, ended, given, ..Rollout::default() });
    }
    Example { sequences, label: Label::Sampled(rollouts) }
}

/// Every answer of a round, in the order of examples.
pub(crate) fn rollouts_mut(examples: &mut [Example]) -> impl Iterator<Item = &mut Rollout> {
    examples.iter_mut().flat_map(|example| match &mut example.label {
        Label::Sampled(rollouts) => rollouts.as_mut_slice(),
        _ => &mut [],
    })
}

/// The same, to be looked at.
pub(crate) fn answers(examples: &[Example]) -> impl Iterator<Item = &Rollout> {
    examples.iter().flat_map(|example| match &example.label {
        Label::Sampled(rollouts) => rollouts.as_slice(),
        _ => &[],
    })
}

/// Asks the reference policy, which `want` is, for each token.
pub(crate) fn refer(
    engine: &mut dyn Engine,
    examples: &mut [Example],
    want: Want,
    token_budget: usize,
) -> Result<(), TrainError> {
    let references = of_tokens(engine, &examples.iter().collect::<Vec<_>>(), want, token_budget)?;
    for (rollout, reference) in rollouts_mut(examples).zip(references.into_iter().flatten()) {
        rollout.reference = reference;
    }
    Ok(())
}

/// Fills in the rewards of each token and in all.
pub(crate) fn reward(examples: &mut [Example], shaping: &Shaping) -> Vec<Shaped> {
    let shape = |rollout: &mut Rollout| {
        let weights = vec![1.0; rollout.log_probs.len()];
        let sampled = shaping::Sampled {
            log_probs: &rollout.log_probs,
            reference: &rollout.reference,
            weights: &weights,
            score: rollout.given.score,
            ended: rollout.ended,
            steps: &rollout.given.steps,
        };
        let shaped = shaping::shape(shaping, &sampled);
        rollout.rewards.clone_from(&shaped.rewards);
        rollout.reward = shaped.total;
        shaped
    };
    rollouts_mut(examples).map(shape).collect()
}

/// Means over answers; entropy and KL are estimates only where answers were drawn from the policy's distribution. The KL is the sum of `k1` over an answer whatever estimator is penalised: unbiased, in nats an answer.
pub(crate) fn objective(examples: &[Example], shaped: &[Shaped], drawn: bool) -> Vec<Metric> {
    let answers = || answers(examples);
    let mean = |name, sum: f64| Metric::new(name, Reduced::new(sum, shaped.len() as f64));
    let log_prob: f64 = answers().flat_map(|rollout| &rollout.log_probs).map(|&log_prob| f64::from(log_prob)).sum();
    let ends = answers().filter(|rollout| rollout.ended).count();
    let mut metrics = vec![
        // As given: before scaling and rules for missing ends.
        mean("objective/scores", answers().map(|rollout| rollout.given.total()).sum()),
        mean("objective/rlhf_reward", shaped.iter().map(|shaped| shaped.total).sum()),
        Metric::new("val/num_eos_tokens", Reduced::new(ends as f64, 1.0)),
    ];
    if drawn {
        metrics.push(mean("objective/entropy", -log_prob));
    }
    if answers().any(|rollout| !rollout.reference.is_empty()) {
        metrics.push(mean("objective/kl", answers().map(divergence).sum()));
        metrics.push(mean("objective/non_score_reward", shaped.iter().map(|shaped| shaped.non_score).sum()));
    }
    metrics
}

/// `Σ_t log π(y_t) - log π_ref(y_t)` of one answer.
pub(crate) fn divergence(rollout: &Rollout) -> f64 {
    let pairs = rollout.log_probs.iter().zip(&rollout.reference);
    pairs.map(|(&log_prob, &reference)| f64::from(log_prob) - f64::from(reference)).sum()
}
