//! From a stage's files to tokens: read, refuse what is broken, render, encode, hold out.

use std::path::Path;

use anyhow::{Context, bail};
use camelid_records::{
    Dataset, PreferenceRecord, PreferenceSet, PromptRecord, Provenance, Record, Reject, condition_messages,
    conditioned, read, read_preferences,
};
use camelid_text::{Encoded, EncodedSet, Forest, Learn, SpanPolicy, Text, encode_all, pack};
use camelid_train::{Asked, Example, Label, Order, below, split, stream};

use super::examples::{Wanted, line_up};
use super::read_prompts::{Prompts, read_prompts};
use crate::models;
use crate::recipe::{DataSource, Objective, Plan, RewardPlan, StagePlan, needs_expected};

/// A stage's data as tokens.
pub(crate) struct Prepared {
    pub(crate) text: Text,
    pub(crate) training: Vec<Example>,
    pub(crate) validation: Vec<Example>,
    /// Other records whose likelihood a ppo stage holds up.
    pub(crate) pretraining: Vec<Example>,
    /// Prompts of the monitor.
    pub(crate) monitor: Vec<Example>,
    /// `source:row` of each example, by the record number of its sequences.
    pub(crate) names: Vec<String>,
    pub(crate) rejects: Vec<Reject>,
    /// Rows read, refused ones included.
    pub(crate) rows: usize,
}

/// Reads and encodes a stage's records with the vocabulary of `text`, or of the plan's model.
pub(crate) fn prepare(
    plan: &Plan,
    stage: &StagePlan,
    text: Option<Text>,
    report: &mut dyn FnMut(&str),
) -> anyhow::Result<Prepared> {
    let text = match text {
        Some(text) => text,
        None => Text::new(models::open(&plan.model, report)?.text)?,
    };
    let mut reader = Reader { plan, stage, text: &text, names: Vec::new(), rejects: Vec::new(), rows: 0 };
    let mut training = reader.examples(&stage.data, report)?;
    let mut validation = reader.examples(&stage.validation_data, report)?;
    let beside = match &stage.objective {
        Objective::Ppo(ppo) => ppo.pretraining.as_ref(),
        _ => None,
    };
    let pretraining = beside.map(|beside| reader.demonstrations(&beside.data, report)).transpose()?.unwrap_or_default();
    if beside.is_some() && pretraining.is_empty() {
        bail!("no record of `pretraining.data` is left: {}\n  fix: see camelid inspect data", summary(&reader.rejects));
    }
    let Reader { mut names, mut rejects, rows, .. } = reader;
    check_rejects(stage, rows, &rejects)?;
    let monitor = match &stage.monitor {
        Some(monitor) => {
            let longest = stage.max_length - monitor.answer_tokens;
            let needs_expected = monitor.needs_expected() || needs_expected(stage.rewards());
            let mut prompts = read_prompts(&text, &monitor.data, names.len(), longest, needs_expected, report)?;
            prompts.check(stage.max_reject_share).context("the monitor's prompts")?;
            prompts.examples.truncate(monitor.prompts.unwrap_or(usize::MAX));
            names.extend(prompts.names);
            rejects.extend(prompts.rejects);
            prompts.examples
        }
        None => Vec::new(),
    };
    if stage.validation_data.is_empty() && stage.training.validation_share > 0.0 {
        let (kept, held_out) = split(plan.seed, training.len(), stage.training.validation_share);
        validation = held_out.into_iter().map(|index| training[index].clone()).collect();
        training = kept.into_iter().map(|index| training[index].clone()).collect();
    }
    if training.is_empty() {
        bail!(
            "no record is left to train on: {}\n  fix: see rejects.jsonl, or camelid inspect data",
            summary(&rejects)
        );
    }
    Ok(Prepared { text, training, validation, pretraining, monitor, names, rejects, rows })
}

/// Reads files one after another and numbers what they hold.
struct Reader<'a> {
    plan: &'a Plan,
    stage: &'a StagePlan,
    text: &'a Text,
    names: Vec<String>,
    rejects: Vec<Reject>,
    rows: usize,
}

