//! Hand-computed values, derivatives by finite differences, and what must not change a result.

use super::*;

const LOG_PROBS: [&[f32]; 2] = [&[-0.5, -1.25, -0.75], &[-2.0, -0.25]];
/// Log-ratios 0.25, -0.5, 0.125 and 0.5, -0.25.
const OLD: [&[f32]; 2] = [&[-0.75, -0.75, -0.875], &[-2.5, 0.0]];
const ADVANTAGES: [&[f64]; 2] = [&[1.0, -2.0, 0.5], &[-1.0, 1.5]];
const WEIGHTS: [&[f32]; 2] = [&[1.0, 0.5, 0.0], &[1.0, 1.0]];
const REFERENCE: [&[f32]; 2] = [&[-0.6, -1.0, -0.9], &[-1.5, -0.5]];
const ENTROPIES: [&[f32]; 2] = [&[0.5, 1.5, 2.5], &[1.0, 0.25]];

fn samples() -> Vec<Sample<'static>> {
    let sample = |index: usize| Sample {
        log_probs: LOG_PROBS[index],
        old_log_probs: OLD[index],
        advantages: ADVANTAGES[index],
        weights: WEIGHTS[index],
        reference: REFERENCE[index],
        entropies: ENTROPIES[index],
    };
    vec![sample(0), sample(1)]
}

fn metric(outcome: &Outcome, name: &str) -> f64 {
    outcome.metrics.iter().find(|metric| metric.name == name).and_then(|metric| metric.value.mean()).unwrap()
}

#[track_caller]
fn close(name: &str, ours: f64, expected: f64, tolerance: f64) {
    assert!((ours - expected).abs() <= tolerance * expected.abs().max(1.0), "{name}: {ours} is not {expected}");
}

fn methods() -> Vec<(String, PolicyGradient)> {
    let mut methods = Vec::new();
    for ratio in [Ratio::Token, Ratio::Sequence, Ratio::Product] {
        for denominator in [Denominator::Tokens, Denominator::Sequences, Denominator::Constant(8.0)] {
            let plain = PolicyGradient { ratio, denominator, ..PolicyGradient::new(0.2) };
            let wide = Clip { low: 0.7, high: 2.0, dual: Some(1.5) };
            for estimator in [Estimator::K1, Estimator::K2, Estimator::K3] {
                for importance_weighted in [false, true] {
                    let kl = Some(KlTerm { coefficient: 0.3, estimator, importance_weighted });
                    let name = format!("{ratio:?} {denominator:?} {estimator:?} {importance_weighted}");
                    methods.push((name, PolicyGradient { clip: wide, kl, entropy_coefficient: 0.1, ..plain }));
                }
            }
            methods.push((format!("{ratio:?} {denominator:?}"), plain));
        }
    }
    methods
}

#[test]
fn values_by_hand() {
    let e = f64::exp;
    // ρ: e^0.25 clipped to 1.2; e^-0.5 = 0.61 of a bad token: clipped to 0.8; masked; e^0.5 of a bad token: kept; e^-0.25 of
    // a good one: kept.
    let (a, b, c, d) = (-1.2, 2.0 * 0.8, e(0.5), -1.5 * e(-0.25));
    let plain = PolicyGradient::new(0.2);
    let outcome = loss(&plain, &samples());
    close("tokens", outcome.loss.sum, a + 0.5 * b + c + d, 1e-12);
    assert_eq!(outcome.loss.count, 3.5);
    let slopes = [0.0, 0.0, 0.0, c, d];
    assert_eq!(outcome.d_log_probs, slopes.map(|slope| slope as f32));
    assert!(outcome.d_entropies.is_empty());

    let outcome = loss(&PolicyGradient { denominator: Denominator::Sequences, ..plain }, &samples());
    close("sequences", outcome.loss.sum, (a + 0.5 * b) / 1.5 + f64::midpoint(c, d), 1e-12);
    assert_eq!(outcome.loss.count, 2.0);
    let outcome = loss(&PolicyGradient { denominator: Denominator::Constant(10.0), ..plain }, &samples());
    close("constant", outcome.loss.sum, (a + 0.5 * b + c + d) / 10.0, 1e-12);
    assert_eq!(outcome.loss.count, 2.0);

    // Clip-higher lets the first token through, the dual clip bounds the fourth.
    let clip = Clip { low: 0.2, high: 0.3, dual: Some(1.5) };
    let outcome = loss(&PolicyGradient { clip, ..plain }, &samples());
    close("clip-higher and dual", outcome.loss.sum, -e(0.25) + 0.5 * b + 1.5 + d, 1e-12);

    // Shared: exp((0.25 - 0.25) / 1.5) = 1 and exp(0.25 / 2).
    let outcome = loss(&PolicyGradient { ratio: Ratio::Sequence, ..plain }, &samples());
    close("sequence ratio", outcome.loss.sum, -1.0 + 1.0 + e(0.125) * (1.0 - 1.5), 1e-12);
    // exp(0.25) = 1.28: clipped where the advantage is positive.
    let outcome = loss(&PolicyGradient { ratio: Ratio::Product, ..plain }, &samples());
    close("product ratio", outcome.loss.sum, -1.0 + 1.0 + e(0.25) - 1.5 * 1.2, 1e-12);
}

