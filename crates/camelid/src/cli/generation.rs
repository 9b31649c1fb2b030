//! What draws answers or scores them: sampling, engines, servers.

use std::path::PathBuf;

use camelid_model::WeightType;
use camelid_records::Format;
use clap::{Args, ValueEnum};

use super::{MachineArgs, ServerArgs};

/// Decoding parameters shared by commands that sample.
#[derive(Args, Clone, Debug)]
pub(crate) struct SamplingArgs {
    /// Divides the logits; 0 takes the most likely token each time
    #[arg(long, default_value_t = 0.7)]
    pub(crate) temperature: f32,
    /// Sample among the K most likely tokens; 0 is off
    #[arg(long, default_value_t = 0)]
    pub(crate) top_k: usize,
    /// Sample among the most likely tokens that together reach this probability
    #[arg(long, default_value_t = 0.95)]
    pub(crate) top_p: f32,
    /// Sample among tokens at least this share as likely as the most likely one; 0 is off
    #[arg(long, default_value_t = 0.0)]
    pub(crate) min_p: f32,
    /// Sample among the tokens whose surprise is nearest to the entropy, up to this probability; 1 is off
    #[arg(long, default_value_t = 1.0)]
    pub(crate) typical_p: f32,
    /// Above 1, makes tokens already in the text less likely
    #[arg(long, default_value_t = 1.0)]
    pub(crate) repetition_penalty: f32,
    /// Taken from the logit of every token that the answer has already
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) presence_penalty: f32,
    /// Taken from a token's logit for each time that the answer has it already
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) frequency_penalty: f32,
    /// Most tokens of one answer
    #[arg(long, default_value_t = 512)]
    pub(crate) max_tokens: usize,
    /// The same seed gives the same answers
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

/// What a model that is not trained is kept in.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WeightArgs {
    /// What weights are kept in: as they are computed with, or as 8-bit numbers, which are read faster and round a little more
    #[arg(long, value_enum, default_value_t = WeightChoice::Computed)]
    pub(crate) weights: WeightChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WeightChoice {
    Computed,
    Int8,
}

impl From<WeightChoice> for WeightType {
    fn from(choice: WeightChoice) -> Self {
        match choice {
            WeightChoice::Computed => Self::Computed,
            WeightChoice::Int8 => Self::Int8,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct ChatArgs {
    /// A run directory, a model folder, an adapter folder, a .gguf file or a name
    pub(crate) model: String,
    /// System message
    #[arg(long)]
    pub(crate) system: Option<String>,
    /// Answer this one message and exit
    #[arg(long, short)]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    #[command(flatten)]
    pub(crate) weights: WeightArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// How much a generation engine takes on.
#[derive(Args, Clone, Debug)]
pub(crate) struct EngineArgs {
    /// Tokens of prompt and answer together at most
    #[arg(long, default_value_t = 2048)]
    pub(crate) context: usize,
    /// Tokens whose keys and values are kept: bounds the memory
    #[arg(long, default_value_t = 16384)]
    pub(crate) cache_tokens: usize,
    /// Samples computed together
    #[arg(long, default_value_t = 64)]
    pub(crate) batch: usize,
    /// Prompt tokens computed in one step, so that answers under way do not wait long
    #[arg(long, default_value_t = 512)]
    pub(crate) prompt_tokens: usize,
    /// Requests that may wait; more are turned away (429)
    #[arg(long, default_value_t = 256)]
    pub(crate) queue: usize,
}

/// Beam search instead of sampling.
#[derive(Args, Clone, Debug)]
pub(crate) struct BeamArgs {
    /// Search for the likeliest answers with this many beams instead of sampling; the best -n are written
    #[arg(long, conflicts_with_all = [
        "server", "concurrency", "queue", "temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty",
        "presence_penalty", "frequency_penalty", "seed",
    ])]
    pub(crate) beams: Option<usize>,
    /// Split the beams into groups that are kept apart (diverse beam search)
    #[arg(long, requires = "beams", default_value_t = 1)]
    pub(crate) beam_groups: usize,
    /// What a token costs, in nats, for each time that an earlier group goes on with it
    #[arg(long, requires = "beams", default_value_t = 0.0)]
    pub(crate) diversity_penalty: f32,
    /// Exponent of the length that log-probabilities are divided by: 0 compares sums; above 0, long answers gain
    #[arg(long, requires = "beams", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) length_penalty: f32,
    /// When to stop looking for better answers than those that have ended
    #[arg(long, requires = "beams", value_enum, default_value_t = EarlyStoppingChoice::Likely)]
    pub(crate) early_stopping: EarlyStoppingChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EarlyStoppingChoice {
    /// As soon as there are as many as beams
    Full,
    /// When no beam would be better if it ended here
    Likely,
    /// When no beam can become better
    Never,
}

#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// A run directory, a model folder, an adapter folder, a .gguf file or a name; with --server, the name it goes by there
    pub(crate) model: String,
    /// Prompts: JSONL, JSON, CSV or Parquet with `prompt` (a text or a list of messages), `messages`, `instruction` or `question`;
    /// of demonstrations and feedback, the prompts are taken. `camelid inspect data --prompts` shows what is read
    pub(crate) prompts: PathBuf,
    /// The file's format, where its columns do not tell: prompt, messages, instruction, question, pair, ...
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// A column that is called otherwise, such as prompt=query
    #[arg(long = "column", value_name = "FIELD=COLUMN", value_parser = column)]
    pub(crate) columns: Vec<(String, String)>,
    /// JSON lines to write: the prompt, its line, its answers with tokens and log-probabilities
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    /// Answers to each prompt
    #[arg(long, short = 'n', default_value_t = 1)]
    pub(crate) samples: usize,
    #[command(flatten)]
    pub(crate) remote: ServerArgs,
    /// Keep answers in this file and ask each question only once, whatever run asks it
    #[arg(long)]
    pub(crate) cache: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) beams: BeamArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) weights: WeightArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// `field=column`.
