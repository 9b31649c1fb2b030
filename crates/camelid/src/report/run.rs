//! A run directory as a page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use camelid_report::{Block, Cell, Fact, Page, Section, Table, format_number};
use serde_json::{Map, Value as Json};

use super::{History, read_lines};
use super::{curves, over_optimisation};

/// Refused rows that are shown one by one.
const REJECTS: usize = 50;

/// Writes `report.html` into a stage's directory, or into that of a run with several stages, where each stage gets its own too.
/// Returns the page's path.
pub(crate) fn write_report(directory: &Path) -> anyhow::Result<PathBuf> {
    let stages = stages(directory)?;
    if stages.is_empty() {
        let sections = stage_sections(directory);
        if sections.is_empty() {
            bail!(
                "{} holds nothing to report\n  fix: name a run directory, such as runs/quickstart",
                directory.display()
            );
        }
        return write(directory, sections);
    }
    let named: Vec<(String, &Path)> = stages.iter().map(|stage| (file_name(stage), stage.as_path())).collect();
    let mut all: Vec<Section> = over_optimisation::together(&named).into_iter().collect();
    for stage in stages {
        let sections = stage_sections(&stage);
        if sections.is_empty() {
            continue;
        }
        write(&stage, sections.clone())?;
        let name = file_name(&stage);
        all.extend(
            sections.into_iter().map(|section| Section { heading: format!("{name}: {}", section.heading), ..section }),
        );
    }
    write(directory, all)
}

/// Directories of stages in a run's, in the order in which they ran.
fn stages(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| {
        format!("{} cannot be read\n  fix: name a run directory, such as runs/quickstart", directory.display())
    })?;
    let number =
        |path: &Path| -> Option<u32> { file_name(path).strip_prefix("stage-")?.split('-').next()?.parse().ok() };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut stages: Vec<(u32, PathBuf)> =
        paths.filter(|path| path.is_dir()).filter_map(|path| Some((number(&path)?, path))).collect();
    stages.sort();
    Ok(stages.into_iter().map(|(_, path)| path).collect())
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn write(directory: &Path, sections: Vec<Section>) -> anyhow::Result<PathBuf> {
    let page = Page { title: directory.display().to_string(), lead: "What this run did.".into(), sections };
    let path = directory.join("report.html");
    super::write_page(&page, &path)?;
    Ok(path)
}

/// What one stage left, as far as it is there.
fn stage_sections(directory: &Path) -> Vec<Section> {
    let history = History::of(&read_lines(&directory.join("metrics.jsonl")));
    let plan = std::fs::read_to_string(directory.join("plan.toml")).ok();
    let finished = directory.join("finished.json").is_file();
    let mut sections = Vec::new();
    if plan.is_some() || !history.is_empty() {
        let blocks = vec![Block::Facts(facts(plan.as_deref(), &history, finished))];
        sections.push(Section { heading: "Summary".into(), blocks });
    }
    sections.extend(reward_report(&directory.join("reward_report.json")));
    sections.extend(crate::actions::sections(directory));
    sections.extend(over_optimisation::sections(directory));
    sections.extend(curves::sections(&history));
    sections.extend(samples(&read_lines(&directory.join("samples.jsonl"))));
    sections.extend(rejects(&read_lines(&directory.join("rejects.jsonl"))));
    if let Some(plan) = plan {
        let raw = Block::Raw { summary: "plan.toml: every value that the run used".into(), text: plan };
        sections.push(Section { heading: "Plan".into(), blocks: vec![raw] });
    }
    sections
}

fn facts(plan: Option<&str>, history: &History, finished: bool) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push(Fact { name: name.into(), value });
    add("state", if finished { "finished" } else { "not finished: the same recipe goes on where it stopped" }.into());
    let plan: Option<toml::Table> = plan.and_then(|plan| plan.parse().ok());
    for key in ["model", "seed", "compute"] {
        match plan.as_ref().and_then(|plan| plan.get(key)) {
            Some(toml::Value::String(text)) => add(key, text.clone()),
            Some(value) => add(key, value.to_string()),
            None => {}
        }
    }
    let losses = history.get("loss");
    if let Some((step, loss)) = losses.last() {
        add("steps", format_number(*step));
        add("last loss", format_number(*loss));
    }
    if let (Some(first), Some(last)) = (history.get("eval_loss").first(), history.get("eval_loss").last()) {
        add("validation loss", format!("{} → {}", format_number(first.1), format_number(last.1)));
    }
    if let Some((_, tokens)) = history.get("num_tokens").last() {
        add("tokens", format_number(*tokens));
    }
    let seconds: f64 = history.get("step_seconds").iter().map(|point| point.1).sum();
    if seconds > 0.0 {
        add("time in steps", format!("{} s", format_number((seconds * 10.0).round() / 10.0)));
    }
    facts
}