#[test]
fn terms_by_hand() {
    let kl = Some(KlTerm { coefficient: 0.3, estimator: Estimator::K2, importance_weighted: false });
    let plain = PolicyGradient::new(0.2);
    let with = PolicyGradient { kl, entropy_coefficient: 0.1, ..plain };
    let (outcome, without) = (loss(&with, &samples()), loss(&plain, &samples()));
    // d: 0.1, -0.25, masked, -0.5, 0.25; entropies 0.5, 1.5, masked, 1, 0.25.
    let kl = 0.3 * 0.5 * (0.01 + 0.5 * 0.0625 + 0.25 + 0.0625);
    let entropy = 0.1 * (0.5 + 0.5 * 1.5 + 1.0 + 0.25);
    close("sum", outcome.loss.sum - without.loss.sum, kl - entropy, 1e-7);
    assert_eq!(outcome.d_entropies, [-0.1, -0.05, 0.0, -0.1, -0.1]);
    // The policy's own part is reported apart.
    close("policy", metric(&outcome, "loss/policy_avg"), without.loss.sum / 3.5, 1e-12);
}

/// O8: the clipped objective as the paper has it, in a loop.
#[test]
fn clipping_is_the_naive_loop() {
    let clip = Clip { low: 0.1, high: 0.3, dual: Some(2.0) };
    for step in -40..=40 {
        let ratio = (f64::from(step) / 20.0).exp();
        for advantage in [-1.5, -0.25, 0.0, 0.5, 2.0] {
            let mut naive = (ratio * advantage).min(ratio.clamp(0.9, 1.3) * advantage);
            if advantage < 0.0 {
                naive = naive.max(2.0 * advantage);
            }
            close("surrogate", surrogate(&clip, ratio, advantage).value, naive, 1e-15);
        }
    }
}

#[test]
fn metrics_before_and_after_clipping() {
    let outcome = loss(&PolicyGradient::new(0.2), &samples());
    let ratios = [0.25, -0.5, 0.5, -0.25].map(f64::exp);
    close("approxkl", metric(&outcome, "policy/approxkl_avg"), 0.5 * 0.625 / 4.0, 1e-12);
    close("clipfrac", metric(&outcome, "policy/clipfrac_avg"), 0.5, 0.0);
    close("low", metric(&outcome, "clip_ratio/low_mean"), 0.25, 0.0);
    close("high", metric(&outcome, "clip_ratio/high_mean"), 0.25, 0.0);
    close("region", metric(&outcome, "clip_ratio/region_mean"), 0.5, 0.0);
    close("ratio", metric(&outcome, "val/ratio"), ratios.iter().sum::<f64>() / 4.0, 1e-12);
    let variance = ratios.iter().map(|ratio| (ratio - 1.0).powi(2)).sum::<f64>() / 4.0;
    close("variance", metric(&outcome, "val/ratio_var"), variance, 1e-12);
    close("after", metric(&outcome, "val/ratio_clipped"), (1.2 + 0.8 + 1.2 + 0.8) / 4.0, 1e-12);
    close("entropy", metric(&outcome, "policy/entropy_avg"), 3.25 / 4.0, 1e-12);
    let k3 = [0.1, -0.25, -0.5, 0.25].map(|d: f64| (-d).exp() - 1.0 + d);
    close("kl", metric(&outcome, "kl"), k3.iter().sum::<f64>() / 4.0, 1e-6);
}

