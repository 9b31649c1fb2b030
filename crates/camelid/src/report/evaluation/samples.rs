//! Items to look at: by task, then by what became of them, a few of each.

use camelid_eval::comparison::join;
use camelid_eval::results::{Item, Status};
use camelid_report::{Block, Fact, Section};
use serde_json::Value as Json;

use crate::evaluations::Loaded;

/// Items shown of each kind.
const SHOWN: usize = 6;
/// Characters shown of a prompt or an answer.
const LENGTH: usize = 6_000;

/// One evaluation's items.
pub(super) fn alone(loaded: &Loaded) -> Section {
    let tasks = loaded.evaluation.tasks.iter().map(|task| {
        let items = loaded.items(&task.task);
        let kinds = kinds(items.iter().map(|item| (kind(item), item)));
        folded(&task.task, items.len(), kinds, |item| Block::Folded {
            summary: summary(item),
            blocks: {
                let mut blocks = vec![Block::Facts(trace(item))];
                blocks.extend(texts(item));
                blocks
            },
        })
    });
    Section { heading: "Samples".into(), blocks: std::iter::once(intro()).chain(tasks).collect() }
}

/// The same items before and after, those whose score changed first.
pub(super) fn side_by_side(before: &Loaded, after: &Loaded) -> Section {
    let tasks = after.evaluation.tasks.iter().filter(|task| before.evaluation.task(&task.task).is_some()).map(|task| {
        let joined = join(before.items(&task.task), after.items(&task.task));
        let pairs: Vec<(&Item, &Item)> = joined.pairs.iter().map(|pair| (pair.before, pair.after)).collect();
        let kinds = kinds(pairs.iter().map(|pair| (change(pair.0, pair.1), pair)));
        folded(&task.task, pairs.len(), kinds, |(first, second)| {
            let mut blocks = vec![Block::Text { label: "prompt".into(), text: shorten(&second.prompt) }];
            if first.prompt != second.prompt {
                blocks.push(Block::Text { label: "prompt before".into(), text: shorten(&first.prompt) });
            }
            for (label, item) in [("before", first), ("after", second)] {
                blocks.push(Block::Text { label: format!("answer {label}"), text: shorten(&item.answer) });
                blocks.push(Block::Facts(trace(item)));
            }
            Block::Folded { summary: format!("{}: {} → {}", first.item, outcome(first), outcome(second)), blocks }
        })
    });
    Section { heading: "Samples".into(), blocks: std::iter::once(intro()).chain(tasks).collect() }
}

fn intro() -> Block {
    Block::Paragraph(format!("Up to {SHOWN} items of each kind, in the order of the task."))
}

/// Items by kind, in the order of the kinds' ranks.
fn kinds<'k, T>(items: impl Iterator<Item = ((u8, String), &'k T)>) -> Vec<(String, Vec<&'k T>)> {
    let mut kinds: std::collections::BTreeMap<(u8, String), Vec<&T>> = std::collections::BTreeMap::new();
    for (kind, item) in items {
        kinds.entry(kind).or_default().push(item);
    }
    kinds.into_iter().map(|((_, name), items)| (name, items)).collect()
}

fn folded<T>(task: &str, count: usize, kinds: Vec<(String, Vec<&T>)>, block: impl Fn(&T) -> Block) -> Block {
    let blocks = kinds.into_iter().map(|(kind, items)| Block::Folded {
        summary: format!("{kind}: {}", items.len()),
        blocks: items.into_iter().take(SHOWN).map(&block).collect(),
    });
    Block::Folded { summary: format!("{task}: {count} items"), blocks: blocks.collect() }
}

fn kind(item: &Item) -> (u8, String) {
    match (item.status, item.score) {
        (Status::Ok, Some(0.0)) => (0, "wrong".into()),
        (Status::Ok, Some(1.0)) => (2, "right".into()),
        (Status::Ok, _) => (1, "in part".into()),
        (status, _) => (3 + status as u8, status_words(status).into()),
    }
}

fn status_words(status: Status) -> &'static str {
    match status {
        Status::Ok => "read",
        Status::Unparsed => "without an answer that can be read",
        Status::Empty => "empty",
        Status::Truncated => "cut off",
        Status::Error => "failed",
    }
}

fn change(before: &Item, after: &Item) -> (u8, String) {
    match before.score.partial_cmp(&after.score) {
        Some(std::cmp::Ordering::Greater) => (0, "lost".into()),
        Some(std::cmp::Ordering::Less) => (1, "won".into()),
        _ if after.score == Some(1.0) => (3, "right both times".into()),
        _ => (2, "the same score, not right".into()),
    }
}

fn outcome(item: &Item) -> String {
    let score = item.score.map_or_else(|| "–".to_owned(), camelid_report::format_number);
    if item.status == Status::Ok { score } else { format!("{score} ({})", status_words(item.status)) }
}

fn summary(item: &Item) -> String {
    format!("{}: {}", item.item, outcome(item))
}

/// How the score came about.
fn trace(item: &Item) -> Vec<Fact> {
    let mut facts = vec![("status", item.status.name().to_owned())];
    facts.push(("score", item.score.map_or_else(|| "none".into(), camelid_report::format_number)));
    facts.push(("extracted", words(&item.extracted)));
    facts.push(("by rung", item.rung.clone().unwrap_or_else(|| "none".into())));
    facts.push(("expected", words(&item.reference)));
    facts.extend(item.cluster.clone().map(|cluster| ("group", cluster)));
    let details = item.details.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), words(value)));
    let facts = facts.into_iter().chain(details);
    facts.map(|(name, value)| Fact { name: name.into(), value: cut(&value, 300) }).collect()
}

fn texts(item: &Item) -> [Block; 2] {
    [("prompt", &item.prompt), ("answer", &item.answer)]
        .map(|(label, text)| Block::Text { label: label.into(), text: shorten(text) })
}

fn words(value: &Json) -> String {
    match value {
        Json::Null => "none".into(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn shorten(text: &str) -> String {
    if text.is_empty() { "(nothing)".into() } else { cut(text, LENGTH) }
}

/// The beginning and the end, where the question stands after examples.
fn cut(text: &str, length: usize) -> String {
    let count = text.chars().count();
    if count <= length {
        return text.to_owned();
    }
    let half = length / 2;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(count - half).collect();
    format!("{head}\n… ({} more characters) …\n{tail}", count - 2 * half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_both_ends() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("äbcdefghij", 4), "äb\n… (6 more characters) …\nij");
        assert_eq!(shorten(""), "(nothing)");
    }
}
