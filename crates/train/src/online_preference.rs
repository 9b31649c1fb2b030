//! Preference optimisation on the policy's own answers: each round they are drawn, ranked by their reward, and learned from as
//! pairs are (online or iterative DPO, Guo 2024, arXiv 2402.04792; Xiong 2024, arXiv 2312.11456).
//!
//! With [`Sampler::Rejection`] and an RSO loss it is RSO (Liu 2023, arXiv 2309.06657): pairs of answers that are distributed
//! as those of the optimal policy.

use camelid_model::{Engine, Update, Want};
use camelid_objectives::preference::Method;
use camelid_objectives::reinforcement::group::{self, Deviation};
use camelid_objectives::reinforcement::shaping::Shaping;
use camelid_objectives::selection::{ranked, statistical_rejection};
use camelid_objectives::{Metric, Outcome, Reduced};
use camelid_records::PairChoice;
use camelid_text::Forest;

use crate::TrainError;
use crate::order::{below, stream, uniform};
use crate::preference::PreferenceTask;
use crate::rollout::{RolledOut, Rollouts, Sampled, distinct, judged, rewarded};
use crate::task::{Example, Label, Purpose, Ranking, Rolled, Round, Task};

/// Which of a prompt's answers go on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// All, as the policy gave them.
    Policy,
    /// Those that statistical rejection sampling accepts, so many at most.
    Rejection { beta: f64, keep: usize },
}

/// Which answers are compared. Equal rewards never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    Choice(PairChoice),
    /// The first with the second, the third with the fourth: the first round of a tournament, which RSO compares.
    FirstRound,
}

/// Prompts whose answers are ranked by reward.
pub struct OnlinePreferenceTask {
    pub preference: PreferenceTask,
    pub sampler: Sampler,
    pub pairing: Pairing,
    pub seed: u64,
    /// Of the answer as a whole; a KL penalty is not read.
    pub shaping: Shaping,
    pub rollouts: Rollouts,
}

impl OnlinePreferenceTask {
    /// The answers to one prompt that are compared, best first; `None` where no two differ in reward. `label` names its random
    /// stream.
    fn ranked(
        &self,
        group: Vec<Sampled>,
        rewards: &[f64],
        label: &str,
        accepted_of_tried: &mut Reduced,
    ) -> Option<Example> {
        let mut random = stream(self.seed, label);
        let candidates: Vec<usize> = match self.sampler {
            Sampler::Policy => (0..rewards.len()).collect(),
            Sampler::Rejection { beta, keep } => {
                let accepted = statistical_rejection::sample(rewards, beta, keep, || uniform(&mut random));
                *accepted_of_tried += Reduced::new(accepted.chosen.len() as f64, accepted.tried as f64);
                accepted.chosen
            }
        };
        let scores: Vec<f64> = candidates.iter().map(|&answer| rewards[answer]).collect();
        let order = ranked(&scores);
        let pairs = match self.pairing {
            Pairing::Choice(choice) => {
                let ranks: Vec<u32> = order.iter().map(|(_, rank)| *rank).collect();
                choice.pairs(&ranks, &mut |count| below(&mut random, count))
            }
            Pairing::FirstRound => first_round(&order),
        };
        if pairs.is_empty() {
            return None;
        }
        // What is in no pair would be computed for nothing, unless the loss reads the whole list.
        let reads_all = matches!(self.preference.method, Method::List(_));
        let used: Vec<usize> = (0..order.len())
            .filter(|place| reads_all || pairs.iter().any(|&(better, worse)| better == *place || worse == *place))
            .collect();
        let place_of = |place: usize| used.iter().position(|&other| other == place);
        let pairs =
            pairs.into_iter().filter_map(|(better, worse)| Some((place_of(better)?, place_of(worse)?))).collect();
        let mut group: Vec<Option<Sampled>> = group.into_iter().map(Some).collect();
        let answers: Vec<usize> = used.iter().map(|&place| candidates[order[place].0]).collect();
        let sequences =
            answers.iter().filter_map(|&answer| group[answer].take()).map(|answer| answer.sequence).collect();
        let scores = answers.iter().map(|&answer| Some(rewards[answer])).collect();
        let label = Label::Ranked(Ranking { pairs, scores, ..Ranking::default() });
        Some(Example { sequences, label })
    }
}

