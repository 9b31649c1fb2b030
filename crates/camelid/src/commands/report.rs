//! `camelid report`: the directory of a run or an evaluation as a page.

use std::path::{Path, PathBuf};

use crate::evaluations::{Comparison, EFFECT, is_evaluation, load};
use crate::report::{EvaluationPage, write_page, write_report};

/// Judgements in an evaluation's directory that the page counts win rates from.
const JUDGEMENTS: &str = "judgements.jsonl";

pub(crate) fn run(directory: &Path, against: Option<&Path>, judgements: Option<&Path>) -> anyhow::Result<()> {
    if !is_evaluation(directory) {
        for (flag, given) in [("--against", against), ("--judgements", judgements)] {
            if given.is_some() {
                anyhow::bail!(
                    "{} is no evaluation, so that {flag} has no place\n  fix: name a directory that camelid evaluate wrote",
                    directory.display()
                );
            }
        }
        println!("{}", write_report(directory)?.display());
        return Ok(());
    }
    let beside: PathBuf = directory.join(JUDGEMENTS);
    let judgements = judgements.or_else(|| beside.is_file().then_some(beside.as_path()));
    let loaded = load(directory)?;
    let before = against.map(load).transpose()?;
    let comparison =
        before.as_ref().map(|before| Comparison::of(before, std::slice::from_ref(&loaded), EFFECT)).transpose()?;
    let page = EvaluationPage {
        before: before.as_ref().unwrap_or(&loaded),
        comparison: comparison.as_ref(),
        gates: None,
        judgements,
    };
    let path = directory.join("report.html");
    write_page(&page.page()?, &path)?;
    println!("{}", path.display());
    Ok(())
}
