//! Answers of two models to the same prompts, as pairs.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use camelid_judge::Case;
use serde_json::Value as Json;

/// An answer, and what it answers.
struct Answer {
    turns: Vec<String>,
    output: String,
    reference: Option<String>,
}

/// The pairs, and how many prompts only one of the files has.
pub(super) fn read(first: &Path, second: &Path) -> anyhow::Result<(Vec<Case>, usize)> {
    let ours = answers(first)?;
    let theirs = answers(second)?;
    let mut by_prompt: HashMap<&str, &Answer> =
        theirs.iter().map(|(prompt, answer)| (prompt.as_str(), answer)).collect();
    let mut cases = Vec::new();
    for (place, (prompt, answer)) in ours.iter().enumerate() {
        let Some(other) = by_prompt.remove(prompt.as_str()) else { continue };
        let id = format!("{}", place + 1);
        cases.push(Case {
            group: id.clone(),
            id,
            turns: answer.turns.clone(),
            outputs: [vec![answer.output.clone()], vec![other.output.clone()]],
            references: answer.reference.clone().or_else(|| other.reference.clone()).map(|text| vec![text]),
        });
    }
    ensure!(
        !cases.is_empty(),
        "{} and {} have no prompt in common\n  fix: let both models answer the same file of prompts",
        first.display(),
        second.display()
    );
    let alone = ours.len() + theirs.len() - 2 * cases.len();
    Ok((cases, alone))
}

/// What a file's model is called: the file's name without its ending.
pub(super) fn name(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The answers of one file, each as a case of its own.
pub(super) fn alone(path: &Path) -> anyhow::Result<Vec<Case>> {
    let cases = answers(path)?.into_iter().enumerate().map(|(place, (_, answer))| {
        let id = (place + 1).to_string();
        let outputs = [vec![answer.output], vec![String::new()]];
        let references = answer.reference.map(|text| vec![text]);
        Case { group: id.clone(), id, turns: answer.turns, outputs, references }
    });
    Ok(cases.collect())
}

/// Answers by prompt, in the file's order. A prompt that comes twice is an error: which of the answers is meant cannot be known.
fn answers(path: &Path) -> anyhow::Result<Vec<(String, Answer)>> {
    let file = File::open(path)
        .with_context(|| format!("{} cannot be read\n  fix: name a file of answers", path.display()))?;
    let (mut found, mut seen) = (Vec::new(), HashMap::new());
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let number = index + 1;
        let place = || format!("{}, line {number}", path.display());
        let line = line.with_context(|| format!("{}: is no text\n  fix: save the file as UTF-8", place()))?;
        if line.trim().is_empty() {
            continue;
        }
        let row: Json = serde_json::from_str(&line)
            .with_context(|| format!("{}: is no JSON\n  fix: write one object a line", place()))?;
        let prompt = ["prompt", "instruction"].iter().find_map(|field| row.get(field));
        let Some(prompt) = prompt else {
            bail!("{}: there is no `prompt`\n  fix: name what camelid generate wrote", place())
        };
        let output = row.get("output").or_else(|| row.pointer("/answers/0/text")).and_then(Json::as_str);
        let Some(output) = output else {
            bail!("{}: there is neither `output` nor `answers`\n  fix: name what camelid generate wrote", place())
        };
        let Some(turns) = turns(prompt) else {
            bail!("{}: `prompt` is neither a text nor messages\n  fix: name what camelid generate wrote", place())
        };
        let key = prompt.to_string();
        if let Some(earlier) = seen.insert(key.clone(), number) {
            bail!("{}: the prompt of line {earlier} again\n  fix: keep one answer to each prompt", place());
        }
        let reference = row.get("reference").and_then(Json::as_str).map(str::to_owned);
        found.push((key, Answer { turns, output: output.to_owned(), reference }));
    }
    ensure!(!found.is_empty(), "{} has no answers\n  fix: name what camelid generate wrote", path.display());
    Ok(found)
}

/// What was asked, as one text: a dialogue with earlier turns is written out, since only its last answer is judged.
fn turns(prompt: &Json) -> Option<Vec<String>> {
    let messages = match prompt {
        Json::String(text) => return Some(vec![text.clone()]),
        Json::Array(messages) => messages,
        _ => return None,
    };
    let said: Option<Vec<(&str, &str)>> =
        messages.iter().map(|message| Some((message["role"].as_str()?, message["content"].as_str()?))).collect();
    match said?.as_slice() {
        [] => None,
        [(_, content)] => Some(vec![(*content).to_owned()]),
        many => {
            let lines: Vec<String> = many.iter().map(|(role, content)| format!("{role}: {content}")).collect();
            Some(vec![lines.join("\n\n")])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_of_either_form() {
        let one = serde_json::json!([{"role": "user", "content": "Why?"}]);
        assert_eq!(turns(&one).unwrap(), ["Why?"]);
        assert_eq!(turns(&serde_json::json!("Why?")).unwrap(), ["Why?"]);
        let more = serde_json::json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]);
        assert_eq!(turns(&more).unwrap(), ["system: Be brief.\n\nuser: Why?"]);
        assert_eq!(turns(&serde_json::json!([])), None);
        assert_eq!(turns(&serde_json::json!([{"role": "user"}])), None);
    }
}
