//! `camelid inspect run`: curves and figures of a run directory.

use std::path::Path;

use anyhow::Context;
use serde_json::Value as Json;

use super::watch::sparkline;

/// Curves that are shown, where the run has them.
const SHOWN: [&str; 16] = [
    "loss",
    "eval_loss",
    "mean_token_accuracy",
    "rewards/accuracies",
    "rewards/margins",
    "eval_rewards/accuracies",
    "accuracy",
    "eval_accuracy",
    "reward",
    "eval_reward",
    "selected/share",
    "selected/reward",
    "completions/mean_length",
    "grad_norm",
    "learning_rate",
    "tokens_per_second",
];

pub(crate) fn run(directory: &Path) -> anyhow::Result<()> {
    let path = directory.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("{} cannot be read\n  fix: name a run directory, such as runs/quickstart", path.display())
    })?;
    // The last line of a killed run may be cut.
    let lines: Vec<Json> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let column = |key: &str| -> Vec<f64> { lines.iter().filter_map(|line| line[key].as_f64()).collect() };
    // A step that chose nothing to learn from has no loss.
    let steps = column("learning_rate").len();
    println!("{}: {steps} steps", directory.display());
    for key in SHOWN {
        let values = column(key);
        if !values.is_empty() {
            println!("{key:<22} {}", sparkline(&values));
        }
    }
    let finished = directory.join("finished.json").is_file();
    println!("{}", if finished { "finished" } else { "not finished: the same recipe goes on where it stopped" });
    if let Ok(samples) = std::fs::read_to_string(directory.join("samples.jsonl")) {
        for sample in samples.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
            let field = |key: &str| sample[key].as_str().unwrap_or_default().trim().to_owned();
            println!("\n{} tuning: {}\n  {}", field("when"), field("prompt"), field("answer").replace('\n', "\n  "));
        }
    }
    Ok(())
}
