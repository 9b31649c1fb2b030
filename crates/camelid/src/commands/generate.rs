//! `camelid generate`: answers to a file of prompts, from a model here or from any OpenAI-compatible server.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use camelid_generate::Sampling;
use camelid_generate::client::{
    BeamGenerator, CachedGenerator, GenerateError, Generated, Generator, Prompt, RemoteGenerator, ResponseCache,
    ServiceGenerator,
};
use camelid_generate::engine::{BeamSearch, EarlyStopping};
use camelid_generate::protocol::{Decoding, Input};
use camelid_records::{Asked, Format, PromptRecord, ReadOptions, Reject};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::engine;
use crate::cli::{BeamArgs, EarlyStoppingChoice, GenerateArgs};

/// A line of the output.
#[derive(Serialize, Deserialize)]
struct Line {
    /// The prompt's line in the input, counted from 1.
    line: usize,
    /// Of the prompt and everything that decides its answers: a line of another run is not taken for this one's.
    key: String,
    prompt: Json,
    answers: Vec<Json>,
}

pub(crate) fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    ensure!(args.samples > 0, "--samples is 0\n  fix: ask for at least one answer to each prompt");
    let prompts = read_prompts(args)?;
    let generator = generator(args)?;
    let keys: Vec<String> = prompts.iter().map(|(_, _, prompt)| key(generator.as_ref(), prompt)).collect();
    let done = finished(&args.out, &keys)?;
    let open: Vec<usize> = (0..prompts.len()).filter(|index| !done.contains(&keys[*index])).collect();
    if open.len() < prompts.len() {
        eprintln!("{} of {} prompts are answered already", prompts.len() - open.len(), prompts.len());
    }
    let mut out = File::options().create(true).append(true).open(&args.out).with_context(|| unwritable(&args.out))?;
    let asked: Vec<Prompt> = open.iter().map(|&index| prompts[index].2.clone()).collect();
    let start = Instant::now();
    let (mut answered, mut failed, mut broken) = (0, 0, None);
    generator.generate_each(&asked, &mut |place, result: Result<Generated, GenerateError>| {
        let (line, prompt, _) = &prompts[open[place]];
        match result {
            Ok(generated) => {
                let answers = generated.answers.iter().map(|answer| serde_json::to_value(answer).unwrap_or_default());
                let line = Line {
                    line: *line,
                    key: keys[open[place]].clone(),
                    prompt: prompt.clone(),
                    answers: answers.collect(),
                };
                let written =
                    serde_json::to_string(&line).map_err(std::io::Error::from).and_then(|text| writeln!(out, "{text}"));
                if let Err(error) = written {
                    broken.get_or_insert(error);
                }
                answered += 1;
            }
            Err(error) => {
                failed += 1;
                eprintln!("{}, line {line}: {error}", args.prompts.display());
            }
        }
        if (answered + failed) % 50 == 0 || answered + failed == asked.len() {
            let totals = generator.totals();
            let rate = totals.completion_tokens as f64 / start.elapsed().as_secs_f64();
            let left =
                start.elapsed().as_secs_f64() / (answered + failed) as f64 * (asked.len() - answered - failed) as f64;
            eprintln!("{answered} of {} answered, {failed} failed, {rate:.0} tokens/s, {left:.0} s left", asked.len());
        }
    });
    if let Some(error) = broken {
        return Err(error).with_context(|| unwritable(&args.out));
    }
    let totals = generator.totals();
    eprintln!(
        "{} prompt and {} answer tokens computed, {} answers from the cache; written to {}",
        totals.prompt_tokens,
        totals.completion_tokens,
        totals.cached,
        args.out.display()
    );
    if let Some(spent) = engine::spent(&totals) {
        eprintln!("{spent}");
    }
    if failed > 0 {
        bail!("{failed} prompts have no answer\n  fix: see the messages above; the same command asks for these only");
    }
    Ok(())
}

fn unwritable(path: &Path) -> String {
    format!("{} cannot be written\n  fix: name a file in a folder that exists", path.display())
}

fn decoding(args: &GenerateArgs) -> Decoding {
    let (samples, args, beams) = (args.samples, &args.sampling, args.beams.beams);
    let limits = Decoding { samples, max_tokens: Some(args.max_tokens), ..Decoding::default() };
    if beams.is_some() {
        return limits;
    }
    Decoding {
        temperature: Some(args.temperature),
        top_p: Some(args.top_p),
        top_k: Some(args.top_k),
        min_p: Some(args.min_p),
        typical_p: Some(args.typical_p),
        repetition_penalty: Some(args.repetition_penalty),
        presence_penalty: Some(args.presence_penalty),
        frequency_penalty: Some(args.frequency_penalty),
        seed: Some(args.seed),
        ..limits
    }
}

