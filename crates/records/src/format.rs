//! The record formats and the columns by which they are known.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The shape of a file's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `messages`: a list of `{role, content}`; optional `tools`, `chat_template_kwargs`.
    Messages,
    /// `prompt`, `completion`: strings, or lists of messages.
    PromptCompletion,
    /// `instruction`, `output`; optional `input`, `system`, `history` (Taori et al. 2023, Stanford Alpaca).
    Alpaca,
    /// `conversations`: a list of `{from, value}`; optional `system`, `tools`.
    #[serde(rename = "sharegpt")]
    ShareGpt,
    /// `chosen` or `text`: a transcript of `\n\nHuman: ...` and `\n\nAssistant: ...` turns (Bai et al. 2022, HH-RLHF).
    #[serde(rename = "hh")]
    HhTranscript,
    /// `text`: raw text.
    Text,
    /// `chosen`, `rejected`: responses or whole conversations; optional `prompt`, `reference`, scores, `margin`, `confidence`.
    Pair,
    /// `prompt` (or `instruction`), `responses` (or `completions`): two or more, with `scores` or `ranks`, else best first;
    /// optional `reference`.
    Ranked,
    /// `prompt`, `completion` (or `messages`), `label`: one response that is good or bad.
    Unpaired,
    /// `prompt`, `completions`, `labels`: the steps of a solution, each right or wrong.
    Stepwise,
    /// `history`, `human_ref_A`, `human_ref_B`, `labels` (Ethayarajh 2022, Stanford Human Preferences).
    Shp,
    /// `info`, `summaries`, `choice` (Stiennon 2020, comparisons of summaries).
    Tldr,
    /// `prompt` with nested `replies` that have ranks (Köpf 2023, `OpenAssistant` message trees).
    Oasst,
    /// `prompt`: a text, or a list of messages that ends with the user's; optional `answer`.
    Prompt,
    /// `instruction`; optional `input`, `system`, `history`, `answer`.
    Instruction,
    /// `question`; optional `answer`.
    Question,
}

/// One field of a format.
pub(crate) struct Field {
    /// Our name for it: the key of a column mapping.
    pub(crate) name: &'static str,
    /// The columns that hold it where no mapping says otherwise; the first one present is taken.
    pub(crate) columns: &'static [&'static str],
    pub(crate) required: bool,
    /// Columns of well-known data sets that hold the same under another name: never taken unasked, but suggested.
    pub(crate) known_as: &'static [&'static str],
}

