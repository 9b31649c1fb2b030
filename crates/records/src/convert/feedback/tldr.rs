//! Comparisons of two summaries of a Reddit post (Stiennon 2020, arXiv 2009.01325).

use std::fmt::Write;

use serde_json::Value;

use super::{Said, Shared, number, pair_of};
use crate::convert::{Fields, wrong_type};
use crate::{PreferenceRecord, Provenance, fault::Fault};

/// The prompt has the form of the paper's appendix B: subreddit, title, post, `TL;DR:`.
pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<PreferenceRecord, Fault> {
    let info = row.required("info")?;
    let mut prompt = String::new();
    for (name, mark) in [("subreddit", "SUBREDDIT: r/"), ("title", "TITLE: "), ("post", "POST: ")] {
        if let Some(text) = info.get(name).and_then(Value::as_str) {
            let _ = write!(prompt, "{mark}{}\n\n", text.trim());
        }
    }
    if info.get("post").and_then(Value::as_str).is_none() {
        return Err(Fault::at("info.post", "missing or not a string", "write the post, or remove the row"));
    }
    prompt.push_str("TL;DR:");
    let summaries = row.required("summaries")?;
    let text = |index: usize| {
        let path = format!("summaries[{index}].text");
        let text = summaries.get(index).and_then(|summary| summary.get("text")).and_then(Value::as_str);
        text.map(|text| format!(" {}", text.trim())).ok_or_else(|| Fault::at(&path, "missing", "write both summaries"))
    };
    let (first, second) = (text(0)?, text(1)?);
    let choice: Value = row.required("choice")?;
    let better_is_first = match number(&choice, row.column("choice"))? {
        0.0 => true,
        1.0 => false,
        _ => return Err(wrong_type(row.column("choice"), &choice, "0 or 1")),
    };
    if first == second {
        return Err(Fault::at("summaries", "both are the same", "remove the row"));
    }
    let shared = Shared::plain(provenance.clone());
    let prompt = Said::Text(prompt);
    let first = shared.record(&prompt, Said::Text(first), "summaries[0].text")?;
    let second = shared.record(&prompt, Said::Text(second), "summaries[1].text")?;
    let (chosen, rejected) = if better_is_first { (first, second) } else { (second, first) };
    Ok(PreferenceRecord::Ranked(pair_of(chosen, rejected, [None, None], provenance)))
}