fn column(text: &str) -> Result<(String, String), String> {
    let (field, column) = text.split_once('=').ok_or("there is no `=`: write FIELD=COLUMN, such as prompt=query")?;
    Ok((field.trim().to_owned(), column.trim().to_owned()))
}

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// A run directory, a model folder, an adapter folder, a .gguf file or a name
    pub(crate) model: String,
    /// What clients call the model; its folder's name when left out
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Address to listen on; only this machine reaches the default
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: std::net::IpAddr,
    /// 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
    /// Ask clients for this key
    #[arg(long, env = "CAMELID_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Let clients replace the weights with a POST to `/admin/load_adapter` that names a path on this machine
    #[arg(long)]
    pub(crate) allow_weight_updates: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) weights: WeightArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args, Debug)]
#[command(override_usage = "camelid score [OPTIONS] <MODEL>... <FILE>")]
pub(crate) struct ScoreArgs {
    /// A run directory, a model folder, an adapter folder, a .gguf file or a name; then texts or conversations in any format that
    /// `run` reads. Several reward models, or a run that trained several, give one combined reward
    // One list, so that options may stand between its parts.
    #[arg(required = true, value_name = "MODEL AND FILE")]
    pub(crate) models_and_file: Vec<String>,
    /// Score at most this many records
    #[arg(long)]
    pub(crate) limit: Option<usize>,
    /// Cut records longer than this many tokens
    #[arg(long, default_value_t = 2048)]
    pub(crate) max_length: usize,
    /// How the rewards of several reward models become one; each is first brought to mean 0 and deviation 1 on its held-out
    /// responses [default: mean]
    #[arg(long, value_enum)]
    pub(crate) combine: Option<CombineChoice>,
    /// Of lower-bound: this many deviations between the models are taken from their mean [default: 0.5]
    #[arg(long)]
    pub(crate) penalty: Option<f64>,
    /// Score prompts too, not only what a model would be trained on
    #[arg(long)]
    pub(crate) all_tokens: bool,
    #[command(flatten)]
    pub(crate) weights: WeightArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CombineChoice {
    Mean,
    /// The worst case
    Minimum,
    /// The mean less a penalty for disagreement
    LowerBound,
}
