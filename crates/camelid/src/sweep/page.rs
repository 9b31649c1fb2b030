//! The page of a sweep.

use camelid_objectives::over_optimisation::Fit;
use camelid_report::statistics::Estimate;
use camelid_report::{
    Axis, Bar, Block, Cell, Fact, Figure, Marks, Page, Point, Section, Series, Stroke, Table, Whiskers, format_number,
};

use super::gather::{Outcome, Results};
use super::spec::{Curve, FigureSpec};

/// Points at which a computed curve is drawn.
const CURVE_POINTS: u32 = 80;

pub(crate) fn page(results: &Results<'_>) -> Page {
    let mut sections = vec![summary(results)];
    if !results.spec.table.is_empty() {
        let blocks = vec![Block::Table(table(results))];
        sections.push(Section { heading: "Last evaluation".into(), blocks });
    }
    for figure in &results.spec.figure {
        sections.push(section(results, figure));
    }
    sections.extend(failures(results));
    let raw = results
        .spec
        .variant
        .iter()
        .map(|variant| format!("{}: {}, set {:?}", variant.name, variant.recipe.display(), variant.set));
    let raw: Vec<String> = std::iter::once(format!("all: set {:?}", results.spec.set)).chain(raw).collect();
    let block = Block::Raw { summary: "recipes and what each variant changes".into(), text: raw.join("\n") };
    sections.push(Section { heading: "Variants".into(), blocks: vec![block] });
    Page { title: results.spec.name.clone(), lead: "Variants of recipes over seeds.".into(), sections }
}

fn summary(results: &Results<'_>) -> Section {
    let count = |wanted: fn(&Outcome) -> bool| results.runs.iter().flatten().filter(|run| wanted(&run.outcome)).count();
    let facts = [
        ("variants", results.spec.variant.len()),
        ("seeds", results.spec.seeds.len()),
        ("runs finished", count(|outcome| *outcome == Outcome::Finished)),
        ("runs failed", count(|outcome| matches!(outcome, Outcome::Failed(_)))),
        ("runs not finished", count(|outcome| *outcome == Outcome::Pending)),
    ];
    let facts = facts.map(|(name, value)| Fact { name: name.into(), value: value.to_string() }).to_vec();
    let words = format!(
        "Intervals are those of Student's t over seeds, at {} %. They say how far the mean of other seeds may lie, not how far another \
         data set's. A single seed has none.",
        format_number(results.spec.confidence * 100.0)
    );
    Section { heading: "Summary".into(), blocks: vec![Block::Facts(facts), Block::Paragraph(words)] }
}

fn cell(estimate: Option<Estimate>) -> Cell {
    estimate.map_or(Cell::Missing, |estimate| Cell::measured(estimate.mean, estimate.interval()))
}

fn table(results: &Results<'_>) -> Table {
    let spec = results.spec;
    let columns =
        ["variant", "runs"].into_iter().chain(spec.table.iter().map(String::as_str)).map(str::to_owned).collect();
    let row = |variant: usize| {
        let head = [Cell::text(&spec.variant[variant].name), Cell::Number(results.finished(variant).count() as f64)];
        head.into_iter().chain(spec.table.iter().map(|metric| cell(results.estimate(variant, metric)))).collect()
    };
    let rows = (0..spec.variant.len()).map(row).collect();
    Table { caption: "Mean over seeds with its interval.".into(), columns, rows }
}

