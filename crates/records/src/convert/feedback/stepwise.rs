//! A solution in steps, each with a label.

use serde_json::Value;

use super::{Said, said, truth};
use crate::convert::{Fields, message, string, structure, wrong_type};
use crate::{PreferenceRecord, Provenance, Stepwise, fault::Fault};

pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<PreferenceRecord, Fault> {
    let (prompt_path, steps_path, labels_path) =
        (row.column("prompt"), row.column("completions"), row.column("labels"));
    let (messages, prompt) = match said(row.required("prompt")?, prompt_path)? {
        Said::Text(prompt) => (Vec::new(), prompt),
        Said::Messages(messages) => {
            message::check(&messages, prompt_path)?;
            (messages, String::new())
        }
    };
    let steps = list(row.required("completions")?, steps_path)?;
    let labels = list(row.required("labels")?, labels_path)?;
    if steps.is_empty() {
        return Err(Fault::at(steps_path, "there are no steps", "fill them in, or remove the row"));
    }
    if steps.len() != labels.len() {
        let reason = format!("there are {} labels for {} steps", labels.len(), steps.len());
        return Err(Fault::at(labels_path, reason, "give one label for each step"));
    }
    let step = |(index, value)| {
        let path = format!("{steps_path}[{index}]");
        let text = string(value, &path)?;
        if text.trim().is_empty() {
            Err(Fault::at(&path, "the step is empty", "remove it and its label"))
        } else {
            Ok(text)
        }
    };
    let label = |(index, value): (usize, Value)| truth(&value, &format!("{labels_path}[{index}]"));
    Ok(PreferenceRecord::Stepwise(Stepwise {
        messages,
        prompt,
        steps: steps.into_iter().enumerate().map(step).collect::<Result<_, _>>()?,
        labels: labels.into_iter().enumerate().map(label).collect::<Result<_, _>>()?,
        provenance,
    }))
}

fn list(value: Value, path: &str) -> Result<Vec<Value>, Fault> {
    match structure(value, path)? {
        Some(Value::Array(list)) => Ok(list),
        Some(other) => Err(wrong_type(path, &other, "a list")),
        None => Ok(Vec::new()),
    }
}
