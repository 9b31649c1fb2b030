//! `camelid gate`: whether abilities were kept.

use std::process::ExitCode;

use anyhow::bail;

use super::compare::leave_out_leaked;
use crate::cli::GateArgs;
use crate::evaluations::{Comparison, EFFECT, Gates, NOT_PASSED, load};
use crate::report::{EvaluationPage, write_page};

pub(crate) fn run(args: &GateArgs) -> anyhow::Result<ExitCode> {
    for (flag, value) in [("--alpha", args.alpha), ("--power", args.power)] {
        if !(value > 0.0 && value < 1.0) || (flag == "--alpha" && value >= 0.5) {
            bail!("{flag} is {value}\n  fix: use a share, such as 0.05 for --alpha and 0.8 for --power");
        }
    }
    let mut sides = [load(&args.before)?, load(&args.after)?];
    if args.without_leaked {
        leave_out_leaked(&mut sides)?;
    }
    let [before, after] = &sides;
    let keep = args.keep.as_deref().unwrap_or_default();
    let gates = Gates::of(before, after, keep, args.margin, args.alpha, args.power)?;
    if args.json {
        println!("{:#}", gates.to_json());
    } else {
        print!("{}", gates.to_text());
    }
    if let Some(path) = &args.report {
        let comparison = Comparison::of(before, std::slice::from_ref(after), EFFECT)?;
        let page = EvaluationPage { before, comparison: Some(&comparison), gates: Some(&gates), judgements: None };
        write_page(&page.page()?, path)?;
        eprintln!("{}", path.display());
    }
    Ok(if gates.passed() { ExitCode::SUCCESS } else { ExitCode::from(NOT_PASSED) })
}
