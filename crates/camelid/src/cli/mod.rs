//! The command line, as typed. What a flag means is in its help text; what it does is in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod bench_serve;
mod comparison;
mod evaluate;
mod generation;
mod judge;
mod sandbox;
mod server;

use crate::recipe::MomentSpec;
pub(crate) use bench_serve::BenchServeArgs;
pub(crate) use comparison::{CompareArgs, ContaminationArgs, GateArgs};
pub(crate) use evaluate::{EvaluateArgs, ExemplarChoice, SampleArgs};
pub(crate) use generation::{
    BeamArgs, ChatArgs, CombineChoice, EarlyStoppingChoice, EngineArgs, GenerateArgs, SamplingArgs, ScoreArgs,
    ServeArgs, WeightArgs, WeightChoice,
};
pub(crate) use judge::{
    CertifyArgs, JudgeArgs, JudgeCommand, JudgeCompareArgs, JudgeRankArgs, JudgeRateArgs, JudgeReplayArgs,
    LogProbChoice,
};
pub(crate) use sandbox::SandboxArgs;
pub(crate) use server::ServerArgs;

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
    /// after Ctrl-C or a power cut: the result is the same, bit for bit. A run that was stopped exits with code 130, one whose
    /// gate does not pass with code 3. Send SIGUSR1 to get a checkpoint now.
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
    /// Write what a run did or an evaluation found as a page: report.html in its directory
    ///
    /// Every run writes it when it ends; this one also serves runs that go on.
    Report {
        /// The run directory, that of one stage, or that of an evaluation
        directory: PathBuf,
        /// Of an evaluation: another one, such as that before tuning, which it is held against
        #[arg(long, value_name = "DIR")]
        against: Option<PathBuf>,
        /// Of an evaluation: a file of judgements to count win rates from, with rows of `preference` (1 to 2) and `generator_2`;
        /// judgements.jsonl in its directory when left out
        #[arg(long, value_name = "FILE")]
        judgements: Option<PathBuf>,
    },
    /// Ask a model the items of benchmarks and score its answers
    ///
    /// Every score stands beside its interval and the share of answers that could be read; below 90 % it is void and the exit code is 1.
    /// Scores of different axes are not averaged. The same command goes on where an interrupted one stopped.
    Evaluate(EvaluateArgs),
    /// Compare evaluations on the items they share: differences with intervals, tests, and what they could have found
    ///
    /// Right and wrong are compared with McNemar's test, other scores with Student's or by permutation; items that come in groups are
    /// taken as groups. P-values hold for all tasks together (Holm).
    Compare(CompareArgs),
    /// Check that a tuned model kept its abilities; exits with code 3 if that is not shown
    ///
    /// Kept: the loss is shown to be below the margin. Lost: it is above. Not shown: there are too few items to tell, and how many
    /// are needed is said. Scores do not count where fewer than 90 % of the answers can be read. Exit codes: 0 if all is kept, 3 if
    /// anything is lost or not shown, 1 if the gate could not be held, 2 for a wrong command line.
    Gate(GateArgs),
    /// Look for test items in the data that a model was tuned on
    ///
    /// A test item is leaked if 13 of its words in a row stand in the data. Compare, gate and report show what is found.
    Contamination(ContaminationArgs),
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
    /// Language models as judges: certify one, then compare, grade and rank models by it
    #[command(subcommand)]
    Judge(JudgeCommand),
    /// Log-probability of each token of the texts or conversations in a file, as JSON lines
    Score(ScoreArgs),
    /// Run Python that a model wrote where it can do no harm
    ///
    /// Namespaces, a private root, Landlock, seccomp and limits around `python3 -I`; Linux only.
    Sandbox(SandboxArgs),
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
        /// Show the prompts that stages whose policy answers, and camelid generate, take from it
        #[arg(long)]
        prompts: bool,
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
    /// A server under many clients: tokens/s, latencies, errors, memory; with --soak, whether it stands clients that misbehave
    Serve(BenchServeArgs),
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
