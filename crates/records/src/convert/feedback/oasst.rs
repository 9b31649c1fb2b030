//! `OpenAssistant` message trees: the ranked replies to each prompt.

use serde_json::Value;

use super::{Shared, assistant};
use crate::convert::{Fields, missing, structure, wrong_type};
use crate::{Message, Preference, PreferenceRecord, Provenance, RankedResponse, Role, fault::Fault};

/// One record for each prompt in the tree with two or more ranked replies.
pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<Vec<PreferenceRecord>, Fault> {
    let path = row.column("prompt");
    let shared = Shared::plain(provenance);
    let mut found = Vec::new();
    each_prompt(&mut row, &mut |turns, replies, path| {
        found.extend(ranked(turns, replies, path, &shared)?);
        Ok(())
    })?;
    if found.is_empty() {
        let fix = "remove the row, or use it for supervised tuning";
        return Err(Fault::at(path, "no prompt of this tree has two replies with ranks", fix));
    }
    Ok(found)
}

/// Sees the turns up to a prompt, the replies to it, and the path of its node.
type Visit<'a> = &'a mut dyn FnMut(&[Message], &[Value], &str) -> Result<(), Fault>;

/// Visits every prompt of the row's tree, those above first.
pub(in crate::convert) fn each_prompt(row: &mut Fields<'_>, visit: Visit<'_>) -> Result<(), Fault> {
    let path = row.column("prompt");
    let prompt = structure(row.required("prompt")?, path)?.unwrap_or_default();
    if !prompt.is_object() {
        return Err(wrong_type(path, &prompt, "an object with text, role and replies"));
    }
    walk(&prompt, path, Vec::new(), visit)
}

/// `before` are the turns above the node. The depth is bounded by the JSON reader's.
fn walk(node: &Value, path: &str, before: Vec<Message>, visit: Visit<'_>) -> Result<(), Fault> {
    let Some(text) = node["text"].as_str() else { return Err(missing(&format!("{path}.text"))) };
    let role = match node["role"].as_str() {
        Some("prompter" | "user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => {
            return Err(Fault::at(&format!("{path}.role"), "this is no role of a tree", "write prompter or assistant"));
        }
    };
    let mut turns = before;
    turns.push(Message::new(role, text));
    let replies = node["replies"].as_array().map(Vec::as_slice).unwrap_or_default();
    if role == Role::User {
        visit(&turns, replies, path)?;
    }
    for (index, reply) in replies.iter().enumerate() {
        walk(reply, &format!("{path}.replies[{index}]"), turns.clone(), visit)?;
    }
    Ok(())
}

/// A prompt's ranked replies; nothing where fewer than two can be told apart.
fn ranked(
    turns: &[Message],
    replies: &[Value],
    path: &str,
    shared: &Shared,
) -> Result<Option<PreferenceRecord>, Fault> {
    let mut ranked: Vec<(u64, &str)> = replies
        .iter()
        .filter(|reply| reply["deleted"].as_bool() != Some(true))
        .filter_map(|reply| Some((reply["rank"].as_u64()?, reply["text"].as_str()?)))
        .filter(|(_, text)| !text.trim().is_empty())
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.dedup_by(|a, b| a.1 == b.1);
    if ranked.len() < 2 || ranked[0].0 == ranked[ranked.len() - 1].0 {
        return Ok(None);
    }
    let response = |(index, (_, text)): (usize, &(u64, &str))| {
        let record = shared.conversation(turns.to_vec(), assistant((*text).to_owned()), path)?;
        // Ranks in a tree may have gaps; only their order counts.
        let rank = ranked[..index].windows(2).filter(|pair| pair[0].0 < pair[1].0).count()
            + usize::from(index > 0 && ranked[index - 1].0 < ranked[index].0);
        Ok(RankedResponse { record, rank: rank as u32, score: None })
    };
    Ok(Some(PreferenceRecord::Ranked(Preference {
        responses: ranked.iter().enumerate().map(response).collect::<Result<_, Fault>>()?,
        reference: None,
        margin: None,
        confidence: None,
        implicit_prompt: false,
        provenance: shared.provenance.clone(),
    })))
}
