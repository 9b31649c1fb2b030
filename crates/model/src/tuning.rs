//! What is trained.

use camelid_kernels::DType;

/// Which parameters change.
#[derive(Clone, Debug, PartialEq)]
pub enum Tuning {
    /// None: scoring and generation.
    Frozen,
    /// All.
    Full,
    /// All parameters of these layers, counted from 0.
    Layers(Vec<usize>),
    /// A low-rank adapter beside frozen weights.
    LowRank(LowRank),
}

/// What the optimiser's moments are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MomentType {
    #[default]
    F32,
    /// Half the memory; rounded at random so that small changes count in the mean.
    Bf16,
}

impl MomentType {
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::Bf16,
        }
    }
}

/// What the matrices of a frozen model are kept in: its linear layers and its output projection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightType {
    /// What products are computed in.
    #[default]
    Computed,
    /// Eight bits and a scale for each output and each [`camelid_kernels::INT8_GROUP`] inputs: a token at a time is
    /// generated as fast as weights are read, and these are about half of bf16.
    Int8,
}

/// A low-rank adapter, `y = W x + scale · B A x` (Hu 2021, arXiv 2106.09685, equation 3).
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    pub rank: usize,
    pub alpha: f32,
    /// Scale by `alpha / sqrt(rank)` instead of `alpha / rank` (Kalajdzievski 2023, arXiv 2312.03732).
    pub rslora: bool,
    /// Share of the adapter's input elements dropped in training.
    pub dropout: f32,
    /// `["all-linear"]`, or last parts of module names such as `q_proj`.
    pub targets: Vec<String>,
}

impl LowRank {
    /// The factor on `B A x`.
    pub fn scale(&self) -> f32 {
        let rank = self.rank as f32;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}
