//! Language models as judges, and whether they may be trusted.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{EngineArgs, MachineArgs, ServerArgs, WeightArgs};

const CERTIFY_EXAMPLES: &str = "\
Examples:
  camelid judge certify smollm2-135m-instruct --strategy rules --data LLMBar      a model here
  camelid judge certify gpt-4o --server https://api.openai.com/v1 --data LLMBar   a model behind a server
  camelid judge certify --replay GPT-4/Metrics_Reference --data LLMBar            verdicts that LLMBar's authors recorded
  camelid judge certify --baseline always-shorter --data LLMBar                   what a judge of nothing but length comes to";

const COMPARE_EXAMPLES: &str = "\
Examples:
  camelid generate runs/a prompts.jsonl --out a.jsonl
  camelid generate runs/b prompts.jsonl --out b.jsonl
  camelid judge compare my-judge a.jsonl b.jsonl --out judgements.jsonl

The files are those that camelid generate writes, or any with `prompt` and `output` (a text) a line. Every pair is judged in both orders.";

const RATE_EXAMPLES: &str = "\
Examples:
  camelid judge rate my-judge a.jsonl --strategy mt-bench-single --out grades.jsonl

Strategies that grade: rating (0 to 9) and mt-bench-single (1 to 10). An answer without a readable grade is counted, and the mean is given
once more with the worst and the best grade in its place.";

const RANK_EXAMPLES: &str = "\
Examples:
  camelid judge rank my-judge base.jsonl sft.jsonl dpo.jsonl --out ranking.jsonl

Every two models meet on every prompt that both answered, in both orders. Strengths are Bradley and Terry's, told as Elo with mean 1000;
intervals are from drawing prompts again.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  camelid judge replay judgements.jsonl
  camelid judge replay judgements.jsonl --decided people.jsonl --json";

#[derive(Subcommand, Debug)]
pub(crate) enum JudgeCommand {
    /// Ask whether a judge may be trusted: LLMBar's items, judges of nothing but length, two attacks; writes a certificate
    #[command(after_help = CERTIFY_EXAMPLES)]
    Certify(CertifyArgs),
    /// How often one model's answers are preferred to another's, raw and at equal length, with intervals
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(JudgeCompareArgs),
    /// Grade one model's answers, each by itself
    #[command(after_help = RATE_EXAMPLES)]
    Rate(JudgeRateArgs),
    /// Put several models on one scale, from all their pairs
    #[command(after_help = RANK_EXAMPLES)]
    Rank(JudgeRankArgs),
    /// The figures of a file of judgements again, without asking anybody
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(JudgeReplayArgs),
}

/// Who judges, and how it is asked.
#[derive(Args, Debug)]
pub(crate) struct JudgeArgs {
    /// How the judge is asked: vanilla, rules, cot, metrics, reference, metrics-reference, swap, swap-cot, rating, few-shot, panel, faireval,
    /// mt-bench, mt-bench-reference, mt-bench-single, alpaca-eval, ai-feedback
    #[arg(long, default_value = "rules")]
    pub(crate) strategy: String,
    #[command(flatten)]
    pub(crate) remote: ServerArgs,
    /// Where the log-probabilities of verdicts come from; forced for a model here and reported for a server when left out
    #[arg(long, value_enum)]
    pub(crate) log_probs: Option<LogProbChoice>,
    /// Of samples, for strategies that draw some, and of bootstraps
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Folder in which certificates are kept, a file each under the judge's hash
    #[arg(long, default_value = "judges", value_name = "DIRECTORY")]
    pub(crate) certificates: PathBuf,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) weights: WeightArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogProbChoice {
    /// Each verdict is forced and its log-probability asked for: exact; a model here, camelid serve, vLLM
    Forced,
    /// The likeliest tokens at the first place of a free answer, as hosted models tell them
    Reported,
    /// Texts decide
    Unused,
}

