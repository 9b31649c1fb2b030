//! From sequences to runs and targets.

use super::{Forest, Run, Target};
use crate::Encoded;

impl Forest {
    /// One branch a sequence, in their order; prefixes that sequences have in common are computed once.
    ///
    /// Sequences that do not even share their first token become separate trees.
    pub fn from_sequences(sequences: &[&Encoded]) -> Self {
        Self::from_groups(&[sequences])
    }

    /// Shares prefixes within each group but not across groups: the trees of a group follow one another, and a group
    /// of responses to one prompt is one tree. Branches are numbered through all groups.
    pub fn from_groups(groups: &[&[&Encoded]]) -> Self {
        let mut builder = Builder::default();
        for group in groups {
            builder.add_group(group);
        }
        builder.finish()
    }

    /// As [`Self::from_sequences`], without the rows that predict nothing: the last token of a sequence is scored but, unless
    /// another sequence goes on with it, never computed. What is scored is the same, bit for bit; there is nothing that a
    /// scalar head could read, so `ends` is empty. For answers of a token or two after a shared prompt this saves most of
    /// their rows.
    pub fn scored(sequences: &[&Encoded]) -> Self {
        let without_last = |sequence: &&Encoded| {
            let mut tokens = sequence.tokens.clone();
            tokens.pop();
            Encoded { tokens, ..Encoded::default() }
        };
        let computed: Vec<Encoded> = sequences.iter().map(without_last).collect();
        let mut builder = Builder::default();
        builder.add(&computed.iter().collect::<Vec<_>>(), sequences);
        Self { ends: Vec::new(), ..builder.finish() }
    }

    /// No sharing: each sequence is a root run of its own.
    pub fn dense(sequences: &[&Encoded]) -> Self {
        let mut builder = Builder::default();
        for sequence in sequences {
            builder.add_group(&[sequence]);
        }
        builder.finish()
    }
}

/// Sequences of a group that agree up to `depth` and continue run `parent`.
struct Pending {
    members: Vec<usize>,
    depth: usize,
    parent: Option<u32>,
}

#[derive(Default)]
struct Builder {
    forest: Forest,
    has_empty_branch: bool,
}

impl Builder {
    fn add_group(&mut self, group: &[&Encoded]) {
        self.add(group, group);
    }

    /// Rows for the tokens of `group`, targets for those of `scored`, which may have one token more each.
    fn add(&mut self, group: &[&Encoded], scored: &[&Encoded]) {
        let first_branch = self.forest.branches;
        self.forest.branches += group.len() as u32;
        // For each sequence of the group, the rows of its tokens.
        let mut rows: Vec<Vec<u32>> = group.iter().map(|sequence| Vec::with_capacity(sequence.tokens.len())).collect();
        // A stack, last child first, gives pre-order without recursion.
        let mut stack = vec![];
        push_children(&mut stack, group, (0..group.len()).collect(), 0, None);
        while let Some(Pending { members, depth, parent }) = stack.pop() {
            let end = shared_end(group, &members, depth);
            let row = self.forest.tokens.len() as u32;
            let len = (end - depth) as u32;
            let index = self.forest.runs.len() as u32;
            self.forest.tokens.extend_from_slice(&group[members[0]].tokens[depth..end]);
            self.forest.runs.push(Run { parent, row, len, position: depth as u32 });
            for &member in &members {
                rows[member].extend(row..row + len);
            }
            push_children(&mut stack, group, members, end, Some(index));
        }
        for (branch, (sequence, rows)) in scored.iter().zip(&rows).enumerate() {
            let branch = first_branch + branch as u32;
            // The first token has nothing before it that could predict it.
            let predicted = sequence.tokens.iter().zip(&sequence.weights).skip(1);
            let targets = rows.iter().zip(predicted).filter(|(_, (_, weight))| **weight != 0.0);
            let targets = targets.map(|(&row, (&token, &weight))| Target { row, token, branch, weight });
            self.forest.targets.extend(targets);
            match rows.last() {
                Some(&row) => self.forest.ends.push(row),
                None => self.has_empty_branch = true,
            }
        }
    }

    fn finish(mut self) -> Forest {
        self.forest.targets.sort_by_key(|target| (target.row, target.branch));
        if self.has_empty_branch {
            self.forest.ends.clear();
        }
        self.forest
    }
}

/// The depth up to which all members agree; at least one beyond `depth`, where they are known to.
fn shared_end(group: &[&Encoded], members: &[usize], depth: usize) -> usize {
    let first = &group[members[0]].tokens[depth..];
    let agreed = members[1..].iter().map(|&member| {
        let other = &group[member].tokens[depth..];
        first.iter().zip(other).take_while(|(a, b)| a == b).count()
    });
    depth + agreed.min().unwrap_or(first.len())
}

