//! `camelid inspect data`: what a file holds, before anything is done with it.

use std::path::Path;

use camelid_records::{ReadOptions, Record, read};

/// A message is shown up to this many characters.
const SHOWN: usize = 300;

pub(crate) fn run(file: &Path, show: usize) -> anyhow::Result<()> {
    let dataset = read(file, &ReadOptions::default())?;
    println!("{}", dataset.describe());
    for record in dataset.records.iter().take(show) {
        println!("\n{}", record.provenance());
        match record {
            Record::Conversation(conversation) => {
                for message in &conversation.messages {
                    println!("  {}: {}", message.role, shorten(&message.content));
                }
            }
            Record::Completion { prompt, completion, .. } => {
                println!("  prompt: {}\n  completion: {}", shorten(prompt), shorten(completion));
            }
            Record::Text { text, .. } => println!("  {}", shorten(text)),
        }
    }
    for reject in dataset.rejects.iter().take(show) {
        println!("\nrejected {}: {}\n  fix: {}\n  row: {}", reject.provenance, reject.reason, reject.fix, reject.row);
    }
    Ok(())
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text.to_owned(),
    }
}
