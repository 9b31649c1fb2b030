//! `kind = "eval"`: benchmarks, asked of the model that the stages in front have made, or of the one that the recipe starts from.
//!
//! What `camelid evaluate` does, into the stage's directory, where gates and reports of the run find it. Replies are kept as they come:
//! a run that was stopped, or whose stage now asks more, does not ask them again.

use std::path::{Path, PathBuf};

use camelid_eval::task::{Scoring, Task};
use camelid_kernels::Compute;
use camelid_report::Section;
use camelid_text::Text;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Action, ActionKind, Evaluated, Finish, Setting};
use crate::cli::{
    ComputeChoice, EvaluateArgs, ExemplarChoice, MachineArgs, SampleArgs, ServerArgs, WeightArgs, WeightChoice,
};
use crate::commands::evaluate::{data_of, evaluate, open_tasks, options};
use crate::evaluations::{is_evaluation, load, objections, summary, task_paths};
use crate::recipe::{Plan, RecipeError};
use crate::report::EvaluationPage;

/// Where `camelid evaluate` looks for data too.
const DATA_VARIABLE: &str = "CAMELID_DATA";

/// The stage as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvalSpec {
    /// Names of tasks, or paths of task files.
    tasks: Vec<String>,
    model: Option<Subject>,
    /// The folder of the tasks' data: that of `CAMELID_DATA`, or `data`, when left out.
    data: Option<PathBuf>,
    /// At most this many items of each task, taken evenly from all of it.
    limit: Option<usize>,
    /// Worked examples before each item; each task's own number when left out.
    shots: Option<usize>,
    /// Whether prompts are written through the model's chat template; as each task says, and the model allows, when left out.
    format: Option<Written>,
    /// Most tokens of one answer; each task's own number when left out.
    max_tokens: Option<usize>,
    /// Answers computed together, and tokens scored together.
    batch: Option<usize>,
    batch_tokens: Option<usize>,
}

/// Which model is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Subject {
    /// What the stages in front have made of the recipe's model.
    #[default]
    Previous,
    /// The recipe's model as it was.
    Base,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Written {
    Chat,
    Plain,
}

/// The stage, resolved.
#[derive(Debug, Serialize)]
pub(crate) struct Eval {
    tasks: Vec<String>,
    model: Subject,
    data: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shots: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<usize>,
    batch: usize,
    batch_tokens: usize,
    /// What was found of the tasks.
    #[serde(skip)]
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    task: String,
    items: usize,
    /// A judge scores it later: it has no figure that a gate could be held on.
    is_judged: bool,
    files: Vec<PathBuf>,
}

impl EvalSpec {
    pub(crate) fn resolve(&self, recipe: &Path, place: &str) -> Result<Eval, RecipeError> {
        let error = |what: String, fix: &str| RecipeError::new(place.to_owned(), what, fix);
        if self.tasks.is_empty() {
            return Err(error("`tasks` is an empty list".into(), "name tasks; camelid evaluate --list shows them"));
        }
        for (key, value) in [
            ("limit", self.limit),
            ("max_tokens", self.max_tokens),
            ("batch", self.batch),
            ("batch_tokens", self.batch_tokens),
        ] {
            if value == Some(0) {
                return Err(error(format!("`{key}` is 0"), "use a number from 1 up, or leave it out"));
            }
        }
        let mut stage = Eval {
            tasks: self.tasks.iter().map(|task| beside(recipe, task)).collect(),
            model: self.model.unwrap_or_default(),
            data: self.data_folder(recipe),
            limit: self.limit,
            shots: self.shots,
            format: self.format,
            max_tokens: self.max_tokens,
            batch: self.batch.unwrap_or(32),
            batch_tokens: self.batch_tokens.unwrap_or(8192),
            found: Vec::new(),
        };
        stage.found = stage.find().map_err(|fault| {
            let text = fault.to_string();
            let (what, fix) = text.split_once("\n  fix: ").unwrap_or((&text, "look at the task and its data"));
            error(what.to_owned(), fix)
        })?;
        Ok(stage)
    }

    /// A folder that is written is looked for where the command runs, then beside the recipe.
    fn data_folder(&self, recipe: &Path) -> PathBuf {
        match &self.data {
            Some(data) => {
                let beside = recipe.parent().unwrap_or(Path::new("")).join(data);
                if !data.is_dir() && beside.is_dir() { beside } else { data.clone() }
            }
            None => std::env::var_os(DATA_VARIABLE).filter(|data| !data.is_empty()).map_or("data".into(), Into::into),
        }
    }
}

/// A task file's path, where the command runs or beside the recipe; names of tasks as they are.
fn beside(recipe: &Path, task: &str) -> String {
    let is_file = Path::new(task).extension().is_some_and(|extension| extension == "toml");
    let beside = recipe.parent().unwrap_or(Path::new("")).join(task);
    if is_file && !Path::new(task).is_file() && beside.is_file() {
        beside.display().to_string()
    } else {
        task.to_owned()
    }
}

