//! Scores of generated text.

use serde_json::{Map, Value as Json, json};

use super::definition::{Extract, Scoring};
use super::{Answer, CodeRunner, Failure, FailureKind, Item, Scored, Task};
use crate::extraction::{Rung, boxed, choice, code, number, statement};
use crate::instructions::Instruction;
use crate::overlap::rouge_l::{Words, rouge_l};
use crate::results::Status;

impl Task {
    pub(super) fn score_answer(
        &self,
        item: &Item,
        answer: &Answer,
        runner: Option<&mut (dyn CodeRunner + '_)>,
    ) -> Scored {
        let mut scored = Scored { answer: answer.text.clone(), ..Scored::new(self.reference(item)) };
        scored.details.insert("finish".into(), json!(if answer.truncated { "length" } else { "stop" }));
        scored.details.insert("tokens".into(), json!(answer.tokens));
        let failed =
            |failure: &Failure| Scored { answer: answer.text.clone(), ..Scored::failed(self.reference(item), failure) };
        match &self.definition.score {
            Scoring::Generation { extract, .. } => Self::extract(*extract, item, answer, &mut scored),
            Scoring::Instructions { .. } => {
                if let Err(message) = check_instructions(item, answer, &mut scored) {
                    return failed(&Failure { kind: FailureKind::Invalid, message });
                }
            }
            Scoring::RougeL { classify, .. } => compare(item, answer, *classify, &mut scored),
            Scoring::Program { .. } => {
                let Some(runner) = runner else {
                    let message = "there is no sandbox to run programs in".to_owned();
                    return failed(&Failure { kind: FailureKind::Invalid, message });
                };
                if let Err(failure) = run_program(item, answer, runner, &mut scored) {
                    return failed(&failure);
                }
            }
            Scoring::Answers { .. } => {
                let empty = answer.text.trim().is_empty();
                scored.status = match (empty, answer.truncated) {
                    (true, _) => Status::Empty,
                    (false, true) => Status::Truncated,
                    (false, false) => Status::Ok,
                };
            }
            Scoring::Choices { .. } | Scoring::TruthSets { .. } | Scoring::Perplexity {} => {
                let message = "a text was generated where log-likelihoods are scored".to_owned();
                return failed(&Failure { kind: FailureKind::Invalid, message });
            }
        }
        scored
    }

    fn extract(extract: Extract, item: &Item, answer: &Answer, scored: &mut Scored) {
        let text = answer.text.as_str();
        let reference = item.text("answer").unwrap_or_default();
        let found: Option<(String, Rung, bool)> = match extract {
            Extract::Number => number::extract(text).map(|found| {
                let right = number::Number::expected(&reference).is_some_and(|expected| expected == found.answer);
                (found.answer.to_string(), found.rung, right)
            }),
            Extract::Letter => {
                let choices = item.texts("choices").unwrap_or_default();
                let options: Vec<&str> = choices.iter().map(String::as_str).collect();
                choice::extract(text, &options).map(|found| {
                    let letter = char::from(b'A' + found.answer as u8).to_string();
                    (letter, found.rung, found.answer.to_string() == reference)
                })
            }
            Extract::Expression => boxed::extract(text).map(|found| {
                let right = boxed::same(&found.answer, &expected_expression(&reference));
                (found.answer, found.rung, right)
            }),
            Extract::Statement => statement::extract(text).map(|found| {
                let right = found.answer == reference.trim();
                (found.answer, found.rung, right)
            }),
            Extract::Whole => {
                let whole = text.trim();
                (!whole.is_empty()).then(|| (whole.to_owned(), Rung::Strict, whole == reference.trim()))
            }
        };
        scored.judge(found.as_ref().map(|(_, rung, right)| (*rung, *right)), answer.truncated);
        let strict = found.as_ref().is_some_and(|(_, rung, right)| *rung == Rung::Strict && *right);
        if extract != Extract::Whole {
            scored.also.insert("strict_match", (f64::from(u8::from(strict)), 1.0));
        }
        scored.extracted = found.map(|(answer, _, _)| answer);
    }
}

/// A reference that is a worked solution is its box; others are the expression itself.
fn expected_expression(reference: &str) -> String {
    match boxed::extract(reference) {
        Some(found) if found.rung == Rung::Strict => found.answer,
        _ => reference.to_owned(),
    }
}

fn check_instructions(item: &Item, answer: &Answer, scored: &mut Scored) -> Result<(), String> {
    let ids = item.texts("instruction_id_list").unwrap_or_default();
    let arguments = item.fields.get("kwargs").and_then(Json::as_array).cloned().unwrap_or_default();
    if ids.is_empty() || ids.len() != arguments.len() {
        return Err("`kwargs` are not as many as instructions".into());
    }
    let (mut strict, mut loose) = (Vec::new(), Vec::new());
    for (id, arguments) in ids.iter().zip(&arguments) {
        // Copies of the data that went through a table have a null for each argument that an instruction does not have.
        let given: Map<String, Json> = arguments.as_object().cloned().unwrap_or_default();
        let given = given.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let instruction = Instruction::parse(id, &given).map_err(|error| error.to_string())?;
        strict.push(instruction.is_followed(&answer.text));
        loose.push(instruction.is_followed_loosely(&answer.text));
    }
    let all = |verdicts: &[bool]| f64::from(u8::from(verdicts.iter().all(|verdict| *verdict)));
    let count = |verdicts: &[bool]| verdicts.iter().filter(|verdict| **verdict).count() as f64;
    let empty = answer.text.trim().is_empty();
    scored.status = if empty { Status::Empty } else { Status::Ok };
    scored.rung = (!empty).then_some(Rung::Strict);
    scored.extracted = (!empty).then(|| answer.text.clone());
    scored.score = Some(all(&strict));
    let total = ids.len() as f64;
    scored.also.insert("prompt_loose", (all(&loose), 1.0));
    scored.also.insert("instruction_strict", (count(&strict), total));
    scored.also.insert("instruction_loose", (count(&loose), total));
    scored.details.insert("strict".into(), json!(strict));
    scored.details.insert("loose".into(), json!(loose));
    Ok(())
}

/// The text against references, or the choice that is most like it.
fn compare(item: &Item, answer: &Answer, classify: bool, scored: &mut Scored) {
    let said = Words::of(&answer.text);
    let references = item.texts("references").unwrap_or_default();
    let likeness = |other: &str| rouge_l(&said, &Words::of(other)).f1;
    let best = references.iter().map(|reference| likeness(reference)).fold(0.0, f64::max);
    let empty = answer.text.trim().is_empty();
    if classify {
        let choices = item.texts("choices").unwrap_or_default();
        let likenesses: Vec<f64> = choices.iter().map(|choice| likeness(choice)).collect();
        // A text that is like none of the choices chooses none.
        let picked = super::likelihood::argmax(&likenesses).filter(|&picked| likenesses[picked] > 0.0);
        let found = picked.map(|picked| (Rung::Flexible, references.contains(&choices[picked])));
        scored.judge(found, answer.truncated);
        scored.extracted = picked.map(|picked| choices[picked].clone());
        scored.details.insert("rouge_l".into(), json!(likenesses));
        return;
    }
    let exact = references.iter().any(|reference| reference.trim() == answer.text.trim());
    scored.status = if empty { Status::Empty } else { Status::Ok };
    scored.rung = (!empty).then_some(Rung::Strict);
    scored.extracted = (!empty).then(|| answer.text.trim().to_owned());
    scored.score = Some(best);
    scored.also.insert("exact_match", (f64::from(u8::from(exact)), 1.0));
}

fn run_program(item: &Item, answer: &Answer, runner: &mut dyn CodeRunner, scored: &mut Scored) -> Result<(), Failure> {
    let function = item.text("entry_point").unwrap_or_default();
    let prefix = item.text("prefix").unwrap_or_default();
    let found = code::extract(&answer.text, &function).map(|found| (found.answer, found.rung));
    // A completion of the prompt is no whole program: the function's body, indented.
    let continued = || {
        let body = answer.text.as_str();
        let begins = !prefix.is_empty() && !body.trim().is_empty() && !body.contains("```");
        begins.then(|| (format!("{prefix}{body}"), Rung::Strict))
    };
    let defines = |code: &str| code.contains(&format!("def {function}"));
    let program = match found {
        // What comes after the body may define other functions; the body itself is what was asked for.
        Some((code, rung)) if prefix.is_empty() || defines(&code) => Some((code, rung)),
        found => continued().or(found),
    };
    let tests = item.text("test").unwrap_or_default();
    let mut right = false;
    if let Some((code, _)) = &program {
        let imports = if prefix.is_empty() || code.starts_with(&prefix) { "" } else { imports_of(&prefix) };
        let verdict = runner.run(&format!("{imports}{code}\n\n{tests}\n"))?;
        right = verdict.passed;
        scored.details.insert("verdict".into(), json!(verdict.reason));
    }
    scored.judge(program.as_ref().map(|(_, rung)| (*rung, right)), answer.truncated);
    scored.extracted = program.map(|(code, _)| code);
    Ok(())
}

/// What the prompt's program has before its first definition: an answer that writes the function anew needs it.
fn imports_of(prefix: &str) -> &str {
    &prefix[..prefix.find("def ").unwrap_or(0)]
}
