//! Who sees whom: the shape of a forest as attention needs it.

/// A run of consecutive query rows that see the same earlier keys, and each other causally.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRun {
    /// First row of the run in the query matrix.
    pub row: u32,
    pub len: u32,
    /// Position (depth in the tree) of the run's first token; the others follow.
    pub position: u32,
    /// Keys that every query of the run sees (its ancestors' runs), in ascending position.
    pub context: Vec<KeySpan>,
    /// First row of the run's own keys in the key matrix; query `i` of the run sees own keys `0 ..= i`.
    pub own_key_row: u32,
}

/// Consecutive rows of the key matrix at consecutive positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpan {
    pub row: u32,
    pub len: u32,
    /// Position of the span's first key.
    pub position: u32,
}

/// A batch of runs. In training the key rows are the query rows; in decoding the keys live in a cache.
///
/// Invariant: runs are disjoint in query rows, ascending, and a run's context holds only positions below its own.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AttentionLayout {
    pub runs: Vec<QueryRun>,
    pub query_rows: u32,
    pub key_rows: u32,
}
