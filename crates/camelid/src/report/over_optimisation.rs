//! How far a policy went and what it got for that: `distances.jsonl` of a monitored stage or of best-of-n as figures, tables and
//! `over_optimisation.json`.

use std::path::Path;

use camelid_eval::over_optimisation::{Bounded, Curve, Distance, Fitted, curve};
use camelid_objectives::over_optimisation::Law;
use camelid_objectives::selection::best_of_n::kl_bound;
use camelid_report::{
    Axis, Block, Cell, Figure, Marks, Point, Section, Series, Stroke, Table, Whiskers, format_number,
};
use camelid_train::{DISTANCES, RunDirectory};
use serde_json::{Value as Json, json};

use super::read_lines;

/// What the fits are written to.
pub(crate) const LAWS: &str = "over_optimisation.json";

/// Resamples of prompts behind every interval.
const RESAMPLES: usize = 500;
/// Points at which a law is drawn.
const DRAWN: u32 = 80;

/// What a stage measured, if it did.
struct Measured {
    /// Entries are of n rather than of a step.
    of_best: bool,
    curve: Curve,
}

fn read(directory: &Path) -> Option<Measured> {
    let lines = read_lines(&directory.join(DISTANCES));
    let of_best = lines.first()?.contains_key("n");
    let distances = lines.into_iter().map(|line| serde_json::from_value(Json::Object(line)));
    let distances: Vec<Distance> = distances.collect::<Result<_, _>>().ok()?;
    // What training does follows the one law, what choosing does the other (Gao 2022).
    let law = if of_best { Law::BestOfN } else { Law::Reinforcement };
    Some(Measured { of_best, curve: curve(&distances, law, RESAMPLES, 0)? })
}

/// Writes the fits beside what they are fitted to, and says them in a few lines; nothing where nothing was measured.
pub(crate) fn conclude(directory: &RunDirectory) -> anyhow::Result<Option<String>> {
    let Some(measured) = read(directory.path()) else { return Ok(None) };
    directory.write(LAWS, &format!("{:#}\n", json(&measured)))?;
    Ok(Some(words(&measured)))
}

fn words(measured: &Measured) -> String {
    let Curve { points, gold, .. } = &measured.curve;
    let reward = |point: &camelid_eval::over_optimisation::Point| point.gold.or(point.proxy).map(|reward| reward.value);
    let ends =
        points.first().zip(points.last()).and_then(|(first, last)| Some((reward(first)?, reward(last)?, last.kl)));
    let mut lines = Vec::new();
    if let Some((first, last, kl)) = ends {
        lines.push(format!(
            "held-out     reward {} -> {} at a KL of {} nats",
            format_number(first),
            format_number(last),
            format_number(kl)
        ));
    }
    if let Some(best) = better(gold) {
        let peak = match best.peak {
            Some(peak) => format!(
                "peak at √KL {} [{}, {}]{}",
                format_number(peak.peak.distance),
                format_number(peak.distance.low),
                format_number(peak.distance.high),
                if peak.measured { "" } else { ", beyond what was measured" }
            ),
            None => "no peak".to_owned(),
        };
        lines.push(format!(
            "law          {}: α {}, β {}, {peak}",
            best.law.name(),
            format_number(best.alpha.value),
            format_number(best.beta.value)
        ));
    }
    lines.join("\n")
}

/// The law that fits better.
fn better(fits: &[Fitted]) -> Option<&Fitted> {
    fits.iter().min_by(|a, b| a.bic.total_cmp(&b.bic))
}

fn json(Measured { of_best, curve }: &Measured) -> Json {
    let bounded =
        |value: &Bounded| json!({ "value": value.value, "low": value.interval.low, "high": value.interval.high });
    let at = if *of_best { "n" } else { "step" };
    let points = curve.points.iter().map(|point| {
        json!({
            at: point.at, "kl": point.kl, "proxy": point.proxy.as_ref().map(bounded),
            "gold": point.gold.as_ref().map(bounded),
        })
    });
    let fits = |fits: &[Fitted]| {
        let fit = |fit: &Fitted| {
            let peak = fit.peak.map(|peak| {
                json!({
                    "sqrt_kl": peak.peak.distance, "low": peak.distance.low, "high": peak.distance.high,
                    "gain": peak.peak.reward, "share_of_resamples": peak.share, "measured": peak.measured,
                })
            });
            json!({
                "law": fit.law.name(), "start": fit.start, "alpha": bounded(&fit.alpha), "beta": bounded(&fit.beta),
                "bic": fit.bic, "peak": peak,
            })
        };
        fits.iter().map(fit).collect::<Vec<Json>>()
    };
    json!({
        "prompts": curve.prompts, "points": points.collect::<Vec<Json>>(), "proxy": fits(&curve.proxy),
        "gold": fits(&curve.gold),
    })
}

