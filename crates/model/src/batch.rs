//! A forest on the device: what every layer needs to know about the batch, uploaded once.

use camelid_kernels::{AttentionLayout, Backend, KeySpan, QueryRun};
use camelid_text::Forest;

/// Rows, positions and visibility of a batch.
pub(crate) struct Batch<B: Backend> {
    pub(crate) rows: usize,
    pub(crate) ids: B::Buffer,
    pub(crate) positions: B::Buffer,
    pub(crate) attention: B::AttentionPlan,
    /// Visible (query, key) pairs, for counting operations.
    pub(crate) targets: Targets<B>,
    /// Row indices that split fused projections, when the architecture has them.
    pub(crate) fused: Option<[B::Buffer; 3]>,
}

/// The rows that predict something, and what.
pub(crate) struct Targets<B: Backend> {
    pub(crate) count: usize,
    /// Distinct predicting rows.
    pub(crate) rows: usize,
    pub(crate) row_indices: B::Buffer,
    /// For each target, its row's place among the distinct rows.
    pub(crate) local_rows: B::Buffer,
    pub(crate) tokens: B::Buffer,
}

impl<B: Backend> Batch<B> {
    /// `fused_heads` is the number of heads whose q, k and v come from one matrix.
    pub(crate) fn new(backend: &B, forest: &Forest, fused_heads: Option<usize>) -> Self {
        let rows = forest.tokens.len();
        Self {
            rows,
            ids: backend.upload_u32(&forest.tokens),
            positions: backend.upload_u32(&forest.positions()),
            attention: backend.plan_attention(&layout(forest)),
            targets: Targets::new(backend, forest),
            fused: fused_heads.map(|heads| fused_rows(backend, rows, heads)),
        }
    }
}

impl<B: Backend> Targets<B> {
    fn new(backend: &B, forest: &Forest) -> Self {
        let mut distinct: Vec<u32> = Vec::new();
        let mut local = Vec::with_capacity(forest.targets.len());
        for target in &forest.targets {
            if distinct.last() != Some(&target.row) {
                distinct.push(target.row);
            }
            local.push(distinct.len() as u32 - 1);
        }
        let tokens: Vec<u32> = forest.targets.iter().map(|target| target.token).collect();
        Self {
            count: forest.targets.len(),
            rows: distinct.len(),
            row_indices: backend.upload_u32(&distinct),
            local_rows: backend.upload_u32(&local),
            tokens: backend.upload_u32(&tokens),
        }
    }
}

/// Who sees whom: a run sees its ancestors and, causally, itself.
pub(crate) fn layout(forest: &Forest) -> AttentionLayout {
    let runs = forest.runs.iter().map(|run| {
        let mut context = Vec::new();
        let mut ancestor = run.parent;
        while let Some(index) = ancestor {
            let parent = &forest.runs[index as usize];
            context.push(KeySpan { row: parent.row, len: parent.len, position: parent.position });
            ancestor = parent.parent;
        }
        context.reverse();
        QueryRun { row: run.row, len: run.len, position: run.position, context, own_key_row: run.row }
    });
    let rows = forest.tokens.len() as u32;
    AttentionLayout { runs: runs.collect(), query_rows: rows, key_rows: rows }
}

/// Of a `[rows, heads, 3]` list of head vectors, which are q, which k and which v.
pub(crate) fn fused_rows<B: Backend>(backend: &B, rows: usize, heads: usize) -> [B::Buffer; 3] {
    [0, 1, 2].map(|part| {
        let indices: Vec<u32> = (0..rows * heads).map(|head| (head * 3 + part) as u32).collect();
        backend.upload_u32(&indices)
    })
}
