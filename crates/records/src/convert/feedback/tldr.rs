//! Comparisons of two summaries of a Reddit post (Stiennon 2020, arXiv 2009.01325).

use std::fmt::Write;

use serde_json::Value;

use super::{Said, Shared, number, pair_of, same};
use crate::convert::{Fields, structure, wrong_type};
use crate::{PreferenceRecord, Provenance, fault::Fault};

pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<PreferenceRecord, Fault> {
    let summaries_path = row.column("summaries");
    let prompt = prompt(&mut row)?;
    let summaries = structure(row.required("summaries")?, summaries_path)?.unwrap_or_default();
    let path = |index: usize| format!("{summaries_path}[{index}].text");
    let text = |index: usize| {
        let text = summaries.get(index).and_then(|summary| summary.get("text")).and_then(Value::as_str);
        text.map(|text| format!(" {}", text.trim()))
            .ok_or_else(|| Fault::at(&path(index), "missing or not a string", "write both summaries"))
    };
    let (first, second) = (text(0)?, text(1)?);
    let choice: Value = row.required("choice")?;
    let better_is_first = match number(&choice, row.column("choice"))? {
        0.0 => true,
        1.0 => false,
        _ => return Err(wrong_type(row.column("choice"), &choice, "0 or 1")),
    };
    if first == second {
        return Err(same(&path(1), &path(0)));
    }
    let shared = Shared::plain(provenance.clone());
    let prompt = Said::Text(prompt);
    let first = shared.record(&prompt, Said::Text(first), &path(0))?;
    let second = shared.record(&prompt, Said::Text(second), &path(1))?;
    let (chosen, rejected) = if better_is_first { (first, second) } else { (second, first) };
    Ok(PreferenceRecord::Ranked(pair_of(chosen, rejected, [None, None], provenance)))
}

/// The prompt in the form of the paper's appendix B: subreddit, title, post, `TL;DR:`.
pub(in crate::convert) fn prompt(row: &mut Fields<'_>) -> Result<String, Fault> {
    let path = row.column("info");
    let info = structure(row.required("info")?, path)?.unwrap_or_default();
    if info.get("post").and_then(Value::as_str).is_none() {
        let fix = "write the post, or remove the row";
        return Err(Fault::at(&format!("{path}.post"), "missing or not a string", fix));
    }
    let mut prompt = String::new();
    for (name, mark) in [("subreddit", "SUBREDDIT: r/"), ("title", "TITLE: "), ("post", "POST: ")] {
        if let Some(text) = info.get(name).and_then(Value::as_str) {
            let _ = write!(prompt, "{mark}{}\n\n", text.trim());
        }
    }
    prompt.push_str("TL;DR:");
    Ok(prompt)
}
