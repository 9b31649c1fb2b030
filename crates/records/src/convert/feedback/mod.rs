//! From a row's fields to [`PreferenceRecord`]s: one file a format, all pure functions.

pub(super) mod oasst;
pub(super) mod pair;
mod ranked;
mod shp;
mod stepwise;
pub(super) mod tldr;
mod unpaired;

use std::mem::discriminant;

use serde_json::{Map, Value};

use super::{Fields, is_transcript, message, transcript, wrong_type};
use crate::{
    Conversation, Format, Message, Preference, PreferenceRecord, Provenance, RankedResponse, Record, Role,
    fault::Fault, layout::Layout,
};

/// Reads one row; a tree of messages gives several records.
pub(crate) fn convert_feedback(
    layout: &Layout,
    row: Map<String, Value>,
    provenance: Provenance,
) -> Result<Vec<PreferenceRecord>, Fault> {
    let row = Fields { layout, row };
    let one = |record: PreferenceRecord| vec![record];
    match layout.format {
        Format::Ranked => ranked::convert(row, provenance).map(one),
        Format::Unpaired => unpaired::convert(row, provenance).map(one),
        Format::Stepwise => stepwise::convert(row, provenance).map(one),
        Format::Shp => shp::convert(row, provenance).map(one),
        Format::Tldr => tldr::convert(row, provenance).map(one),
        Format::Oasst => oasst::convert(row, provenance),
        // `Layout::decide` was given the formats of feedback only.
        _ => pair::convert(row, provenance).map(one),
    }
}

/// A prompt or a response as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Text(String),
    Messages(Vec<Message>),
}

/// A string, a list of messages (also as JSON text), or a single message.
pub(super) fn said(value: Value, path: &str) -> Result<Said, Fault> {
    match value {
        Value::String(text) if !is_list(&text) => Ok(Said::Text(text)),
        Value::Object(_) => message::messages(Value::Array(vec![value]), path).map(Said::Messages),
        Value::Array(_) | Value::String(_) => message::messages(value, path).map(Said::Messages),
        other => Err(wrong_type(path, &other, "a string or a list of messages")),
    }
}

/// As [`said`], for a field that may be left out; empty text counts as absent, as CSV can say it in no other way.
fn optional_said(value: Option<Value>, path: &str) -> Result<Option<Said>, Fault> {
    let said = value.map(|value| said(value, path)).transpose()?;
    Ok(said.filter(|said| *said != Said::Text(String::new())))
}

/// A list of messages written as JSON text, as CSV must.
fn is_list(text: &str) -> bool {
    text.trim_start().starts_with("[{") && serde_json::from_str::<Vec<Value>>(text).is_ok()
}

pub(super) fn user(text: String) -> Vec<Message> {
    vec![Message::new(Role::User, text)]
}

fn assistant(text: String) -> Vec<Message> {
    vec![Message::new(Role::Assistant, text)]
}

/// What every record of a row shares.
struct Shared {
    system: Option<String>,
    tools: Option<Value>,
    template_arguments: Map<String, Value>,
    provenance: Provenance,
}

impl Shared {
    fn take(row: &mut Fields<'_>, provenance: Provenance) -> Result<Self, Fault> {
        Ok(Self {
            system: row.optional_string("system")?,
            tools: row.tools()?,
            template_arguments: row.template_arguments()?,
            provenance,
        })
    }

    fn plain(provenance: Provenance) -> Self {
        Self { system: None, tools: None, template_arguments: Map::new(), provenance }
    }

    /// Prompt turns, which are not learned, and the turns of the response.
    fn conversation(&self, prompt: Vec<Message>, response: Vec<Message>, path: &str) -> Result<Record, Fault> {
        let says = |message: &Message| !message.content.trim().is_empty() || message.tool_calls.is_some();
        if !response.iter().any(says) {
            return Err(Fault::at(path, "the response is empty", EMPTY_FIX));
        }
        if response.iter().all(|message| message.role != Role::Assistant) {
            let fix = "write the response as an assistant turn";
            return Err(Fault::at(path, "the response has no assistant turn", fix));
        }
        let mut messages = prompt;
        if let Some(system) = &self.system
            && messages.first().is_none_or(|first| first.role != Role::System)
        {
            messages.insert(0, Message::new(Role::System, system));
        }
        for message in &mut messages {
            message.weight = Some(0.0);
        }
        messages.extend(response);
        message::check(&messages, path)?;
        Ok(Record::Conversation(Conversation {
            messages,
            tools: self.tools.clone(),
            template_arguments: self.template_arguments.clone(),
            provenance: self.provenance.clone(),
        }))
    }

