//! A chosen and a rejected response, with or without their prompt.

use super::{Said, Shared, distinct_reference, optional_said, pair_of, said, same};
use crate::convert::transcript;
use crate::convert::{Fields, is_transcript};
use crate::{Message, PreferenceRecord, Provenance, Record, Role, fault::Fault};

/// Where no prompt is given, it is what the two conversations begin with, turn by turn; of two texts it is left to be
/// found among their tokens.
pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<PreferenceRecord, Fault> {
    let (chosen_path, rejected_path) = (row.column("chosen"), row.column("rejected"));
    let prompt_path = row.column("prompt");
    let prompt = row.take("prompt").map(|value| said(value, prompt_path)).transpose()?;
    let prompt = prompt.filter(|prompt| *prompt != Said::Text(String::new()));
    let chosen = said(row.required("chosen")?, chosen_path)?;
    let rejected = said(row.required("rejected")?, rejected_path)?;
    let reference_path = row.column("reference");
    let reference = optional_said(row.take("reference"), reference_path)?;
    let (margin, confidence) = (row.optional_number("margin")?, row.optional_number("confidence")?);
    let scores = [row.optional_number("score_chosen")?, row.optional_number("score_rejected")?];
    if chosen == rejected {
        return Err(same(rejected_path, chosen_path));
    }
    check(row.column("score_chosen"), scores, row.column("confidence"), confidence)?;
    let shared = Shared::take(&mut row, provenance.clone())?;
    // The two records, and the prompt that a reference answer is behind; none where it is implicit.
    let (whole, asked) = match (prompt, chosen, rejected) {
        (None, Said::Text(chosen), Said::Text(rejected)) if is_transcript(&chosen) && is_transcript(&rejected) => {
            let turns = [transcript::turns(&chosen, chosen_path)?, transcript::turns(&rejected, rejected_path)?];
            continued(&shared, turns, [chosen_path, rejected_path])?
        }
        (None, Said::Text(chosen), Said::Text(rejected)) if is_transcript(&chosen) != is_transcript(&rejected) => {
            let fix = "write both as transcripts, or neither";
            return Err(Fault::at(rejected_path, format!("has another form than {chosen_path}"), fix));
        }
        (None, Said::Text(chosen), Said::Text(rejected)) => {
            let text = |text: String, path| match text.trim() {
                "" => Err(Fault::at(path, "the response is empty", super::EMPTY_FIX)),
                _ => Ok(Record::Text { text, provenance: provenance.clone() }),
            };
            ([text(chosen, chosen_path)?, text(rejected, rejected_path)?], None)
        }
        (None, Said::Messages(chosen), Said::Messages(rejected)) => {
            continued(&shared, [chosen, rejected], [chosen_path, rejected_path])?
        }
        // UltraFeedback's binarised files repeat the prompt as the first turn of each conversation.
        (Some(Said::Text(prompt)), Said::Messages(chosen), Said::Messages(rejected))
            if opens_with(&chosen, &prompt) && opens_with(&rejected, &prompt) =>
        {
            continued(&shared, [chosen, rejected], [chosen_path, rejected_path])?
        }
        (Some(Said::Text(_)), Said::Messages(chosen), Said::Messages(rejected))
            if has_question(&chosen) || has_question(&rejected) =>
        {
            let path = if has_question(&chosen) { chosen_path } else { rejected_path };
            let fix = "begin both conversations with the prompt, or write the answers only";
            return Err(Fault::at(path, format!("the first turn is the user's, but not {prompt_path}"), fix));
        }
        (Some(prompt), chosen, rejected) if same_form(&chosen, &rejected) => {
            let chosen = shared.record(&prompt, chosen, chosen_path)?;
            ([chosen, shared.record(&prompt, rejected, rejected_path)?], Some(prompt))
        }
        _ => {
            let fix = "make chosen and rejected both strings, or both lists of messages";
            return Err(Fault::at(rejected_path, format!("has another form than {chosen_path}"), fix));
        }
    };
    let [chosen, rejected] = whole;
    let mut preference = pair_of(chosen, rejected, scores, provenance);
    (preference.margin, preference.confidence) = (margin, confidence);
    preference.implicit_prompt = asked.is_none();
    preference.reference = match (reference, asked) {
        (None, _) => None,
        (Some(said), Some(prompt)) => shared.reference(&prompt, said, &preference.responses, reference_path)?,
        (Some(Said::Text(text)), None) if text.trim().is_empty() => {
            return Err(Fault::at(reference_path, "the response is empty", super::EMPTY_FIX));
        }
        (Some(Said::Text(text)), None) => {
            let record = Record::Text { text, provenance: preference.provenance.clone() };
            distinct_reference(record, &preference.responses, reference_path)?
        }
        (Some(Said::Messages(_)), None) => {
            let fix = "write it as a string, as the responses are";
            return Err(Fault::at(reference_path, "has another form than the responses", fix));
        }
    };
    Ok(PreferenceRecord::Ranked(preference))
}

