//! `camelid report`: the directory of a run or an evaluation as a page.

use std::path::Path;

use crate::evaluations::{is_evaluation, load};
use crate::report::{EvaluationPage, write_page, write_report};

pub(crate) fn run(directory: &Path, judgements: Option<&Path>) -> anyhow::Result<()> {
    if !is_evaluation(directory) {
        if judgements.is_some() {
            anyhow::bail!(
                "{} is no evaluation, so that --judgements have no place\n  fix: name a directory that camelid evaluate wrote",
                directory.display()
            );
        }
        println!("{}", write_report(directory)?.display());
        return Ok(());
    }
    let loaded = load(directory)?;
    let page = EvaluationPage { before: &loaded, comparison: None, gates: None, judgements }.page()?;
    let path = directory.join("report.html");
    write_page(&page, &path)?;
    println!("{}", path.display());
    Ok(())
}
