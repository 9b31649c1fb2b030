//! From an item to what a model is asked.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::definition::{Format, Scoring};
use super::exemplars::Pool;
use super::template::{ANSWER, CONTINUATION, ITEM, PREAMBLE};
use super::{Context, Item, Request, Speaker, Task, TaskError, Turn};

/// How exemplars stand in a chat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exemplars {
    /// Each is a question of the user and an answer of the assistant.
    #[default]
    Turns,
    /// All stand in the user's one message, before the question.
    OneTurn,
}

/// Several answers to each item, of tasks whose answers are read or run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    pub samples: usize,
    pub temperature: f32,
    pub top_p: f32,
}

/// What a run may change about a task; all of it is written beside the figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Exemplars before each item; the task's own number if left out.
    pub few_shot: Option<usize>,
    /// The task's own if left out.
    pub format: Option<Format>,
    pub exemplars: Exemplars,
    pub seed: u64,
    /// Tokens of an answer at most; the task's own if left out.
    pub max_tokens: Option<usize>,
    /// The likeliest answer alone if left out.
    pub sampling: Option<Sampling>,
    /// Most times that a question is asked, each with the answers so far as hints; once if left out.
    pub hints: Option<usize>,
}

/// Options with nothing left open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resolved {
    pub chat: bool,
    pub few_shot: usize,
    pub exemplars: Exemplars,
    pub seed: u64,
    /// 0 where nothing is generated.
    pub max_tokens: usize,
    /// Only of tasks for which several answers mean something.
    pub sampling: Option<Sampling>,
    /// As above, of tasks whose answers are read.
    pub hints: Option<usize>,
}

impl Task {
    /// The options of this task for a model with or without a chat template.
    pub fn resolve(&self, options: &Options, has_template: bool) -> Result<Resolved, TaskError> {
        let format = options.format.unwrap_or(self.definition.prompt.format);
        let chat = match format {
            Format::Plain => false,
            Format::Auto => has_template,
            Format::Chat if has_template => true,
            Format::Chat => {
                return Err(self.wrong("the model has no chat template", "use --format plain, or a model with one"));
            }
        };
        let few_shot = &self.definition.few_shot;
        if !few_shot.given.is_empty() && options.few_shot.is_some_and(|count| count > few_shot.given.len()) {
            let given = few_shot.given.len();
            return Err(self.wrong(format!("it has {given} exemplars"), format!("use --few-shot 0 to {given}")));
        }
        if few_shot.text.is_some() && options.few_shot.is_some_and(|count| count != 0 && count != few_shot.count) {
            let fix = format!("use --few-shot 0 or {}", few_shot.count);
            return Err(self.wrong("its exemplars are one text that is not taken apart", fix));
        }
        Ok(Resolved {
            chat,
            few_shot: options.few_shot.unwrap_or(few_shot.count),
            exemplars: options.exemplars,
            seed: options.seed,
            max_tokens: self.definition.score.limits().map_or(0, |(limit, _)| options.max_tokens.unwrap_or(limit)),
            sampling: options
                .sampling
                .filter(|_| matches!(self.definition.score, Scoring::Generation { .. } | Scoring::Program { .. })),
            hints: options.hints.filter(|_| matches!(self.definition.score, Scoring::Generation { .. })),
        })
    }

    /// What is asked for an item.
    pub(super) fn request(&self, item: &Item, pool: &Pool<'_>, resolved: &Resolved) -> Result<Request, TaskError> {
        let context = |more: &[(&str, Json)]| self.context(item, pool, resolved, more);
        let score = &self.definition.score;
        if let Some((_, stop)) = score.limits() {
            // A chat ends by itself, and stop strings of a plain prompt ("\n\n", "Q:") cut its answers short.
            let stop = if resolved.chat { Vec::new() } else { stop.to_vec() };
            let first = item.texts("turns").and_then(|turns| turns.into_iter().next());
            let turn: Vec<(&str, Json)> = first.map(|turn| ("turn", json!(turn))).into_iter().collect();
            return Ok(Request::Generate {
                context: context(&turn)?,
                stop,
                max_tokens: resolved.max_tokens,
                draw: None,
            });
        }
        if matches!(score, Scoring::Perplexity {}) {
            return Ok(Request::Text { text: item.text("text").unwrap_or_default() });
        }
        let choices = item.texts("choices").filter(|choices| choices.len() > 1).ok_or_else(|| {
            self.wrong(format!("item {}: `choices` is no list of two texts or more", item.id), "correct the field")
        })?;
        let (mut contexts, mut continuations) = (Vec::new(), Vec::new());
        for (index, choice) in choices.iter().enumerate() {
            let more = [("choice", json!(choice)), ("index", json!(index))];
            let continuation = self.render(CONTINUATION, &item.fields, &more)?;
            // Templates end with the white space that an answer follows.
            continuations.push(if resolved.chat { continuation.trim_start().to_owned() } else { continuation });
            if index == 0 || self.has_contexts() {
                contexts.push(context(&more)?);
            }
        }
        Ok(Request::Choices { contexts, continuations })
    }

