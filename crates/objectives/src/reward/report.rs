//! What a reward model is worth, from held-out comparisons: is it right, is it sure of the right things, or does it only count
//! words?
//!
//! **Formulas.** Accuracy is the mean over prompts of the share of pairs in the right order (ties of rewards count half), with
//! Wilson's interval over prompts, as the pairs of one prompt are not independent. Calibration: pairs by confidence
//! `σ(|r_i - r_j|)`, the expected calibration error is the mean over bins of `|share right - mean confidence|`, weighted by
//! pairs. Length: Pearson's correlation of reward and tokens, of deviations from the prompt's means (within) and of the
//! prompts' means (between), beside the accuracies of the judges that always take the longer or the shorter response.
//!
//! **Source.** Length baselines and the split within and between prompts follow Singhal 2023 (arXiv 2310.03716); Wilson 1927;
//! calibration error: Naeini 2015.

use crate::preference::sigmoid;

/// The responses to one held-out prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    pub rewards: Vec<f32>,
    /// Tokens of each response.
    pub lengths: Vec<usize>,
    /// (better, worse) by the data.
    pub pairs: Vec<(usize, usize)>,
}

/// A share with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub prompts: usize,
    pub pairs: usize,
    pub accuracy: Share,
    /// Expected calibration error over ten bins.
    pub calibration_error: f64,
    /// Correlation of reward and length; absent where either does not vary.
    pub length_within: Option<f64>,
    pub length_between: Option<f64>,
    /// Accuracies of judges that look at nothing but the length.
    pub longer_wins: f64,
    pub shorter_wins: f64,
    pub mean: f64,
    pub deviation: f64,
    /// How far the mean has moved from 0, where the head started, in deviations: nothing in the loss holds it.
    pub drift: f64,
    /// Why it is not certified; empty if it is.
    pub objections: Vec<String>,
}

/// Fewer prompts than this decide nothing.
pub const FEWEST_PROMPTS: usize = 100;
/// Confidence off by more than this is not to be trusted in RL.
pub const WORST_CALIBRATION: f64 = 0.1;
/// A stronger correlation within prompts means that length is most of what is rewarded.
pub const STRONGEST_LENGTH: f64 = 0.5;

/// A mean farther from 0, in deviations, drowns the differences that a ranking is about.
pub const FARTHEST_DRIFT: f64 = 10.0;

/// Wilson's 95 % interval of a share of `count`.
pub fn wilson(value: f64, count: f64) -> Share {
    const Z: f64 = 1.959_963_984_540_054;
    if count <= 0.0 {
        return Share { value, low: 0.0, high: 1.0 };
    }
    let square = Z * Z / count;
    let centre = (value + square / 2.0) / (1.0 + square);
    let width = (Z / (1.0 + square)) * (value * (1.0 - value) / count + square / (4.0 * count)).sqrt();
    Share { value, low: (centre - width).max(0.0), high: (centre + width).min(1.0) }
}

/// Pearson's correlation; `None` where there are fewer than three points or one side does not vary.
pub fn correlation(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|p| p.0), mean(|p| p.1));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        xx += (x - x_mean).powi(2);
        yy += (y - y_mean).powi(2);
        xy += (x - x_mean) * (y - y_mean);
    }
    (points.len() >= 3 && xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// 1 for the right order, 0 for the wrong one, a half for a tie.
fn right(better: f64, worse: f64) -> f64 {
    match better.total_cmp(&worse) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    }
}

