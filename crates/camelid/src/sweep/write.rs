//! What a sweep leaves: a page, the same as JSON, and tables.

use std::path::Path;

use anyhow::Context;
use camelid_report::statistics::Estimate;
use serde_json::{Value as Json, json};

use super::gather::{Outcome, Results};
use super::page::page;

/// Writes `report.html`, `sweep.json`, `points.csv` (every place of every figure) and `table.csv` (means with intervals).
pub(crate) fn write_all(results: &Results<'_>, directory: &Path) -> anyhow::Result<()> {
    let write = |name: &str, contents: &[u8]| {
        let path = directory.join(name);
        let temporary = directory.join(format!(".{name}.writing"));
        std::fs::write(&temporary, contents)
            .and_then(|()| std::fs::rename(&temporary, &path))
            .with_context(|| format!("{} cannot be written", path.display()))
    };
    write("report.html", page(results).html()?.as_bytes())?;
    write("sweep.json", format!("{:#}\n", to_json(results)).as_bytes())?;
    write("points.csv", &points(results)?)?;
    write("table.csv", &table(results)?)
}

fn estimate_json(estimate: Option<Estimate>) -> Json {
    estimate.map_or(Json::Null, |estimate| {
        let (low, high) = estimate.interval().unzip();
        json!({ "mean": estimate.mean, "low": low, "high": high, "runs": estimate.count })
    })
}

fn to_json(results: &Results<'_>) -> Json {
    let spec = results.spec;
    let variant = |index: usize| {
        let runs: Vec<Json> = results.runs[index]
            .iter()
            .map(|run| {
                let (state, error) = match &run.outcome {
                    Outcome::Finished => ("finished", None),
                    Outcome::Failed(why) => ("failed", Some(why)),
                    Outcome::Pending => ("not finished", None),
                };
                let directory = spec.run_directory(&spec.variant[index], run.seed);
                json!({ "seed": run.seed, "directory": directory, "state": state, "error": error })
            })
            .collect();
        let table: serde_json::Map<String, Json> =
            spec.table.iter().map(|metric| (metric.clone(), estimate_json(results.estimate(index, metric)))).collect();
        let figures: Vec<Json> = spec
            .figure
            .iter()
            .map(|figure| {
                let mut json = json!({ "title": figure.title });
                if figure.reference.is_some() {
                    json["hypervolume"] = estimate_json(results.hypervolume(index, figure));
                }
                if figure.laws {
                    let law = |law: super::gather::Fitted| {
                        json!({
                            "law": format!("{:?}", law.law), "alpha": estimate_json(law.alpha),
                            "beta": estimate_json(law.beta), "bic": law.pooled.map(|fit| fit.bic()),
                        })
                    };
                    json["laws"] = results.laws(index, figure).into_iter().map(law).collect();
                }
                json
            })
            .collect();
        json!({ "variant": spec.variant[index], "runs": runs, "table": table, "figures": figures })
    };
    json!({
        "name": spec.name, "seeds": spec.seeds, "confidence": spec.confidence, "set": spec.set, "figures": spec.figure,
        "variants": (0..spec.variant.len()).map(variant).collect::<Vec<_>>(),
    })
}

fn points(results: &Results<'_>) -> anyhow::Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["figure", "variant", "seed", "step", "x", "y"])?;
    for figure in &results.spec.figure {
        for (variant, runs) in results.spec.variant.iter().zip(&results.runs) {
            for run in runs.iter().filter(|run| run.outcome == Outcome::Finished) {
                for place in run.curve(figure) {
                    let numbers =
                        [run.seed.to_string(), place.step.to_string(), place.x.to_string(), place.y.to_string()];
                    let texts = [figure.title.as_str(), variant.name.as_str()];
                    csv.write_record(texts.into_iter().chain(numbers.iter().map(String::as_str)))?;
                }
            }
        }
    }
    Ok(csv.into_inner()?)
}

fn table(results: &Results<'_>) -> anyhow::Result<Vec<u8>> {
    let spec = results.spec;
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["variant", "measure", "runs", "mean", "low", "high"])?;
    for (index, variant) in spec.variant.iter().enumerate() {
        let metrics = spec.table.iter().map(|metric| (metric.clone(), results.estimate(index, metric)));
        let areas = spec.figure.iter().filter(|figure| figure.reference.is_some());
        let areas = areas.map(|figure| (format!("hypervolume: {}", figure.title), results.hypervolume(index, figure)));
        for (measure, estimate) in metrics.chain(areas) {
            let Some(estimate) = estimate else { continue };
            let end = |end: Option<f64>| end.map(|end| end.to_string()).unwrap_or_default();
            let (low, high) = estimate.interval().unzip();
            let numbers = [estimate.count.to_string(), estimate.mean.to_string(), end(low), end(high)];
            csv.write_record(
                [variant.name.as_str(), measure.as_str()].into_iter().chain(numbers.iter().map(String::as_str)),
            )?;
        }
    }
    Ok(csv.into_inner()?)
}
