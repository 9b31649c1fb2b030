//! Floating-point operations of a pass: two for each multiply-add, matrix products only.

use camelid_kernels::Backend;
use camelid_text::Forest;

use crate::transformer::Transformer;
use crate::tuning::Tuning;

/// Forward, and with `gradients` the backward over what is trained. Work done twice to save memory is not counted.
pub(crate) fn count<B: Backend>(model: &Transformer<B>, forest: &Forest, gradients: bool) -> f64 {
    let arch = &model.arch;
    let rows = forest.tokens.len() as f64;
    let mut predicting: Vec<u32> = forest.targets.iter().map(|target| target.row).collect();
    predicting.dedup();
    let head = (predicting.len() * arch.hidden * arch.vocabulary) as f64;
    let mut forward = 2.0 * head;
    // The gradient of the head's input; of its weight only in full tuning.
    let mut backward = 2.0 * head * if model.tuning == Tuning::Full { 2.0 } else { 1.0 };
    for (layer, block) in model.blocks.iter().enumerate() {
        let pairs = visible_pairs(forest, arch.layers[layer].window);
        let attention = 4.0 * pairs * (arch.heads * arch.head_dim) as f64;
        forward += attention;
        backward += 2.0 * attention;
        for (_, linear) in &block.linears {
            let product = 2.0 * rows * (linear.out * linear.input) as f64;
            forward += product;
            backward += product * if linear.weight.trained().is_some() { 2.0 } else { 1.0 };
            if let Some(adapter) = &linear.adapter {
                let product = 2.0 * rows * (adapter.rank * (linear.out + linear.input)) as f64;
                forward += product;
                backward += 2.0 * product;
            }
        }
    }
    if gradients && model.tuning != Tuning::Frozen { forward + backward } else { forward }
}

/// Number of (query, key) pairs that see each other.
fn visible_pairs(forest: &Forest, window: Option<u32>) -> f64 {
    let of_position = |position: u32| f64::from((position + 1).min(window.unwrap_or(u32::MAX)));
    forest.runs.iter().flat_map(|run| run.position..run.position + run.len).map(of_position).sum()
}