    /// A response of either form to a prompt of either form.
    fn record(&self, prompt: &Said, response: Said, path: &str) -> Result<Record, Fault> {
        match (prompt, response) {
            (_, Said::Text(text)) if text.trim().is_empty() => Err(Fault::at(path, "the response is empty", EMPTY_FIX)),
            (Said::Text(prompt), Said::Text(completion)) if self.system.is_none() => {
                Ok(Record::Completion { prompt: prompt.clone(), completion, provenance: self.provenance.clone() })
            }
            (Said::Text(prompt), Said::Text(text)) => self.conversation(user(prompt.clone()), assistant(text), path),
            (Said::Messages(prompt), Said::Text(text)) => self.conversation(prompt.clone(), assistant(text), path),
            (Said::Messages(prompt), Said::Messages(turns)) => self.conversation(prompt.clone(), turns, path),
            (Said::Text(prompt), Said::Messages(turns)) => self.conversation(user(prompt.clone()), turns, path),
        }
    }
}

impl Shared {
    /// The reference answer to the prompt of `responses`, best first, whose turns it may repeat. The best response itself is none
    /// of its own.
    fn reference(
        &self,
        prompt: &Said,
        reference: Said,
        responses: &[RankedResponse],
        path: &str,
    ) -> Result<Option<Record>, Fault> {
        let turns = match reference {
            Said::Text(text) if is_transcript(&text) => Said::Messages(transcript::turns(&text, path)?),
            said => said,
        };
        let answer = match turns {
            Said::Messages(mut turns) if turns.iter().any(|turn| turn.role == Role::User) => {
                let asked = match prompt {
                    Said::Text(text) => user(text.clone()),
                    Said::Messages(messages) => messages.clone(),
                };
                if !turns.starts_with(&asked) {
                    let fix = "begin it with the turns of the prompt, or write the answer only";
                    return Err(Fault::at(path, "does not begin with the prompt", fix));
                }
                Said::Messages(turns.split_off(asked.len()))
            }
            answer => answer,
        };
        let record = self.record(prompt, answer, path)?;
        distinct_reference(record, responses, path)
    }
}

/// Checks a reference answer against the responses that it stands beside.
fn distinct_reference(record: Record, responses: &[RankedResponse], path: &str) -> Result<Option<Record>, Fault> {
    let of_one_form = |other: &RankedResponse| discriminant(&other.record) == discriminant(&record);
    if !responses.iter().all(of_one_form) {
        let fix = "make it a string where the responses are, and a list of messages where they are";
        return Err(Fault::at(path, "has another form than the responses", fix));
    }
    match responses.iter().position(|response| response.record == record) {
        Some(0) => Ok(None),
        Some(_) => {
            let fix =
                "leave it out of this row, or rank that response first: it would be made likely and unlikely at once";
            Err(Fault::at(path, "is the same as a response that is not the best", fix))
        }
        None => Ok(Some(record)),
    }
}

/// The fault of two responses that are one.
fn same(path: &str, other: &str) -> Fault {
    Fault::at(path, format!("is the same as {other}"), "remove the row: there is nothing to prefer")
}

const EMPTY_FIX: &str = "write the response, or remove the row";

/// A finite number, also as text, as CSV and Parquet's special values come.
fn number(value: &Value, path: &str) -> Result<f64, Fault> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if number.is_finite() => Ok(number),
        Some(number) => Err(Fault::at(path, format!("the number is {number}"), "write a finite number")),
        None => Err(wrong_type(path, value, "a number")),
    }
}

impl Fields<'_> {
    fn optional_number(&mut self, field: &'static str) -> Result<Option<f64>, Fault> {
        let path = self.column(field);
        match self.take(field) {
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            value => value.map(|value| number(&value, path)).transpose(),
        }
    }
}

pub(crate) fn truth(value: &Value, path: &str) -> Result<bool, Fault> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Number(number) if number.as_f64() == Some(1.0) => Ok(true),
        Value::Number(number) if number.as_f64() == Some(0.0) => Ok(false),
        Value::String(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(false),
        other => Err(wrong_type(path, other, "true or false")),
    }
}

/// Two responses, the better one first.
fn pair_of(chosen: Record, rejected: Record, scores: [Option<f64>; 2], provenance: Provenance) -> Preference {
    let [chosen_score, rejected_score] = scores;
    Preference {
        responses: vec![
            RankedResponse { record: chosen, rank: 0, score: chosen_score },
            RankedResponse { record: rejected, rank: 1, score: rejected_score },
        ],
        reference: None,
        margin: None,
        confidence: None,
        implicit_prompt: false,
        provenance,
    }
}
