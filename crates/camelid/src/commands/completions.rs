//! `camelid completions`: a completion script for a shell.

use clap::CommandFactory;

use crate::cli::Cli;

pub(crate) fn run(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "camelid", &mut std::io::stdout());
}
