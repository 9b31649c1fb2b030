//! Rules by which expert iteration chooses what to imitate.
//!
//! **What it optimises.** The likelihood of the policy's own answers that were chosen, by supervised fine-tuning
//! ([`sft`](crate::sft)), in rounds of sampling, choosing and learning.
//!
//! **When to use it.** As the simplest way to learn from a reward: nothing can diverge, and nothing is learned from what is bad.
//! Losses that also learn from bad answers get further from the same samples ([`preference`](crate::preference)).
//!
//! **Formula.** Of the answers to a prompt that ended by themselves: [`Rule::Best`] takes those with the highest rewards
//! ([`best_of_n`]), [`Rule::Threshold`] those whose reward, from 0 to 1 over the whole round, is above the threshold
//! ([`threshold`]), [`Rule::Right`] one of each way of calculating among those that are right ([`distinct_paths`]). The worst of a
//! prompt's answers is never its best, and where all rewards of the round are the same none is above the threshold: then
//! nothing is chosen.
//!
//! **Source.** `Best`: RAFT, Dong 2023 (arXiv 2304.06767), and `AlpacaFarm`'s expert iteration, Dubois 2023 (arXiv
//! 2305.14387); `Threshold`: `ReST`, Gulcehre 2023 (arXiv 2308.08998); `Right`: RFT, Yuan 2023 (arXiv 2308.01825).
//!
//! **Reference numbers.** `AlpacaFarm`: the best of 16; `ReST`: a threshold of 0.7; RFT: 100 samples a problem.

use super::{best_of_n, distinct_paths, threshold};

/// Which answers are imitated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// At most so many to each prompt, those with the highest rewards, if they are better than its worst.
    Best { keep: usize },
    /// Those above this share of the way from the round's lowest reward to its highest.
    Threshold { above: f64 },
    /// Those whose reward is at least this and whose equations hold, one for each list of equations.
    Right { from: f64 },
}

/// An answer as rules see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer<'a> {
    pub text: &'a str,
    pub reward: f64,
    /// Whether it ended by itself; one that was cut would teach never to end.
    pub ended: bool,
}

impl Rule {
    /// Indices of what is chosen among the answers to each prompt of a round.
    pub fn choose(self, groups: &[Vec<Answer<'_>>]) -> Vec<Vec<usize>> {
        match self {
            Self::Best { keep } => groups.iter().map(|group| best(group, keep)).collect(),
            Self::Threshold { above } => over_threshold(groups, above),
            Self::Right { from } => groups.iter().map(|group| right(group, from)).collect(),
        }
    }
}

fn best(group: &[Answer<'_>], keep: usize) -> Vec<usize> {
    let worst = group.iter().map(|answer| answer.reward).fold(f64::INFINITY, f64::min);
    let stands_out = |answer: &Answer<'_>| answer.ended && answer.reward > worst;
    let rewards: Vec<f64> =
        group.iter().map(|answer| if stands_out(answer) { answer.reward } else { f64::NAN }).collect();
    best_of_n::top(&rewards, keep)
}

fn over_threshold(groups: &[Vec<Answer<'_>>], above: f64) -> Vec<Vec<usize>> {
    let rewards: Vec<f64> = groups.iter().flatten().map(|answer| answer.reward).collect();
    let mut chosen = vec![Vec::new(); groups.len()];
    if all_the_same(rewards.iter().copied()) {
        return chosen;
    }
    let places: Vec<(usize, usize)> =
        groups.iter().enumerate().flat_map(|(group, answers)| (0..answers.len()).map(move |i| (group, i))).collect();
    for sample in threshold::keep(&rewards, above) {
        let (group, answer) = places[sample];
        if groups[group][answer].ended {
            chosen[group].push(answer);
        }
    }
    chosen
}

fn right(group: &[Answer<'_>], from: f64) -> Vec<usize> {
    let right: Vec<usize> =
        (0..group.len()).filter(|&answer| group[answer].ended && group[answer].reward >= from).collect();
    let solutions: Vec<&str> = right.iter().map(|&answer| group[answer].text).collect();
    distinct_paths::distinct(&solutions).into_iter().map(|place| right[place]).collect()
}

fn all_the_same(mut rewards: impl Iterator<Item = f64>) -> bool {
    rewards.next().is_none_or(|first| rewards.all(|reward| reward == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(rewards: &[f64]) -> Vec<Answer<'static>> {
        rewards.iter().map(|&reward| Answer { text: "", reward, ended: true }).collect()
    }

    #[test]
    fn the_best_of_each_prompt() {
        let mut groups = vec![answers(&[1.0, 3.0, 2.0]), answers(&[-5.0, -6.0]), answers(&[])];
        assert_eq!(Rule::Best { keep: 1 }.choose(&groups), [vec![1], vec![0], vec![]]);
        assert_eq!(Rule::Best { keep: 2 }.choose(&groups), [vec![1, 2], vec![0], vec![]]);
        groups[0][1].ended = false;
        assert_eq!(Rule::Best { keep: 1 }.choose(&groups)[0], [2]);
        // The only one that ended, but no better than those that did not.
        groups[1][0].ended = false;
        assert_eq!(Rule::Best { keep: 1 }.choose(&groups)[1], [0; 0]);
        // Nothing is better than what it equals, be it right or wrong.
        assert_eq!(Rule::Best { keep: 1 }.choose(&[answers(&[0.0, 0.0]), answers(&[1.0, 1.0])]), [vec![], vec![]]);
    }

    #[test]
    fn the_threshold_is_of_the_round() {
        // From -2 to 2: 0.75 and 1 are above 0.7, in whichever group they are.
        let mut groups = vec![answers(&[-2.0, 1.0]), answers(&[0.5, 0.0]), answers(&[2.0])];
        assert_eq!(Rule::Threshold { above: 0.7 }.choose(&groups), [vec![1], vec![], vec![0]]);
        groups[2][0].ended = false;
        assert_eq!(Rule::Threshold { above: 0.7 }.choose(&groups), [vec![1], vec![], vec![]]);
        // Normalised, equal rewards would all be 1.
        assert_eq!(Rule::Threshold { above: 0.7 }.choose(&[answers(&[4.0]), answers(&[4.0])]), [vec![], vec![]]);
        assert!(Rule::Threshold { above: 0.7 }.choose(&[]).is_empty());
    }

    #[test]
    fn right_answers_that_calculate_differently() {
        let text = |text, reward| Answer { text, reward, ended: true };
        let group = vec![
            text("<<1+2=3>> 3", 1.0),
            text("4", 0.0),
            text("<<2+1=3>> 3", 1.0),
            text("<<1+1=3>> 3", 1.0),
            text("So <<1+2=3>> it is 3", 1.0),
            Answer { text: "<<4-1=3>> 3", reward: 1.0, ended: false },
        ];
        assert_eq!(Rule::Right { from: 1.0 }.choose(&[group, answers(&[0.0])]), [vec![4, 2], vec![]]);
    }
}
