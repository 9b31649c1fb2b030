//! Reward models as a user names them: a run, a folder, an ensemble, or several of these; and what their reports say.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use camelid_kernels::Cpu;
use camelid_model::{Engine, Transformer, TransformerOptions, Tuning};
use camelid_objectives::reward::ensemble::{Combine, Standard};
use camelid_text::{Text, TextAssets};
use camelid_train::RewardModels;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::models;

/// What a reward stage of several members writes beside them.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ensemble {
    pub(crate) members: Vec<Member>,
}

/// A member and the scale of its rewards on held-out responses.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    /// Its folder, from the ensemble's.
    pub(crate) model: PathBuf,
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

pub(crate) const ENSEMBLE: &str = "ensemble.json";
pub(crate) const REPORT: &str = "reward_report.json";

/// What held-out comparisons said of a reward model. Nothing should be optimised against one that is not certified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Certified,
    Objections(Vec<String>),
    /// There is no report: nobody has looked.
    Unknown,
}

/// Reward models, ready to be asked.
pub(crate) struct Opened {
    pub(crate) models: RewardModels,
    /// The one vocabulary that all of them read.
    pub(crate) text: Text,
    /// Of all of them together: certified if each is.
    pub(crate) verdict: Verdict,
    /// The first whose report says that it learned to compare whole answers.
    pub(crate) of_comparisons: Option<String>,
}

/// A member that is found but not loaded.
struct Found {
    folder: PathBuf,
    standard: Option<Standard>,
}

/// Whether `reference` is a folder, or a run whose last stage wrote one, with an ensemble in it.
pub(crate) fn is_ensemble(reference: &str) -> bool {
    models::stage_of(Path::new(reference)).join(ENSEMBLE).is_file()
}

/// Opens every reward model that `references` name. A single one gives its rewards as they are; several are brought to one scale
/// and combined. Errors: one cannot be read, is no reward model, has another vocabulary than the first, or, among several, no
/// known scale.
pub(crate) fn open(
    references: &[String],
    combine: Combine,
    backend: &dyn Fn() -> Cpu,
    report: &mut dyn FnMut(&str),
) -> anyhow::Result<Opened> {
    let (mut found, mut objections, mut unknown) = (Vec::new(), Vec::new(), false);
    let mut of_comparisons = None;
    for reference in references {
        let Named { members, verdict, compares } = find(reference, report)?;
        found.extend(members);
        if compares {
            of_comparisons.get_or_insert_with(|| reference.clone());
        }
        match verdict {
            Verdict::Certified => {}
            Verdict::Unknown => unknown = true,
            Verdict::Objections(list) if references.len() == 1 => objections = list,
            Verdict::Objections(list) => objections.extend(list.iter().map(|line| format!("{reference}: {line}"))),
        }
    }
    let verdict = match (objections.is_empty(), unknown) {
        (false, _) => Verdict::Objections(objections),
        (true, true) => Verdict::Unknown,
        (true, false) => Verdict::Certified,
    };
    let alone = found.len() == 1;
    let (mut engines, mut text): (Vec<(Box<dyn Engine>, Standard)>, Option<TextAssets>) = (Vec::new(), None);
    for Found { folder, standard } in found {
        let (engine, assets) = load(&folder, backend(), report)?;
        let first = text.get_or_insert_with(|| assets.clone());
        if first.tokenizer_json != assets.tokenizer_json || first.chat_template != assets.chat_template {
            bail!(
                "{}: its vocabulary or chat template is not that of the other reward models\n  fix: combine models that were \
                 trained from one base",
                folder.display()
            );
        }
        let standard = match standard {
            _ if alone => Standard::IDENTITY,
            Some(standard) => standard,
            None => bail!(
                "{}: the scale of its rewards is not known, so they cannot be combined with others\n  fix: name the run that \
                 trained it with held-out data, where {REPORT} has their mean and deviation",
                folder.display()
            ),
        };
        engines.push((engine, standard));
    }
    let Some(text) = text else { bail!("no reward model is named\n  fix: name at least one") };
    Ok(Opened { models: RewardModels::ensemble(engines, combine)?, text: Text::new(text)?, verdict, of_comparisons })
}