#[test]
fn derivatives() {
    const STEP: f32 = 1.0 / 1024.0;
    for (name, method) in methods() {
        let outcome = loss(&method, &samples());
        let slopes = outcome.d_log_probs.iter().zip(std::iter::repeat(false));
        let slopes = slopes.chain(outcome.d_entropies.iter().zip(std::iter::repeat(true)));
        for (place, (&slope, of_entropy)) in slopes.enumerate() {
            let (sample, token) = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)][place % 5];
            let moved = |by: f32| {
                let mut samples = samples();
                let row = if of_entropy { samples[sample].entropies } else { samples[sample].log_probs };
                let mut row = row.to_vec();
                row[token] += by;
                if of_entropy {
                    samples[sample].entropies = &row;
                } else {
                    samples[sample].log_probs = &row;
                }
                loss(&method, &samples).loss.sum
            };
            let difference = (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP));
            close(&format!("{name}, {sample}.{token}"), f64::from(slope), difference, 3e-6);
        }
    }
}

#[test]
fn at_the_first_update_it_is_reinforce() {
    for ratio in [Ratio::Token, Ratio::Sequence, Ratio::Product] {
        let mut samples = samples();
        for (sample, advantage) in samples.iter_mut().zip([&[0.75; 3][..], &[-0.5; 2]]) {
            sample.old_log_probs = sample.log_probs;
            sample.reference = sample.log_probs;
            sample.advantages = advantage;
        }
        let kl = Some(KlTerm { coefficient: 0.1, estimator: Estimator::K3, importance_weighted: true });
        let method = PolicyGradient { ratio, kl, denominator: Denominator::Sequences, ..PolicyGradient::new(0.2) };
        let outcome = loss(&method, &samples);
        for (name, value) in [
            ("val/ratio", 1.0),
            ("val/ratio_clipped", 1.0),
            ("val/ratio_var", 0.0),
            ("policy/approxkl_avg", 0.0),
            ("policy/clipfrac_avg", 0.0),
            ("clip_ratio/region_mean", 0.0),
            ("kl", 0.0),
            ("loss/policy_avg", -0.125),
        ] {
            assert_eq!(metric(&outcome, name), value, "{name}");
        }
        // -A w / Σw for a ratio of a token or the mean; a product moves as much with one token as with all.
        let share = if ratio == Ratio::Product { [1.0, 0.5, 1.0] } else { [1.0 / 1.5, 0.5 / 1.5, 0.5] };
        let slopes = [-0.75 * share[0], -0.75 * share[1], 0.0, 0.5 * share[2], 0.5 * share[2]];
        for (ours, expected) in outcome.d_log_probs.iter().zip(slopes) {
            close("slope", f64::from(*ours), expected, 1e-7);
        }
    }
}

#[test]
fn parts_add_up_to_the_whole() {
    for (name, method) in methods() {
        let whole = loss(&method, &samples());
        let parts: Vec<Outcome> = samples().into_iter().map(|sample| loss(&method, &[sample])).collect();
        let mut sum = parts[0].loss;
        sum += parts[1].loss;
        close(&name, sum.sum, whole.loss.sum, 1e-12);
        assert_eq!(sum.count, whole.loss.count, "{name}");
        assert_eq!([&parts[0].d_log_probs[..], &parts[1].d_log_probs].concat(), whole.d_log_probs, "{name}");
        assert_eq!([&parts[0].d_entropies[..], &parts[1].d_entropies].concat(), whole.d_entropies, "{name}");
        for (place, metric) in whole.metrics.iter().enumerate() {
            let mut sum = parts[0].metrics[place].value;
            sum += parts[1].metrics[place].value;
            close(&metric.name, sum.sum, metric.value.sum, 1e-12);
            assert_eq!(sum.count, metric.value.count, "{}", metric.name);
        }
    }
}

#[test]
fn far_policies_and_nothing_at_all_stay_finite() {
    let sample = Sample {
        log_probs: &[-1e-9, -4000.0],
        old_log_probs: &[-900.0, -0.5],
        advantages: &[-1.0, 1.0],
        weights: &[1.0, 1.0],
        reference: &[-2000.0, -1.0],
        entropies: &[0.0, 1.0],
    };
    let masked = Sample { weights: &[0.0, 0.0], ..sample };
    for (name, method) in methods() {
        let outcome = loss(&method, &[sample]);
        assert!(outcome.loss.sum.is_finite(), "{name}");
        assert!(outcome.d_log_probs.iter().all(|slope| slope.is_finite()), "{name}");
        let outcome = loss(&method, &[masked, Sample::default()]);
        assert_eq!((outcome.loss.sum, &outcome.d_log_probs[..]), (0.0, &[0.0, 0.0][..]), "{name}");
        assert!(loss(&method, &[]).d_log_probs.is_empty());
    }
}
