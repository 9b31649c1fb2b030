//! The record formats and the columns by which they are known.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The shape of a file's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `messages`: a list of `{role, content}`; optional `tools`, `chat_template_kwargs`.
    Messages,
    /// `prompt`, `completion`: strings, or lists of messages.
    PromptCompletion,
    /// `instruction`, `output`; optional `input`, `system`, `history`.
    Alpaca,
    /// `conversations`: a list of `{from, value}`; optional `system`, `tools`.
    #[serde(rename = "sharegpt")]
    ShareGpt,
    /// `chosen` or `text`: a transcript of `\n\nHuman: ...` and `\n\nAssistant: ...` turns (Bai et al. 2022, HH-RLHF).
    #[serde(rename = "hh")]
    HhTranscript,
    /// `text`: raw text.
    Text,
}

impl Format {
    /// The name used in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Format::Messages => "messages",
            Format::PromptCompletion => "prompt-completion",
            Format::Alpaca => "alpaca",
            Format::ShareGpt => "sharegpt",
            Format::HhTranscript => "hh",
            Format::Text => "text",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