const fn required(name: &'static str, columns: &'static [&'static str], known_as: &'static [&'static str]) -> Field {
    Field { name, columns, required: true, known_as }
}

const fn optional(name: &'static str, columns: &'static [&'static str], known_as: &'static [&'static str]) -> Field {
    Field { name, columns, required: false, known_as }
}

const TOOLS: Field = optional("tools", &["tools"], &[]);
const SYSTEM: Field = optional("system", &["system"], &["system_prompt"]);
/// An answer beside those that are compared.
const REFERENCE: Field = optional("reference", &["reference"], &["reference_answer", "reference_response"]);
/// The answer to a prompt that would be right.
const EXPECTED: Field =
    optional("expected", &["answer", "expected", "ground_truth"], &["response", "solution", "target", "output"]);
const TEMPLATE_ARGUMENTS: Field = optional("template_arguments", &["chat_template_kwargs"], &[]);

impl Format {
    /// Every format of demonstrations, in the order in which messages list them.
    pub const ALL: [Format; 6] = [
        Format::Messages,
        Format::ShareGpt,
        Format::Alpaca,
        Format::PromptCompletion,
        Format::HhTranscript,
        Format::Text,
    ];

    /// Every format of feedback, in the order in which messages list them.
    pub const PREFERENCES: [Format; 7] =
        [Format::Pair, Format::Ranked, Format::Unpaired, Format::Stepwise, Format::Shp, Format::Tldr, Format::Oasst];

    /// Every format of which prompts can be read, in the order in which messages list them.
    pub const PROMPTS: [Format; 15] = [
        Format::Prompt,
        Format::Question,
        Format::Instruction,
        Format::Messages,
        Format::ShareGpt,
        Format::Alpaca,
        Format::PromptCompletion,
        Format::HhTranscript,
        Format::Pair,
        Format::Ranked,
        Format::Unpaired,
        Format::Stepwise,
        Format::Shp,
        Format::Tldr,
        Format::Oasst,
    ];

    /// How much a row of this format says: where several formats fit, only those that say most are meant. Feedback (2) has an
    /// answer and a judgement, a demonstration (1) an answer, a prompt (0) neither.
    pub(crate) fn says(self) -> u8 {
        match self {
            Format::Prompt | Format::Instruction | Format::Question => 0,
            other if Format::ALL.contains(&other) => 1,
            _ => 2,
        }
    }

    /// The name used in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Format::Messages => "messages",
            Format::PromptCompletion => "prompt-completion",
            Format::Alpaca => "alpaca",
            Format::ShareGpt => "sharegpt",
            Format::HhTranscript => "hh",
            Format::Text => "text",
            Format::Pair => "pair",
            Format::Ranked => "ranked",
            Format::Unpaired => "unpaired",
            Format::Stepwise => "stepwise",
            Format::Shp => "shp",
            Format::Tldr => "tldr",
            Format::Oasst => "oasst",
            Format::Prompt => "prompt",
            Format::Instruction => "instruction",
            Format::Question => "question",
        }
    }

    pub(crate) fn fields(self) -> &'static [Field] {
        const MESSAGES: &[Field] = &[
            required("messages", &["messages"], &["conversation", "dialogue", "dialog", "chat", "turns"]),
            TOOLS,
            TEMPLATE_ARGUMENTS,
        ];
        const PROMPT_COMPLETION: &[Field] = &[
            required("prompt", &["prompt"], &["question", "query", "input", "instruction"]),
            required("completion", &["completion"], &["response", "answer", "output", "target"]),
            TOOLS,
            TEMPLATE_ARGUMENTS,
        ];
        const ALPACA: &[Field] = &[
            required("instruction", &["instruction"], &["question", "query", "prompt"]),
            required("output", &["output"], &["response", "answer", "target"]),
            optional("input", &["input"], &["context"]),
            SYSTEM,
            optional("history", &["history"], &[]),
        ];
        const SHARE_GPT: &[Field] =
            &[required("conversations", &["conversations"], &["conversation"]), SYSTEM, TOOLS, TEMPLATE_ARGUMENTS];
        const TRANSCRIPT: &[Field] = &[required("transcript", &["chosen", "text"], &["transcript", "dialogue"])];
        const TEXT: &[Field] = &[required("text", &["text"], &["content", "document", "body", "story"])];
        const PAIR: &[Field] = &[
            required("chosen", &["chosen"], &["chosen_messages", "preferred", "response_chosen", "better", "win"]),
            required(
                "rejected",
                &["rejected"],
                &["rejected_messages", "dispreferred", "response_rejected", "worse", "lose"],
            ),
            optional("prompt", &["prompt", "conversations"], &["question", "instruction"]),
            REFERENCE,
            optional("margin", &["margin"], &[]),
            optional("score_chosen", &["score_chosen", "chosen_score"], &["chosen_rating"]),
            optional("score_rejected", &["score_rejected", "rejected_score"], &["rejected_rating"]),
            optional("confidence", &["confidence", "label_confidence"], &[]),
            SYSTEM,
            TOOLS,
            TEMPLATE_ARGUMENTS,
        ];
        const RANKED: &[Field] = &[
            required("prompt", &["prompt", "instruction"], &["question", "query"]),
            required("responses", &["responses", "completions", "answers"], &["outputs", "candidates"]),
            optional("scores", &["scores", "ratings"], &["rewards"]),
            optional("ranks", &["ranks", "ranking"], &["rank"]),
            REFERENCE,
            SYSTEM,
            TOOLS,
            TEMPLATE_ARGUMENTS,
        ];
        const UNPAIRED: &[Field] = &[
            required("label", &["label", "kto_tag"], &["desirable", "is_good", "feedback"]),
            optional("prompt", &["prompt"], &["question", "instruction"]),
            optional("completion", &["completion"], &["response", "answer", "output"]),
            optional("messages", &["messages"], &["conversation"]),
            TOOLS,
            TEMPLATE_ARGUMENTS,
        ];
        const STEPWISE: &[Field] = &[
            required("prompt", &["prompt"], &["question", "problem"]),
            required("completions", &["completions"], &["steps"]),
            required("labels", &["labels"], &["ratings"]),
        ];
        const SHP: &[Field] = &[
            required("history", &["history"], &["post"]),
            required("human_ref_A", &["human_ref_A"], &[]),
            required("human_ref_B", &["human_ref_B"], &[]),
            required("labels", &["labels"], &["label"]),
            optional("score_A", &["score_A"], &[]),
            optional("score_B", &["score_B"], &[]),
        ];
        const TLDR: &[Field] = &[
            required("info", &["info"], &[]),
            required("summaries", &["summaries"], &[]),
            required("choice", &["choice"], &[]),
        ];
        const OASST: &[Field] = &[required("prompt", &["prompt"], &[])];
        const PROMPT: &[Field] = &[
            required("prompt", &["prompt"], &["query", "text", "input", "problem", "message"]),
            EXPECTED,
            SYSTEM,
            TOOLS,
            TEMPLATE_ARGUMENTS,
        ];
        const INSTRUCTION: &[Field] = &[
            required("instruction", &["instruction"], &["task"]),
            optional("input", &["input"], &["context"]),
            SYSTEM,
            optional("history", &["history"], &[]),
            EXPECTED,
        ];
        const QUESTION: &[Field] = &[required("question", &["question"], &["problem"]), EXPECTED, SYSTEM];
        match self {
            Format::Prompt => PROMPT,
            Format::Instruction => INSTRUCTION,
            Format::Question => QUESTION,
            Format::Pair => PAIR,
            Format::Ranked => RANKED,
            Format::Unpaired => UNPAIRED,
            Format::Stepwise => STEPWISE,
            Format::Shp => SHP,
            Format::Tldr => TLDR,
            Format::Oasst => OASST,
            Format::Messages => MESSAGES,
            Format::PromptCompletion => PROMPT_COMPLETION,
            Format::Alpaca => ALPACA,
            Format::ShareGpt => SHARE_GPT,
            Format::HhTranscript => TRANSCRIPT,
            Format::Text => TEXT,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A format name that does not exist; the message lists those that do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no record format; use one of messages, sharegpt, alpaca, prompt-completion, hh, text, or for feedback pair, \
     ranked, unpaired, stepwise, shp, tldr, oasst, or for prompts alone prompt, instruction, question"
)]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let mut formats = Format::ALL.into_iter().chain(Format::PREFERENCES).chain(Format::PROMPTS);
        formats.find(|format| format.name() == name).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}
