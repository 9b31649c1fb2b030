//! Expert iteration: the policy answers, the best of its answers are chosen, and it learns to give those.
//!
//! One step is one round: sample, reward, choose by a [`Rule`], fine-tune on what was chosen. RAFT, `ReST` and rejection-sampling
//! fine-tuning (RFT) differ in the rule. Answers are drawn at temperature 1, as everywhere here.

use camelid_model::{Engine, Want};
use camelid_objectives::reinforcement::group::{self, Deviation};
use camelid_objectives::reinforcement::shaping::Shaping;
use camelid_objectives::selection::rule::{Answer, Rule};
use camelid_objectives::{Metric, Outcome, Reduced};
use camelid_text::Forest;

use crate::TrainError;
use crate::rollout::{RolledOut, Rollouts, Sampled, distinct, judged, rewarded};
use crate::sft::SftTask;
use crate::task::{Example, Purpose, Rolled, Round, Task};

/// Prompts whose chosen answers are demonstrations.
pub struct ExpertIterationTask {
    pub rule: Rule,
    /// How the chosen answers are learned.
    pub learning: SftTask,
    /// Whether the data's own answers, the second sequence of each example, are learned beside the chosen ones.
    pub demonstrations: bool,
    /// Of the answer as a whole; a KL penalty is not read.
    pub shaping: Shaping,
    pub rollouts: Rollouts,
}

impl Task for ExpertIterationTask {
    fn roll_out(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<Option<Rolled>, TrainError> {
        let RolledOut { groups, mut metrics } = self.rollouts.sample(engine, round)?;
        let rewards: Vec<Vec<f64>> =
            groups.iter().map(|group| group.iter().map(|answer| answer.total(&self.shaping)).collect()).collect();
        metrics.extend(group::advantages(&rewards, Deviation::One).metrics);
        let rolled = groups.into_iter().zip(&rewards);
        if round.purpose == Purpose::Evaluation {
            let examples = rolled.map(|(group, rewards)| rewarded(group, rewards)).collect();
            return Ok(Some(Rolled { examples, metrics }));
        }
        let (groups, rewards): (Vec<Vec<Sampled>>, Vec<&Vec<f64>>) = rolled.unzip();
        metrics.push(distinct(&groups));
        let seen: Vec<Vec<Answer<'_>>> =
            groups.iter().zip(&rewards).map(|(group, rewards)| answers(group, rewards)).collect();
        let chosen = self.rule.choose(&seen);
        metrics.extend(figures(&groups, &rewards, &chosen));
        let mut examples = Vec::new();
        for ((group, rewards), chosen) in groups.into_iter().zip(rewards).zip(chosen) {
            if !chosen.is_empty() {
                let mut group: Vec<Option<Sampled>> = group.into_iter().map(Some).collect();
                let kept: Vec<Sampled> = chosen.iter().filter_map(|&answer| group[answer].take()).collect();
                let rewards: Vec<f64> = chosen.iter().map(|&answer| rewards[answer]).collect();
                examples.push(rewarded(kept, &rewards));
            }
        }
        if self.demonstrations {
            examples.extend(
                round.examples.iter().filter_map(|example| example.sequences.get(1).cloned()).map(Example::from),
            );
        }
        Ok(Some(Rolled { examples, metrics }))
    }

    fn rollouts(&mut self) -> Option<&mut Rollouts> {
        Some(&mut self.rollouts)
    }

    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError> {
        if want.gradients { self.learning.score(engine, examples, forest, want) } else { judged(examples) }
    }
}

fn answers<'a>(group: &'a [Sampled], rewards: &[f64]) -> Vec<Answer<'a>> {
    let answer = |(answer, &reward): (&'a Sampled, &f64)| Answer { text: &answer.text, reward, ended: answer.ended };
    group.iter().zip(rewards).map(answer).collect()
}

/// How much was chosen and what it is worth; 0 is said where it is nothing.
fn figures(groups: &[Vec<Sampled>], rewards: &[&Vec<f64>], chosen: &[Vec<usize>]) -> [Metric; 4] {
    let all: usize = groups.iter().map(Vec::len).sum();
    let prompts = chosen.iter().filter(|chosen| !chosen.is_empty()).count();
    let (mut count, mut reward, mut length) = (0.0, 0.0, 0.0);
    for (group, chosen) in chosen.iter().enumerate() {
        for &answer in chosen {
            count += 1.0;
            reward += rewards[group][answer];
            length += groups[group][answer].log_probs.len() as f64;
        }
    }
    [
        Metric::new("selected/share", Reduced::new(count, all as f64)),
        Metric::new("selected/prompts", Reduced::new(prompts as f64, groups.len() as f64)),
        Metric::new("selected/reward", Reduced::new(reward, count)),
        Metric::new("selected/mean_length", Reduced::new(length, count)),
    ]
}
