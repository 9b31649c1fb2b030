//! The best answers as records that later stages read: demonstrations, and pairs of the best with the worst.

use std::fmt::Write as _;

use camelid_objectives::selection::rule::{self, Rule};
use camelid_records::to_row;
use camelid_train::{Asked, Example, Prompt, RunDirectory};
use serde_json::{Value as Json, json};

use super::answers::Answer;
use super::draw::prompt;

/// Demonstrations, for sft stages.
pub(crate) const BEST: &str = "best.jsonl";
/// The best and the worst answer to each prompt, for preference and reward stages.
pub(crate) const PAIRS: &str = "pairs.jsonl";

/// Writes both. An answer that was cut off is in neither: it would teach to end there, or not to.
pub(crate) fn write(
    directory: &RunDirectory,
    examples: &[Example],
    groups: &[Vec<Answer>],
    keep: usize,
) -> anyhow::Result<()> {
    let (mut best, mut pairs) = (String::new(), String::new());
    let chosen = chosen(groups, keep);
    let (mut demonstrations, mut compared) = (0, 0);
    for ((example, group), chosen) in examples.iter().zip(groups).zip(chosen) {
        let prompt = prompt(example)?;
        for &answer in &chosen {
            writeln!(best, "{}", to_row(&prompt.answered(&group[answer].text)))?;
            demonstrations += 1;
        }
        if let Some((good, bad)) = chosen.first().and_then(|&good| Some((&group[good], worst(group, good)?))) {
            writeln!(pairs, "{}", pair(prompt, good, bad))?;
            compared += 1;
        }
    }
    directory.write(BEST, &best)?;
    directory.write(PAIRS, &pairs)?;
    let path = directory.path().display();
    eprintln!("{demonstrations} demonstrations in {path}/{BEST}, {compared} pairs in {path}/{PAIRS}");
    if demonstrations == 0 {
        eprintln!(
            "warning: no prompt has an answer that ended by itself and is better than its worst\n  fix: raise answer_tokens or samples, or \
             look at the reward"
        );
    }
    Ok(())
}

/// For each prompt, indices of the best answers, the best first.
fn chosen(groups: &[Vec<Answer>], keep: usize) -> Vec<Vec<usize>> {
    let seen: Vec<Vec<rule::Answer<'_>>> = groups
        .iter()
        .map(|group| {
            group
                .iter()
                .map(|answer| rule::Answer { text: &answer.text, reward: answer.reward, ended: answer.ended })
                .collect()
        })
        .collect();
    Rule::Best { keep }.choose(&seen)
}

/// The lowest reward of an answer that ended, if it is below the best's.
fn worst(group: &[Answer], best: usize) -> Option<&Answer> {
    let ended = group.iter().filter(|answer| answer.ended && answer.reward < group[best].reward);
    ended.min_by(|a, b| a.reward.total_cmp(&b.reward))
}

fn pair(prompt: &Prompt, best: &Answer, worst: &Answer) -> Json {
    let compared = |prompt: Json| {
        json!({
            "prompt": prompt, "responses": [best.text, worst.text], "scores": [best.reward, worst.reward],
        })
    };
    match &prompt.asked {
        Asked::Chat { messages, tools, template_arguments } => {
            with_context(compared(json!(messages)), tools.as_ref(), template_arguments)
        }
        Asked::Text(prompt) => compared(json!(prompt)),
    }
}

fn with_context(mut row: Json, tools: Option<&Json>, arguments: &serde_json::Map<String, Json>) -> Json {
    if let Some(tools) = tools {
        row["tools"] = tools.clone();
    }
    if !arguments.is_empty() {
        row["chat_template_kwargs"] = json!(arguments);
    }
    row
}
