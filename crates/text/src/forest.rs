//! The batch: a list of trees of token runs.
//!
//! A run's tokens attend to their ancestors' runs and, causally, to themselves; a token's position is its depth. A
//! prompt with its chosen and rejected responses is a tree with two leaves, a conversation is a chain, a question bank
//! under shared exemplars is one trunk. Each token is computed once and nothing is padded.

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
}
