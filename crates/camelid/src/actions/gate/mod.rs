//! `kind = "gate"`: the run goes on only if the tuned model kept its abilities.
//!
//! Scores before and after tuning come from eval stages of the recipe or from directories of evaluations. A gate that does not pass ends
//! the run with an exit code of its own; all that was written stays, the tuned model too, and the same command tries again.

mod page;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use camelid_text::Text;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Action, ActionKind, Finish, Setting};
use crate::evaluations::{Comparison, EFFECT, Gates, check_margin, evaluated_tasks, is_evaluation, load};
use crate::recipe::{Plan, RecipeError};
use crate::report::{EvaluationPage, write_page};
use source::{Source, evaluations};

pub(crate) use page::sections;

/// What the gate found.
const FILE: &str = "gate.json";
/// Both evaluations as a page.
const PAGE: &str = "comparison.html";

/// The stage as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateSpec {
    /// What every task of the evaluation before may lose, in units of the score.
    margin: Option<f64>,
    /// What tasks may lose that are named: these go before `margin`.
    keep: Option<BTreeMap<String, f64>>,
    /// The evaluation before tuning; the first eval stage of the base model when left out.
    before: Option<Source>,
    /// The one after it; the last eval stage in front of the gate when left out.
    after: Option<Source>,
    /// How often a loss of the whole margin may pass.
    alpha: Option<f64>,
    /// How often what lost nothing shall pass, for the number of items that is needed.
    power: Option<f64>,
}

/// The stage, resolved.
#[derive(Debug, Serialize)]
pub(crate) struct Gate {
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    keep: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Source>,
    alpha: f64,
    power: f64,
}

impl GateSpec {
    pub(crate) fn resolve(&self, recipe: &Path, place: &str) -> Result<Gate, RecipeError> {
        let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
        let keep = self.keep.clone().unwrap_or_default();
        if self.margin.is_none() && keep.is_empty() {
            let fix = "write margin = 0.02 to let every task lose 2 points, or keep = { gsm8k = 0.03 }";
            return error("a gate without `margin` and `keep` keeps nothing".into(), fix);
        }
        let named = keep.iter().map(|(task, margin)| (format!("keep.{task}"), *margin));
        for (key, margin) in self.margin.map(|margin| ("margin".to_owned(), margin)).into_iter().chain(named) {
            if let Err(fault) = check_margin(margin) {
                return error(format!("`{key}` {fault}"), "use a loss between 0 and 1, such as 0.02 for 2 points");
            }
        }
        let (alpha, power) = (self.alpha.unwrap_or(0.05), self.power.unwrap_or(0.8));
        if !(alpha > 0.0 && alpha < 0.5) {
            return error(format!("`alpha` is {alpha}"), "use a share above 0 and below 0.5; 0.05 is usual");
        }
        if !(power > 0.0 && power < 1.0) {
            return error(format!("`power` is {power}"), "use a share between 0 and 1; 0.8 is usual");
        }
        let found =
            |source: Option<&Source>, key: &str| source.map(|source| source.found(recipe, place, key)).transpose();
        let (before, after) = (found(self.before.as_ref(), "before")?, found(self.after.as_ref(), "after")?);
        Ok(Gate { margin: self.margin, keep, before, after, alpha, power })
    }
}

impl Gate {
    /// The evaluations before and after, in the run of `plan`.
    fn sides(&self, plan: &Plan, index: usize, place: &str) -> Result<[Source; 2], RecipeError> {
        let error = |what: String, fix: &str| RecipeError::new(place.to_owned(), what, fix);
        let stages = evaluations(plan, index);
        for (key, source) in [("before", &self.before), ("after", &self.after)] {
            if let Some(Source::Stage(number)) = source
                && stages.iter().all(|(known, _)| known != number)
            {
                let known: Vec<String> = stages.iter().map(|(number, _)| number.to_string()).collect();
                let fix = if known.is_empty() { "no stage".to_owned() } else { known.join(", ") };
                let what = format!("`{key}`: stage {number} evaluates nothing in front of the gate");
                return Err(error(what, &format!("name an eval stage in front of it ({fix} here), or a directory")));
            }
        }
        let before = self.before.clone().or_else(|| {
            let base = stages.iter().find(|(_, evaluated)| evaluated.is_base);
            base.map(|(number, _)| Source::Stage(*number))
        });
        let Some(before) = before else {
            let fix =
                "put a stage with kind = \"eval\" and model = \"base\" in front, or name an evaluation with `before`";
            return Err(error("there is no evaluation of the base model".into(), fix));
        };
        let after = self.after.clone().or_else(|| stages.last().map(|(number, _)| Source::Stage(*number)));
        let Some(after) = after else {
            let fix = "put a stage with kind = \"eval\" in front of the gate, or name an evaluation with `after`";
            return Err(error("there is no evaluation of the tuned model".into(), fix));
        };
        if before == after {
            let fix = "put a stage with kind = \"eval\" between tuning and the gate";
            return Err(error(format!("{} would be held against itself", before.words()), fix));
        }
        Ok([before, after])
    }
}

