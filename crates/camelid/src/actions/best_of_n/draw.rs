//! Drawing and scoring.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use camelid_model::{Transformer, TransformerOptions, Tuning};
use camelid_text::{Encoded, Text};
use camelid_train::rewards::{Candidate, Given, Rewards};
use camelid_train::{Answerer, Drawing, Evaluation, Example, Label, Prompt, Purpose, Rollouts, Round};

use super::answers::{Answer, FILE, OneRound, Rounds, asked, drawn_elsewhere, whole_rounds};
use super::{BestOfN, Setting};
use crate::commands::company::{JUDGE, rewards};
use crate::commands::prepare::write_rejects;
use crate::commands::read_prompts::Prompts;
use crate::recipe::TermPlan;
use crate::{machine, models};

/// A line of progress comes at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Prompts and the answers to each; nothing if it was asked to stop.
pub(crate) type Drawn = Option<(Vec<Example>, Vec<Vec<Answer>>)>;

/// Draws what an earlier attempt has not, and scores it.
pub(crate) fn answers(stage: &BestOfN, setting: &Setting<'_>) -> anyhow::Result<Drawn> {
    let directory = setting.directory;
    let loaded = models::open(setting.model, &mut |line| eprintln!("{line}"))?;
    ensure!(
        !loaded.has_value_head(),
        "{} is a reward model, which writes no answers\n  fix: name a language model",
        setting.model
    );
    let assets = loaded.text.clone();
    let text = Text::new(assets.clone())?;
    let Prompts { examples, rejects, .. } = stage.prompts(&text)?;
    write_rejects(directory.path(), &rejects)?;
    let keys: Vec<String> = examples.iter().map(asked).collect();
    let rounds = Rounds { prompts: examples.len(), samples: stage.samples }.list();
    let path = directory.path().join(FILE);
    let mut answers = whole_rounds(&path, &rounds, &keys);
    let lines: String = answers.iter().map(line).collect::<anyhow::Result<_>>()?;
    directory.write(FILE, &lines)?;
    let elsewhere = stage.answers.as_ref().map(|path| drawn_elsewhere(path, &keys, stage.samples)).transpose()?;
    let total = examples.len() * stage.samples;
    if answers.len() < total {
        let source = if let Some(groups) = elsewhere {
            Source::Elsewhere(groups)
        } else {
            let backend = machine::open_precision(setting.plan.compute, setting.plan.threads);
            let seed = setting.plan.seed;
            let options = TransformerOptions::default();
            let engine = Transformer::new(backend, loaded, Tuning::Frozen, seed, options)?;
            let drawing = Drawing {
                samples: stage.samples,
                answer_tokens: stage.answer_tokens,
                seed,
                evaluation: Evaluation::Sampled,
            };
            // Rewards are given to all answers alike below, wherever they come from.
            let nothing = Rewards { terms: Vec::new() };
            let rollouts = Rollouts { drawing, text, rewards: nothing, answerer: Answerer::Own };
            Source::Policy { engine: Box::new(engine), rollouts: Box::new(rollouts) }
        };
        let open = |terms: &[TermPlan], name: &str| {
            let judgements = directory.path().join(JUDGE).join(name);
            rewards(setting.plan, terms, stage.tokens_per_micro_batch, &assets, &judgements)
        };
        let mut drawer = Drawer {
            stage,
            source,
            proxy: open(&stage.reward, "reward")?,
            gold: stage.gold_reward.as_deref().map(|gold| open(gold, "gold_reward")).transpose()?,
        };
        let (started, first) = (Instant::now(), answers.len());
        let mut last_line = None;
        if first > 0 {
            eprintln!("{first} of {total} answers are there already");
        }
        let mut done = 0;
        for (number, round) in rounds.iter().enumerate() {
            done += round.len();
            if done <= first {
                continue;
            }
            if setting.requests.stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(None);
            }
            let new = drawer.round(number as u64, round, &examples, &keys)?;
            let lines: String = new.iter().map(line).collect::<anyhow::Result<_>>()?;
            append(&path, &lines)?;
            answers.extend(new);
            if done == total || last_line.is_none_or(|last: Instant| last.elapsed() >= LINE_EVERY) {
                let rate = (answers.len() - first) as f64 / started.elapsed().as_secs_f64();
                let left = (total - answers.len()) as f64 / rate;
                eprintln!("{done} of {total} answers, {rate:.0} a second, {left:.0} s left");
                last_line = Some(Instant::now());
            }
        }
    }
    let mut groups: Vec<Vec<Answer>> = vec![Vec::new(); examples.len()];
    for answer in answers {
        groups[answer.prompt].push(answer);
    }
    Ok(Some((examples, groups)))
}