/// Neighbours before the ranking, as places in it, the better first.
fn first_round(order: &[(usize, u32)]) -> Vec<(usize, usize)> {
    let mut places = vec![0; order.len()];
    for (place, &(candidate, _)) in order.iter().enumerate() {
        places[candidate] = place;
    }
    let pair = |pair: &[usize]| (pair[0].min(pair[1]), pair[0].max(pair[1]));
    let pairs = places.chunks_exact(2).map(pair);
    pairs.filter(|&(better, worse)| order[better].1 < order[worse].1).collect()
}

impl Task for OnlinePreferenceTask {
    fn roll_out(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<Option<Rolled>, TrainError> {
        let RolledOut { groups, mut metrics } = self.rollouts.sample(engine, round)?;
        let rewards: Vec<Vec<f64>> =
            groups.iter().map(|group| group.iter().map(|answer| answer.total(&self.shaping)).collect()).collect();
        metrics.extend(group::advantages(&rewards, Deviation::One).metrics);
        if round.purpose == Purpose::Evaluation {
            let examples = groups.into_iter().zip(&rewards).map(|(group, rewards)| rewarded(group, rewards)).collect();
            return Ok(Some(Rolled { examples, metrics }));
        }
        metrics.push(distinct(&groups));
        let (prompts, mut accepted) = (groups.len() as f64, Reduced::default());
        let mut examples: Vec<Example> = Vec::new();
        for (place, (group, rewards)) in groups.into_iter().zip(&rewards).enumerate() {
            let label = format!("pairs of prompt {place} of step {}", round.step);
            examples.extend(self.ranked(group, rewards, &label, &mut accepted));
        }
        if self.preference.method.uses_reference() {
            let sums =
                self.preference.reference.sums(engine, &examples.iter().collect::<Vec<_>>(), round.token_budget)?;
            for (example, sums) in examples.iter_mut().zip(sums) {
                let Label::Ranked(ranking) = &mut example.label else { continue };
                ranking.reference = sums;
            }
        }
        let pairs: usize = examples.iter().map(pairs).sum();
        metrics.push(Metric::new("pairs/per_prompt", Reduced::new(pairs as f64, prompts)));
        metrics.push(Metric::new("pairs/prompts_without", Reduced::new(prompts - examples.len() as f64, prompts)));
        metrics.push(Metric::new("sampler/accepted", accepted));
        Ok(Some(Rolled { examples, metrics }))
    }

    fn rollouts(&mut self) -> Option<&mut Rollouts> {
        Some(&mut self.rollouts)
    }

    fn update(&mut self, update: &Update) -> Result<(), TrainError> {
        self.preference.update(update)
    }

    fn stepped(&mut self, engine: &mut dyn Engine, step: u64) -> Result<(), TrainError> {
        self.preference.stepped(engine, step)
    }

    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError> {
        match examples.first().map(|example| &example.label) {
            Some(Label::Sampled(_)) => judged(examples),
            _ => self.preference.score(engine, examples, forest, want),
        }
    }
}

fn pairs(example: &Example) -> usize {
    match &example.label {
        Label::Ranked(ranking) => ranking.pairs.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_round_compares_neighbours_that_differ() {
        // Neighbours: 1 and 3, 2 and 2, 0 and 5; the last has none.
        let order = ranked(&[1.0, 3.0, 2.0, 2.0, 0.0, 5.0, 9.0]);
        let candidate = |place: usize| order[place].0;
        let pairs = first_round(&order);
        assert_eq!(
            pairs.iter().map(|&(better, worse)| (candidate(better), candidate(worse))).collect::<Vec<_>>(),
            [(1, 0), (5, 4)]
        );
    }
}