impl Action for Gate {
    fn kind(&self) -> ActionKind {
        ActionKind::Gate
    }

    fn view(&self) -> Json {
        json!(self)
    }

    fn check(&self, plan: &Plan, index: usize, place: &str) -> Result<(), RecipeError> {
        let sides = self.sides(plan, index, place)?;
        // A misspelt task is said before hours of training, where the tasks are known by then.
        let stages = evaluations(plan, index);
        for side in &sides {
            let tasks = match side {
                Source::Stage(number) => {
                    stages.iter().find(|(known, _)| known == number).map(|(_, found)| found.tasks.clone())
                }
                Source::Directory(directory) => evaluated_tasks(directory),
            };
            let Some(tasks) = tasks else { continue };
            if let Some(unknown) = self.keep.keys().find(|task| !tasks.contains(task)) {
                return Err(RecipeError::new(
                    place.to_owned(),
                    format!("`keep`: {} does not evaluate `{unknown}`", side.words()),
                    format!("evaluate it too, or name one of {}", tasks.join(", ")),
                ));
            }
        }
        Ok(())
    }

    fn inputs(&self, setting: &Setting<'_>) -> Vec<PathBuf> {
        let sides = self.sides(setting.plan, setting.index, &setting.plan.name).into_iter().flatten();
        let directories = sides.map(|side| side.directory(setting.plan)).filter(|directory| is_evaluation(directory));
        directories.flat_map(|directory| files(&directory)).collect()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[FILE, PAGE]
    }

    fn is_done_anew(&self) -> bool {
        true
    }

    fn outlook(&self, plan: &Plan, index: usize, _text: &Text) -> anyhow::Result<Vec<(String, String)>> {
        let [before, after] = self.sides(plan, index, &plan.name)?;
        let percent = |share: f64| format!("{} points", share * 100.0);
        let named = self.keep.iter().map(|(task, margin)| format!("{task} {}", percent(*margin)));
        let all = self.margin.map(|margin| format!("every other task {}", percent(margin)));
        let margins: Vec<String> = named.chain(all).collect();
        let fact = |name: &str, value: String| (name.to_owned(), value);
        Ok(vec![
            fact("before", before.words()),
            fact("after", after.words()),
            fact("may lose", margins.join(", ")),
            fact("trained", "nothing: the run ends here if that is not shown".into()),
        ])
    }

    fn run(&self, setting: &Setting<'_>) -> anyhow::Result<Finish> {
        let [before, after] =
            self.sides(setting.plan, setting.index, &setting.plan.name)?.map(|side| side.directory(setting.plan));
        let (before, after) = (load(&before)?, load(&after)?);
        let keep: Vec<(String, f64)> = self.keep.iter().map(|(task, margin)| (task.clone(), *margin)).collect();
        let gates = Gates::of(&before, &after, &keep, self.margin, self.alpha, self.power)?;
        let directory = setting.directory;
        directory.write(FILE, &format!("{:#}\n", gates.to_json()))?;
        let comparison = Comparison::of(&before, std::slice::from_ref(&after), EFFECT)?;
        let page =
            EvaluationPage { before: &before, comparison: Some(&comparison), gates: Some(&gates), judgements: None };
        write_page(&page.page()?, &directory.path().join(PAGE))?;
        eprintln!("{}", gates.to_text());
        if gates.passed() {
            return Ok(Finish::Done);
        }
        let fix = "tune less (a lower learning rate, fewer steps, data of the abilities mixed in), evaluate more items where it is not \
                   shown, or allow a wider margin; the same command tries again";
        Ok(Finish::NotPassed(format!(
            "{}: the gate does not pass; everything written so far is kept\n  {}\n  fix: {fix}",
            directory.path().display(),
            gates.failures().join("\n  ")
        )))
    }
}

/// What an evaluation's directory holds that a verdict depends on.
fn files(directory: &Path) -> Vec<PathBuf> {
    let items = std::fs::read_dir(directory.join("items")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = items.filter(|path| path.is_file()).collect();
    files.sort();
    files.push(directory.join("results.json"));
    files
}
