//! A task as its file states it.

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::TaskError;

/// A task: everything that decides its figures but the model and the options of a run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    pub name: String,
    /// Rises with every change that can move a figure.
    pub version: u32,
    /// What is tested, in a line.
    pub title: String,
    pub axis: Axis,
    /// Of the data.
    pub licence: String,
    /// Its id on the Hugging Face hub, where it has one.
    pub hub: Option<String>,
    /// What someone without the data is told.
    pub get: String,
    /// Layouts in which the data comes; the first whose files are there is read.
    #[serde(default, rename = "source")]
    pub sources: Vec<Source>,
    /// Items that are made up instead of read.
    pub retrieval: Option<super::retrieval::Retrieval>,
    /// Words for templates, as `names`: what a subject is called in a prompt.
    #[serde(default)]
    pub names: BTreeMap<String, String>,
    pub prompt: PromptSpec,
    #[serde(default)]
    pub few_shot: FewShot,
    pub score: Scoring,
}

/// What kind of ability a task is about. Figures of different axes are never averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    EnglishKnowledge,
    ChineseKnowledge,
    Reasoning,
    Code,
    InstructionFollowing,
    Dialogue,
    LongContext,
    LanguageModelling,
}

impl Axis {
    /// The word of task files.
    pub fn name(self) -> &'static str {
        match self {
            Self::EnglishKnowledge => "english-knowledge",
            Self::ChineseKnowledge => "chinese-knowledge",
            Self::Reasoning => "reasoning",
            Self::Code => "code",
            Self::InstructionFollowing => "instruction-following",
            Self::Dialogue => "dialogue",
            Self::LongContext => "long-context",
            Self::LanguageModelling => "language-modelling",
        }
    }
}

/// One layout of the data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Each split's file under the data folder: JSONL, JSON, CSV, TSV or Parquet, also compressed with `.gz` or `.zst`. A
    /// star in the file's name stands for all that fit, in alphabetical order; the field `_file` then tells them apart.
    pub files: BTreeMap<String, String>,
    /// The split that is evaluated.
    pub evaluate: String,
    /// Names of the columns, for tables without a header.
    pub columns: Option<Vec<String>>,
    /// Takes columns of text apart.
    #[serde(default)]
    pub pattern: Vec<Pattern>,
    /// Fields of an item by expressions over the columns (`_` for what no name can hold) and the patterns' groups, such as `choices | length`. `id` and
    /// `group` (a subject), `cluster` (a document) have their meanings; what scoring reads is said with [`Scoring`].
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// A column that is a list of objects: each is a row of its own, beside the other columns.
    pub rows: Option<String>,
    /// Rows for which this expression is false are no items.
    pub keep: Option<String>,
}

/// A regular expression over a column; its named groups become fields. A row that it does not match is an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    pub column: String,
    pub regex: String,
}

/// How an item is asked. Each part is a template over the item's fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptSpec {
    /// Before all exemplars; of a chat, the system message.
    #[serde(default)]
    pub preamble: String,
    /// The question. Where each choice has a context of its own, it uses `choice`.
    pub item: String,
    /// What follows the question where the answer is known, from its first space on.
    #[serde(default)]
    pub answer: String,
    /// What is scored after the question, over `choice` and `index`.
    #[serde(default = "default_continuation")]
    pub continuation: String,
    /// Between exemplars.
    #[serde(default = "default_separator")]
    pub separator: String,
    #[serde(default)]
    pub format: Format,
}

fn default_continuation() -> String {
    " {{ choice }}".into()
}

fn default_separator() -> String {
    "\n\n".into()
}

/// Whether a prompt goes through the model's chat template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    #[default]
    Plain,
    Chat,
    /// Chat where the model has a template.
    Auto,
}

/// Worked examples before the question.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FewShot {
    pub count: usize,
    /// The split they come from; the evaluated one if it is left out, each item then without itself.
    pub split: Option<String>,
    pub choose: Choose,
    /// Only those of the item's group.
    pub same_group: bool,
    /// Exemplars written out, in place of items: the fields that `item` and `answer` use.
    pub given: Vec<serde_json::Map<String, serde_json::Value>>,
    /// A text file of ready exemplars, with `{{ group }}` for the item's group; what stands before `text_after` in it is left out.
    pub text: Option<String>,
    pub text_after: Option<String>,
    /// Regular expressions over that text and what they are replaced by, such as `$1`.
    pub text_replace: Vec<[String; 2]>,
}

/// Which items of the split become exemplars. They are the same, in the same order, for all items of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choose {
    /// The first.
    #[default]
    First,
    /// Drawn by the run's seed.
    Seeded,
}

