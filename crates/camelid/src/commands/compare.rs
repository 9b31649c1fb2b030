//! `camelid compare`: evaluations of the same tasks, held against the first.

use std::path::Path;

use anyhow::bail;

use crate::cli::CompareArgs;
use crate::evaluations::{Comparison, Loaded, load};
use crate::report::{EvaluationPage, write_page};

pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<()> {
    if !(args.effect > 0.0 && args.effect < 1.0) {
        bail!("--effect is {}\n  fix: use a number between 0 and 1; 2 points are 0.02", args.effect);
    }
    let mut loaded = vec![load(&args.before)?];
    for path in &args.after {
        loaded.push(load(path)?);
    }
    if args.without_leaked {
        leave_out_leaked(&mut loaded)?;
    }
    let Some((before, after)) = loaded.split_first() else { return Ok(()) };
    let comparison = Comparison::of(before, after, args.effect)?;
    if args.json {
        println!("{:#}", comparison.to_json());
    } else {
        print!("{}", comparison.to_text());
    }
    if let Some(path) = &args.report {
        let judgements = args.judgements.as_deref().map(Path::new);
        let page = EvaluationPage { before, comparison: Some(&comparison), gates: None, judgements };
        write_page(&page.page()?, path)?;
        eprintln!("{}", path.display());
    }
    Ok(())
}

/// Takes what was found in the tuning data of any side from all sides.
pub(super) fn leave_out_leaked(loaded: &mut [Loaded]) -> anyhow::Result<()> {
    let found: Vec<_> = loaded.iter().filter_map(|side| side.contamination.clone()).collect();
    if found.is_empty() {
        bail!("nobody has looked for leaks\n  fix: run camelid contamination first, or leave --without-leaked out");
    }
    for side in loaded {
        for leaked in &found {
            side.without(leaked);
        }
    }
    Ok(())
}
