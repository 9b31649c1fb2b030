//! From a row's fields to [`PromptRecord`]s, of prompts alone and of every format that has a prompt with its answers.
//!
//! Answers are not needed, so that what is wrong with them does not refuse a row.

use serde_json::{Map, Value};

use super::feedback::{Said, oasst, pair::opens_with, said, tldr, truth, user};
use super::{Fields, alpaca, is_transcript, message, transcript};
use crate::{Asked, Format, Message, PromptRecord, Provenance, Role, fault::Fault, layout::Layout};

/// Reads one row; a tree of messages gives several prompts.
pub(crate) fn convert_prompts(
    layout: &Layout,
    row: Map<String, Value>,
    provenance: Provenance,
) -> Result<Vec<PromptRecord>, Fault> {
    let mut row = Fields { layout, row };
    let row = &mut row;
    let (asked, expected) = match layout.format {
        Format::Messages => conversation(row, "messages")?,
        Format::ShareGpt => conversation(row, "conversations")?,
        Format::Alpaca => (chat(alpaca::asked(row)?, row.column("instruction"))?, answer(row, "output")),
        Format::Instruction => (chat(alpaca::asked(row)?, row.column("instruction"))?, answer(row, "expected")),
        Format::Question => {
            let path = row.column("question");
            let question = user(row.required_string("question")?);
            (with_context(question, row, path)?, answer(row, "expected"))
        }
        Format::PromptCompletion => completed(row)?,
        Format::HhTranscript => {
            let path = row.column("transcript");
            let (turns, expected) = split(transcript::turns(&row.required_string("transcript")?, path)?);
            (chat(turns, path)?, expected)
        }
        Format::Pair => pair(row)?,
        Format::Unpaired => unpaired(row)?,
        Format::Ranked => {
            let path = row.column("prompt");
            let said = match said(row.required("prompt")?, path)? {
                // An instruction comes from a chat.
                Said::Text(text) if path == "instruction" => Said::Messages(user(text)),
                said => said,
            };
            (asked(said, row, path)?.0, None)
        }
        Format::Shp => (chat(user(row.required_string("history")?), row.column("history"))?, None),
        Format::Tldr => (Asked::Text(tldr::prompt(row)?), None),
        Format::Oasst => return tree(row, &provenance),
        // `Layout::decide` was given formats with prompts only: these are `prompt` and `stepwise`.
        _ => {
            let path = row.column("prompt");
            let (asked, expected) = asked(said(row.required("prompt")?, path)?, row, path)?;
            (asked, answer(row, "expected").or(expected))
        }
    };
    Ok(vec![PromptRecord { asked, expected, provenance }])
}

/// The `messages` and `ShareGPT` formats.
fn conversation(row: &mut Fields<'_>, field: &'static str) -> Result<(Asked, Option<String>), Fault> {
    let path = row.column(field);
    let (turns, expected) = split(message::messages(row.required(field)?, path)?);
    Ok((with_context(turns, row, path)?, expected))
}

fn completed(row: &mut Fields<'_>) -> Result<(Asked, Option<String>), Fault> {
    let (path, completion_path) = (row.column("prompt"), row.column("completion"));
    let completion = row.take("completion").and_then(|value| said(value, completion_path).ok());
    match (said(row.required("prompt")?, path)?, completion) {
        // A text may go on from nothing.
        (Said::Text(prompt), Some(Said::Text(completion))) if !completion.is_empty() => {
            Ok((Asked::Text(prompt), Some(completion)))
        }
        (Said::Messages(mut turns), Some(Said::Messages(completion))) => {
            turns.extend(completion);
            let (turns, expected) = split(turns);
            Ok((with_context(turns, row, path)?, expected))
        }
        (prompt, Some(completion)) => {
            let (asked, expected) = asked(prompt, row, path)?;
            Ok((asked, last_answer(completion).or(expected)))
        }
        (prompt, None) => asked(prompt, row, path),
    }
}