/// What is asked of the model and how its answer becomes a number.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scoring {
    /// The likeliest of `choices` is the answer; `answer` is the right one's number from 0.
    Choices { metric: ChoiceMetric },
    /// Of `choices`, those whose entry in `labels` is 1 are true (`TruthfulQA`).
    TruthSets { metric: TruthMetric },
    /// Text is generated and an answer looked for in it, to be compared with `answer`; for letters, `choices` are the options.
    Generation {
        extract: Extract,
        max_tokens: usize,
        #[serde(default)]
        stop: Vec<String>,
    },
    /// `instruction_id_list` and `kwargs` are checked (IFEval).
    Instructions {
        max_tokens: usize,
        #[serde(default)]
        stop: Vec<String>,
    },
    /// ROUGE-L against the best of `references`. With `choices`, the one most like the text is the answer (rank
    /// classification), right if it is among the references.
    RougeL {
        max_tokens: usize,
        #[serde(default)]
        stop: Vec<String>,
        #[serde(default)]
        classify: bool,
    },
    /// A program is looked for and run with `test`; `entry_point` is the function. Where the prompt is the beginning of the
    /// program, `prefix` is put before what is not a whole program.
    Program {
        max_tokens: usize,
        #[serde(default)]
        stop: Vec<String>,
    },
    /// Bits per byte of `text`.
    Perplexity {},
    /// Answers only, for a judge: `turns` are said one after the other.
    Answers {
        max_tokens: usize,
        #[serde(default)]
        stop: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChoiceMetric {
    /// The largest log-likelihood wins.
    Acc,
    /// The largest log-likelihood divided by the choice's characters wins.
    AccNorm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TruthMetric {
    /// Whether the likeliest is true.
    Mc1,
    /// The share of probability on what is true.
    Mc2,
}

/// Which ladder of [`crate::extraction`] finds the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extract {
    Number,
    Letter,
    Expression,
    Statement,
    /// The whole text, trimmed.
    Whole,
}

impl Scoring {
    /// The word for the figure in results.
    pub fn metric(&self) -> &'static str {
        match self {
            Self::Choices { metric: ChoiceMetric::Acc } => "acc",
            Self::Choices { metric: ChoiceMetric::AccNorm } => "acc_norm",
            Self::TruthSets { metric: TruthMetric::Mc1 } => "mc1",
            Self::TruthSets { metric: TruthMetric::Mc2 } => "mc2",
            Self::Generation { .. } => "exact_match",
            Self::Instructions { .. } => "prompt_strict",
            Self::RougeL { classify: false, .. } => "rouge_l",
            Self::RougeL { classify: true, .. } => "rouge_l_acc",
            Self::Program { .. } => "pass@1",
            Self::Perplexity {} => "bits_per_byte",
            Self::Answers { .. } => "answers",
        }
    }

    /// Limit of tokens and stop strings, where text is generated.
    pub fn limits(&self) -> Option<(usize, &[String])> {
        match self {
            Self::Generation { max_tokens, stop, .. }
            | Self::Instructions { max_tokens, stop }
            | Self::RougeL { max_tokens, stop, .. }
            | Self::Program { max_tokens, stop }
            | Self::Answers { max_tokens, stop } => Some((*max_tokens, stop)),
            Self::Choices { .. } | Self::TruthSets { .. } | Self::Perplexity {} => None,
        }
    }

    /// Fields that each item must have.
    pub(super) fn fields(&self) -> &'static [&'static str] {
        match self {
            Self::TruthSets { .. } => &["choices", "labels"],
            Self::Choices { .. } | Self::Generation { extract: Extract::Letter, .. } => &["choices", "answer"],
            Self::Generation { .. } => &["answer"],
            Self::Instructions { .. } => &["instruction_id_list", "kwargs"],
            Self::RougeL { classify: true, .. } => &["references", "choices"],
            Self::RougeL { classify: false, .. } => &["references"],
            Self::Program { .. } => &["test", "entry_point"],
            Self::Perplexity {} => &["text"],
            Self::Answers { .. } => &["turns"],
        }
    }
}

impl Definition {
    pub(super) fn check(&self, origin: &str) -> Result<(), TaskError> {
        let wrong = |what: String, fix: &str| Err(TaskError { origin: origin.to_owned(), what, fix: fix.to_owned() });
        let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return wrong(format!("name: `{}` is no task name", self.name), "use small letters, digits and hyphens");
        }
        if self.sources.is_empty() == self.retrieval.is_none() {
            return wrong(
                "the items come from a [[source]] or from [retrieval], not from both or neither".into(),
                "add a [[source]] with the files of the data",
            );
        }
        for (number, source) in self.sources.iter().enumerate() {
            let wanted = [Some(&source.evaluate), self.few_shot.split.as_ref()];
            if let Some(split) = wanted.into_iter().flatten().find(|split| !source.files.contains_key(*split))
                && (split == &source.evaluate || number == 0)
            {
                return wrong(
                    format!("source {}: files has no split `{split}`", number + 1),
                    "name a file for it, or another split",
                );
            }
            for pattern in &source.pattern {
                if let Err(error) = Regex::new(&pattern.regex) {
                    return wrong(
                        format!("source {}: the pattern of column `{}`: {error}", number + 1, pattern.column),
                        "correct the regular expression",
                    );
                }
            }
        }
        let FewShot { count, given, text, .. } = &self.few_shot;
        if !given.is_empty() && *count > given.len() {
            return wrong(
                format!("few_shot: count is {count}, but {} are given", given.len()),
                "give more, or lower the count",
            );
        }
        if !given.is_empty() && text.is_some() {
            return wrong("few_shot: both `given` and `text` are set".into(), "keep one of them");
        }
        for [pattern, _] in &self.few_shot.text_replace {
            if let Err(error) = Regex::new(pattern) {
                return wrong(format!("few_shot.text_replace: {error}"), "correct the regular expression");
            }
        }
        match self.score.limits() {
            Some((0, _)) => wrong("score: max_tokens is 0".into(), "allow at least one token"),
            _ => Ok(()),
        }
    }
}
