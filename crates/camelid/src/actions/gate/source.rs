//! Where a gate's evaluations come from: stages of the run, or directories.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

use crate::actions::Evaluated;
use crate::evaluations::is_evaluation;
use crate::recipe::{Plan, RecipeError, Stage};

/// An evaluation as a recipe names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The number of a stage that evaluates, counted from 1.
    Stage(usize),
    Directory(PathBuf),
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrPath;
        impl Visitor<'_> for NumberOrPath {
            type Value = Source;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the number of an eval stage, or the directory of an evaluation")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Source, E> {
                // Numbers that no stage has are refused with those that are too high.
                Ok(Source::Stage(usize::try_from(number).unwrap_or(0)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Source, E> {
                Ok(Source::Stage(usize::try_from(number).unwrap_or(usize::MAX)))
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<Source, E> {
                Ok(Source::Directory(path.into()))
            }
        }
        deserializer.deserialize_any(NumberOrPath)
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Stage(number) => number.serialize(serializer),
            Self::Directory(path) => path.serialize(serializer),
        }
    }
}

impl Source {
    /// A directory is looked for where the command runs, then beside the recipe, and must be there before anything is trained.
    pub(super) fn found(&self, recipe: &Path, place: &str, key: &str) -> Result<Self, RecipeError> {
        let Self::Directory(path) = self else { return Ok(self.clone()) };
        let beside = recipe.parent().unwrap_or(Path::new("")).join(path);
        if let Some(found) = [path.clone(), beside].into_iter().find(|candidate| is_evaluation(candidate)) {
            return Ok(Self::Directory(found));
        }
        let what = format!("`{key}`: {} is no evaluation", path.display());
        let fix = "name a directory that camelid evaluate wrote, or an eval stage by its number";
        Err(RecipeError::new(place.to_owned(), what, fix))
    }

    /// The directory, in the run of `plan`.
    pub(super) fn directory(&self, plan: &Plan) -> PathBuf {
        match self {
            Self::Stage(number) => plan.stage_directory(number.saturating_sub(1)),
            Self::Directory(path) => path.clone(),
        }
    }

    /// As messages call it.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Stage(number) => format!("stage {number}"),
            Self::Directory(path) => path.display().to_string(),
        }
    }
}

/// The eval stages in front of stage `index`, each with its number.
pub(super) fn evaluations(plan: &Plan, index: usize) -> Vec<(usize, Evaluated)> {
    let stages = plan.stages.iter().take(index).enumerate();
    let action = |stage: &Stage| match stage {
        Stage::Action(action) => action.evaluates(),
        Stage::Tuning(_) => None,
    };
    stages.filter_map(|(place, stage)| Some((place + 1, action(stage)?))).collect()
}
