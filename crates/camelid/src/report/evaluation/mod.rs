//! An evaluation as a page: alone, or held against others.

mod axes;
mod judgements;
mod samples;
mod tables;

use std::path::Path;

use camelid_report::{Block, Fact, Page, Section};

use crate::evaluations::{Comparison, Gates, Loaded};

/// What the page is made of.
pub(crate) struct EvaluationPage<'e> {
    /// The evaluation, or that which others are held against.
    pub(crate) before: &'e Loaded,
    pub(crate) comparison: Option<&'e Comparison<'e>>,
    pub(crate) gates: Option<&'e Gates>,
    /// A file of preferences, of which win rates are counted.
    pub(crate) judgements: Option<&'e Path>,
}

impl EvaluationPage<'_> {
    pub(crate) fn page(&self) -> anyhow::Result<Page> {
        let mut sections = vec![self.summary()];
        sections.extend(self.gates.map(tables::gates));
        let after = self.comparison.map_or(&[][..], |comparison| comparison.after);
        let sides: Vec<&Loaded> = std::iter::once(self.before).chain(after).collect();
        sections.push(axes::section(&sides));
        sections.push(tables::tasks(self.before, after));
        sections.extend(self.comparison.map(tables::differences));
        sections.push(tables::extraction(self.before, after));
        for list in [tables::secondary, tables::groups, tables::contamination] {
            sections.extend(sides.iter().filter_map(|loaded| list(loaded, sides.len() > 1)));
        }
        if let Some(path) = self.judgements {
            sections.push(judgements::section(path)?);
        }
        sections.push(match after {
            [] => samples::alone(self.before),
            [first, ..] => samples::side_by_side(self.before, first),
        });
        let names = tables::side_names(&sides);
        let lead = if after.is_empty() { "What this model can do." } else { "What changed, on the same items." };
        Ok(Page { title: names.join(" → "), lead: lead.into(), sections })
    }

    fn summary(&self) -> Section {
        let mut blocks = Vec::new();
        if let Some(gates) = self.gates {
            blocks.push(Block::Verdict { good: gates.passed(), text: gates.sentence() });
        }
        let after = self.comparison.map_or(&[][..], |comparison| comparison.after);
        for (index, loaded) in std::iter::once(self.before).chain(after).enumerate() {
            if !after.is_empty() {
                blocks.push(Block::Paragraph(if index == 0 { "Before".into() } else { "After".to_owned() }));
            }
            blocks.push(Block::Facts(facts(loaded)));
        }
        for note in self.comparison.iter().flat_map(|comparison| &comparison.notes) {
            blocks.push(Block::Paragraph(format!("Note: {note}.")));
        }
        Section { heading: "Summary".into(), blocks }
    }
}

fn facts(loaded: &Loaded) -> Vec<Fact> {
    let evaluation = &loaded.evaluation;
    let short = |hash: &str| hash.chars().take(16).collect::<String>();
    let items: usize = evaluation.tasks.iter().map(|task| task.n).sum();
    let seconds: f64 = evaluation.tasks.iter().map(|task| task.seconds).sum();
    let mut facts = vec![
        ("model", evaluation.model.name.clone()),
        ("identity", short(&evaluation.model.identity)),
        ("template", evaluation.template.as_deref().map_or_else(|| "none".into(), short)),
        ("evaluation", loaded.name.clone()),
        ("tasks", evaluation.tasks.len().to_string()),
        ("items", items.to_string()),
        ("time", format!("{seconds:.0} s")),
    ];
    // What was left to each task is null.
    facts.extend(evaluation.options.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
        // Text without its quotes.
        (name.as_str(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }));
    facts.into_iter().map(|(name, value)| Fact { name: name.replace('_', " "), value }).collect()
}