/// A reward model's verdict and figures.
fn reward_report(path: &Path) -> Option<Section> {
    let report: Map<String, Json> = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    let objections: Vec<&str> =
        report.get("objections").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    let good = report.get("certified").and_then(Json::as_bool).unwrap_or(false);
    let text = if good { "certified".to_owned() } else { format!("not certified: {}", objections.join("; ")) };
    let mut rows = Vec::new();
    for (name, value) in &report {
        figures(name, value, &mut rows);
    }
    let table = Table { caption: "On held-out records.".into(), columns: vec!["figure".into(), "value".into()], rows };
    Some(Section { heading: "Reward model".into(), blocks: vec![Block::Verdict { good, text }, Block::Table(table)] })
}

/// Numbers, whatever they are nested in; one with its bounds as such.
fn figures(name: &str, value: &Json, rows: &mut Vec<Vec<Cell>>) {
    let number = |key: &str| value.get(key).and_then(Json::as_f64);
    let cell = match value {
        Json::Number(number) => number.as_f64().map(Cell::Number),
        Json::Null => Some(Cell::Missing),
        Json::Object(fields) => {
            if let (Some(value), Some(low), Some(high)) = (number("value"), number("low"), number("high")) {
                Some(Cell::Measured { value, low, high })
            } else {
                for (field, value) in fields {
                    figures(&format!("{name}: {field}"), value, rows);
                }
                None
            }
        }
        _ => None,
    };
    rows.extend(cell.map(|cell| vec![Cell::Text(name.replace('_', " ")), cell]));
}

/// Answers before and after, side by side.
fn samples(lines: &[Map<String, Json>]) -> Option<Section> {
    let field =
        |line: &Map<String, Json>, key: &str| line.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let mut whens: Vec<String> = Vec::new();
    let mut prompts: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for line in lines {
        let (when, prompt) = (field(line, "when"), field(line, "prompt"));
        if !whens.contains(&when) {
            whens.push(when.clone());
        }
        let place = prompts.iter().position(|(known, _)| *known == prompt).unwrap_or_else(|| {
            prompts.push((prompt, BTreeMap::new()));
            prompts.len() - 1
        });
        prompts[place].1.insert(when, field(line, "answer"));
    }
    if prompts.is_empty() {
        return None;
    }
    let columns =
        std::iter::once("prompt".to_owned()).chain(whens.iter().map(|when| format!("{when} tuning"))).collect();
    let row = |(prompt, answers): &(String, BTreeMap<String, String>)| {
        let answers =
            whens.iter().map(|when| answers.get(when).map_or(Cell::Missing, |answer| Cell::text(answer.trim())));
        std::iter::once(Cell::text(prompt)).chain(answers).collect()
    };
    let caption = "The most likely token each time.".into();
    let table = Table { caption, columns, rows: prompts.iter().map(row).collect() };
    Some(Section { heading: "Samples".into(), blocks: vec![Block::Table(table)] })
}

/// Rows that were not trained on, by reason and the first of them one by one.
fn rejects(lines: &[Map<String, Json>]) -> Option<Section> {
    if lines.is_empty() {
        return None;
    }
    let field =
        |line: &Map<String, Json>, key: &str| line.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let mut reasons: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in lines {
        // Numbers differ from row to row; the reason is the same.
        let reason = field(line, "reason").replace(|c: char| c.is_ascii_digit(), "#");
        *reasons.entry((reason, field(line, "fix"))).or_default() += 1;
    }
    let mut rows: Vec<_> = reasons.into_iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let row = |((reason, fix), count): ((String, String), usize)| {
        vec![Cell::Number(count as f64), Cell::Text(reason), Cell::Text(fix)]
    };
    let table = Table {
        caption: format!("{} rows were refused.", lines.len()),
        columns: vec!["rows".into(), "reason".into(), "fix".into()],
        rows: rows.into_iter().map(row).collect(),
    };
    let first: Vec<String> = lines.iter().take(REJECTS).map(|line| Json::Object(line.clone()).to_string()).collect();
    let summary = format!("the first {} of rejects.jsonl", first.len());
    let blocks = vec![Block::Table(table), Block::Raw { summary, text: first.join("\n") }];
    Some(Section { heading: "Refused rows".into(), blocks })
}
