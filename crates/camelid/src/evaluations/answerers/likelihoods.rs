//! Log-likelihoods of many sequences that share their beginnings.
//!
//! Sequences are sorted by their tokens and cut into batches of as many different rows as fit: what the exemplars of a task have in
//! common is then computed once a batch, not once a choice, and a question once for all its choices.

use camelid_eval::task::Likelihood;
use camelid_model::{Engine, ModelError, Want};
use camelid_text::{Encoded, Forest};

/// Tokens of which the last `scored` are to be scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) tokens: Vec<u32>,
    pub(super) scored: usize,
}

/// Scores all sequences; `done` gets each one's place and likelihood batch by batch.
pub(super) fn score(
    engine: &mut impl Engine,
    sequences: &[Sequence],
    rows_at_once: usize,
    done: &mut dyn FnMut(usize, Likelihood),
) -> Result<(), ModelError> {
    for batch in batches(sequences, rows_at_once) {
        let encoded: Vec<Encoded> = batch.iter().map(|&place| encoded(&sequences[place])).collect();
        let forest = Forest::scored(&encoded.iter().collect::<Vec<_>>());
        let scores = engine.forward(&forest, Want::default())?;
        let mut likelihoods = vec![Likelihood { log_prob: 0.0, tokens: 0, greedy: Some(true) }; batch.len()];
        for ((target, log_prob), hit) in forest.targets.iter().zip(&scores.log_probs).zip(&scores.hits) {
            let likelihood = &mut likelihoods[target.branch as usize];
            likelihood.log_prob += f64::from(*log_prob);
            likelihood.tokens += 1;
            likelihood.greedy = likelihood.greedy.map(|greedy| greedy && *hit);
        }
        for (place, likelihood) in batch.into_iter().zip(likelihoods) {
            done(place, likelihood);
        }
    }
    Ok(())
}

fn encoded(sequence: &Sequence) -> Encoded {
    let first = sequence.tokens.len() - sequence.scored.min(sequence.tokens.len());
    let weights = (0..sequence.tokens.len()).map(|place| if place < first { 0.0 } else { 1.0 }).collect();
    Encoded { tokens: sequence.tokens.clone(), weights, record: 0 }
}

/// Places of the sequences, neighbours sharing what they can, in batches of at most so many rows, or of one sequence.
fn batches(sequences: &[Sequence], rows_at_once: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by(|&one, &other| sequences[one].tokens.cmp(&sequences[other].tokens));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut rows = 0;
    for place in order {
        let tokens = &sequences[place].tokens;
        let shared = batches.last().and_then(|batch| batch.last()).map_or(0, |&before| {
            sequences[before].tokens.iter().zip(tokens).take_while(|(one, other)| one == other).count()
        });
        match batches.last_mut() {
            Some(batch) if rows + tokens.len() - shared <= rows_at_once => {
                rows += tokens.len() - shared;
                batch.push(place);
            }
            _ => {
                rows = tokens.len();
                batches.push(vec![place]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(tokens: &[u32]) -> Sequence {
        Sequence { tokens: tokens.to_vec(), scored: 1 }
    }

    #[test]
    fn what_is_shared_counts_once_a_batch() {
        let sequences = [sequence(&[1, 2, 3, 9]), sequence(&[5, 6]), sequence(&[1, 2, 3, 4]), sequence(&[1, 2, 7, 8])];
        assert_eq!(batches(&sequences, 7), [vec![2, 0, 3], vec![1]]);
        assert_eq!(batches(&sequences, 6), [vec![2, 0], vec![3, 1]]);
        assert_eq!(batches(&sequences, 1), [vec![2], vec![0], vec![3], vec![1]]);
    }

    #[test]
    fn only_what_was_asked_for_is_scored() {
        assert_eq!(encoded(&Sequence { tokens: vec![1, 2, 3], scored: 2 }).weights, [0.0, 1.0, 1.0]);
    }
}
