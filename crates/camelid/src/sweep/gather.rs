//! What the runs of a sweep measured, put together. Everything here is a function of what lies on the disk.

use std::collections::BTreeMap;

use camelid_objectives::over_optimisation::{Fit, Law, fit};
use camelid_report::statistics::{Estimate, estimate, hypervolume};
use serde_json::{Map, Value as Json};

use super::spec::{FigureSpec, SweepSpec};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Finished,
    /// With what it said last.
    Failed(String),
    /// Not run, or stopped on the way.
    Pending,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct RunResult {
    pub(crate) seed: u64,
    pub(crate) outcome: Outcome,
    /// The lines of its last stage's `metrics.jsonl`.
    pub(crate) lines: Vec<Map<String, Json>>,
}

/// A place of a figure: the step at which both metrics were measured, or the line's number where it names none, and they.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) step: u64,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl RunResult {
    /// Where it went, a place for each line that has both metrics.
    pub(crate) fn curve(&self, figure: &FigureSpec) -> Vec<Place> {
        let number = |line: &Map<String, Json>, key: &str| line.get(key).and_then(Json::as_f64);
        let place = |(index, line): (usize, &Map<String, Json>)| {
            let step = line.get("step").and_then(Json::as_u64).unwrap_or(index as u64);
            Some(Place { step, x: number(line, &figure.x)?, y: number(line, &figure.y)? })
        };
        self.lines.iter().enumerate().filter_map(place).collect()
    }

    /// The last value of a metric.
    pub(crate) fn last(&self, metric: &str) -> Option<f64> {
        self.lines.iter().rev().find_map(|line| line.get(metric).and_then(Json::as_f64))
    }
}

/// All runs, those of a variant together, in the sweep's order.
pub(crate) struct Results<'a> {
    pub(crate) spec: &'a SweepSpec,
    pub(crate) runs: Vec<Vec<RunResult>>,
}

/// A mean curve: at each step that every run has, the mean place and the interval of `y`.
pub(crate) struct MeanPlace {
    pub(crate) x: f64,
    pub(crate) y: Estimate,
}

/// A law fitted to each run of a variant.
pub(crate) struct Fitted {
    pub(crate) law: Law,
    /// None if it can be fitted to no run.
    pub(crate) alpha: Option<Estimate>,
    pub(crate) beta: Option<Estimate>,
    /// Fitted to all runs together.
    pub(crate) pooled: Option<Fit>,
}

impl Results<'_> {
    /// Runs of a variant whose figures count.
    pub(crate) fn finished(&self, variant: usize) -> impl Iterator<Item = &RunResult> {
        self.runs[variant].iter().filter(|run| run.outcome == Outcome::Finished)
    }

    /// The last value of a metric over the seeds.
    pub(crate) fn estimate(&self, variant: usize, metric: &str) -> Option<Estimate> {
        let values: Vec<f64> = self.finished(variant).filter_map(|run| run.last(metric)).collect();
        estimate(&values, self.spec.confidence)
    }

    /// The curves of a variant's runs.
    pub(crate) fn curves(&self, variant: usize, figure: &FigureSpec) -> Vec<Vec<Place>> {
        self.finished(variant).map(|run| run.curve(figure)).filter(|curve| !curve.is_empty()).collect()
    }

    pub(crate) fn mean_curve(&self, variant: usize, figure: &FigureSpec) -> Vec<MeanPlace> {
        let curves = self.curves(variant, figure);
        let mut steps: BTreeMap<u64, Vec<Place>> = BTreeMap::new();
        for place in curves.iter().flatten() {
            steps.entry(place.step).or_default().push(*place);
        }
        let mean = |places: &Vec<Place>| {
            let xs: Vec<f64> = places.iter().map(|place| place.x).collect();
            let ys: Vec<f64> = places.iter().map(|place| place.y).collect();
            let level = self.spec.confidence;
            Some(MeanPlace { x: estimate(&xs, level)?.mean, y: estimate(&ys, level)? })
        };
        steps.values().filter(|places| places.len() == curves.len()).filter_map(mean).collect()
    }

    /// The hypervolume of each run's frontier against the figure's reference, over the seeds.
    pub(crate) fn hypervolume(&self, variant: usize, figure: &FigureSpec) -> Option<Estimate> {
        let [x, y] = figure.reference?;
        let area = |curve: Vec<Place>| {
            let points: Vec<(f64, f64)> = curve.into_iter().map(|place| (place.x, place.y)).collect();
            hypervolume(&points, (x, y), figure.x_better.into(), figure.y_better.into())
        };
        let areas: Vec<f64> = self.curves(variant, figure).into_iter().map(area).collect();
        estimate(&areas, self.spec.confidence)
    }

    /// The laws of over-optimisation: `y` relative to where its run started, against the KL `x`.
    pub(crate) fn laws(&self, variant: usize, figure: &FigureSpec) -> Vec<Fitted> {
        let curves: Vec<Vec<(f64, f64)>> = self.curves(variant, figure).iter().map(|curve| relative(curve)).collect();
        let of = |law: Law| {
            let fits: Vec<Fit> = curves.iter().filter_map(|curve| fit(law, curve)).collect();
            let over =
                |value: fn(&Fit) -> f64| estimate(&fits.iter().map(value).collect::<Vec<_>>(), self.spec.confidence);
            Fitted { law, alpha: over(|fit| fit.alpha), beta: over(|fit| fit.beta), pooled: fit(law, &curves.concat()) }
        };
        [Law::BestOfN, Law::Reinforcement].map(of).into_iter().collect()
    }

    /// Where the runs of a variant started, on average.
    pub(crate) fn start(&self, variant: usize, figure: &FigureSpec) -> Option<f64> {
        let firsts: Vec<f64> =
            self.curves(variant, figure).iter().filter_map(|curve| curve.first().map(|place| place.y)).collect();
        estimate(&firsts, self.spec.confidence).map(|estimate| estimate.mean)
    }
}