fn section(results: &Results<'_>, figure: &FigureSpec) -> Section {
    let variants = || results.spec.variant.iter().enumerate();
    let place = |x: f64, y: f64| (figure.x_scale.place(x), figure.y_scale.place(y));
    let is_drawn = |x: f64| figure.x_most.is_none_or(|most| x <= most);
    let mut series = Vec::new();
    let mut fitted = Vec::new();
    for (index, variant) in variants() {
        let runs = results.curves(index, figure);
        let means = results.mean_curve(index, figure).into_iter().filter(|mean| is_drawn(mean.x));
        let points = means.map(|mean| {
            let (x, y) = place(mean.x, mean.y.mean);
            let point = Point::new(x, y);
            match mean.y.interval() {
                Some((low, high)) => point.within(figure.y_scale.place(low), figure.y_scale.place(high)),
                None => point,
            }
        });
        let mut curve =
            Series::new(&variant.name, points.collect()).with_stroke(Stroke::Marked).with_whiskers(Whiskers::Bars);
        if runs.len() > 1 {
            let drawn =
                runs.iter().map(|run| run.iter().filter(|at| is_drawn(at.x)).map(|at| place(at.x, at.y)).collect());
            curve = curve.with_runs(drawn.collect());
        }
        series.push(curve);
        if figure.laws {
            let farthest = runs.iter().flatten().map(|at| at.x).filter(|x| is_drawn(*x)).fold(0.0, f64::max);
            let best = results
                .laws(index, figure)
                .into_iter()
                .filter_map(|law| law.pooled)
                .min_by(|a, b| a.bic().total_cmp(&b.bic()));
            if let (Some(best), Some(start)) = (best, results.start(index, figure)) {
                fitted.push(law_curve(&variant.name, &best, start, farthest, place));
            }
        }
    }
    let range = series.iter().flat_map(|series| &series.points).map(|point| point.x);
    let (low, high) = range.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    series.extend(fitted);
    if figure.curve == Some(Curve::BestOfNKl) && low <= high {
        series.push(best_of_n_kl(low, high));
    }
    let beyond = figure.x_most.map(|most| format!(" What lies beyond {} of {most} is not drawn.", figure.x));
    let caption =
        "Each point is the mean over seeds of one evaluation, with the interval of y; thin lines are single runs."
            .to_owned()
            + &beyond.unwrap_or_default();
    let x = Axis { label: figure.x_scale.label(&figure.x), scale: figure.x_scale.scale() };
    let y = Axis { label: figure.y_scale.label(&figure.y), scale: figure.y_scale.scale() };
    let drawn = Figure { title: figure.title.clone(), caption, x, y, marks: Marks::Series(series) };
    let mut blocks = vec![Block::Figure(drawn)];
    blocks.extend(hypervolumes(results, figure));
    if figure.laws {
        blocks.push(Block::Table(laws(results, figure)));
    }
    Section { heading: figure.title.clone(), blocks }
}

/// A fitted law over the distances that were gone.
fn law_curve(name: &str, fit: &Fit, start: f64, farthest: f64, place: impl Fn(f64, f64) -> (f64, f64)) -> Series {
    let at = |step: u32| {
        let distance = farthest.sqrt() * f64::from(step) / f64::from(CURVE_POINTS);
        place(distance * distance, start + fit.reward(distance))
    };
    Series::of_values(format!("{name}, {} law", fit.law.name()), (0..=CURVE_POINTS).map(at)).with_stroke(Stroke::Dashed)
}

fn best_of_n_kl(low: f64, high: f64) -> Series {
    let (low, high) = (low.max(1.0), high.max(1.0));
    let at = |step: u32| {
        let n = low * (high / low).powf(f64::from(step) / f64::from(CURVE_POINTS));
        (n, n.ln() - (n - 1.0) / n)
    };
    Series::of_values("log n - (n - 1)/n", (0..=CURVE_POINTS).map(at)).with_stroke(Stroke::Dashed)
}

/// Bars of the frontiers' hypervolumes.
fn hypervolumes(results: &Results<'_>, figure: &FigureSpec) -> Option<Block> {
    let [x, y] = figure.reference?;
    let bar = |(index, variant): (usize, &super::VariantSpec)| {
        let area = results.hypervolume(index, figure)?;
        Some(Bar { label: variant.name.clone(), value: area.mean, interval: area.interval() })
    };
    let bars = results.spec.variant.iter().enumerate().filter_map(bar).collect();
    Some(Block::Figure(Figure {
        title: "Hypervolume of the frontier".into(),
        caption: format!(
            "Area between what a run reached in ({}, {}) and the point ({}, {}), the mean over seeds: more is better in both at once.",
            figure.x,
            figure.y,
            format_number(x),
            format_number(y)
        ),
        x: Axis::linear("variant"),
        y: Axis::linear("hypervolume"),
        marks: Marks::Bars(bars),
    }))
}

fn laws(results: &Results<'_>, figure: &FigureSpec) -> Table {
    let mut rows = Vec::new();
    for (index, variant) in results.spec.variant.iter().enumerate() {
        for law in results.laws(index, figure) {
            let number = |value: Option<f64>| value.map_or(Cell::Missing, Cell::Number);
            let peak = law.pooled.and_then(|fit| fit.peak());
            rows.push(vec![
                Cell::text(&variant.name),
                Cell::text(law.law.name()),
                cell(law.alpha),
                cell(law.beta),
                number(peak.map(|peak| peak.distance)),
                number(peak.map(|peak| peak.reward)),
                number(law.pooled.map(|fit| fit.bic())),
            ]);
        }
    }
    Table {
        caption: "Laws of over-optimisation with d the root of the KL: α and β are means over seeds, the rest is fitted to all runs \
                  together. The law with the lower BIC is drawn. A peak beyond the distances gone is a guess."
            .into(),
        columns: ["variant", "law", "α", "β", "peak at d", "gained there", "BIC"].map(str::to_owned).to_vec(),
        rows,
    }
}