impl Reader<'_> {
    fn examples(&mut self, sources: &[DataSource], report: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Example>> {
        if sources.is_empty() {
            return Ok(Vec::new());
        }
        match &self.stage.objective {
            Objective::Sft(_) => self.demonstrations(sources, report),
            Objective::Group(group) => self.prompts(sources, group.answer_tokens, group.needs_expected(), report),
            Objective::ExpertIteration(iteration) => {
                let rollout = &iteration.rollout;
                let needs_expected = iteration.demonstrations() || rollout.needs_expected();
                let mut examples = self.prompts(sources, rollout.answer_tokens, needs_expected, report)?;
                if iteration.demonstrations() {
                    examples = self.with_demonstrations(examples)?;
                }
                if !iteration.labels().is_empty() {
                    examples = self.behind_labels(examples, iteration.labels(), rollout.answer_tokens)?;
                }
                Ok(examples)
            }
            Objective::Ppo(ppo) => {
                self.prompts(sources, ppo.rollout.answer_tokens, ppo.rollout.needs_expected(), report)
            }
            Objective::OnlinePreference(online) => {
                let rollout = &online.rollout;
                self.prompts(sources, rollout.answer_tokens, rollout.needs_expected(), report)
            }
            Objective::Preference(loss) => {
                let reference_answers = loss.reads_reference_answer();
                let grouped = Wanted::Groups { pairs: loss.pairs, reference_answers };
                let wanted = if loss.is_unpaired() { Wanted::Single } else { grouped };
                self.preferences(sources, wanted, loss.name, report)
            }
            Objective::Reward(RewardPlan::BradleyTerry { pairs, .. }) => {
                let wanted = Wanted::Groups { pairs: *pairs, reference_answers: false };
                self.preferences(sources, wanted, "a reward model", report)
            }
            Objective::Reward(RewardPlan::Outcome) => {
                self.preferences(sources, Wanted::Single, "a reward model", report)
            }
            Objective::Reward(RewardPlan::Process) => {
                self.preferences(sources, Wanted::Steps, "a reward model", report)
            }
        }
    }

    fn demonstrations(&mut self, sources: &[DataSource], report: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Example>> {
        let (mut records, mut factors) = (Vec::new(), Vec::new());
        for source in sources {
            let read = self.read(source, report)?;
            factors.extend(std::iter::repeat_n(source.weight.unwrap_or(1.0), read.len()));
            let label = source.condition.as_deref().unwrap_or_default();
            records.extend(read.into_iter().map(|record| conditioned(record, label)));
        }
        let EncodedSet { sequences, rejects, .. } = self.encode(&records)?;
        self.rejects.extend(rejects.into_iter().map(|(index, reason)| Reject {
            provenance: records[index].provenance().clone(),
            reason: reason.reason,
            fix: reason.fix,
            row: serde_json::to_string(&records[index]).unwrap_or_default().chars().take(500).collect(),
        }));
        let first = self.names.len() as u32;
        self.names.extend(records.iter().map(|record| record.provenance().to_string()));
        let numbered = |mut sequence: Encoded| {
            sequence.weights.iter_mut().for_each(|weight| *weight *= factors[sequence.record as usize]);
            Encoded { record: first + sequence.record, ..sequence }
        };
        Ok(sequences.into_iter().map(|sequence| Example::from(numbered(sequence))).collect())
    }

    /// Prompts with the answers that are expected; these may be missing unless they are needed.
    fn prompts(
        &mut self,
        sources: &[DataSource],
        answer_tokens: usize,
        needs_expected: bool,
        report: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Vec<Example>> {
        let longest = self.stage.max_length.saturating_sub(answer_tokens);
        let mut prompts = Prompts { first: self.names.len(), ..Prompts::default() };
        for source in sources {
            prompts.read(self.text, source, longest, needs_expected, report)?;
        }
        self.rows += prompts.rows;
        self.names.extend(prompts.names);
        self.rejects.extend(prompts.rejects);
        Ok(prompts.examples)
    }

    /// Prompts, each with the data's own answer as a second sequence.
    fn with_demonstrations(&mut self, examples: Vec<Example>) -> anyhow::Result<Vec<Example>> {
        let demonstration = |example: &Example| match &example.label {
            Label::Prompt(prompt) => Some(prompt.answered(prompt.expected.as_deref()?)),
            _ => None,
        };
        let records: Vec<Record> = examples.iter().filter_map(demonstration).collect();
        let spans = SpanPolicy { learn: Learn::LastAssistant, train_on_prompt: false };
        let (length, overlong) = (self.stage.max_length, self.stage.overlong);
        let EncodedSet { sequences, rejects, .. } = encode_all(self.text, &records, &spans, length, overlong, None)?;
        let mut answers: Vec<Option<Encoded>> = vec![None; examples.len()];
        for sequence in sequences {
            let place = sequence.record as usize;
            answers[place] = Some(sequence);
        }
        for (index, reason) in rejects {
            self.reject(&examples[index], reason.reason, reason.fix);
        }
        let joined = |(mut example, answer): (Example, Option<Encoded>)| {
            let answer = Encoded { record: example.record(), ..answer? };
            example.sequences.push(answer);
            Some(example)
        };
        Ok(examples.into_iter().zip(answers).filter_map(joined).collect())
    }

    /// Prompts, each also behind every label.
    fn behind_labels(
        &mut self,
        examples: Vec<Example>,
        labels: &[String],
        answer_tokens: usize,
    ) -> anyhow::Result<Vec<Example>> {
        let longest = self.stage.max_length.saturating_sub(answer_tokens);
        let mut labelled = Vec::with_capacity(examples.len());
        for mut example in examples {
            let Label::Prompt(prompt) = &example.label else { continue };
            let record = example.record();
            for label in labels {
                let tokens = match &prompt.asked {
                    Asked::Chat { messages, tools, template_arguments } => {
                        let mut messages = messages.clone();
                        condition_messages(&mut messages, label);
                        self.text.encode_chat(&messages, tools.as_ref(), template_arguments)?
                    }
                    Asked::Text(prompt) => self.text.encode_prompt(&format!("{label}{prompt}")),
                };
                example.sequences.push(Encoded { weights: vec![0.0; tokens.len()], tokens, record });
            }
            let most = example.sequences.iter().map(|sequence| sequence.tokens.len()).max().unwrap_or(0);
            if most > longest {
                let (reason, fix) = too_long(most, longest);
                self.reject(&example, reason, fix.to_owned());
                continue;
            }
            labelled.push(example);
        }
        Ok(labelled)
    }

    /// Refuses a prompt after it was numbered.
    fn reject(&mut self, example: &Example, reason: String, fix: String) {
        let name = self.names[example.record() as usize].clone();
        let (source, row) = name.rsplit_once(':').unwrap_or((name.as_str(), "1"));
        let provenance = Provenance { source: source.to_owned(), row: row.parse().unwrap_or(1) };
        self.rejects.push(Reject { provenance, reason, fix, row: String::new() });
    }

    /// One source's demonstrations; of feedback, each response behind the label that says how good it is.
    fn read(&mut self, source: &DataSource, report: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Record>> {
        let (format, read, rejects) = if let Some(condition) = &self.stage.condition {
            let PreferenceSet { format, records, mut rejects } =
                read_preferences(&source.path, &source.read_options())?;
            if let Some(line) = on_reference_answers(&records, "a conditioned demonstration", false) {
                report(&line);
            }
            let (records, refused) = condition.apply(records);
            rejects.extend(refused);
            (format, records, rejects)
        } else {
            let Dataset { format, records, rejects } = read(&source.path, &source.read_options())?;
            (format, records, rejects)
        };
        report(&counted(source, read.len(), format.name(), rejects.len()));
        self.rows += read.len() + rejects.len();
        self.rejects.extend(rejects);
        Ok(read)
    }

    fn preferences(
        &mut self,
        sources: &[DataSource],
        wanted: Wanted,
        reader: &str,
        report: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Vec<Example>> {
        let mut records = Vec::new();
        for source in sources {
            let PreferenceSet { format, records: read, rejects } =
                read_preferences(&source.path, &source.read_options())?;
            report(&counted(source, read.len(), format.name(), rejects.len()));
            self.rows += read.len() + rejects.len();
            records.extend(read);
            self.rejects.extend(rejects);
        }
        let read = matches!(wanted, Wanted::Groups { reference_answers: true, .. });
        if let Some(line) = on_reference_answers(&records, reader, read) {
            report(&line);
        }
        let mut random = stream(self.plan.seed, "pairs");
        let mut pick = |count: usize| below(&mut random, count);
        let responses = line_up(records, wanted, &mut pick, &mut self.rejects);
        let encoded = self.encode(&responses.records)?;
        let placed = responses.examples(encoded, self.names.len(), &mut self.rejects);
        let mut examples = Vec::with_capacity(placed.len());
        for (example, provenance) in placed {
            self.names.push(provenance.to_string());
            examples.push(example);
        }
        Ok(examples)
    }

    fn encode(&self, records: &[Record]) -> anyhow::Result<EncodedSet> {
        if records.is_empty() {
            return Ok(EncodedSet::default());
        }
        // Runs leave a cache beside them; only looking leaves nothing.
        let directory = &self.plan.directory;
        let runs = directory.parent().filter(|runs| !runs.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let cache = runs.is_dir().then(|| runs.join(".tokens"));
        let stage = self.stage;
        Ok(encode_all(self.text, records, &stage.spans, stage.max_length, stage.overlong, cache.as_deref())?)
    }
}

/// A prompt as tokens, at most so many.
pub(super) fn encode_prompt(
    text: &Text,
    record: &PromptRecord,
    longest: usize,
    needs_expected: bool,
) -> Result<Vec<u32>, (String, &'static str)> {
    let tokens = match &record.asked {
        Asked::Chat { messages, tools, template_arguments } => text
            .encode_chat(messages, tools.as_ref(), template_arguments)
            .map_err(|error| (error.to_string(), "correct the conversation or the template"))?,
        Asked::Text(prompt) => text.encode_prompt(prompt),
    };
    if needs_expected && record.expected.is_none() {
        return Err(("there is no answer that is right, which this stage checks or learns".into(), NO_ANSWER_FIX));
    }
    if tokens.is_empty() {
        return Err(("the prompt has no tokens".into(), "fill it in, or remove the row"));
    }
    if tokens.len() > longest {
        return Err(too_long(tokens.len(), longest));
    }
    Ok(tokens)
}

const NO_ANSWER_FIX: &str =
    "give it in a column `answer`, or end the conversation with it; or choose a reward that needs none";

fn too_long(tokens: usize, longest: usize) -> (String, &'static str) {
    let reason = format!("the prompt has {tokens} tokens, beside the answer's {longest} are allowed");
    (reason, "raise max_length, or shorten the prompt")
}

pub(super) fn counted(source: &DataSource, records: usize, format: &str, refused: usize) -> String {
    format!("{}: {records} records as {format}, {refused} rows refused", source.path.display())
}

/// What becomes of the records' reference answers under `reader`, a loss or what else takes them; nothing where it has no say.
fn on_reference_answers(records: &[PreferenceRecord], reader: &str, read: bool) -> Option<String> {
    let referenced = |record: &&PreferenceRecord| match record {
        PreferenceRecord::Ranked(preference) => preference.reference.is_some(),
        PreferenceRecord::Unpaired(_) | PreferenceRecord::Stepwise(_) => false,
    };
    let (count, all) = (records.iter().filter(referenced).count(), records.len());
    match (read, count) {
        (true, 0) => Some(format!("{reader} keeps chosen answers likely, as no record has a `reference` answer")),
        (true, _) => Some(format!(
            "{reader} keeps the `reference` answers of {count} of {all} records likely, and the chosen ones of the others"
        )),
        (false, 0) => None,
        (false, _) => Some(format!("{count} of {all} records have a `reference` answer, which {reader} does not read")),
    }
}

pub(super) fn summary(rejects: &[Reject]) -> String {
    match rejects.first() {
        Some(first) => format!("{} rows refused, the first {}: {}", rejects.len(), first.provenance, first.reason),
        None => "the files hold none".into(),
    }
}

fn check_rejects(stage: &StagePlan, rows: usize, rejects: &[Reject]) -> anyhow::Result<()> {
    let share = rejects.len() as f64 / rows.max(1) as f64;
    if share <= stage.max_reject_share {
        return Ok(());
    }
    let first = rejects.first().map(|reject| format!("{}\n  fix: {}", summary(rejects), reject.fix));
    bail!(
        "{:.1} % of the rows cannot be trained on, max_reject_share allows {:.1} %: {}",
        share * 100.0,
        stage.max_reject_share * 100.0,
        first.unwrap_or_default()
    )
}

/// Writes the refused rows, all of them, where the run can be inspected.
pub(crate) fn write_rejects(directory: &Path, rejects: &[Reject]) -> anyhow::Result<()> {
    let path = directory.join("rejects.jsonl");
    let lines = rejects.iter().map(|reject| serde_json::to_string(reject).map(|line| line + "\n"));
    let text: String = lines.collect::<Result<_, _>>()?;
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// The first micro-batch of the first step.
pub(crate) fn first_batch(stage: &StagePlan, prepared: &Prepared) -> Forest {
    let examples = first_examples(stage, prepared);
    let rows: Vec<usize> = examples.iter().map(|example| example.rows()).collect();
    let batch = pack(&rows, stage.training.tokens_per_micro_batch).into_iter().next().unwrap_or_default();
    Forest::from_sequences(&batch.into_iter().flat_map(|index| &examples[index].sequences).collect::<Vec<_>>())
}

/// The examples of the first step.
pub(crate) fn first_examples<'a>(stage: &StagePlan, prepared: &'a Prepared) -> Vec<&'a Example> {
    let count = prepared.training.len();
    let mut order = Order::new(stage.training.seed, count);
    (0..stage.training.batch_size.min(count) as u64).map(|place| &prepared.training[order.record(place)]).collect()
}
