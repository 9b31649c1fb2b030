//! Stages that train nothing: they draw answers, measure or decide, and the model goes on to the next stage as it came.
//!
//! A kind is one file: what its table in the recipe may hold, what that resolves to, what is done, and what the report shows of
//! it. To add one, copy `best_of_n`, and name it in [`ActionKind`], [`ActionSpec`] and [`SECTIONS`].

mod best_of_n;
mod eval;
mod gate;
mod stage;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use camelid_report::Section;
use camelid_text::Text;
use camelid_train::{Requests, RunDirectory};
use serde::Deserialize;
use serde::de::MapAccess;
use serde::de::value::MapAccessDeserializer;
use serde_json::Value as Json;

use crate::recipe::{Plan, RecipeError};

pub(crate) use stage::{model_of, run};

/// What a stage does instead of training.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ActionKind {
    /// Answers to prompts, the best of which are kept, and what choosing them does to two rewards.
    BestOfN,
    /// Benchmarks of a model.
    Eval,
    /// Whether the abilities of the base model were kept, before the run goes on.
    Gate,
}

impl ActionKind {
    pub(crate) const ALL: [Self; 3] = [Self::BestOfN, Self::Eval, Self::Gate];

    /// As recipes and run directories call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BestOfN => "best-of-n",
            Self::Eval => "eval",
            Self::Gate => "gate",
        }
    }

    /// Reads the keys that follow the kind.
    pub(crate) fn read<'de, A: MapAccess<'de>>(self, map: A) -> Result<ActionSpec, A::Error> {
        let map = MapAccessDeserializer::new(map);
        Ok(match self {
            Self::BestOfN => ActionSpec::BestOfN(Box::new(Deserialize::deserialize(map)?)),
            Self::Eval => ActionSpec::Eval(Box::new(Deserialize::deserialize(map)?)),
            Self::Gate => ActionSpec::Gate(Box::new(Deserialize::deserialize(map)?)),
        })
    }
}

/// The table of a stage as written.
#[derive(Debug)]
pub(crate) enum ActionSpec {
    BestOfN(Box<best_of_n::BestOfNSpec>),
    Eval(Box<eval::EvalSpec>),
    Gate(Box<gate::GateSpec>),
}

impl ActionSpec {
    /// Fills in defaults and checks ranges. `place` is what errors call the stage, `recipe` the file it is in.
    pub(crate) fn resolve(&self, recipe: &Path, place: &str) -> Result<Arc<dyn Action>, RecipeError> {
        Ok(match self {
            Self::BestOfN(spec) => Arc::new(spec.resolve(recipe, place)?),
            Self::Eval(spec) => Arc::new(spec.resolve(recipe, place)?),
            Self::Gate(spec) => Arc::new(spec.resolve(recipe, place)?),
        })
    }
}

/// What reports show of what each kind left in its directory; nothing in others'.
const SECTIONS: [fn(&Path) -> Vec<Section>; 3] = [best_of_n::sections, eval::sections, gate::sections];

/// What stages of all kinds here left in a directory.
pub(crate) fn sections(directory: &Path) -> Vec<Section> {
    SECTIONS.iter().flat_map(|sections| sections(directory)).collect()
}

/// A stage that trains nothing, resolved.
pub(crate) trait Action: Debug + Send + Sync {
    fn kind(&self) -> ActionKind;

    /// An object of every value that decides its result, nothing left open.
    fn view(&self) -> Json;

    /// Whether it fits the stages around it; `index` is its place among them, `place` what errors call it.
    fn check(&self, _plan: &Plan, _index: usize, _place: &str) -> Result<(), RecipeError> {
        Ok(())
    }

    /// What it leaves an evaluation of, for gates further on.
    fn evaluates(&self) -> Option<Evaluated> {
        None
    }

    /// Files that it reads besides the model: what they hold decides its result too.
    fn inputs(&self, setting: &Setting<'_>) -> Vec<PathBuf>;

    /// Whether it is done anew, and not refused, when what decides its result has changed: for what costs little to do again.
    fn is_done_anew(&self) -> bool {
        false
    }

    /// Names of what it writes into its directory, which `--restart` removes.
    fn outputs(&self) -> &'static [&'static str];

    /// What `camelid plan` says of it beside its view: names and values.
    fn outlook(&self, plan: &Plan, index: usize, text: &Text) -> anyhow::Result<Vec<(String, String)>>;

    /// Does it, or goes on with what an earlier attempt at the same has left. An error ends the run: no later stage begins.
    fn run(&self, setting: &Setting<'_>) -> anyhow::Result<Finish>;
}

/// How a stage ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Done,
    /// Asked to; the same command goes on from there.
    Stopped,
    /// What it looked for is not there, and why: the run ends, and the stage is tried again by the same command.
    NotPassed(String),
}

/// A stage that evaluates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Evaluated {
    /// The model that the recipe starts from, and not what its stages made of it.
    pub(crate) is_base: bool,
    pub(crate) tasks: Vec<String>,
}

/// What a stage finds.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) plan: &'a Plan,
    /// The stage's place among those of the plan.
    pub(crate) index: usize,
    /// What it acts on.
    pub(crate) model: &'a str,
    pub(crate) directory: &'a RunDirectory,
    /// Of the user: to stop.
    pub(crate) requests: &'a Requests,
}