fn failures(results: &Results<'_>) -> Option<Section> {
    let mut rows = Vec::new();
    for (variant, runs) in results.spec.variant.iter().zip(&results.runs) {
        for run in runs {
            if let Outcome::Failed(why) = &run.outcome {
                rows.push(vec![Cell::text(&variant.name), Cell::Number(run.seed as f64), Cell::text(why)]);
            }
        }
    }
    if rows.is_empty() {
        return None;
    }
    let columns = ["variant", "seed", "what it said"].map(str::to_owned).to_vec();
    let table = Table { caption: "These runs are in no figure.".into(), columns, rows };
    Some(Section { heading: "Failed runs".into(), blocks: vec![Block::Table(table)] })
}

#[cfg(test)]
mod tests {
    use camelid_objectives::over_optimisation::Law;
    use serde_json::json;

    use super::super::gather::RunResult;
    use super::super::spec::SweepSpec;
    use super::*;

    const SWEEP: &str = r#"
name = "s"
seeds = [0, 1]
[[variant]]
name = "a"
recipe = "r.toml"
[[variant]]
name = "failed"
recipe = "r.toml"
[[figure]]
title = "Over-optimisation"
x = "eval_kl"
y = "eval_gold"
x_scale = "root"
reference = [30.0, 0.0]
laws = true
[[figure]]
title = "Best of n"
x = "n"
y = "kl"
x_scale = "log"
curve = "best-of-n-kl"
"#;

    fn run(seed: u64) -> RunResult {
        let line = |step: u32| {
            let (kl, n) = (f64::from(step) * 2.0, 2_f64.powi(step as i32));
            let gold = Law::BestOfN.reward(0.6, 0.1 + seed as f64 * 0.01, kl.sqrt());
            let line = json!({"step": step, "eval_kl": kl, "eval_gold": gold, "n": n, "kl": n.ln()});
            line.as_object().cloned().unwrap_or_default()
        };
        RunResult { seed, outcome: Outcome::Finished, lines: (0..10).map(line).collect() }
    }

    #[test]
    fn laws_and_known_curves_are_drawn_beside_what_was_measured() {
        let spec: SweepSpec = toml::from_str(SWEEP).unwrap();
        let failed = |seed| RunResult { seed, outcome: Outcome::Failed("no".into()), lines: Vec::new() };
        let page = page(&Results { spec: &spec, runs: vec![vec![run(0), run(1)], vec![failed(0), failed(1)]] });
        let headings: Vec<&str> = page.sections.iter().map(|section| section.heading.as_str()).collect();
        assert_eq!(headings, ["Summary", "Over-optimisation", "Best of n", "Failed runs", "Variants"]);
        let names = |section: usize| -> Vec<String> {
            let Block::Figure(Figure { marks: Marks::Series(series), .. }) = &page.sections[section].blocks[0] else {
                panic!()
            };
            series.iter().map(|series| series.name.clone()).collect()
        };
        assert_eq!(names(1), ["a", "failed", "a, d(α - βd) law"]);
        assert_eq!(names(2), ["a", "failed", "log n - (n - 1)/n"]);
        let Block::Figure(figure) = &page.sections[1].blocks[0] else { panic!() };
        let Marks::Series(series) = &figure.marks else { panic!() };
        // The root of a KL of 18, and the law meets what was measured.
        assert!((series[0].points[9].x - 18_f64.sqrt()).abs() < 1e-12 && figure.x.label == "√ eval_kl");
        let (measured, fitted) = (series[0].points[9].y, series[2].points.last().unwrap().y);
        assert!((measured - fitted).abs() < 1e-9, "{measured} {fitted}");
        assert!(page.html().unwrap().contains("Laws of over-optimisation"));
    }

    #[test]
    fn what_lies_beyond_a_figure_is_said_to() {
        let mut spec: SweepSpec = toml::from_str(SWEEP).unwrap();
        spec.figure[0].x_most = Some(10.0);
        let page = page(&Results { spec: &spec, runs: vec![vec![run(0), run(1)], Vec::new()] });
        let Block::Figure(figure) = &page.sections[1].blocks[0] else { panic!() };
        let Marks::Series(series) = &figure.marks else { panic!() };
        // KL 0, 2, 4, 6, 8 and 10 of up to 18; the law ends there too.
        assert_eq!(series[0].points.len(), 6);
        assert!((series[2].points.last().unwrap().x - 10_f64.sqrt()).abs() < 1e-12);
        assert!(figure.caption.ends_with("What lies beyond eval_kl of 10 is not drawn."), "{}", figure.caption);
    }
}
