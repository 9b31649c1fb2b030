//! `camelid inspect batch`: the first batch of a stage in colour.
//!
//! Trained tokens are green, context is grey; each line names the tree, run, rows, positions and branches it shows, so
//! that what is learned, shared and seen can be checked by eye.

use std::io::IsTerminal;

use camelid_text::{Forest, Run, Text};

use super::prepare::{first_batch, prepare};
use crate::cli::RecipeArgs;
use crate::recipe;

pub(crate) fn run(args: &RecipeArgs, stage: usize) -> anyhow::Result<()> {
    let plan = recipe::resolve(&args.recipe, &recipe::read(&args.recipe, &args.set)?)?;
    let count = plan.stages.len();
    let Some(stage_plan) = stage.checked_sub(1).and_then(|index| plan.stages.get(index)) else {
        anyhow::bail!("there is no stage {stage}\n  fix: use --stage 1 to {count}");
    };
    let Some(stage_plan) = stage_plan.tuning() else {
        let kind = stage_plan.kind();
        anyhow::bail!("stage {stage} ({kind}) trains nothing: it has no batches\n  fix: name a stage that tunes");
    };
    let prepared = prepare(&plan, stage_plan, None, &mut |line| eprintln!("{line}"))?;
    let batch = first_batch(stage_plan, &prepared);
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    println!(
        "{} sequences, {} rows computed, {} targets. {}",
        batch.branches,
        batch.tokens.len(),
        batch.targets.len(),
        if colour { "Green is trained, grey is context." } else { "[[ ]] marks what is trained." }
    );
    print!("{}", render(&batch, &prepared.text, colour));
    Ok(())
}

/// The batch as text, a run at a time.
fn render(forest: &Forest, text: &Text, colour: bool) -> String {
    let trained = trained_tokens(forest);
    let mut out = String::new();
    for (index, run) in forest.runs.iter().enumerate() {
        out.push_str(&heading(index, run));
        let rows = run.row as usize..(run.row + run.len) as usize;
        let mut start = rows.start;
        while start < rows.end {
            let end = (start..rows.end).find(|&row| trained[row] != trained[start]).unwrap_or(rows.end);
            let piece = text.decode(&forest.tokens[start..end]);
            let (before, after) = match (trained[start], colour) {
                (true, true) => ("\u{1b}[32m", "\u{1b}[0m"),
                (false, true) => ("\u{1b}[90m", "\u{1b}[0m"),
                (true, false) => ("[[", "]]"),
                (false, false) => ("", ""),
            };
            out.extend([before, &piece, after]);
            start = end;
        }
        out.push('\n');
    }
    out
}

fn heading(index: usize, run: &Run) -> String {
    let parent = run.parent.map_or_else(|| "starts a tree".to_owned(), |parent| format!("continues run {parent}"));
    let last_row = run.row + run.len - 1;
    let last_position = run.position + run.len - 1;
    format!("\n-- run {index} ({parent}), rows {}-{last_row}, positions {}-{last_position}\n", run.row, run.position)
}

/// Whether the token in each row is predicted by some target: the target's row is the one before it in its branch.
fn trained_tokens(forest: &Forest) -> Vec<bool> {
    let mut trained = vec![false; forest.tokens.len()];
    let first_rows = |parent_row: u32| {
        forest.runs.iter().filter(move |run| {
            run.parent.is_some_and(|parent| {
                let parent = &forest.runs[parent as usize];
                parent.row + parent.len - 1 == parent_row
            })
        })
    };
    for target in &forest.targets {
        let inside = forest.runs.iter().any(|run| run.row <= target.row && target.row + 1 < run.row + run.len);
        if inside {
            trained[target.row as usize + 1] = true;
        } else {
            for run in first_rows(target.row) {
                let row = run.row as usize;
                trained[row] |= forest.tokens[row] == target.token;
            }
        }
    }
    trained
}

#[cfg(test)]
mod tests {
    use camelid_text::Target;

    use super::*;

    #[test]
    fn a_target_on_the_last_shared_row_trains_the_branch_that_starts_with_its_token() {
        let run = |parent, row, len, position| Run { parent, row, len, position };
        let target = |row, token, branch| Target { row, token, branch, weight: 1.0 };
        let forest = Forest {
            tokens: vec![1, 2, 3, 4, 5],
            runs: vec![run(None, 0, 2, 0), run(Some(0), 2, 1, 2), run(Some(0), 3, 2, 2)],
            targets: vec![target(1, 4, 1), target(3, 5, 1)],
            branches: 2,
            ends: Vec::new(),
        };
        assert_eq!(trained_tokens(&forest), [false, false, false, true, true]);
    }
}
