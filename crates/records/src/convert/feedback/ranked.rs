//! A prompt and two or more responses, by scores, by ranks, or in the order of the list.

use serde_json::Value;

use super::{Said, Shared, number, optional_said, said, user};
use crate::convert::{Fields, structure, wrong_type};
use crate::{Preference, PreferenceRecord, Provenance, RankedResponse, fault::Fault};

/// Text under one of these keys, where a response is an object.
const TEXTS: [&str; 5] = ["response", "text", "content", "value", "completion"];
const SCORES: [&str; 3] = ["overall_score", "score", "rating"];

/// A response before it is ranked.
struct Candidate {
    said: Said,
    path: String,
    score: Option<f64>,
    rank: Option<f64>,
}

pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<PreferenceRecord, Fault> {
    let (prompt_path, path) = (row.column("prompt"), row.column("responses"));
    let mut prompt = said(row.required("prompt")?, prompt_path)?;
    let list = match structure(row.required("responses")?, path)? {
        Some(Value::Array(list)) => list,
        Some(other) => return Err(wrong_type(path, &other, "a list of responses")),
        None => Vec::new(),
    };
    if list.len() < 2 {
        let fix = "give at least two, or remove the row";
        return Err(Fault::at(path, format!("there are {} responses", list.len()), fix));
    }
    // An instruction, or responses with attributes, come from chats.
    let chat = prompt_path == "instruction" || list.iter().all(Value::is_object);
    if let (true, Said::Text(text)) = (chat, &prompt) {
        prompt = Said::Messages(user(text.clone()));
    }
    let scores = numbers(&mut row, "scores", list.len())?;
    let ranks = numbers(&mut row, "ranks", list.len())?;
    let reference_path = row.column("reference");
    let reference = optional_said(row.take("reference"), reference_path)?;
    let shared = Shared::take(&mut row, provenance.clone())?;
    let mut candidates = Vec::with_capacity(list.len());
    for (index, value) in list.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let (score, rank) = (scores.as_ref().map(|list| list[index]), ranks.as_ref().map(|list| list[index]));
        candidates.push(candidate(value, path, score, rank)?);
    }
    let mut candidates = ordered(candidates, path)?;
    // Stable, so that ties keep the order of the file.
    candidates.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut responses: Vec<RankedResponse> = Vec::with_capacity(candidates.len());
    let mut last: Option<f64> = None;
    for (order, Candidate { said, path, score, .. }) in candidates {
        let rank = match (responses.last(), last) {
            (Some(before), Some(last)) => before.rank + u32::from(order > last),
            _ => 0,
        };
        last = Some(order);
        let record = shared.record(&prompt, said, &path)?;
        if responses.iter().any(|other| other.record == record) {
            return Err(Fault::at(&path, "two responses are identical", "keep one of them"));
        }
        responses.push(RankedResponse { record, rank, score });
    }
    if responses.iter().all(|response| response.rank == 0) {
        return Err(Fault::at(path, "all responses tie", "remove the row: there is nothing to prefer"));
    }
    let reference = match reference {
        Some(said) => shared.reference(&prompt, said, &responses, reference_path)?,
        None => None,
    };
    Ok(PreferenceRecord::Ranked(Preference {
        responses,
        reference,
        margin: None,
        confidence: None,
        implicit_prompt: false,
        provenance,
    }))
}

/// A response's own score or rank counts where no column has them.
fn candidate(value: Value, path: String, score: Option<f64>, rank: Option<f64>) -> Result<Candidate, Fault> {
    let Value::Object(mut fields) = value else {
        return Ok(Candidate { said: said(value, &path)?, path, score, rank });
    };
    let own = |names: &[&str]| {
        let found = names.iter().find_map(|name| Some((name, fields.get(*name).filter(|value| !value.is_null())?)));
        found.map(|(name, value)| number(value, &format!("{path}.{name}"))).transpose()
    };
    let score = score.map_or_else(|| own(&SCORES), |score| Ok(Some(score)))?;
    let rank = rank.map_or_else(|| own(&["rank"]), |rank| Ok(Some(rank)))?;
    match TEXTS.iter().find_map(|name| fields.remove(*name)) {
        Some(Value::String(text)) => Ok(Candidate { said: Said::Text(text), path, score, rank }),
        _ => Err(Fault::at(&path, "a response without text", "write {\"text\": \"...\", \"score\": ...}")),
    }
}

/// Each response with its order, the smaller the better: by scores, without them by ranks, without either by its place.
/// Those on some responses only cannot be compared with the other ones' places.
fn ordered(candidates: Vec<Candidate>, path: &str) -> Result<Vec<(f64, Candidate)>, Fault> {
    let (count, mut by_score, mut by_rank) = (candidates.len(), 0, 0);
    for candidate in &candidates {
        by_score += usize::from(candidate.score.is_some());
        by_rank += usize::from(candidate.rank.is_some());
    }
    for (some, what, counts) in [(by_score, "score", true), (by_rank, "rank", by_score == 0)] {
        if counts && some > 0 && some < count {
            return Err(Fault::at(path, format!("{some} of {count} responses have a {what}"), "give all of them one"));
        }
    }
    let order = |(index, candidate): (usize, Candidate)| {
        (candidate.score.map(|score| -score).or(candidate.rank).unwrap_or(index as f64), candidate)
    };
    Ok(candidates.into_iter().enumerate().map(order).collect())
}

/// A list of numbers beside the responses.
fn numbers(row: &mut Fields<'_>, field: &'static str, count: usize) -> Result<Option<Vec<f64>>, Fault> {
    let path = row.column(field);
    let Some(value) = row.optional_structure(field)? else { return Ok(None) };
    let Value::Array(list) = value else { return Err(wrong_type(path, &value, "a list of numbers")) };
    if list.len() != count {
        let reason = format!("there are {} for {count} responses", list.len());
        return Err(Fault::at(path, reason, "give one for each response"));
    }
    let entry = |(index, value): (usize, &Value)| number(value, &format!("{path}[{index}]"));
    list.iter().enumerate().map(entry).collect::<Result<_, _>>().map(Some)
}
