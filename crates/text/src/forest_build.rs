//! Building forests from sequences, and checking them.

use crate::{Encoded, Forest, Run, Target};

impl Forest {
    /// One tree for each distinct first token, with common prefixes computed once. Sequence `i` is branch `i`.
    ///
    /// Rows are in pre-order; a token of two sequences is shared only if all before it is. The last shared row predicts
    /// the next token of each sequence that goes on from it.
    pub fn from_sequences(sequences: &[&Encoded]) -> Self {
        let mut forest = Self { branches: sequences.len() as u32, ..Self::default() };
        let everyone: Vec<usize> = (0..sequences.len()).filter(|&i| !sequences[i].tokens.is_empty()).collect();
        forest.grow(sequences, &everyone, 0, None);
        // Stable: targets of one row stay in the order of their branches.
        forest.targets.sort_by_key(|target| target.row);
        forest
    }

    /// Each sequence a tree of its own, nothing shared.
    pub fn dense(sequences: &[&Encoded]) -> Self {
        let mut forest = Self { branches: sequences.len() as u32, ..Self::default() };
        for (branch, sequence) in sequences.iter().enumerate().filter(|(_, sequence)| !sequence.tokens.is_empty()) {
            let end = sequence.tokens.len();
            let row = forest.push_run(None, &sequence.tokens, 0);
            forest.push_targets(sequence, branch, 1..end, row);
        }
        forest
    }

    /// Adds the runs of these sequences from `depth` on; all agree on what comes before.
    fn grow(&mut self, sequences: &[&Encoded], members: &[usize], depth: usize, parent: Option<u32>) {
        let mut rest: Vec<usize> = members.iter().copied().filter(|&i| sequences[i].tokens.len() > depth).collect();
        while let Some(&first) = rest.first() {
            let token = sequences[first].tokens[depth];
            let (group, others): (Vec<usize>, Vec<usize>) =
                rest.into_iter().partition(|&i| sequences[i].tokens[depth] == token);
            rest = others;
            let shared = |end: usize| {
                let token = sequences[first].tokens.get(end);
                token.is_some() && group.iter().all(|&i| sequences[i].tokens.get(end) == token)
            };
            let end = (depth + 1..).find(|&end| !shared(end)).unwrap_or(depth + 1);
            let row = self.push_run(parent, &sequences[first].tokens[depth..end], depth);
            let run = self.runs.len() as u32 - 1;
            for &member in &group {
                // What the rows of this run predict: their own successors, and the first token after the run.
                let last = (end + 1).min(sequences[member].tokens.len());
                self.push_targets(sequences[member], member, depth + 1..last, row - depth as u32);
            }
            self.grow(sequences, &group, end, Some(run));
        }
    }

    /// Appends a run and returns its first row.
    fn push_run(&mut self, parent: Option<u32>, tokens: &[u32], depth: usize) -> u32 {
        let row = self.tokens.len() as u32;
        self.tokens.extend_from_slice(tokens);
        self.runs.push(Run { parent, row, len: tokens.len() as u32, position: depth as u32 });
        row
    }

    /// Targets for the tokens at `positions`; the row that predicts position `p` is `row_of_zero + p - 1`.
    fn push_targets(&mut self, sequence: &Encoded, branch: usize, positions: std::ops::Range<usize>, row_of_zero: u32) {
        for position in positions {
            let weight = sequence.weights[position];
            if weight != 0.0 {
                let row = row_of_zero + position as u32 - 1;
                self.targets.push(Target { row, token: sequence.tokens[position], branch: branch as u32, weight });
            }
        }
    }

    /// Depth of each row's token.
    pub fn positions(&self) -> Vec<u32> {
        self.runs.iter().flat_map(|run| run.position..run.position + run.len).collect()
    }

