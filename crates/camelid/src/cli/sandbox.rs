//! What `sandbox` is asked.

use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  camelid sandbox --check                        which layers this machine offers; exit code 1 if an essential one is missing
  camelid sandbox answer.py                      run a program, ten seconds and a GiB at most
  camelid sandbox answer.py --seconds 3 --memory 256
  camelid generate ... | camelid sandbox -       a program from standard input
  camelid sandbox answer.py --json               verdict, layer, output, times and layers as JSON

The program sees the interpreter, the system's libraries (read-only) and an empty folder in memory, and nothing else: no
network, no file of yours, no other process. It may import what is installed for the interpreter; --python names another, that of
a virtual environment for instance. Nothing of it is left when the command returns.

The exit code is 0 if the program passed, 1 if it failed or was stopped, 2 if it was not run.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct SandboxArgs {
    /// A Python program, or - for standard input
    #[arg(required_unless_present = "check", conflicts_with = "check")]
    pub(crate) file: Option<PathBuf>,
    /// Say which layers hold on this machine, and for each that does not, why
    #[arg(long)]
    pub(crate) check: bool,
    /// Time it may take, by the clock
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Memory it may take, in MiB
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    pub(crate) memory: u64,
    /// Room for its files, in MiB
    #[arg(long, default_value_t = 64, value_name = "MIB")]
    pub(crate) disk: u64,
    /// Processes and threads it may have at once
    #[arg(long, default_value_t = 32)]
    pub(crate) processes: u64,
    /// Run nothing unless every essential layer holds: the default, for a command line that says --best-effort before
    #[arg(long, overrides_with = "best_effort")]
    pub(crate) strict: bool,
    /// Run with the layers that this machine offers and say which are missing. Your files stay closed even then
    #[arg(long, overrides_with = "strict")]
    pub(crate) best_effort: bool,
    /// The interpreter
    #[arg(long, default_value = "python3", value_name = "COMMAND")]
    pub(crate) python: PathBuf,
    /// Print one JSON object instead of the program's output
    #[arg(long)]
    pub(crate) json: bool,
}