impl Eval {
    /// Opens the tasks and reads their data, so that nothing is trained in vain.
    fn find(&self) -> anyhow::Result<Vec<Found>> {
        let args = self.arguments("", Path::new(""), &MachineArgs { compute: ComputeChoice::Auto, threads: None });
        let found = |task: Task| {
            // Whether the model has a template is known when it is there; the data are the same.
            let resolved = task.resolve(&options(&args), true)?;
            let items = data_of(&task, &args, &resolved)?.items.len();
            let is_judged = matches!(task.definition.score, Scoring::Answers { .. });
            Ok(Found { task: task.name().to_owned(), items, is_judged, files: task_paths(&task, &self.data) })
        };
        open_tasks(&args)?.into_iter().map(found).collect()
    }

    /// The command line that does the same.
    fn arguments(&self, model: &str, out: &Path, machine: &MachineArgs) -> EvaluateArgs {
        EvaluateArgs {
            model: Some(model.to_owned()),
            list: false,
            tasks: self.tasks.clone(),
            data: self.data.clone(),
            out: out.to_owned(),
            limit: self.limit,
            shots: self.shots,
            chat: self.format == Some(Written::Chat),
            plain: self.format == Some(Written::Plain),
            exemplars: ExemplarChoice::Turns,
            seed: 0,
            max_tokens: self.max_tokens,
            remote: ServerArgs::none(),
            context: None,
            batch: self.batch,
            batch_tokens: self.batch_tokens,
            cache_tokens: 32_768,
            python: "python3".into(),
            best_effort: false,
            restart: false,
            json: false,
            sample: SampleArgs::default(),
            weights: WeightArgs { weights: WeightChoice::Computed },
            machine: machine.clone(),
        }
    }
}

impl Action for Eval {
    fn kind(&self) -> ActionKind {
        ActionKind::Eval
    }

    fn view(&self) -> Json {
        json!(self)
    }

    fn evaluates(&self) -> Option<Evaluated> {
        let scored = self.found.iter().filter(|found| !found.is_judged);
        Some(Evaluated {
            is_base: self.model == Subject::Base,
            tasks: scored.map(|found| found.task.clone()).collect(),
        })
    }

    fn inputs(&self, _setting: &Setting<'_>) -> Vec<PathBuf> {
        let tasks = self.tasks.iter().map(PathBuf::from).filter(|task| task.is_file());
        tasks.chain(self.found.iter().flat_map(|found| found.files.iter().cloned())).collect()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["results.json", "items", "answers", "replies.jsonl"]
    }

    fn is_done_anew(&self) -> bool {
        true
    }

    fn outlook(&self, _plan: &Plan, _index: usize, _text: &Text) -> anyhow::Result<Vec<(String, String)>> {
        let mut facts: Vec<(String, String)> =
            self.found.iter().map(|found| (found.task.clone(), format!("{} items", found.items))).collect();
        let asked = match self.model {
            Subject::Previous => "the model that this stage is given",
            Subject::Base => "the recipe's model, untuned",
        };
        facts.push(("asked".into(), asked.into()));
        facts.push(("trained".into(), "nothing: the next stage goes on with the model that this one is given".into()));
        Ok(facts)
    }

    fn run(&self, setting: &Setting<'_>) -> anyhow::Result<Finish> {
        let directory = setting.directory.path();
        // An unfinished evaluation, or one under other settings: the replies in it are asked no second time.
        for name in ["results.json", "items", "answers"] {
            super::stage::remove(&directory.join(name))?;
        }
        let compute = match setting.plan.compute {
            Compute::Bf16 => ComputeChoice::Bf16,
            Compute::F32 => ComputeChoice::F32,
        };
        let machine = MachineArgs { compute, threads: setting.plan.threads };
        let model = match self.model {
            Subject::Previous => setting.model,
            Subject::Base => &setting.plan.model,
        };
        let args = self.arguments(model, directory, &machine);
        let Some(found) = evaluate(&args, &setting.requests.stop)? else { return Ok(Finish::Stopped) };
        eprint!("{}", summary(&found));
        for objection in objections(&found) {
            eprintln!("void: {objection}");
        }
        Ok(Finish::Done)
    }
}

/// The evaluation's own page, as part of a run's.
pub(crate) fn sections(directory: &Path) -> Vec<Section> {
    if !is_evaluation(directory) {
        return Vec::new();
    }
    // One that is not whole is reported when it is: a run's page is not worth less for want of it.
    let Ok(loaded) = load(directory) else { return Vec::new() };
    let page = EvaluationPage { before: &loaded, comparison: None, gates: None, judgements: None }.page();
    let mut sections = page.map_or_else(|_| Vec::new(), |page| page.sections);
    // The stage's page has a summary of its own.
    if let Some(summary) = sections.first_mut() {
        summary.heading = "Evaluation".into();
    }
    sections
}
