//! Grades of one model's outputs.

use camelid_eval::statistics::Interval;
use camelid_eval::statistics::clustered::clustered_mean;
use camelid_eval::statistics::mean::Mean;
use camelid_records::{Judgement, Verdict};

use super::CONFIDENCE;

/// The mean grade, and how many there are.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// Over the outputs that have a grade; its error is that of independent groups.
    pub mean: Option<Mean>,
    pub interval: Option<Interval>,
    /// The mean if every output without a grade had the worst, and if it had the best.
    pub bounds: Option<Interval>,
    pub graded: usize,
    pub unparsed: usize,
    pub failed: usize,
}

/// Of judgements that graded one output each; `range` is the worst and the best grade.
pub fn rate(judgements: &[Judgement], [worst, best]: [f64; 2]) -> Rates {
    let graded =
        judgements.iter().filter_map(|judgement| Some((judgement.assessment.ratings?[0], judgement.group.as_str())));
    let (grades, groups): (Vec<f64>, Vec<&str>) = graded.unzip();
    let mean = clustered_mean(&grades, &groups);
    let sum: f64 = grades.iter().sum();
    let (all, without) = (judgements.len() as f64, (judgements.len() - grades.len()) as f64);
    let count = |verdict: Verdict| {
        judgements.iter().filter(|judgement| judgement.assessment.as_given.verdict == verdict).count()
    };
    Rates {
        mean,
        interval: mean.and_then(|mean| mean.interval(CONFIDENCE)),
        bounds: (all > 0.0)
            .then(|| Interval { low: (sum + without * worst) / all, high: (sum + without * best) / all }),
        graded: grades.len(),
        unparsed: count(Verdict::Unparsed),
        failed: count(Verdict::Failed),
    }
}
