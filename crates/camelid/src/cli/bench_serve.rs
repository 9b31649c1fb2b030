//! What `bench serve` is asked.

use clap::Args;

use super::{EngineArgs, MachineArgs, WeightArgs};

const EXAMPLES: &str = "\
Examples:
  camelid bench serve                                   a server in this process, 32 clients, 128 requests
  camelid bench serve --compare                         and its share of what the engine does without a server
  camelid bench serve --url http://localhost:8000/v1    a server that runs already, ours or another's
  camelid bench serve --soak 10                         ten minutes beside clients that misbehave, with a verdict

The exit code is 1 if an answer is wrong or missing, if a server reaches less than 90 % of the engine, or if a check of
--soak fails.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchServeArgs {
    /// A run directory, a model folder, an adapter folder, a .gguf file or a name [default: smollm2-135m-instruct]; with --url, the name
    /// it goes by there [default: the first that the server lists]
    pub(crate) model: Option<String>,
    /// Ask the OpenAI-compatible server at this address, up to and with its /v1, instead of starting one in this process
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The key that the server at --url asks for
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Clients at work at a time, each with one request after another
    #[arg(long, default_value_t = 32)]
    pub(crate) clients: usize,
    /// Requests in all [default: four for each client]
    #[arg(long, conflicts_with_all = ["seconds", "soak"])]
    pub(crate) requests: Option<usize>,
    /// Take new requests for so long instead of counting them
    #[arg(long, conflicts_with = "soak")]
    pub(crate) seconds: Option<f64>,
    /// Words of the longest prompts; the shortest have eight
    #[arg(long, default_value_t = 100)]
    pub(crate) words: usize,
    /// Tokens of each answer
    #[arg(long, default_value_t = 64)]
    pub(crate) tokens: usize,
    /// Share of the requests whose answer is streamed
    #[arg(long, default_value_t = 0.5)]
    pub(crate) stream_share: f64,
    /// The same seed asks the same questions and gets the same answers
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Also answer the requests without a server, with the same engine and as many at a time, and compare speed and answers
    #[arg(long, conflicts_with_all = ["url", "seconds", "soak"])]
    pub(crate) compare: bool,
    /// How often both sides of --compare take turns
    #[arg(long, requires = "compare", default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Go on for so many minutes beside clients that misbehave, and check that every answer is whole and is that of a quiet server, that
    /// memory stays bounded, and that the engine is empty afterwards
    #[arg(long, value_name = "MINUTES")]
    pub(crate) soak: Option<f64>,
    /// Megabytes that --soak lets resident memory grow between minute one and the end
    #[arg(long, requires = "soak", default_value_t = 64.0)]
    pub(crate) memory_bound: f64,
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) weights: WeightArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}
