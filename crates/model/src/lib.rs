//! Architectures as data, weights in and out, and one forward and one backward pass for all of them.
//!
//! [`load_model`] opens a checkpoint, [`Transformer`] puts it on a backend, and [`Engine`] is all that a training
//! method sees of it. [`Decoder`] runs the same blocks a token at a time.

mod arch;
mod arch_hf;
mod batch;
mod block;
mod construct;
mod decoder;
mod engine;
mod error;
mod flops;
mod initialise;
pub mod io;
mod linear;
mod norm;
mod output_projection;
mod rope_config;
mod rope_table;
mod tensor;
mod training;
mod transformer;
mod tuning;
mod value_head;
mod weights;

pub use arch::{ArchConfig, Biases, BlockNorm, LayerKind, Linear, Mlp, Naming, Norm, Rope, RopeScaling};
pub use camelid_kernels::KeySpan;
pub use decoder::{Decoder, Generate, Logits, Piece, Wanted};
pub use engine::{Cotangents, Engine, Scores, StateTensor, Update, Updated, Values, Want};
pub use error::ModelError;
pub use initialise::InitialWeights;
pub use io::{inspect_model, load_model};
pub use transformer::{Transformer, TransformerOptions};
pub use tuning::{LowRank, MomentType, Tuning, WeightType};
pub use weights::{LoadedModel, WeightSource};