/// Loads one reward model, to be asked only.
pub(crate) fn load(
    folder: &Path,
    backend: Cpu,
    report: &mut dyn FnMut(&str),
) -> anyhow::Result<(Box<dyn Engine>, TextAssets)> {
    let model = models::open_path(folder, report)
        .with_context(|| format!("the reward model {} cannot be used", folder.display()))?;
    if !model.has_value_head() {
        bail!(
            "{}: this is no reward model: it has no scalar head\n  fix: name what a stage with kind = \"reward\" wrote",
            folder.display()
        );
    }
    let text = model.text.clone();
    let options = TransformerOptions { value_head: true, ..TransformerOptions::default() };
    Ok((Box::new(Transformer::new(backend, model, Tuning::Frozen, 0, options)?), text))
}

/// What a name stands for.
struct Named {
    members: Vec<Found>,
    verdict: Verdict,
    /// Whether its report is one of comparisons.
    compares: bool,
}

fn find(reference: &str, report: &mut dyn FnMut(&str)) -> anyhow::Result<Named> {
    let stage = models::stage_of(Path::new(reference));
    let path = stage.join(ENSEMBLE);
    if path.is_file() {
        let broken = || format!("{} cannot be read\n  fix: run the recipe again", path.display());
        let text = std::fs::read_to_string(&path).with_context(broken)?;
        let Ensemble { members } = serde_json::from_str(&text).with_context(broken)?;
        let read = read_report(&stage)?;
        let verdict = read.as_ref().map_or(Verdict::Unknown, verdict);
        let member = |Member { model, mean, deviation }| Found {
            folder: stage.join(model),
            standard: Some(Standard { mean, deviation }),
        };
        let compares = read.as_ref().is_some_and(compares);
        return Ok(Named { members: members.into_iter().map(member).collect(), verdict, compares });
    }
    let folder = models::locate(reference, report)?;
    // The stage's report lies beside the model's folder.
    let read = match read_report(&folder)? {
        None => folder.parent().map(read_report).transpose()?.flatten(),
        found => found,
    };
    let verdict = read.as_ref().map_or(Verdict::Unknown, verdict);
    let compares = read.as_ref().is_some_and(compares);
    Ok(Named { members: vec![Found { folder, standard: read.as_ref().and_then(standard) }], verdict, compares })
}

fn read_report(folder: &Path) -> anyhow::Result<Option<Json>> {
    let path = folder.join(REPORT);
    if !path.is_file() {
        return Ok(None);
    }
    let broken = || format!("{} cannot be read\n  fix: run the recipe again, or remove it", path.display());
    let text = std::fs::read_to_string(&path).with_context(broken)?;
    serde_json::from_str(&text).map(Some).with_context(broken)
}

fn verdict(report: &Json) -> Verdict {
    match (report["certified"].as_bool(), report["objections"].as_array()) {
        (Some(true), _) => Verdict::Certified,
        (_, Some(list)) => Verdict::Objections(list.iter().filter_map(Json::as_str).map(str::to_owned).collect()),
        _ => Verdict::Unknown,
    }
}

/// Whether a report is of comparisons between answers; the other kind is of labels.
fn compares(report: &Json) -> bool {
    report.get("pairs").is_some()
}

/// The scale that a report states; log-odds of being right have one by themselves.
fn standard(report: &Json) -> Option<Standard> {
    if report.get("solutions").is_some() {
        return Some(Standard::IDENTITY);
    }
    let (mean, deviation) = (report["reward"]["mean"].as_f64()?, report["reward"]["deviation"].as_f64()?);
    Some(Standard { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_say_verdict_and_scale() {
        let report = json!({"certified": false, "objections": ["too few"], "reward": {"mean": 2.0, "deviation": 0.5}});
        assert_eq!(verdict(&report), Verdict::Objections(vec!["too few".into()]));
        assert_eq!(standard(&report), Some(Standard { mean: 2.0, deviation: 0.5 }));
        assert_eq!(verdict(&json!({"certified": true, "objections": []})), Verdict::Certified);
        assert_eq!((verdict(&json!({})), standard(&json!({}))), (Verdict::Unknown, None));
        assert_eq!(standard(&json!({"certified": true, "solutions": 9})), Some(Standard::IDENTITY));
    }
}