/// The report; prompts without a pair are left out.
pub fn report(judged: &[Judged]) -> Report {
    let judged: Vec<&Judged> = judged.iter().filter(|prompt| !prompt.pairs.is_empty()).collect();
    let prompts = judged.len();
    // The mean over prompts of the share of pairs that `of(prompt, index)` puts in the right order.
    let accuracy = |of: fn(&Judged, usize) -> f64| {
        let share = |prompt: &&Judged| {
            let right = prompt.pairs.iter().map(|&(i, j)| right(of(prompt, i), of(prompt, j)));
            right.sum::<f64>() / prompt.pairs.len() as f64
        };
        judged.iter().map(share).sum::<f64>() / prompts.max(1) as f64
    };
    let reward = |prompt: &Judged, index: usize| f64::from(prompt.rewards[index]);
    let length = |prompt: &Judged, index: usize| prompt.lengths[index] as f64;
    let (mut within, mut between, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
    for prompt in &judged {
        let count = prompt.rewards.len();
        let mean = |of: fn(&Judged, usize) -> f64| (0..count).map(|i| of(prompt, i)).sum::<f64>() / count as f64;
        let (mean_length, mean_reward) = (mean(length), mean(reward));
        within.extend((0..count).map(|i| (length(prompt, i) - mean_length, reward(prompt, i) - mean_reward)));
        between.push((mean_length, mean_reward));
        rewards.extend((0..count).map(|i| reward(prompt, i)));
    }
    let mean = rewards.iter().sum::<f64>() / rewards.len().max(1) as f64;
    let variance = rewards.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>() / rewards.len().max(1) as f64;
    let mut report = Report {
        prompts,
        pairs: judged.iter().map(|prompt| prompt.pairs.len()).sum(),
        accuracy: wilson(accuracy(reward), prompts as f64),
        calibration_error: calibration_error(&judged),
        length_within: correlation(&within),
        length_between: correlation(&between),
        longer_wins: accuracy(length),
        shorter_wins: accuracy(|prompt, index| -(prompt.lengths[index] as f64)),
        mean,
        deviation: variance.sqrt(),
        drift: if variance > 0.0 { mean / variance.sqrt() } else { 0.0 },
        objections: Vec::new(),
    };
    report.objections = objections(&report);
    report
}

fn calibration_error(judged: &[&Judged]) -> f64 {
    const BINS: usize = 10;
    // Pairs, confidence and right ones of each bin; confidences are from 0.5 to 1.
    let mut bins = [[0.0; 3]; BINS];
    for prompt in judged {
        for &(better, worse) in &prompt.pairs {
            let gap = f64::from(prompt.rewards[better]) - f64::from(prompt.rewards[worse]);
            let confidence = sigmoid(gap.abs());
            let bin = &mut bins[(((confidence - 0.5) * 2.0 * BINS as f64) as usize).min(BINS - 1)];
            bin[0] += 1.0;
            bin[1] += confidence;
            bin[2] += right(gap, 0.0);
        }
    }
    let all: f64 = bins.iter().map(|bin| bin[0]).sum();
    bins.iter().map(|bin| (bin[2] - bin[1]).abs()).sum::<f64>() / all.max(1.0)
}

fn objections(report: &Report) -> Vec<String> {
    let mut objections = Vec::new();
    let Share { value, low, .. } = report.accuracy;
    if report.prompts < FEWEST_PROMPTS {
        objections.push(format!("{} held-out prompts decide nothing; {FEWEST_PROMPTS} are needed", report.prompts));
    }
    if low <= 0.5 {
        objections.push(format!("its accuracy {value:.3} (at least {low:.3}) is not above chance"));
    }
    let (baseline, name) = if report.longer_wins >= report.shorter_wins {
        (report.longer_wins, "longer")
    } else {
        (report.shorter_wins, "shorter")
    };
    if low <= baseline {
        objections.push(format!(
            "always taking the {name} response is right {baseline:.3} of the time, it at least {low:.3}"
        ));
    }
    if report.calibration_error > WORST_CALIBRATION {
        objections.push(format!(
            "its confidence is off by {:.3} in the mean; {WORST_CALIBRATION} is allowed",
            report.calibration_error
        ));
    }
    if let Some(correlation) = report.length_within.filter(|correlation| correlation.abs() > STRONGEST_LENGTH) {
        objections.push(format!("within prompts its rewards correlate {correlation:.2} with length"));
    }
    if report.drift.abs() > FARTHEST_DRIFT {
        objections.push(format!(
            "its rewards have drifted {:.1} deviations from 0; {FARTHEST_DRIFT} is allowed: set centring = 0.01",
            report.drift
        ));
    }
    objections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(rewards: [f32; 2], lengths: [usize; 2]) -> Judged {
        Judged { rewards: rewards.to_vec(), lengths: lengths.to_vec(), pairs: vec![(0, 1)] }
    }

    /// 200 prompts, a share of them judged right, lengths that say nothing.
    fn many(right: usize, gap: f32) -> Vec<Judged> {
        let rewards = |index: usize| if index < right { [gap, 0.0] } else { [0.0, gap] };
        (0..200).map(|index| pair(rewards(index), if index % 2 == 0 { [10, 20] } else { [20, 10] })).collect()
    }

    #[test]
    fn a_good_model_is_certified() {
        // σ(1.4) = 0.80: as sure as it is right.
        let report = report(&many(160, 1.4));
        assert_eq!((report.prompts, report.pairs), (200, 200));
        assert!((report.accuracy.value - 0.8).abs() < 1e-12);
        // Wilson's interval of 160 of 200.
        assert!((report.accuracy.low - 0.7391).abs() < 1e-4 && (report.accuracy.high - 0.8496).abs() < 1e-4);
        assert!((report.calibration_error - (sigmoid(1.4) - 0.8).abs()).abs() < 1e-6);
        assert_eq!((report.longer_wins, report.shorter_wins), (0.5, 0.5));
        assert_eq!(report.objections, Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_an_objection() {
        let objected = |judged: &[Judged], words: &str| {
            let objections = report(judged).objections;
            assert!(objections.iter().any(|objection| objection.contains(words)), "{words}: {objections:?}");
        };
        objected(&many(160, 1.4)[..50], "decide nothing");
        objected(&many(104, 0.2), "not above chance");
        objected(&many(160, 6.0), "confidence is off");
        // Rewards that are lengths, on data where the longer is preferred.
        let long: Vec<Judged> =
            (0..200).map(|i| if i % 5 > 0 { pair([2.0, 1.0], [20, 10]) } else { pair([1.0, 2.0], [10, 20]) }).collect();
        objected(&long, "always taking the longer");
        objected(&long, "correlate 1.00 with length");
        let far: Vec<Judged> = (0..200).map(|i| pair([20.0 + (i % 2) as f32, 20.0], [10, 10])).collect();
        objected(&far, "drifted");
    }

    #[test]
    fn prompts_count_once_and_ties_half() {
        let list = Judged { rewards: vec![3.0, 2.0, 2.0], lengths: vec![1, 1, 1], pairs: vec![(0, 1), (0, 2), (1, 2)] };
        let none = Judged { rewards: vec![9.0], lengths: vec![1], pairs: vec![] };
        let report = report(&[list, pair([0.0, 1.0], [1, 1]), none]);
        assert!((report.accuracy.value - f64::midpoint(2.5 / 3.0, 0.0)).abs() < 1e-12);
        assert_eq!((report.prompts, report.pairs), (2, 4));
        assert_eq!((report.length_within, report.length_between), (None, None));
    }

    #[test]
    fn within_and_between_prompts_are_kept_apart() {
        // Longer prompts' answers score lower, within a prompt the longer one scores higher.
        let judged: Vec<Judged> =
            (1..30).map(|i| pair([1.0 - i as f32, 0.0 - i as f32], [10 * i + 1, 10 * i])).collect();
        let report = report(&judged);
        assert!(report.length_within.unwrap() > 0.99 && report.length_between.unwrap() < -0.99);
    }
}
