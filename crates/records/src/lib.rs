//! Typed training records, and the readers and writers of the formats in which they come.
//!
//! [`read`] takes a file through three steps, each with its own module:
//!
//! 1. `rows`: bytes to JSON objects. The first bytes tell gzip, zstd, Parquet and JSON; the name tells CSV. A row that
//!    cannot be parsed is refused by itself, and no row may be longer than 16 MiB.
//! 2. `layout`: the columns of the first rows to a [`Format`], once a file. What is unknown or ambiguous is an error that
//!    lists the columns found and the mapping that would help.
//! 3. `convert`: one object to one [`Record`]. What is broken becomes a [`Reject`] with the field, the reason and the fix.
//!
//! | format | columns | record |
//! |---|---|---|
//! | `messages` | `messages` (`tools`, `chat_template_kwargs`) | conversation |
//! | `sharegpt` | `conversations` (`system`, `tools`, `chat_template_kwargs`) | conversation |
//! | `alpaca` | `instruction`, `output` (`input`, `system`, `history`) | conversation |
//! | `prompt-completion` | `prompt`, `completion` (`tools`, `chat_template_kwargs`) | completion; a conversation if both are message lists |
//! | `hh` | `chosen` or `text` | conversation |
//! | `text` | `text` | text |
//!
//! [`read_preferences`] reads feedback in the same three steps:
//!
//! | format | columns | record |
//! |---|---|---|
//! | `pair` | `chosen`, `rejected` (`prompt`, `margin`, `confidence`, `score_chosen`, `score_rejected`, `system`, `tools`) | two ranked responses |
//! | `ranked` | `prompt` or `instruction`, `responses` or `completions` (`scores`, `ranks`) | two or more |
//! | `unpaired` | `label`, and `prompt` with `completion`, or `messages` | one, good or bad |
//! | `stepwise` | `prompt`, `completions`, `labels` | steps, right or wrong |
//! | `shp` | `history`, `human_ref_A`, `human_ref_B`, `labels` | two ranked responses |
//! | `tldr` | `info`, `summaries`, `choice` | two ranked responses |
//! | `oasst` | `prompt`, an object with `replies` | for each prompt of the tree, its ranked replies |
//!
//! [`read_prompts`] reads what a policy is to answer, of all formats above but `text` and of three that hold nothing else:
//!
//! | format | columns | prompt |
//! |---|---|---|
//! | `prompt` | `prompt` (`answer`, `system`, `tools`, `chat_template_kwargs`) | a text as it stands, or a conversation |
//! | `instruction` | `instruction` (`input`, `system`, `history`, `answer`) | conversation |
//! | `question` | `question` (`answer`, `system`) | conversation |
//!
//! Other columns are ignored. [`ReadOptions::columns`] names columns that are called otherwise:
//!
//! ```
//! use camelid_records::{Format, ReadOptions, read_bytes};
//!
//! let file = br#"{"instruction": "Name a fruit.", "response": "A pear."}"#;
//! let options = ReadOptions { columns: [("output".into(), "response".into())].into(), ..ReadOptions::default() };
//! let dataset = read_bytes("fruit.jsonl".as_ref(), file, &options)?;
//! assert_eq!(dataset.format, Format::Alpaca);
//! assert_eq!(dataset.records.len(), 1);
//! # Ok::<(), camelid_records::RecordError>(())
//! ```
//!
//! This crate knows no tokenizer: whether a record has anything to learn is decided where it is tokenised.

mod condition;
mod convert;
mod dataset;
mod error;
mod fault;
mod format;
mod judgement;
mod layout;
mod preference;
mod prompt;
mod raw;
mod read;
mod record;
mod rows;
mod write;

pub use condition::{Condition, ConditionBy, condition_messages, conditioned};
pub use dataset::{Dataset, ReadOptions, Reject};
pub use error::RecordError;
pub use format::{Format, UnknownFormat};
pub use judgement::{Assessment, Judgement, Opinion, Reply, Verdict};
pub use preference::{Feedback, PairChoice, Preference, PreferenceRecord, PreferenceSet, RankedResponse, Stepwise};
pub use prompt::{Asked, PromptRecord, PromptSet};
pub use raw::{RawRow, raw_rows};
pub use read::{
    read, read_bytes, read_files, read_preferences, read_preferences_bytes, read_prompts, read_prompts_bytes,
};
pub use record::{Conversation, Message, Provenance, Record, Role};
pub use write::{Rejects, to_row, write_jsonl};