/// What a report shows of a stage's measurements; nothing where it has none.
pub(crate) fn sections(directory: &Path) -> Vec<Section> {
    let Some(measured) = read(directory) else { return Vec::new() };
    let mut blocks = vec![Block::Figure(figure(&measured))];
    if measured.of_best {
        blocks.push(Block::Figure(kl_figure(&measured.curve)));
    }
    if !(measured.curve.gold.is_empty() && measured.curve.proxy.is_empty()) {
        blocks.push(Block::Table(laws(&measured.curve)));
    }
    vec![Section { heading: "Over-optimisation".into(), blocks }]
}

/// The gold rewards of several stages over the same distance; nothing with fewer than two.
pub(crate) fn together(stages: &[(String, &Path)]) -> Option<Section> {
    let measured = stages.iter().filter_map(|(name, path)| Some((name, read(path)?)));
    let measured: Vec<_> = measured.filter(|(_, measured)| !measured.curve.gold.is_empty()).collect();
    if measured.len() < 2 {
        return None;
    }
    let mut series = Vec::new();
    for (name, Measured { curve, .. }) in &measured {
        series.push(points(name, curve, |point| point.gold));
        series.extend(better(&curve.gold).map(|fit| law_curve(&format!("{name}, {}", fit.law.name()), fit, curve)));
    }
    let figure = Figure {
        title: "Held-out reward of all stages over √KL".into(),
        caption: "The KL is that to the policy which each stage was given. Bars are intervals over prompts; dashed are the laws that \
                  fit better."
            .into(),
        x: Axis::linear("√KL in nats"),
        y: Axis::linear("held-out reward"),
        marks: Marks::Series(series),
    };
    Some(Section { heading: "Over-optimisation of all stages".into(), blocks: vec![Block::Figure(figure)] })
}

fn figure(Measured { of_best, curve }: &Measured) -> Figure {
    let mut series = Vec::new();
    for (name, reward, fits) in [
        ("held-out reward", (|point| point.gold) as Reward, &curve.gold),
        ("training reward", |point| point.proxy, &curve.proxy),
    ] {
        if curve.points.iter().all(|point| reward(point).is_none()) {
            continue;
        }
        series.push(points(name, curve, reward));
        if let Some(fit) = better(fits) {
            series.push(law_curve(&format!("{name}, {}", fit.law.name()), fit, curve));
            series.extend(peak(name, fit));
        }
    }
    let what = if *of_best { "n" } else { "measured step" };
    Figure {
        title: "Reward over √KL".into(),
        caption: format!(
            "Each point is the mean over {} prompts at one {what}, with its interval over prompts; dashed is the law that fits better. \
             A held-out reward that falls while the training reward rises is over-optimised.",
            curve.prompts
        ),
        x: Axis::linear("√KL in nats"),
        y: Axis::linear("reward"),
        marks: Marks::Series(series),
    }
}

type Reward = fn(&camelid_eval::over_optimisation::Point) -> Option<Bounded>;

fn points(name: &str, curve: &Curve, reward: Reward) -> Series {
    let point = |point: &camelid_eval::over_optimisation::Point| {
        let reward = reward(point)?;
        Some(Point::new(point.kl.sqrt(), reward.value).within(reward.interval.low, reward.interval.high))
    };
    let points = curve.points.iter().filter_map(point).collect();
    Series::new(name, points).with_stroke(Stroke::Points).with_whiskers(Whiskers::Bars)
}

/// Over the distances that were gone.
fn law_curve(name: &str, fit: &Fitted, curve: &Curve) -> Series {
    let farthest = curve.points.iter().map(|point| point.kl.sqrt()).fold(0.0, f64::max);
    let at = |step: u32| {
        let distance = farthest * f64::from(step) / f64::from(DRAWN);
        (distance, fit.start + fit.law.reward(fit.alpha.value, fit.beta.value, distance))
    };
    Series::of_values(name, (0..=DRAWN).map(at)).with_stroke(Stroke::Dashed)
}

/// Where the law is highest, if that lies within what was measured.
fn peak(name: &str, fit: &Fitted) -> Option<Series> {
    let peak = fit.peak.filter(|peak| peak.measured)?.peak;
    let point = Point::new(peak.distance, fit.start + peak.reward).labelled("peak");
    Some(Series::new(format!("{name}, peak of the law"), vec![point]).with_stroke(Stroke::Points))
}

/// What choosing costs, against what it costs at most.
fn kl_figure(curve: &Curve) -> Figure {
    let measured = curve.points.iter().map(|point| (point.at, point.kl));
    let bound = curve.points.iter().map(|point| (point.at, kl_bound(point.at as usize)));
    Figure {
        title: "KL of best-of-n".into(),
        caption: "Estimated from the samples, where answers of equal reward are one; without such ties it is the law."
            .into(),
        x: Axis::logarithmic("n"),
        y: Axis::linear("KL in nats"),
        marks: Marks::Series(vec![
            Series::of_values("measured", measured).with_stroke(Stroke::Marked),
            Series::of_values("log n - (n - 1)/n", bound).with_stroke(Stroke::Dashed),
        ]),
    }
}

