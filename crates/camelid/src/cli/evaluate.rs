//! Benchmarks.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{MachineArgs, ServerArgs, WeightArgs};

const EXAMPLES: &str = "\
Examples:
  camelid evaluate --list                                                       the tasks, and where their data comes from
  camelid evaluate smollm2-135m-instruct --tasks arc-easy,gsm8k --limit 200     a first impression
  camelid evaluate runs/quickstart --tasks mmlu --shots 5 --out evaluations/q   after tuning
  camelid evaluate runs/quickstart --tasks gsm8k --samples 16 --reward-model RM votes, pass@k and the best of 16
  camelid compare evaluations/base evaluations/q                                is the difference more than chance?";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct EvaluateArgs {
    /// A run directory, a model folder, an adapter folder, a .gguf file or a name; with --server, the name it goes by there
    #[arg(required_unless_present = "list")]
    pub(crate) model: Option<String>,
    /// Show the tasks with their axis, size and licence
    #[arg(long)]
    pub(crate) list: bool,
    /// Tasks to ask, by name, or paths of task files (.toml)
    #[arg(long, value_delimiter = ',', required_unless_present = "list", value_name = "TASK,...")]
    pub(crate) tasks: Vec<String>,
    /// Folder of the data; a task whose data is not there says how to get it
    #[arg(long, env = "CAMELID_DATA", default_value = "data", value_name = "DIRECTORY")]
    pub(crate) data: PathBuf,
    /// Folder to write: results.json, items/TASK.jsonl, answers/TASK.jsonl for tasks that need a judge, replies.jsonl to go on from
    #[arg(long, short, default_value = "evaluation", value_name = "DIRECTORY")]
    pub(crate) out: PathBuf,
    /// Ask at most this many items of each task, taken evenly from all of it
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Worked examples before each item; each task's own number when left out
    #[arg(long, value_name = "K")]
    pub(crate) shots: Option<usize>,
    /// Write prompts through the model's chat template
    #[arg(long, conflicts_with = "plain")]
    pub(crate) chat: bool,
    /// Write prompts as plain text
    #[arg(long)]
    pub(crate) plain: bool,
    /// In a chat: how worked examples are written
    #[arg(long, value_enum, default_value_t = ExemplarChoice::Turns)]
    pub(crate) exemplars: ExemplarChoice,
    /// Draws worked examples, where a task draws them
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Most tokens of one answer; each task's own number when left out
    #[arg(long)]
    pub(crate) max_tokens: Option<usize>,
    #[command(flatten)]
    pub(crate) remote: ServerArgs,
    /// Tokens of prompt and answer together at most; what the model was made for when left out
    #[arg(long)]
    pub(crate) context: Option<usize>,
    /// Answers computed together
    #[arg(long, default_value_t = 32)]
    pub(crate) batch: usize,
    /// Tokens scored together; what prompts have in common counts once
    #[arg(long, default_value_t = 8192)]
    pub(crate) batch_tokens: usize,
    /// Tokens of answers under way whose keys and values are kept: bounds the memory
    #[arg(long, default_value_t = 32768)]
    pub(crate) cache_tokens: usize,
    /// Of tasks whose answers are programs: the interpreter that runs them, in a sandbox
    #[arg(long, default_value = "python3", value_name = "COMMAND")]
    pub(crate) python: PathBuf,
    /// Run programs also where the sandbox lacks a layer that this machine does not offer; your files stay closed even then
    #[arg(long)]
    pub(crate) best_effort: bool,
    /// Start again: forget the replies and results in --out
    #[arg(long)]
    pub(crate) restart: bool,
    /// Print results.json instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) sample: SampleArgs,
    #[command(flatten)]
    pub(crate) weights: WeightArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// More than one answer to an item.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SampleArgs {
    /// Answers drawn for each item of tasks whose answers are read or run: they vote, and pass@k is told; other tasks are asked once
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<usize>,
    /// Of the samples; 0.7 when left out
    #[arg(long, requires = "samples", value_name = "T")]
    pub(crate) temperature: Option<f32>,
    /// Share of the probability that samples are drawn from; all of it when left out
    #[arg(long, requires = "samples", value_name = "P")]
    pub(crate) top_p: Option<f32>,
    /// A reward model that chooses among the samples and weighs their votes; several are combined by their mean
    #[arg(long, requires = "samples", value_name = "MODEL")]
    pub(crate) reward_model: Vec<String>,
    /// The reward model is one of steps: an answer is worth the probability that each of its lines is right
    #[arg(long, requires = "reward_model")]
    pub(crate) rate_steps: bool,
    /// Ask again with the answers so far as hints until two in a row agree, at most N times (progressive hints)
    #[arg(long, value_name = "N", conflicts_with = "samples")]
    pub(crate) hints: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExemplarChoice {
    /// Each as a question of the user and an answer of the assistant
    Turns,
    /// All in the one message that asks the question
    OneTurn,
}
