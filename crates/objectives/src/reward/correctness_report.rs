//! What an outcome or process reward model is worth, from held-out labels.
//!
//! **Formulas.** Accuracy is the share of labels with `(v > 0) = right`, with Wilson's interval over *solutions*, as the steps
//! of one solution are not independent. Beside it: always saying the more frequent label; the area under the ROC curve
//! (the chance that a right one scores above a wrong one, ties half); calibration, by bins of `σ(v)`.
//!
//! **Source.** Wilson 1927; Hanley 1982 for the area; Naeini 2015 for the calibration error.

use super::report::{FEWEST_PROMPTS, Share, WORST_CALIBRATION, wilson};
use crate::preference::sigmoid;

/// A held-out solution: the value and the label of each of its steps, or of its outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Solution {
    pub values: Vec<f32>,
    pub labels: Vec<bool>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct CorrectnessReport {
    pub solutions: usize,
    pub labels: usize,
    pub accuracy: Share,
    /// Share of the more frequent label.
    pub majority: f64,
    /// `None` where all labels are the same.
    pub area: Option<f64>,
    pub calibration_error: f64,
    /// Why it must not be trusted; empty: certified.
    pub objections: Vec<String>,
}

/// The report; solutions without a label are left out.
pub fn correctness_report(solutions: &[Solution]) -> CorrectnessReport {
    let solutions: Vec<&Solution> = solutions.iter().filter(|solution| !solution.labels.is_empty()).collect();
    let judged: Vec<(f64, bool)> = solutions
        .iter()
        .flat_map(|solution| solution.values.iter().map(|&value| f64::from(value)).zip(solution.labels.iter().copied()))
        .collect();
    let count = judged.len().max(1) as f64;
    let right = judged.iter().filter(|(value, label)| (*value > 0.0) == *label).count() as f64 / count;
    let positive = judged.iter().filter(|(_, label)| *label).count() as f64 / count;
    let mut report = CorrectnessReport {
        solutions: solutions.len(),
        labels: judged.len(),
        accuracy: wilson(right, solutions.len() as f64),
        majority: positive.max(1.0 - positive),
        area: area(&judged),
        calibration_error: calibration_error(&judged),
        objections: Vec::new(),
    };
    report.objections = objections(&report);
    report
}

/// Area under the ROC curve, by ranks.
fn area(judged: &[(f64, bool)]) -> Option<f64> {
    let mut ascending = judged.to_vec();
    ascending.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut wins, mut wrong_below, mut start) = (0.0, 0.0, 0);
    while start < ascending.len() {
        let tied = ascending[start..].iter().take_while(|(value, _)| *value == ascending[start].0).count();
        let right = ascending[start..start + tied].iter().filter(|(_, label)| *label).count() as f64;
        let wrong = tied as f64 - right;
        wins += right * (wrong_below + wrong / 2.0);
        wrong_below += wrong;
        start += tied;
    }
    let right = judged.len() as f64 - wrong_below;
    (right > 0.0 && wrong_below > 0.0).then(|| wins / (right * wrong_below))
}

fn calibration_error(judged: &[(f64, bool)]) -> f64 {
    const BINS: usize = 10;
    let mut bins = [(0.0, 0.0); BINS];
    for &(value, label) in judged {
        let probability = sigmoid(value);
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += probability;
        bin.1 += f64::from(u8::from(label));
    }
    bins.iter().map(|(said, found)| f64::abs(said - found)).sum::<f64>() / judged.len().max(1) as f64
}

fn objections(report: &CorrectnessReport) -> Vec<String> {
    let mut objections = Vec::new();
    if report.solutions < FEWEST_PROMPTS {
        objections.push(format!("{} held-out solutions decide nothing; {FEWEST_PROMPTS} are needed", report.solutions));
    }
    let Share { value, low, .. } = report.accuracy;
    if low <= report.majority {
        objections.push(format!(
            "always giving the more frequent label is right {:.3} of the time, it {value:.3} (at least {low:.3})",
            report.majority
        ));
    }
    if report.calibration_error > WORST_CALIBRATION {
        objections.push(format!(
            "its probabilities are off by {:.3} in the mean; {WORST_CALIBRATION} is allowed",
            report.calibration_error
        ));
    }
    objections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solution(values: &[f32], labels: &[bool]) -> Solution {
        Solution { values: values.to_vec(), labels: labels.to_vec() }
    }

    #[test]
    fn by_hand() {
        let report = correctness_report(&[
            solution(&[2.0, -1.0, 0.5], &[true, false, false]),
            solution(&[-1.0], &[true]),
            solution(&[], &[]),
        ]);
        assert_eq!((report.solutions, report.labels), (2, 4));
        assert_eq!((report.accuracy.value, report.majority), (0.5, 0.5));
        // Right 2 and -1, wrong -1 and 0.5: 2 beats both, -1 ties one and loses to the other.
        assert_eq!(report.area, Some(2.5 / 4.0));
        let by_bins = (sigmoid(2.0) - 1.0).abs() + (2.0 * sigmoid(-1.0) - 1.0).abs() + sigmoid(0.5);
        assert!((report.calibration_error - by_bins / 4.0).abs() < 1e-12);
        assert!(report.objections.iter().any(|objection| objection.contains("2 held-out solutions")));
    }

    #[test]
    fn a_good_one_is_certified_and_a_constant_one_is_not() {
        let many = |value: fn(usize) -> f32| -> Vec<Solution> {
            (0..300).map(|index| solution(&[value(index)], &[index % 3 > 0])).collect()
        };
        // Right 9 times of 10, and as sure.
        let good = |index: usize| if index.is_multiple_of(3) == index.is_multiple_of(10) { 2.2 } else { -2.2 };
        assert_eq!(correctness_report(&many(good)).objections, Vec::<String>::new());
        let constant = correctness_report(&many(|_| 0.7));
        assert_eq!((constant.accuracy.value, constant.area), (2.0 / 3.0, Some(0.5)));
        assert!(constant.objections[0].contains("more frequent label"), "{:?}", constant.objections);
    }
}
