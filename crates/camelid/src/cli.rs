//! The command line, as typed. What a flag means is in its help text; what it does is in `commands`.

use std::path::PathBuf;

use camelid_model::WeightType;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::recipe::MomentSpec;

const EXAMPLES: &str = "\
Examples:
  camelid run recipes/quickstart.toml                 tune SmolLM2-135M on a small sample, about five minutes
  camelid plan recipes/quickstart.toml                what that would do, without loading a weight
  camelid run my.toml --set stage.learning_rate=2e-4  the same recipe with one value changed
  camelid inspect batch my.toml                       what is trained and what is not, in colour
  camelid chat runs/quickstart                        talk to the result";

/// Turn a pre-trained language model into one that follows instructions, and prove that it does.
#[derive(Debug, Parser)]
#[command(name = "camelid", version, after_help = EXAMPLES, max_term_width = 110, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a recipe: every stage, from data to a model that loads elsewhere
    ///
    /// Everything lands in the run directory (runs/NAME). Run the same recipe again to go on where it stopped, also
    /// after Ctrl-C or a power cut: the result is the same, bit for bit. A run that was stopped exits with code 130. Send SIGUSR1 to get a checkpoint now.
    Run(RunArgs),
    /// Run variants of recipes over seeds and report them together
    ///
    /// Writes report.html, sweep.json, points.csv and table.csv into runs/NAME. Run it again to go on where it stopped: what is finished
    /// is not run again. A run that fails is reported and the others go on.
    Sweep(SweepArgs),
    /// Show what a recipe would do: resolved values, epochs, tokens, memory, time. Loads no weights
    Plan(PlanArgs),
    /// Make a model that has learned nothing, with a vocabulary learned from data or taken from another model
    ///
    /// A Llama with random weights, to be pre-trained by a run with tune = "full" and learn = "everything".
    New(NewArgs),
    /// Fetch a model into the local cache and say where it came from
    Pull(PullArgs),
    /// Look inside data, a batch, a model or a run
    #[command(subcommand)]
    Inspect(Inspect),
    /// Write what a run did as a page: report.html in its directory
    ///
    /// Every run writes it when it ends; this one also serves runs that go on.
    Report {
        /// The run directory, or that of one stage
        directory: PathBuf,
    },
    /// Talk to a model in the terminal
    Chat(ChatArgs),
    /// Answer a file of prompts, with a model here or any OpenAI-compatible server
    ///
    /// Answers are appended as they come; the same command goes on where an earlier one stopped.
    Generate(GenerateArgs),
    /// Turn answers of generate into ranked lists with the scores of a lexicon, for preference and reward stages
    Label(LabelArgs),
    /// Offer a model to OpenAI-compatible clients
    Serve(ServeArgs),
    /// Log-probability of each token of the texts or conversations in a file, as JSON lines
    Score(ScoreArgs),
    /// Measure what this machine reaches
    #[command(subcommand)]
    Bench(Bench),
    /// Write a model in another form: merge an adapter, Hugging Face folder, GGUF
    Export(ExportArgs),
    /// Print a completion script for your shell
    ///
    /// For instance: camelid completions bash > ~/.local/share/bash-completion/completions/camelid
    Completions { shell: clap_complete::Shell },
}