/// Groups members that go on beyond `depth` by their next token, in order of first appearance.
fn push_children(stack: &mut Vec<Pending>, group: &[&Encoded], members: Vec<usize>, depth: usize, parent: Option<u32>) {
    let mut children: Vec<(u32, Vec<usize>)> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for member in members {
        let Some(&next) = group[member].tokens.get(depth) else { continue };
        let child = *known.entry(next).or_insert_with(|| {
            children.push((next, Vec::new()));
            children.len() - 1
        });
        children[child].1.push(member);
    }
    stack.extend(children.into_iter().rev().map(|(_, members)| Pending { members, depth, parent }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(tokens: &[u32]) -> Encoded {
        let weights = (0..tokens.len()).map(|index| if index < 2 { 0.0 } else { 1.0 }).collect();
        Encoded { tokens: tokens.to_vec(), weights, record: 0 }
    }

    fn run(parent: Option<u32>, row: u32, len: u32, position: u32) -> Run {
        Run { parent, row, len, position }
    }

    #[test]
    fn the_last_shared_row_predicts_the_first_token_of_each_branch() {
        let (a, b) = (sequence(&[1, 2, 3, 4, 5]), sequence(&[1, 2, 3, 6]));
        let forest = Forest::from_sequences(&[&a, &b]);
        assert_eq!(forest.tokens, [1, 2, 3, 4, 5, 6]);
        assert_eq!(forest.runs, [run(None, 0, 3, 0), run(Some(0), 3, 2, 3), run(Some(0), 5, 1, 3)]);
        let targets: Vec<_> = forest.targets.iter().map(|t| (t.row, t.token, t.branch)).collect();
        assert_eq!(targets, [(1, 3, 0), (1, 3, 1), (2, 4, 0), (2, 6, 1), (3, 5, 0)]);
        assert_eq!(forest.positions(), [0, 1, 2, 3, 4, 3]);
        assert_eq!(forest.ends, [4, 5]);
        let stats = forest.stats(&[&a, &b]);
        assert_eq!((stats.saved_tokens(), stats.trees, stats.runs, stats.targets), (3, 1, 3, 5));
    }

    #[test]
    fn a_sequence_that_is_a_prefix_of_another_ends_where_the_other_goes_on() {
        let (a, b) = (sequence(&[1, 2]), sequence(&[1, 2, 3]));
        let forest = Forest::from_sequences(&[&a, &b]);
        assert_eq!(forest.runs, [run(None, 0, 2, 0), run(Some(0), 2, 1, 2)]);
        assert_eq!(forest.targets, [Target { row: 1, token: 3, branch: 1, weight: 1.0 }]);
        assert_eq!(forest.ends, [1, 2], "the shorter one ends inside the longer one's path");
    }

    #[test]
    fn groups_do_not_share_with_one_another() {
        let (a, b, c) = (sequence(&[1, 2, 3]), sequence(&[1, 2, 4]), sequence(&[1, 2, 3]));
        let forest = Forest::from_groups(&[&[&a, &b], &[&c]]);
        assert_eq!(forest.tokens, [1, 2, 3, 4, 1, 2, 3]);
        assert_eq!(forest.branches, 3);
        assert_eq!(Forest::dense(&[&a, &b, &c]).tokens, [1, 2, 3, 1, 2, 4, 1, 2, 3]);
    }

    #[test]
    fn scoring_leaves_out_the_rows_that_predict_nothing() {
        let (a, b, c) = (sequence(&[1, 2, 3]), sequence(&[1, 2, 4]), sequence(&[1, 2, 3, 5]));
        let forest = Forest::scored(&[&a, &b, &c]);
        assert_eq!(forest.tokens, [1, 2, 3], "3 is kept for the sequence that goes on with 5");
        let targets: Vec<_> = forest.targets.iter().map(|t| (t.row, t.token, t.branch)).collect();
        assert_eq!(targets, [(1, 3, 0), (1, 4, 1), (1, 3, 2), (2, 5, 2)]);
        assert_eq!((forest.branches, &forest.ends[..]), (3, &[][..]));
        assert_eq!(Forest::scored(&[&sequence(&[7])]).targets, []);
    }

    #[test]
    fn nothing_at_all_is_an_empty_forest() {
        let empty = sequence(&[]);
        assert_eq!(Forest::from_sequences(&[]), Forest::default());
        assert_eq!(Forest::from_sequences(&[&empty]).runs, []);
    }
}