/// KL, which sampling may estimate as a little below 0, and what was gained since the start.
fn relative(curve: &[Place]) -> Vec<(f64, f64)> {
    let start = curve.first().map_or(0.0, |place| place.y);
    curve.iter().map(|place| (place.x.max(0.0), place.y - start)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SWEEP: &str = "name = \"s\"\nseeds = [0, 1]\ntable = [\"eval_loss\"]\n[[variant]]\nname = \"a\"\nrecipe = \"r.toml\"\n\
                         [[figure]]\ntitle = \"t\"\nx = \"eval_kl\"\ny = \"eval_reward\"\nreference = [10.0, 0.0]\n";

    fn run(seed: u64, outcome: Outcome, places: &[(u64, f64, f64)]) -> RunResult {
        let line = |&(step, x, y): &(u64, f64, f64)| {
            let line = json!({"step": step, "eval_kl": x, "eval_reward": y, "eval_loss": x + y});
            line.as_object().cloned().unwrap_or_default()
        };
        let mut lines: Vec<_> = places.iter().map(line).collect();
        lines.push(json!({"step": 99, "loss": 1.0}).as_object().cloned().unwrap_or_default());
        RunResult { seed, outcome, lines }
    }

    #[test]
    fn seeds_are_averaged_where_all_have_been() {
        let spec: SweepSpec = toml::from_str(SWEEP).unwrap();
        let runs = vec![vec![
            run(0, Outcome::Finished, &[(0, 0.0, 0.0), (10, 1.0, 2.0), (20, 4.0, 3.0)]),
            run(1, Outcome::Finished, &[(0, 0.0, 0.0), (10, 3.0, 4.0)]),
            run(2, Outcome::Failed("no".into()), &[(0, 9.0, 9.0)]),
        ]];
        let results = Results { spec: &spec, runs };
        let figure = &spec.figure[0];
        let mean = results.mean_curve(0, figure);
        assert_eq!(mean.iter().map(|place| (place.x, place.y.mean)).collect::<Vec<_>>(), [(0.0, 0.0), (2.0, 3.0)]);
        assert_eq!(mean[1].y.count, 2);
        // 9 x 2 + 6 x 1 and 7 x 4.
        let area = results.hypervolume(0, figure).unwrap();
        assert_eq!((area.mean, area.count), (26.0, 2));
        assert_eq!(results.estimate(0, "eval_loss").unwrap().mean, 7.0);
        assert_eq!(results.estimate(0, "none"), None);
    }

    #[test]
    fn laws_are_fitted_to_what_was_gained() {
        let spec: SweepSpec = toml::from_str(SWEEP).unwrap();
        let gold = |kl: f64| 5.0 + Law::Reinforcement.reward(0.8, 0.2, kl.sqrt());
        let places: Vec<(u64, f64, f64)> =
            (0..12_u32).map(|step| (u64::from(step), f64::from(step), gold(f64::from(step)))).collect();
        let results = Results {
            spec: &spec,
            runs: vec![vec![run(0, Outcome::Finished, &places), run(1, Outcome::Finished, &places)]],
        };
        let laws = results.laws(0, &spec.figure[0]);
        assert!((laws[1].alpha.unwrap().mean - 0.8).abs() < 1e-9 && (laws[1].beta.unwrap().mean - 0.2).abs() < 1e-9);
        assert!(laws[1].pooled.unwrap().bic() < laws[0].pooled.unwrap().bic());
    }
}