fn line(answer: &Answer) -> anyhow::Result<String> {
    Ok(serde_json::to_string(answer)? + "\n")
}

/// In one write, so that a kill leaves a whole round or part of one, which is drawn again.
fn append(path: &std::path::Path, lines: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let open = std::fs::OpenOptions::new().create(true).append(true).open(path);
    open.and_then(|mut file| file.write_all(lines.as_bytes()))
        .with_context(|| format!("{} cannot be written\n  fix: make room, or the folder writable", path.display()))
}

enum Source {
    Policy { engine: Box<Transformer<camelid_kernels::Cpu>>, rollouts: Box<Rollouts> },
    Elsewhere(Vec<Vec<Answer>>),
}

struct Drawer<'a> {
    stage: &'a BestOfN,
    source: Source,
    proxy: Rewards,
    gold: Option<Rewards>,
}

impl Drawer<'_> {
    /// The answers of one round, scored, in the order of its places.
    fn round(
        &mut self,
        number: u64,
        round: &OneRound,
        examples: &[Example],
        keys: &[String],
    ) -> anyhow::Result<Vec<Answer>> {
        let mut answers = self.unscored(number, round, examples, keys)?;
        let sequences: Vec<Encoded> = answers.iter().map(|answer| sequence(&examples[answer.prompt], answer)).collect();
        let candidates: Vec<Candidate<'_>> = answers
            .iter()
            .zip(&sequences)
            .map(|(answer, sequence)| {
                let Answer { text, ended, .. } = answer;
                let prompt = prompt(&examples[answer.prompt]);
                Ok(Candidate { prompt: prompt?, record: sequence.record, sequence, text, ended: *ended })
            })
            .collect::<anyhow::Result<_>>()?;
        let (proxy, _) = self.proxy.of(&candidates)?;
        let gold = self.gold.as_mut().map(|gold| gold.of(&candidates)).transpose()?;
        drop(candidates);
        for (answer, given) in answers.iter_mut().zip(proxy) {
            answer.reward = given.total();
        }
        for (answer, given) in answers.iter_mut().zip(gold.map(|(given, _)| given).unwrap_or_default()) {
            answer.gold = Some(Given::total(&given));
        }
        Ok(answers)
    }

    fn unscored(
        &mut self,
        number: u64,
        round: &OneRound,
        examples: &[Example],
        keys: &[String],
    ) -> anyhow::Result<Vec<Answer>> {
        let (engine, rollouts) = match &mut self.source {
            Source::Elsewhere(groups) => {
                let found =
                    round.places().map(|(prompt, sample)| Answer { gold: None, ..groups[prompt][sample].clone() });
                return Ok(found.collect());
            }
            Source::Policy { engine, rollouts } => (engine, rollouts),
        };
        rollouts.drawing.samples = round.samples.len();
        let asked: Vec<&Example> = examples[round.prompts.clone()].iter().collect();
        let token_budget = self.stage.tokens_per_micro_batch;
        let asked = Round { examples: &asked, step: number, purpose: Purpose::Training, token_budget };
        let groups = rollouts.sample(engine.as_mut(), &asked)?.groups;
        let drawn = round.places().zip(groups.into_iter().flatten());
        let answer = |((prompt, sample), drawn): ((usize, usize), camelid_train::Sampled)| Answer {
            prompt,
            asked: keys[prompt].clone(),
            sample,
            tokens: drawn.sequence.tokens[drawn.sequence.tokens.len() - drawn.log_probs.len()..].to_vec(),
            log_prob: drawn.log_probs.iter().map(|&log_prob| f64::from(log_prob)).sum(),
            text: drawn.text,
            ended: drawn.ended,
            reward: 0.0,
            gold: None,
        };
        Ok(drawn.map(answer).collect())
    }
}

/// Prompt and answer; weights are 1 on the answer's tokens.
fn sequence(example: &Example, answer: &Answer) -> Encoded {
    let prompt = example.sequences.first().map(|sequence| sequence.tokens.as_slice()).unwrap_or_default();
    Encoded {
        tokens: prompt.iter().chain(&answer.tokens).copied().collect(),
        weights: prompt.iter().map(|_| 0.0).chain(answer.tokens.iter().map(|_| 1.0)).collect(),
        record: example.record(),
    }
}

/// What an example asks.
pub(crate) fn prompt(example: &Example) -> anyhow::Result<&Prompt> {
    match &example.label {
        Label::Prompt(prompt) => Ok(prompt),
        _ => anyhow::bail!("record {} is no prompt\n  fix: this is a defect: please report it", example.record() + 1),
    }
}
