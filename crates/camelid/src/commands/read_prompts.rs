//! Prompts for a policy to answer, from files of prompts alone, of demonstrations or of feedback.

use anyhow::bail;
use camelid_records::{PromptRecord, Reject};
use camelid_text::{Encoded, Text};
use camelid_train::{Example, Label, Prompt};

use super::prepare::{counted, encode_prompt, summary};
use crate::recipe::DataSource;

/// Prompts as tokens.
#[derive(Debug, Default)]
pub(crate) struct Prompts {
    /// Number of the first.
    pub(crate) first: usize,
    /// Each with its prompt as the one sequence.
    pub(crate) examples: Vec<Example>,
    /// `source:row` of each.
    pub(crate) names: Vec<String>,
    pub(crate) rejects: Vec<Reject>,
    /// Rows read, refused ones included.
    pub(crate) rows: usize,
}

/// Reads prompts of at most `longest` tokens, numbered from `first`. Each comes with the answer that is expected, where the data has one; with `needs_expected`
/// a row without one is refused.
pub(crate) fn read_prompts(
    text: &Text,
    sources: &[DataSource],
    first: usize,
    longest: usize,
    needs_expected: bool,
    report: &mut dyn FnMut(&str),
) -> anyhow::Result<Prompts> {
    let mut prompts = Prompts { first, ..Prompts::default() };
    for source in sources {
        prompts.read(text, source, longest, needs_expected, report)?;
    }
    Ok(prompts)
}

impl Prompts {
    /// Adds what one source asks.
    pub(crate) fn read(
        &mut self,
        text: &Text,
        source: &DataSource,
        longest: usize,
        needs_expected: bool,
        report: &mut dyn FnMut(&str),
    ) -> anyhow::Result<()> {
        let set = camelid_records::read_prompts(&source.path, &source.read_options())?;
        report(&counted(source, set.records.len(), set.format.name(), set.rejects.len()));
        let repeated = set.repeated();
        if repeated > 0 {
            let path = source.path.display();
            report(&format!("{path}: {repeated} records repeat the prompt of an earlier one and are kept"));
        }
        self.rows += set.records.len() + set.rejects.len();
        self.rejects.extend(set.rejects);
        for record in set.records {
            self.add(text, record, longest, needs_expected);
        }
        Ok(())
    }

    /// Numbers a record, or refuses it.
    fn add(&mut self, text: &Text, record: PromptRecord, longest: usize, needs_expected: bool) {
        match encode_prompt(text, &record, longest, needs_expected) {
            Ok(tokens) => {
                let weights = vec![0.0; tokens.len()];
                let sequences = vec![Encoded { tokens, weights, record: (self.first + self.names.len()) as u32 }];
                self.names.push(record.provenance.to_string());
                let PromptRecord { asked, expected, .. } = record;
                self.examples.push(Example { sequences, label: Label::Prompt(Box::new(Prompt { asked, expected })) });
            }
            Err((reason, fix)) => self.rejects.push(Reject {
                reason,
                fix: fix.to_owned(),
                row: serde_json::to_string(&record).unwrap_or_default().chars().take(500).collect(),
                provenance: record.provenance,
            }),
        }
    }

    /// Refuses files most of which cannot be used, or all of them.
    pub(crate) fn check(&self, max_reject_share: f64) -> anyhow::Result<()> {
        let share = self.rejects.len() as f64 / self.rows.max(1) as f64;
        if share > max_reject_share {
            let fix = self.rejects.first().map(|reject| reject.fix.as_str()).unwrap_or_default();
            bail!(
                "{:.1} % of the prompts cannot be used, max_reject_share allows {:.1} %: {}\n  fix: {fix}",
                share * 100.0,
                max_reject_share * 100.0,
                summary(&self.rejects)
            );
        }
        if self.examples.is_empty() {
            bail!("no prompt is left to answer: {}\n  fix: see camelid inspect data", summary(&self.rejects));
        }
        Ok(())
    }
}