    /// Checks the invariants stated at [`Forest`]; the error says which run or target breaks one.
    pub fn validate(&self) -> Result<(), String> {
        let mut row = 0;
        for (index, run) in self.runs.iter().enumerate() {
            if run.row != row || run.len == 0 {
                return Err(format!("run {index} starts at row {} instead of {row} or is empty", run.row));
            }
            row += run.len;
            let expected = match run.parent {
                None => 0,
                Some(parent) if (parent as usize) < index => {
                    let parent = &self.runs[parent as usize];
                    parent.position + parent.len
                }
                Some(parent) => return Err(format!("run {index} comes before its parent {parent}")),
            };
            if run.position != expected {
                return Err(format!("run {index} is at position {} instead of {expected}", run.position));
            }
        }
        if row as usize != self.tokens.len() {
            return Err(format!("the runs cover {row} rows of {}", self.tokens.len()));
        }
        if let Some(pair) = self.targets.windows(2).find(|pair| pair[0].row > pair[1].row) {
            return Err(format!("the target of row {} comes before that of row {}", pair[0].row, pair[1].row));
        }
        match self.targets.iter().find(|target| target.row >= row || target.branch >= self.branches) {
            Some(target) => Err(format!("target {target:?} is beyond {row} rows or {} branches", self.branches)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequence(tokens: &[u32], weights: &[f32]) -> Encoded {
        Encoded { tokens: tokens.to_vec(), weights: weights.to_vec(), record: 0 }
    }

    #[test]
    fn a_pair_is_one_trunk_with_two_leaves() {
        let chosen = sequence(&[1, 2, 3, 4], &[0.0, 0.0, 1.0, 1.0]);
        let rejected = sequence(&[1, 2, 5], &[0.0, 0.0, 1.0]);
        let forest = Forest::from_sequences(&[&chosen, &rejected]);
        assert_eq!(forest.tokens, [1, 2, 3, 4, 5]);
        assert_eq!(forest.positions(), [0, 1, 2, 3, 2]);
        let target = |row, token, branch| Target { row, token, branch, weight: 1.0 };
        assert_eq!(forest.targets, [target(1, 3, 0), target(1, 5, 1), target(2, 4, 0)]);
    }

    /// Sequences over few tokens, so that prefixes are often shared.
    fn sequences() -> impl Strategy<Value = Vec<Encoded>> {
        let token = (0u32..3, prop_oneof![Just(0.0f32), Just(1.0), Just(0.5)]);
        let one = proptest::collection::vec(token, 1..12).prop_map(|pairs| {
            let (tokens, mut weights): (Vec<u32>, Vec<f32>) = pairs.into_iter().unzip();
            weights[0] = 0.0;
            Encoded { tokens, weights, record: 0 }
        });
        proptest::collection::vec(one, 1..8)
    }

    /// The predicting rows of a branch, walked from its root by its tokens.
    fn walk(forest: &Forest, tokens: &[u32]) -> Vec<usize> {
        let mut rows = Vec::new();
        let mut parent = None;
        while rows.len() < tokens.len() {
            let next = forest
                .runs
                .iter()
                .position(|run| run.parent == parent && forest.tokens[run.row as usize] == tokens[rows.len()]);
            let run = &forest.runs[next.expect("a run goes on with the sequence's next token")];
            rows.extend(run.row as usize..(run.row + run.len) as usize);
            parent = next.map(|index| index as u32);
        }
        rows
    }

    proptest! {
        #[test]
        fn every_sequence_can_be_walked_and_every_target_found(sequences in sequences()) {
            let borrowed: Vec<&Encoded> = sequences.iter().collect();
            let forest = Forest::from_sequences(&borrowed);
            prop_assert_eq!(forest.validate(), Ok(()));
            prop_assert!(forest.tokens.len() <= Forest::dense(&borrowed).tokens.len());
            for (branch, sequence) in sequences.iter().enumerate() {
                let rows = walk(&forest, &sequence.tokens);
                let expected: Vec<Target> = (1..sequence.tokens.len())
                    .filter(|&p| sequence.weights[p] != 0.0)
                    .map(|p| Target {
                        row: rows[p - 1] as u32,
                        token: sequence.tokens[p],
                        branch: branch as u32,
                        weight: sequence.weights[p],
                    })
                    .collect();
                let of_branch = forest.targets.iter().filter(|target| target.branch == branch as u32);
                let mut found: Vec<Target> = of_branch.copied().collect();
                found.sort_by_key(|target| rows.iter().position(|&row| row as u32 == target.row));
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn dense_forests_are_valid(sequences in sequences()) {
            let forest = Forest::dense(&sequences.iter().collect::<Vec<_>>());
            prop_assert_eq!(forest.validate(), Ok(()));
            let weights = sequences.iter().flat_map(|s| &s.weights).filter(|&&w| w != 0.0).count();
            prop_assert_eq!(forest.targets.len(), weights);
        }
    }
}
