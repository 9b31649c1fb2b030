//! Stanford Human Preferences: two comments on a post, the one with more votes preferred.

use serde_json::Value;

use super::{Shared, assistant, number, pair_of, same, user};
use crate::convert::{Fields, wrong_type};
use crate::{PreferenceRecord, Provenance, fault::Fault};

/// `labels` is 1 where A is preferred, 0 where B is.
pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<PreferenceRecord, Fault> {
    let history = row.required_string("history")?;
    let (a, b) = (row.required_string("human_ref_A")?, row.required_string("human_ref_B")?);
    let (path_a, path_b) = (row.column("human_ref_A"), row.column("human_ref_B"));
    let path = row.column("labels");
    let label: Value = row.required("labels")?;
    let first = match number(&label, path)? {
        1.0 => true,
        0.0 => false,
        _ => return Err(wrong_type(path, &label, "1 (A is preferred) or 0 (B is)")),
    };
    let scores = [row.optional_number("score_A")?, row.optional_number("score_B")?];
    if a.trim() == b.trim() {
        return Err(same(path_b, path_a));
    }
    let shared = Shared::plain(provenance.clone());
    let a = shared.conversation(user(history.clone()), assistant(a), path_a)?;
    let b = shared.conversation(user(history), assistant(b), path_b)?;
    let [score_a, score_b] = scores;
    Ok(PreferenceRecord::Ranked(if first {
        pair_of(a, b, [score_a, score_b], provenance)
    } else {
        pair_of(b, a, [score_b, score_a], provenance)
    }))
}
