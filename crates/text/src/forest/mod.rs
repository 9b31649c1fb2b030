//! The batch: a list of trees of token runs.
//!
//! A run's tokens attend to their ancestors' runs and, causally, to themselves; a token's position is its depth. A
//! prompt with its chosen and rejected responses is a tree with two leaves, a conversation is a chain, a question bank
//! under shared exemplars is one trunk. Each token is computed once and nothing is padded.
//!
//! ```text
//! sequence 0:  a b c d e          run 0: a b c      (root, positions 0-2)
//! sequence 1:  a b c f      =>    run 1:   d e      (parent 0, positions 3-4)
//!                                 run 2:   f        (parent 0, position 3)
//! ```
//!
//! Row 2, the last of run 0, predicts `d` for branch 0 and `f` for branch 1: two targets on one row.

mod build;
mod validate;

use crate::Encoded;

/// Consecutive tokens of one tree that share one history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index of the run this one continues; always smaller than its own. `None` at a root.
    pub parent: Option<u32>,
    /// First row of the run in the flat `[tokens, width]` matrices.
    pub row: u32,
    pub len: u32,
    /// Depth of its first token: 0 at a root, else the parent's `position + len`.
    pub position: u32,
}

/// One thing to be predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Row whose hidden state predicts.
    pub row: u32,
    /// Token predicted.
    pub token: u32,
    /// Which response (or record) of the batch it belongs to: sums per branch are sequence log-probabilities.
    pub branch: u32,
    pub weight: f32,
}

/// A batch. Runs are in pre-order and tile the rows; targets are ascending in `row`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forest {
    pub tokens: Vec<u32>,
    pub runs: Vec<Run>,
    pub targets: Vec<Target>,
    /// Number of branches; `Target::branch` is below it.
    pub branches: u32,
    /// The row of each branch's last token, where a scalar head reads it. As many as branches; an empty branch has none
    /// and makes the list empty.
    pub ends: Vec<u32>,
}

/// What sharing prefixes saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForestStats {
    /// Rows computed.
    pub tokens: usize,
    /// Rows the same sequences would take without sharing.
    pub dense_tokens: usize,
    pub trees: usize,
    pub runs: usize,
    pub targets: usize,
}

impl ForestStats {
    /// Rows saved by computing shared prefixes once.
    pub fn saved_tokens(&self) -> usize {
        self.dense_tokens.saturating_sub(self.tokens)
    }
}

impl Forest {
    /// The same rows with nothing to be predicted: for a scalar head, which reads ends only.
    #[must_use]
    pub fn without_targets(self) -> Self {
        Self { targets: Vec::new(), ..self }
    }

    /// The position of each row: its depth in its tree.
    pub fn positions(&self) -> Vec<u32> {
        self.runs.iter().flat_map(|run| run.position..run.position + run.len).collect()
    }

    /// Counts; `sequences` are those the forest was built from.
    pub fn stats(&self, sequences: &[&Encoded]) -> ForestStats {
        ForestStats {
            tokens: self.tokens.len(),
            dense_tokens: sequences.iter().map(|sequence| sequence.tokens.len()).sum(),
            trees: self.runs.iter().filter(|run| run.parent.is_none()).count(),
            runs: self.runs.len(),
            targets: self.targets.len(),
        }
    }
}
