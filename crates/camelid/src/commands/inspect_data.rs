//! `camelid inspect data`: what a file holds, before anything is done with it.

use std::path::Path;

use camelid_records::{
    Asked, PreferenceRecord, PromptRecord, PromptSet, ReadOptions, Record, Reject, read, read_preferences, read_prompts,
};

/// A message is shown up to this many characters.
const SHOWN: usize = 300;

pub(crate) fn run(file: &Path, show: usize, prompts: bool) -> anyhow::Result<()> {
    let options = ReadOptions::default();
    if prompts {
        print_prompts(&read_prompts(file, &options)?, show);
        return Ok(());
    }
    // A file of feedback may hold demonstrations too (HH's `chosen`), and both hold prompts: what is more comes first.
    if let Ok(set) = read_preferences(file, &options) {
        println!("{}", set.describe());
        set.records.iter().take(show).for_each(print_preference);
        set.rejects.iter().take(show).for_each(print_reject);
        return Ok(());
    }
    let dataset = match read(file, &options) {
        Ok(dataset) => dataset,
        Err(error) => {
            let Ok(set) = read_prompts(file, &options) else { return Err(error.into()) };
            print_prompts(&set, show);
            return Ok(());
        }
    };
    println!("{}", dataset.describe());
    for record in dataset.records.iter().take(show) {
        println!("\n{}", record.provenance());
        print_record(record);
    }
    dataset.rejects.iter().take(show).for_each(print_reject);
    Ok(())
}

fn print_prompts(set: &PromptSet, show: usize) {
    println!("{}", set.describe());
    let expected = set.records.iter().filter(|record| record.expected.is_some()).count();
    println!("prompts: {expected} with an answer that is expected");
    set.records.iter().take(show).for_each(print_prompt);
    set.rejects.iter().take(show).for_each(print_reject);
}

fn print_prompt(record: &PromptRecord) {
    println!("\n{}", record.provenance);
    match &record.asked {
        Asked::Chat { messages, .. } => {
            for message in messages {
                println!("  {}: {}", message.role, shorten(&message.content));
            }
        }
        Asked::Text(prompt) => println!("  prompt: {}", shorten(prompt)),
    }
    if let Some(expected) = &record.expected {
        println!("  expected: {}", shorten(expected));
    }
}

fn print_record(record: &Record) {
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

fn print_preference(record: &PreferenceRecord) {
    println!("\n{}", record.provenance());
    match record {
        PreferenceRecord::Ranked(preference) => {
            for response in &preference.responses {
                let score = response.score.map(|score| format!(", score {score}")).unwrap_or_default();
                println!(" rank {}{score}", response.rank + 1);
                print_record(&response.record);
            }
            if let Some(reference) = &preference.reference {
                println!(" reference answer");
                print_record(reference);
            }
        }
        PreferenceRecord::Unpaired(feedback) => {
            println!(" {}", if feedback.desirable { "good" } else { "bad" });
            print_record(&feedback.record);
        }
        PreferenceRecord::Stepwise(stepwise) => {
            println!("  prompt: {}", shorten(&stepwise.prompt));
            for (step, label) in stepwise.steps.iter().zip(&stepwise.labels) {
                println!("  {}: {}", if *label { "right" } else { "wrong" }, shorten(step));
            }
        }
    }
}

fn print_reject(reject: &Reject) {
    println!("\nrejected {}: {}\n  fix: {}\n  row: {}", reject.provenance, reject.reason, reject.fix, reject.row);
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text.to_owned(),
    }
}