/// Without a prompt of its own, it is what both conversations begin with.
fn pair(row: &mut Fields<'_>) -> Result<(Asked, Option<String>), Fault> {
    let (path, prompt_path, rejected_path) = (row.column("chosen"), row.column("prompt"), row.column("rejected"));
    let prompt = row.take("prompt").map(|value| said(value, prompt_path)).transpose()?;
    let prompt = prompt.filter(|prompt| *prompt != Said::Text(String::new()));
    let turns = |value: Value, path: &str| match said(value, path)? {
        Said::Text(text) if is_transcript(&text) => transcript::turns(&text, path).map(Said::Messages),
        said => Ok(said),
    };
    let rejected = row.take("rejected").and_then(|value| turns(value, rejected_path).ok());
    let chosen = match prompt {
        // The prompt says all that is needed; the answer is then no transcript.
        Some(prompt) => {
            let chosen = row.take("chosen").and_then(|value| said(value, path).ok());
            match (prompt, chosen) {
                (Said::Text(prompt), Some(Said::Messages(turns))) if opens_with(&turns, &prompt) => {
                    Said::Messages(turns)
                }
                (prompt, chosen) => {
                    let (asked, expected) = asked(prompt, row, prompt_path)?;
                    return Ok((asked, chosen.and_then(last_answer).or(expected)));
                }
            }
        }
        None => turns(row.required("chosen")?, path)?,
    };
    let Said::Messages(chosen) = chosen else {
        let fix = "give it in a column `prompt`, or write both as transcripts or lists of messages";
        return Err(Fault::at(path, "nothing says where the prompt ends and the answer begins", fix));
    };
    let common = match rejected {
        Some(Said::Messages(rejected)) => chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count(),
        _ => chosen.len(),
    };
    if common == 0 {
        let fix = "begin both with the prompt, or give it in `prompt`";
        return Err(Fault::at(rejected_path, format!("has no turn in common with {path}, so there is no prompt"), fix));
    }
    let mut prompt = chosen.clone();
    prompt.truncate(common);
    let (prompt, _) = split(prompt);
    // Where they part before their last answers, none of the two goes on from there at once.
    let expected = match &chosen[prompt.len()..] {
        [last] => last_answer(Said::Messages(vec![last.clone()])),
        _ => None,
    };
    Ok((with_context(prompt, row, path)?, expected))
}

/// What is labelled bad is not expected.
fn unpaired(row: &mut Fields<'_>) -> Result<(Asked, Option<String>), Fault> {
    let good = row.take("label").is_some_and(|label| truth(&label, "label") == Ok(true));
    let has_messages = row.layout.has("messages") && !row.layout.has("prompt");
    let (asked, expected) = if has_messages { conversation(row, "messages")? } else { completed(row)? };
    Ok((asked, expected.filter(|_| good)))
}

fn tree(row: &mut Fields<'_>, provenance: &Provenance) -> Result<Vec<PromptRecord>, Fault> {
    let mut prompts = Vec::new();
    oasst::each_prompt(row, &mut |turns, _, path| {
        let asked = chat(turns.to_vec(), path)?;
        prompts.push(PromptRecord { asked, expected: None, provenance: provenance.clone() });
        Ok(())
    })?;
    Ok(prompts)
}

/// A prompt of either form; one of messages may end with an answer to it.
fn asked(said: Said, row: &mut Fields<'_>, path: &str) -> Result<(Asked, Option<String>), Fault> {
    match said {
        Said::Text(text) if text.trim().is_empty() => Err(Fault::at(path, "the prompt is empty", EMPTY_FIX)),
        Said::Text(text) => match row.optional_string("system")? {
            None => Ok((Asked::Text(text), None)),
            Some(system) => Ok((chat([vec![Message::new(Role::System, system)], user(text)].concat(), path)?, None)),
        },
        Said::Messages(turns) => {
            let (turns, expected) = split(turns);
            Ok((with_context(turns, row, path)?, expected))
        }
    }
}

/// The turns with the row's system turn, tools and template arguments.
fn with_context(mut turns: Vec<Message>, row: &mut Fields<'_>, path: &str) -> Result<Asked, Fault> {
    if let Some(system) = row.optional_string("system")?
        && turns.first().is_none_or(|first| first.role != Role::System)
    {
        turns.insert(0, Message::new(Role::System, system));
    }
    check(&turns, path)?;
    Ok(Asked::Chat { messages: turns, tools: row.tools()?, template_arguments: row.template_arguments()? })
}

fn chat(messages: Vec<Message>, path: &str) -> Result<Asked, Fault> {
    check(&messages, path)?;
    Ok(Asked::Chat { messages, tools: None, template_arguments: Map::new() })
}

/// Whether a conversation is one that an answer is due to.
fn check(messages: &[Message], path: &str) -> Result<(), Fault> {
    message::check(messages, path)?;
    match messages.last() {
        Some(last) if last.role == Role::Assistant => {
            let fix = "end the conversation with the user's turn, or with one answer to it";
            Err(Fault::at(path, "the assistant has the last two turns, so nothing is asked", fix))
        }
        Some(last) if last.role == Role::User && last.content.trim().is_empty() => {
            Err(Fault::at(path, "the user's last turn is empty", EMPTY_FIX))
        }
        _ => Ok(()),
    }
}

/// Turns up to the answer that ends them, and that answer if it says something.
fn split(mut turns: Vec<Message>) -> (Vec<Message>, Option<String>) {
    let answer = turns.pop_if(|last| last.role == Role::Assistant);
    let text = answer.filter(|answer| answer.tool_calls.is_none()).map(|answer| answer.content);
    (turns, text.filter(|text| !text.trim().is_empty()))
}

/// What a response says in the end.
fn last_answer(said: Said) -> Option<String> {
    match said {
        Said::Text(text) => Some(text).filter(|text| !text.trim().is_empty()),
        Said::Messages(turns) => split(turns).1,
    }
}

/// A field that may hold an answer: a text, or a number that stands for itself.
fn answer(row: &mut Fields<'_>, field: &'static str) -> Option<String> {
    match row.take(field)? {
        Value::String(text) => Some(text).filter(|text| !text.trim().is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

const EMPTY_FIX: &str = "fill it in, or remove the row";