fn laws(curve: &Curve) -> Table {
    let cell = |value: Bounded| Cell::measured(value.value, Some((value.interval.low, value.interval.high)));
    let mut rows = Vec::new();
    for (name, fits) in [("held-out", &curve.gold), ("training", &curve.proxy)] {
        for fit in fits {
            let peak = fit.peak.map_or([Cell::text("none"), Cell::Missing, Cell::Missing], |peak| {
                let interval = Some((peak.distance.low, peak.distance.high));
                let within = if peak.measured { "yes" } else { "no: a guess" };
                [Cell::measured(peak.peak.distance, interval), Cell::Number(peak.peak.reward), Cell::text(within)]
            });
            let head = [Cell::text(name), Cell::text(fit.law.name()), cell(fit.alpha), cell(fit.beta)];
            rows.push(head.into_iter().chain([Cell::Number(fit.bic)]).chain(peak).collect());
        }
    }
    Table {
        caption: "Laws of the reward gained at distance d = √KL, with intervals over prompts. The law with the lower BIC fits better."
            .into(),
        columns: ["reward", "law", "α", "β", "BIC", "peak at d", "gained there", "within what was measured"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes what a policy measured whose gold reward follows the law of reinforcement learning exactly.
    fn write(directory: &RunDirectory, key: &str, proxy: bool) {
        for step in 0..12_u32 {
            let distance = f64::from(step) * 0.5;
            let gold = 1.0 + Law::Reinforcement.reward(0.6, 0.4, distance);
            let of = |value: f64| vec![value - 0.25, value + 0.25];
            let line = json!({
                key: step * 10, "kl": of(distance * distance), "gold": of(gold),
                "proxy": if proxy { of(distance) } else { Vec::new() },
            });
            directory.append(DISTANCES, &line).unwrap();
        }
    }

    #[test]
    fn laws_and_peak_of_what_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::open(folder.path()).unwrap();
        assert_eq!(conclude(&directory).unwrap(), None);
        assert!(sections(folder.path()).is_empty());
        write(&directory, "step", true);
        // e^(0.6/0.4 - 1).
        let words = conclude(&directory).unwrap().unwrap();
        assert!(words.contains("d(α - β log d): α 0.6, β 0.4, peak at √KL 1.649 "), "{words}");
        let written: Json = serde_json::from_str(&std::fs::read_to_string(folder.path().join(LAWS)).unwrap()).unwrap();
        assert_eq!(written["points"].as_array().unwrap().len(), 12);
        assert_eq!(
            (&written["points"][3]["step"], &written["gold"][0]["peak"]["measured"]),
            (&json!(30.0), &json!(true))
        );
        let sections = sections(folder.path());
        let Block::Figure(Figure { marks: Marks::Series(series), .. }) = &sections[0].blocks[0] else { panic!() };
        let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
        let law = "d(α - β log d)";
        assert_eq!(
            names[0..3],
            ["held-out reward", &format!("held-out reward, {law}"), "held-out reward, peak of the law"]
        );
        assert_eq!(names[3], "training reward");
        // The law goes through what was measured, at the last distance too.
        let (measured, fitted) = (series[0].points[11].y, series[1].points[80].y);
        assert!((measured - fitted).abs() < 1e-9, "{measured} {fitted}");
        assert!((series[2].points[0].x - 0.5_f64.exp()).abs() < 1e-9);
        assert!(matches!(&sections[0].blocks[1], Block::Table(table) if table.rows.len() == 4));
    }

    #[test]
    fn best_of_n_shows_what_choosing_costs_and_stages_share_a_figure() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(&RunDirectory::open(one.path()).unwrap(), "n", true);
        write(&RunDirectory::open(other.path()).unwrap(), "step", false);
        let Block::Figure(figure) = &sections(one.path())[0].blocks[1] else { panic!() };
        assert_eq!(figure.title, "KL of best-of-n");
        assert!(together(&[("a".into(), one.path())]).is_none());
        let section = together(&[("a".into(), one.path()), ("b".into(), other.path())]).unwrap();
        let Block::Figure(Figure { marks: Marks::Series(series), .. }) = &section.blocks[0] else { panic!() };
        assert_eq!(series.len(), 4);
        // Without a training reward the page has one reward and its laws.
        let Block::Figure(Figure { marks: Marks::Series(series), .. }) = &sections(other.path())[0].blocks[0] else {
            panic!()
        };
        assert!(series.iter().all(|series| series.name.starts_with("held-out")));
    }
}
