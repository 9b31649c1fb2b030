//! Tasks: from a benchmark's rows to requests, and from answers to figures.
//!
//! A task is a TOML file ([`Definition`]): where its rows lie and what their columns mean, how an item is asked, how many
//! exemplars go before it, and how an answer is scored. Nothing here reads a file or knows a model: rows come in as JSON
//! objects, and answers come from an [`Answerer`], which an engine or a client of a server implements.
//!
//! 1. [`Task::items`]: rows to [`Item`]s, by the expressions of the task's source.
//! 2. [`Task::request`]: an item, with exemplars before it, to a [`Request`].
//! 3. [`Task::score`]: the item and the [`Reply`] to a [`Scored`] line: answer, what was extracted and on which rung, score.
//! 4. [`summarise`]: all lines to a [`TaskResult`](crate::results::TaskResult) with interval, extraction rate and bounds.

mod answerer;
mod builtin;
mod definition;
mod error;
mod evaluate;
mod exemplars;
mod generated;
mod item;
mod likelihood;
mod prompt;
mod retrieval;
mod samples;
mod scored;
mod summarise;
mod template;

pub use answerer::{
    Answer, Answerer, CodeRunner, Context, Draw, Failure, FailureKind, Likelihood, Rater, Reply, Request, Speaker,
    Turn, Verdict,
};
pub use builtin::{builtin, builtin_names};
pub use definition::{
    Axis, ChoiceMetric, Choose, Definition, Extract, FewShot, Format, PromptSpec, Scoring, Source, TruthMetric,
};
pub use error::TaskError;
pub use evaluate::Asked;
pub use item::{Item, Row};
pub use prompt::{Exemplars, Options, Resolved, Sampling};
pub use retrieval::Retrieval;
pub use scored::Scored;
pub use summarise::summarise;

use minijinja::Environment;

/// A definition that has been checked: its templates and patterns compile.
pub struct Task {
    pub definition: Definition,
    environment: Environment<'static>,
}

impl Task {
    /// Reads a definition. `origin` is the file's name, for messages.
    pub fn parse(origin: &str, text: &str) -> Result<Self, TaskError> {
        let definition: Definition = toml::from_str(text).map_err(|error| TaskError {
            origin: origin.to_owned(),
            what: error.to_string().trim_end().to_owned(),
            fix: "write it as the tasks that `camelid evaluate --list` shows are written".into(),
        })?;
        definition.check(origin)?;
        let environment = template::environment(origin, &definition)?;
        Ok(Self { definition, environment })
    }

    pub fn name(&self) -> &str {
        &self.definition.name
    }

    fn wrong(&self, what: impl Into<String>, fix: impl Into<String>) -> TaskError {
        TaskError { origin: format!("task {}", self.name()), what: what.into(), fix: fix.into() }
    }
}