    /// What follows an answer of the model to turn `number - 1`, where the item has as many turns.
    pub(super) fn next_turn(&self, item: &Item, asked: &Request, answer: &str, number: usize) -> Option<Request> {
        let Request::Generate { context, stop, max_tokens, draw } = asked else { return None };
        let turn = item.texts("turns")?.into_iter().nth(number)?;
        let question = self.render(ITEM, &item.fields, &[("turn", json!(turn))]).ok()?;
        let separator = &self.definition.prompt.separator;
        let context = match context {
            Context::Text(text) => Context::Text(format!("{text}{answer}{separator}{question}")),
            Context::Chat(turns) => {
                let mut turns = turns.clone();
                turns.push(Turn { role: Speaker::Assistant, content: answer.trim().to_owned() });
                turns.push(Turn { role: Speaker::User, content: question.trim().to_owned() });
                Context::Chat(turns)
            }
        };
        Some(Request::Generate { context, stop: stop.clone(), max_tokens: *max_tokens, draw: *draw })
    }

    /// A request once more, with a hint at the end of its question: before a last line that only asks for the answer.
    pub(super) fn hinted(asked: &Request, hint: &str) -> Request {
        let behind = |text: &str| match text.rsplit_once('\n') {
            Some((question, cue)) if cue.ends_with(':') => format!("{question}{hint}\n{cue}"),
            _ => format!("{text}{hint}"),
        };
        let mut request = asked.clone();
        if let Request::Generate { context, .. } = &mut request {
            match context {
                Context::Text(text) => *text = behind(text),
                Context::Chat(turns) => {
                    if let Some(turn) = turns.last_mut() {
                        turn.content = behind(&turn.content);
                    }
                }
            }
        }
        request
    }

    /// Whether each choice has a context of its own.
    fn has_contexts(&self) -> bool {
        self.definition.prompt.item.contains("choice }}") || self.definition.prompt.item.contains("choice)")
    }

    fn context(
        &self,
        item: &Item,
        pool: &Pool<'_>,
        resolved: &Resolved,
        more: &[(&str, Json)],
    ) -> Result<Context, TaskError> {
        let separator = &self.definition.prompt.separator;
        let preamble = self.render(PREAMBLE, &item.fields, more)?;
        let question = self.render(ITEM, &item.fields, more)?;
        let mut worked = Vec::new();
        for fields in pool.before(item) {
            worked.push(self.worked(fields)?);
        }
        let joined = || {
            let mut text = pool.text(item).map(|text| format!("{text}{separator}")).unwrap_or_default();
            for (asked, answer) in &worked {
                text.push_str(asked);
                text.push_str(answer);
                text.push_str(separator);
            }
            text + &question
        };
        if !resolved.chat {
            return Ok(Context::Text(preamble + &joined()));
        }
        let turn = |role, content: &str| Turn { role, content: content.trim().to_owned() };
        let mut turns = Vec::new();
        if !preamble.trim().is_empty() {
            turns.push(turn(Speaker::System, &preamble));
        }
        if resolved.exemplars == Exemplars::OneTurn || pool.text(item).is_some() {
            turns.push(turn(Speaker::User, &joined()));
        } else {
            for (asked, answer) in &worked {
                turns.push(turn(Speaker::User, asked));
                turns.push(turn(Speaker::Assistant, answer));
            }
            turns.push(turn(Speaker::User, &question));
        }
        Ok(Context::Chat(turns))
    }

    /// An exemplar's question and answer. Where choices have contexts of their own, it is written with the right one.
    fn worked(&self, fields: &Map<String, Json>) -> Result<(String, String), TaskError> {
        let right = fields.get("answer").and_then(Json::as_u64).map(|answer| answer as usize);
        let choice = right.and_then(|answer| fields.get("choices")?.get(answer)).cloned();
        let more: Vec<(&str, Json)> =
            choice.map(|choice| vec![("choice", choice), ("index", json!(right))]).unwrap_or_default();
        Ok((self.render(ITEM, fields, &more)?, self.render(ANSWER, fields, &more)?))
    }
}