/// A recipe and changes to it.
#[derive(Args, Debug)]
pub(crate) struct RecipeArgs {
    /// The recipe, a TOML file
    pub(crate) recipe: PathBuf,
    /// Change a value of the recipe, such as stage.learning_rate=1e-4 or stage.1.epochs=2; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Throw away an earlier run in the same directory instead of continuing it
    #[arg(long)]
    pub(crate) restart: bool,
    /// Skip the self-checks on the first batch
    #[arg(long)]
    pub(crate) no_checks: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SweepArgs {
    /// The sweep, a TOML file
    pub(crate) sweep: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct NewArgs {
    /// tiny-100k, tiny-300k, tiny-1m, tiny-3m, tiny-10m, or the config.json of a Llama
    pub(crate) shape: String,
    /// Data whose texts the vocabulary is learned from, or a folder whose tokenizer is taken as it is
    #[arg(long)]
    pub(crate) tokenizer_from: PathBuf,
    /// Most tokens of a vocabulary that is learned
    #[arg(long, default_value_t = 2048)]
    pub(crate) vocabulary: usize,
    /// Folder to write, as Hugging Face's
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    /// The same seed gives the same weights
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Replace a model that lies there
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Args, Debug)]
pub(crate) struct LabelArgs {
    /// What camelid generate wrote, with two answers or more to each prompt
    pub(crate) answers: PathBuf,
    /// Words with their valence, such as data/sentiment/lexicon.tsv
    #[arg(long)]
    pub(crate) lexicon: PathBuf,
    /// JSON lines to write: prompt, responses, scores
    #[arg(long, short)]
    pub(crate) out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct PullArgs {
    /// A known name (smollm2-135m-instruct), a Hugging Face id (org/name) or a path
    pub(crate) name: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Inspect {
    /// Records of a data file: format found, counts, rejects by reason, first records
    Data {
        /// JSONL, JSON, CSV or Parquet, plain or compressed with gz or zst
        file: PathBuf,
        /// How many records to print
        #[arg(long, default_value_t = 3)]
        show: usize,
    },
    /// The first batch of a recipe in colour: what is trained, what is not, positions, branches
    Batch {
        #[command(flatten)]
        recipe: RecipeArgs,
        /// Which stage, counted from 1
        #[arg(long, default_value_t = 1)]
        stage: usize,
    },
    /// Architecture and tensors of a model, without loading weights
    Model {
        /// A folder, a .gguf file or a name
        model: String,
        /// List every tensor
        #[arg(long)]
        tensors: bool,
    },
    /// Curve and figures of a run
    Run {
        /// The run directory
        directory: PathBuf,
    },
}

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

/// Precision and threads.
#[derive(Args, Clone, Debug)]
pub(crate) struct MachineArgs {
    /// What matrix products are computed in; auto takes bf16 where the processor has it
    #[arg(long, value_enum, default_value_t = ComputeChoice::Auto)]
    pub(crate) compute: ComputeChoice,
    /// Threads; all cores when left out
    #[arg(long, env = "CAMELID_THREADS")]
    pub(crate) threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ComputeChoice {
    #[default]
    Auto,
    Bf16,
    F32,
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
    /// JSON lines with `prompt` (a text or a list of messages) or `messages`
    pub(crate) prompts: PathBuf,
    /// JSON lines to write: the prompt, its line, its answers with tokens and log-probabilities
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    /// Answers to each prompt
    #[arg(long, short = 'n', default_value_t = 1)]
    pub(crate) samples: usize,
    /// Ask the OpenAI-compatible server at this address, up to and with its /v1, instead of loading the model; its key is read from
    /// `OPENAI_API_KEY`
    #[arg(long)]
    pub(crate) server: Option<String>,
    /// Requests that the server is asked at once
    #[arg(long, default_value_t = 32)]
    pub(crate) concurrency: usize,
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

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Matrix products: GFLOP/s by shape, direction and precision
    Gemm {
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        machine: MachineArgs,
    },
    /// One training step on packed tokens, all of them targets: tokens/s, share of peak, memory
    Step {
        /// A model folder, a .gguf file or a name
        #[arg(default_value = "smollm2-135m-instruct")]
        model: String,
        /// Tune all weights, or an adapter on all linear layers
        #[arg(long, value_enum, default_value_t = TuneChoice::Lora)]
        tune: TuneChoice,
        /// Rank of the adapter
        #[arg(long, default_value_t = 16)]
        rank: usize,
        /// What the optimiser's moments are kept in
        #[arg(long, value_enum, default_value_t = MomentSpec::F32)]
        moments: MomentSpec,
        /// Compute each block again in the backward pass instead of keeping its activations
        #[arg(long)]
        activation_checkpointing: bool,
        /// Sequences of a batch
        #[arg(long, default_value_t = 4)]
        sequences: usize,
        /// Tokens of a sequence
        #[arg(long, default_value_t = 256)]
        length: usize,
        /// Steps measured, after two warm-up steps
        #[arg(long, default_value_t = 7)]
        steps: usize,
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        machine: MachineArgs,
    },
    /// Generating: tokens/s for a number of prompts and samples
    Decode {
        /// A model folder, a .gguf file or a name
        #[arg(default_value = "smollm2-135m-instruct")]
        model: String,
        /// Tokens of each prompt
        #[arg(long, default_value_t = 16)]
        prompt: usize,
        /// Different prompts, computed together
        #[arg(long, default_value_t = 1)]
        prompts: usize,
        /// Samples of each prompt
        #[arg(long, default_value_t = 1)]
        samples: usize,
        /// Tokens of each answer
        #[arg(long, default_value_t = 64)]
        tokens: usize,
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        weights: WeightArgs,
        #[command(flatten)]
        machine: MachineArgs,
    },
    /// The first steps of a recipe on its own data, without checkpoints: tokens/s, memory
    Recipe {
        #[command(flatten)]
        recipe: RecipeArgs,
        /// Steps measured, after two warm-up steps
        #[arg(long, default_value_t = 10)]
        steps: usize,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TuneChoice {
    Full,
    Lora,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// A run directory, a model folder, an adapter folder, a .gguf file or a name
    pub(crate) model: String,
    /// Folder to write, or a file ending in .gguf
    pub(crate) to: PathBuf,
    /// Element type: f32, f16 or bf16 for a folder; f32, f16 or `q8_0` for GGUF
    #[arg(long, value_enum, default_value_t = ExportType::F16)]
    pub(crate) dtype: ExportType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportType {
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8_0,
}
