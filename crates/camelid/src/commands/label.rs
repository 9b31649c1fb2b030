//! `camelid label`: what `generate` wrote, as ranked lists with the scores of a lexicon, which preference and reward stages read.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};

use anyhow::{Context, bail};
use camelid_objectives::reward::sentiment::Lexicon;
use serde_json::{Map, Value as Json, json};

use crate::cli::LabelArgs;

pub(crate) fn run(args: &LabelArgs) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&args.lexicon)
        .with_context(|| format!("{} cannot be read\n  fix: name a lexicon", args.lexicon.display()))?;
    let lexicon = Lexicon::parse(&text).map_err(|error| anyhow::anyhow!("{}, {error}", args.lexicon.display()))?;
    let answers = File::open(&args.answers).with_context(|| {
        format!("{} cannot be read\n  fix: name what camelid generate wrote", args.answers.display())
    })?;
    let out = File::create(&args.out).with_context(|| format!("{} cannot be written", args.out.display()))?;
    let mut out = BufWriter::new(out);
    let (mut lists, mut skipped) = (0, 0);
    for (index, line) in BufReader::new(answers).lines().enumerate() {
        let line = line.with_context(|| args.answers.display().to_string())?;
        let row: Map<String, Json> = serde_json::from_str(&line).with_context(|| {
            format!(
                "{}, line {}: is no JSON object\n  fix: name what camelid generate wrote",
                args.answers.display(),
                index + 1
            )
        })?;
        match ranked(&lexicon, &row) {
            Some(list) => {
                writeln!(out, "{list}")?;
                lists += 1;
            }
            None => skipped += 1,
        }
    }
    out.flush()?;
    if lists == 0 {
        bail!(
            "no prompt of {} has two answers that differ in score\n  fix: generate more answers to each, with room to end",
            args.answers.display()
        );
    }
    println!("{}", args.out.display());
    eprintln!("{lists} ranked lists; {skipped} prompts without two finished answers that differ in score");
    Ok(())
}

/// The finished answers to a prompt, each once, with the sentiment of prompt and answer together: a negation in front of the answer
/// counts.
fn ranked(lexicon: &Lexicon, row: &Map<String, Json>) -> Option<Json> {
    let prompt = row.get("prompt")?;
    let asked = last_turn(prompt)?;
    let mut responses: Vec<(&str, f64)> = Vec::new();
    for answer in row.get("answers")?.as_array()? {
        // An answer that was cut off would teach to end there.
        let text = answer.get("text").and_then(Json::as_str).unwrap_or_default();
        let ended = answer.get("finish").and_then(Json::as_str) == Some("stop");
        if ended && !text.trim().is_empty() && responses.iter().all(|(known, _)| *known != text) {
            responses.push((text, lexicon.sentiment(&format!("{asked}{text}"))));
        }
    }
    let first = responses.first()?.1;
    if responses.iter().all(|(_, score)| *score == first) {
        return None;
    }
    let (responses, scores): (Vec<&str>, Vec<f64>) = responses.into_iter().unzip();
    Some(json!({ "prompt": prompt, "responses": responses, "scores": scores }))
}

/// The text that the answer goes on with.
fn last_turn(prompt: &Json) -> Option<&str> {
    match prompt {
        Json::String(text) => Some(text),
        Json::Array(messages) => messages.last()?.get("content")?.as_str(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_answers_are_scored_with_their_prompt() {
        let lexicon = Lexicon::parse("good\t1.9\nbad\t-2.5\n").unwrap();
        let answer = |text: &str, reason: &str| json!({"text": text, "finish": reason});
        let row = |answers: Vec<Json>| {
            let prompt = json!([{"role": "user", "content": "not"}]);
            json!({"prompt": prompt, "answers": answers}).as_object().cloned().unwrap()
        };
        let answers = vec![
            answer(" good", "stop"),
            answer(" bad", "stop"),
            answer(" good", "stop"),
            answer(" bad bad", "length"),
        ];
        let list = ranked(&lexicon, &row(answers)).unwrap();
        assert_eq!(list["responses"], json!([" good", " bad"]));
        assert!(list["scores"][0].as_f64().unwrap() < 0.0 && list["scores"][1].as_f64().unwrap() > 0.0);
        assert_eq!(ranked(&lexicon, &row(vec![answer(" good", "stop")])), None);
        assert_eq!(ranked(&lexicon, &row(vec![answer(" a", "stop"), answer(" b", "stop")])), None);
        assert_eq!(ranked(&lexicon, &Map::new()), None);
    }
}
