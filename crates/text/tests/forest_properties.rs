//! Forests of random sequences.

use camelid_text::{Encoded, Forest};
use proptest::prelude::*;

/// Few distinct tokens, so that prefixes are shared often.
fn sequence() -> impl Strategy<Value = Encoded> {
    prop::collection::vec((0u32..3, prop_oneof![Just(0.0f32), Just(1.0), Just(0.5)]), 0..12).prop_map(|tokens| {
        let (tokens, mut weights): (Vec<u32>, Vec<f32>) = tokens.into_iter().unzip();
        if let Some(first) = weights.first_mut() {
            *first = 0.0;
        }
        Encoded { tokens, weights, record: 0 }
    })
}

/// Whether some way from a run's end (or from a root) on reads `tokens`.
fn reads(forest: &Forest, parent: Option<u32>, tokens: &[u32]) -> bool {
    tokens.is_empty()
        || (0..forest.runs.len()).any(|index| {
            let run = &forest.runs[index];
            let run_tokens = &forest.tokens[run.row as usize..(run.row + run.len) as usize];
            let shared = run_tokens.len().min(tokens.len());
            run.parent == parent
                && run_tokens[..shared] == tokens[..shared]
                && reads(forest, Some(index as u32), &tokens[shared..])
        })
}

fn check(forest: &Forest, groups: &[Vec<Encoded>]) -> Result<(), TestCaseError> {
    prop_assert_eq!(forest.validate(), Ok(()));
    let sequences: Vec<&Encoded> = groups.iter().flatten().collect();
    prop_assert_eq!(forest.branches as usize, sequences.len());
    let dense: usize = sequences.iter().map(|sequence| sequence.tokens.len()).sum();
    prop_assert!(forest.tokens.len() <= dense);
    let learned: usize = sequences.iter().map(|sequence| sequence.trained()).sum();
    prop_assert_eq!(forest.targets.len(), learned);
    let positions = forest.positions();
    for (branch, sequence) in sequences.iter().enumerate() {
        prop_assert!(reads(forest, None, &sequence.tokens), "{sequence:?} is not in {forest:?}");
        let targets: Vec<_> = forest.targets.iter().filter(|target| target.branch as usize == branch).collect();
        let expected = (1..sequence.tokens.len()).filter(|&index| sequence.weights[index] != 0.0);
        for (target, index) in targets.iter().zip(expected) {
            prop_assert_eq!(positions[target.row as usize] as usize, index - 1);
            prop_assert_eq!((target.token, target.weight), (sequence.tokens[index], sequence.weights[index]));
            // The row's history is the sequence's: every ancestor row holds the token of its position.
            let mut run = forest.runs.iter().rposition(|run| run.row <= target.row);
            while let Some(index) = run {
                let run_at = &forest.runs[index];
                for row in run_at.row..(run_at.row + run_at.len).min(target.row + 1) {
                    let position = positions[row as usize] as usize;
                    prop_assert_eq!(forest.tokens[row as usize], sequence.tokens[position]);
                }
                run = run_at.parent.map(|parent| parent as usize);
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn sequences_come_back_from_a_forest(groups in prop::collection::vec(prop::collection::vec(sequence(), 0..6), 0..4)) {
        let references: Vec<Vec<&Encoded>> = groups.iter().map(|group| group.iter().collect()).collect();
        let slices: Vec<&[&Encoded]> = references.iter().map(Vec::as_slice).collect();
        let grouped = Forest::from_groups(&slices);
        check(&grouped, &groups)?;
        let all: Vec<&Encoded> = groups.iter().flatten().collect();
        let shared = Forest::from_sequences(&all);
        check(&shared, &groups)?;
        let dense = Forest::dense(&all);
        check(&dense, &groups)?;
        prop_assert_eq!(dense.stats(&all).saved_tokens(), 0);
        prop_assert!(shared.tokens.len() <= grouped.tokens.len() && grouped.tokens.len() <= dense.tokens.len());
        // Shared as far as can be: no two branches of a node begin with the same token.
        let mut starts: Vec<_> = shared.runs.iter().map(|run| (run.parent, shared.tokens[run.row as usize])).collect();
        starts.sort_unstable();
        starts.dedup();
        prop_assert_eq!(starts.len(), shared.runs.len());
    }
}
