//! `camelid judge`: models as judges, and whether they may be trusted.

mod ask;
mod certify;
mod compare;
mod open;
mod pairs;
mod rank;
mod rate;
mod replay;

use std::process::ExitCode;

use crate::cli::JudgeCommand;

pub(crate) fn run(command: &JudgeCommand) -> anyhow::Result<ExitCode> {
    match command {
        JudgeCommand::Certify(args) => certify::run(args),
        JudgeCommand::Compare(args) => compare::run(args),
        JudgeCommand::Rate(args) => rate::run(args),
        JudgeCommand::Rank(args) => rank::run(args),
        JudgeCommand::Replay(args) => replay::run(args),
    }
}