fn same_form(a: &Said, b: &Said) -> bool {
    matches!((a, b), (Said::Text(_), Said::Text(_)) | (Said::Messages(_), Said::Messages(_)))
}

fn opening(messages: &[Message]) -> Option<&Message> {
    messages.iter().find(|message| message.role != Role::System)
}

/// Whether a conversation repeats the prompt as its first turn.
pub(in crate::convert) fn opens_with(messages: &[Message], prompt: &str) -> bool {
    messages.len() > 1 && opening(messages).is_some_and(|first| first.content.trim() == prompt.trim())
}

/// Whether a conversation brings a prompt of its own.
fn has_question(messages: &[Message]) -> bool {
    opening(messages).is_some_and(|first| first.role == Role::User)
}

/// Labels that contradict the data's own scores are reported; which of the two is wrong is not ours to guess.
fn check(
    score_path: &str,
    scores: [Option<f64>; 2],
    confidence_path: &str,
    confidence: Option<f64>,
) -> Result<(), Fault> {
    if let [Some(chosen), Some(rejected)] = scores {
        if chosen < rejected {
            let reason = format!("the chosen response has score {chosen}, the rejected one {rejected}");
            return Err(Fault::at(score_path, reason, "correct the labels or the scores, or leave the scores out"));
        }
        if chosen == rejected {
            let reason = format!("both responses have score {chosen}: a tie");
            return Err(Fault::at(score_path, reason, "remove the row, or leave the scores out"));
        }
    }
    match confidence {
        Some(confidence) if !(confidence > 0.0 && confidence <= 1.0) => {
            Err(Fault::at(confidence_path, format!("the confidence is {confidence}"), "use a share above 0 up to 1"))
        }
        _ => Ok(()),
    }
}

/// Two conversations as responses, and the prompt: the turns they have in common.
fn continued(
    shared: &Shared,
    turns: [Vec<Message>; 2],
    paths: [&str; 2],
) -> Result<([Record; 2], Option<Said>), Fault> {
    let [chosen, rejected] = turns;
    if chosen == rejected {
        return Err(same(paths[1], paths[0]));
    }
    let common = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count();
    if common == 0 {
        let fix = "begin both with the prompt, or give it in `prompt`";
        return Err(Fault::at(
            paths[1],
            format!("has no turn in common with {}, so there is no prompt", paths[0]),
            fix,
        ));
    }
    let split = |mut turns: Vec<Message>, path: &str| {
        let response = turns.split_off(common);
        if response.is_empty() {
            let fix = "end both at an answer, or remove the row";
            return Err(Fault::at(path, "the conversation is the beginning of the other one", fix));
        }
        shared.conversation(turns, response, path)
    };
    let prompt = Said::Messages(chosen[..common].to_vec());
    Ok(([split(chosen, paths[0])?, split(rejected, paths[1])?], Some(prompt)))
}