#[derive(Args, Debug)]
pub(crate) struct CertifyArgs {
    /// A run directory, a model folder, an adapter folder, a .gguf file or a name; with --server, the name it goes by there
    #[arg(required_unless_present_any = ["replay", "baseline"])]
    pub(crate) model: Option<String>,
    /// Folder of LLMBar (Dataset/LLMBar of github.com/princeton-nlp/LLMBar)
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data: PathBuf,
    /// Ask at most this many items of each of LLMBar's five sets, for a first impression
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Items whose better output is attacked, by each of the two attacks
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) attacks: usize,
    /// Take the verdicts that LLMBar's authors recorded of a judge under one of their methods; attacks cannot be made on these
    #[arg(long, value_name = "JUDGE/METHOD", conflicts_with_all = ["model", "server", "baseline"])]
    pub(crate) replay: Option<String>,
    /// Certify a judge without a model: always-longer, always-shorter, always-first, random
    #[arg(long, value_name = "NAME", conflicts_with_all = ["model", "server"])]
    pub(crate) baseline: Option<String>,
    /// File of judgements, which a later run goes on with; DIRECTORY/HASH.jsonl beside the certificate when left out
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Print the certificate as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

#[derive(Args, Debug)]
pub(crate) struct JudgeCompareArgs {
    /// The judge: a run directory, a model folder, an adapter folder, a .gguf file or a name; with --server, the name it goes by there
    pub(crate) model: String,
    /// Answers of the first model
    pub(crate) first: PathBuf,
    /// Answers of the second model to the same prompts
    pub(crate) second: PathBuf,
    /// File of judgements, which a later run goes on with
    #[arg(long, default_value = "judgements.jsonl", value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Refuse to print win rates of a judge that is not certified
    #[arg(long)]
    pub(crate) require_certificate: bool,
    /// Write the pairs that a person should decide here, the most doubtful first
    #[arg(long, value_name = "FILE")]
    pub(crate) for_people: Option<PathBuf>,
    /// Share of the pairs that go to a person
    #[arg(long, default_value_t = 0.2, requires = "for_people")]
    pub(crate) people_share: f64,
    /// Take the decisions that people wrote into such a file in place of the judge's
    #[arg(long, value_name = "FILE")]
    pub(crate) decided: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

#[derive(Args, Debug)]
pub(crate) struct JudgeRateArgs {
    /// The judge: a run directory, a model folder, an adapter folder, a .gguf file or a name; with --server, the name it goes by there
    pub(crate) model: String,
    /// Answers that camelid generate wrote
    pub(crate) answers: PathBuf,
    /// File of judgements, which a later run goes on with
    #[arg(long, default_value = "grades.jsonl", value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Refuse to print grades of a judge that is not certified
    #[arg(long)]
    pub(crate) require_certificate: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

#[derive(Args, Debug)]
pub(crate) struct JudgeRankArgs {
    /// The judge: a run directory, a model folder, an adapter folder, a .gguf file or a name; with --server, the name it goes by there
    pub(crate) model: String,
    /// Answers of two models or more, a file each; a model goes by its file's name
    #[arg(required = true)]
    pub(crate) answers: Vec<PathBuf>,
    /// File of judgements, which a later run goes on with
    #[arg(long, default_value = "ranking.jsonl", value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Refuse to print a ranking by a judge that is not certified
    #[arg(long)]
    pub(crate) require_certificate: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

#[derive(Args, Debug)]
pub(crate) struct JudgeReplayArgs {
    /// File of judgements that camelid judge compare or rank wrote
    pub(crate) judgements: PathBuf,
    /// Folder in which certificates are kept
    #[arg(long, default_value = "judges", value_name = "DIRECTORY")]
    pub(crate) certificates: PathBuf,
    /// Take the decisions that people wrote into a file of compare's --for-people in place of the judge's
    #[arg(long, value_name = "FILE")]
    pub(crate) decided: Option<PathBuf>,
    /// Refuse to print figures of a judge that is not certified
    #[arg(long)]
    pub(crate) require_certificate: bool,
    /// Of bootstraps
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}