fn generator(args: &GenerateArgs) -> anyhow::Result<Box<dyn Generator>> {
    let inner: Box<dyn Generator> = if let Some(settings) = args.remote.settings(&args.model) {
        ensure!(settings.concurrency > 0, "--concurrency is 0\n  fix: ask at least one question at a time");
        Box::new(RemoteGenerator::new(settings)?)
    } else if let Some(search) = search(args) {
        let (samples, beams) = (args.samples, search.beams);
        ensure!(
            samples <= beams,
            "-n {samples} asks for more answers than --beams {beams}\n  fix: ask for at most {beams}"
        );
        let (model, text) = engine::load(&args.model, args.weights, &args.machine)?;
        let limits = engine::limits(&args.engine, &model)?;
        // Settings that no prompt could be answered with are told at once.
        search.check(1, &limits)?;
        Box::new(BeamGenerator::new(Box::new(model), Arc::new(text), args.model.as_str(), limits, search))
    } else {
        let (service, text) = engine::start(&args.model, &args.engine, args.weights, &args.machine)?;
        let sampling = Sampling::from(&args.sampling);
        Box::new(ServiceGenerator::new(Arc::clone(&service) as _, text, args.model.as_str(), sampling))
    };
    match &args.cache {
        Some(path) => Ok(Box::new(CachedGenerator::new(inner, ResponseCache::open(path)?))),
        None => Ok(inner),
    }
}

/// The beam search that is asked for.
fn search(args: &GenerateArgs) -> Option<BeamSearch> {
    let BeamArgs { beams, beam_groups, diversity_penalty, length_penalty, early_stopping } = args.beams;
    Some(BeamSearch {
        groups: beam_groups,
        diversity_penalty,
        length_penalty,
        early_stopping: match early_stopping {
            EarlyStoppingChoice::Full => EarlyStopping::Full,
            EarlyStoppingChoice::Likely => EarlyStopping::Likely,
            EarlyStoppingChoice::Never => EarlyStopping::Never,
        },
        ..BeamSearch::new(beams?, args.sampling.max_tokens)
    })
}

fn key(generator: &dyn Generator, prompt: &Prompt) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(generator.identity().as_bytes());
    // A prompt is text and numbers: this cannot fail.
    hasher.update(&serde_json::to_vec(prompt).unwrap_or_default());
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Each prompt with its row and as the output tells it. One row that cannot be asked stops all: answers cost more than a look at
/// the file.
fn read_prompts(args: &GenerateArgs) -> anyhow::Result<Vec<(usize, Json, Prompt)>> {
    let (path, decoding) = (&args.prompts, decoding(args));
    let columns = args.columns.iter().cloned().collect();
    let set = camelid_records::read_prompts(path, &ReadOptions { format: args.format, columns, limit: None })?;
    eprintln!("{}: {}", path.display(), set.describe());
    if let Some(Reject { provenance, reason, fix, .. }) = set.rejects.first() {
        let count = set.rejects.len();
        bail!("{provenance}: {reason}, and {count} rows in all cannot be asked\n  fix: {fix}");
    }
    ensure!(!set.records.is_empty(), "{} holds no prompt\n  fix: write one JSON object a line", path.display());
    let prompt = |(place, record): (usize, PromptRecord)| -> anyhow::Result<(usize, Json, Prompt)> {
        let (said, input) = match record.asked {
            Asked::Text(text) => (Json::from(text.as_str()), Input::Text(text)),
            Asked::Chat { messages, tools, template_arguments } => {
                (serde_json::to_value(&messages)?, Input::Chat { messages, tools, template_arguments })
            }
        };
        let row = record.provenance.row;
        // Prompts draw from streams of their own; the rows of trees have several.
        let stream = if set.format == Format::Oasst { place as u64 } else { row.saturating_sub(1) };
        let seed = decoding.seed.map(|seed| seed.wrapping_add(stream));
        Ok((row as usize, said, Prompt { input, decoding: Decoding { seed, ..decoding.clone() } }))
    };
    set.records.into_iter().enumerate().map(prompt).collect()
}

/// Keys of the prompts that an earlier run has answered. A line that was cut off is removed.
fn finished(path: &Path, keys: &[String]) -> anyhow::Result<HashSet<String>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(HashSet::new()) };
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        let file = File::options().write(true).open(path).with_context(|| unwritable(path))?;
        file.set_len(whole as u64)?;
    }
    let known: HashSet<&String> = keys.iter().collect();
    let mut done = HashSet::new();
    for (index, line) in text[..whole].lines().enumerate() {
        let line: Line = serde_json::from_str(line).with_context(|| {
            format!("{}, line {}: is not this command's\n  fix: name another output file", path.display(), index + 1)
        })?;
        ensure!(
            known.contains(&line.key),
            "{}, line {}: answers another prompt, model or setting\n  fix: name another output file",
            path.display(),
            index + 1
        );
        done.insert(line.key);
    }
    Ok(done)
}
