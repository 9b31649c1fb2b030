//! Policy losses against those of TRL's own code, recorded by `tools/golden_reinforcement.py`.

use camelid_objectives::reinforcement::kl::Estimator;
use camelid_objectives::reinforcement::policy_gradient::{
    Clip, Denominator, KlTerm, PolicyGradient, Ratio, Sample, loss,
};
use serde_json::Value;

/// TRL computes in f64; derivatives here are f32.
const TOLERANCE: f64 = 2e-7;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The rows as the engine has them.
fn rows(value: &Value) -> Vec<Vec<f32>> {
    let row = |row: &Value| numbers(row).into_iter().map(|number| number as f32).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

#[track_caller]
fn close(name: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1.0), "{name}: {ours}, TRL has {theirs}");
}

fn methods(longest: f64) -> Vec<(&'static str, PolicyGradient)> {
    let plain = PolicyGradient::new(0.2);
    let higher = PolicyGradient { clip: Clip { high: 0.28, ..plain.clip }, ..plain };
    let by_sequences = PolicyGradient { denominator: Denominator::Sequences, ..plain };
    let kl = |importance_weighted| {
        let kl = KlTerm { coefficient: 0.04, estimator: Estimator::K3, importance_weighted };
        PolicyGradient { kl: Some(kl), ..by_sequences }
    };
    let narrow = Clip { low: 0.05, high: 0.1, dual: None };
    vec![
        ("dapo", higher),
        ("dapo with entropy", PolicyGradient { entropy_coefficient: 0.125, ..higher }),
        ("dapo with dual clip", PolicyGradient { clip: Clip { dual: Some(1.25), ..plain.clip }, ..plain }),
        ("grpo", kl(false)),
        ("grpo with weighted kl", kl(true)),
        ("dr_grpo", PolicyGradient { denominator: Denominator::Constant(longest), ..plain }),
        ("gspo", PolicyGradient { ratio: Ratio::Sequence, clip: narrow, ..by_sequences }),
        ("rloo", PolicyGradient { ratio: Ratio::Product, ..by_sequences }),
    ]
}

#[test]
fn losses_derivatives_and_metrics_are_those_of_trl() {
    let golden: Value = serde_json::from_str(include_str!("golden/trl_reinforcement.json")).unwrap();
    let [log_probs, old, reference, entropies] =
        ["log_probs", "old_log_probs", "reference", "entropies"].map(|name| rows(&golden[name]));
    let advantages = numbers(&golden["advantages"]).into_iter().zip(&log_probs);
    let advantages: Vec<Vec<f64>> = advantages.map(|(advantage, row)| vec![advantage; row.len()]).collect();
    let samples: Vec<Sample<'_>> = (0..log_probs.len())
        .map(|row| Sample {
            log_probs: &log_probs[row],
            old_log_probs: &old[row],
            advantages: &advantages[row],
            weights: &[1.0; 4][..log_probs[row].len()],
            reference: &reference[row],
            entropies: &entropies[row],
        })
        .collect();
    let methods = methods(golden["longest"].as_f64().unwrap());
    assert_eq!(methods.len(), golden["cases"].as_object().unwrap().len());
    for (name, method) in methods {
        let case = &golden["cases"][name];
        let outcome = loss(&method, &samples);
        let count = outcome.loss.count;
        close(name, outcome.loss.sum / count, case["loss"].as_f64().unwrap());
        for (slopes, theirs) in [(&outcome.d_log_probs, "slopes"), (&outcome.d_entropies, "entropy_slopes")] {
            let theirs: Vec<f64> = case[theirs].as_array().into_iter().flatten().flat_map(numbers).collect();
            assert_eq!(slopes.len(), theirs.len(), "{name}");
            for (&ours, theirs) in slopes.iter().zip(theirs) {
                close(name, f64::from(ours) / count, theirs);
            }
        }
        for (metric, theirs) in case["metrics"].as_object().unwrap() {
            // TRL counts a ratio that is the response's once for each response, and has the KL with its weight.
            if metric.starts_with("clip_ratio") && method.ratio != Ratio::Token
                || metric == "kl" && name == "grpo with weighted kl"
            {
                continue;
            }
            let ours = if metric == "entropy" { "policy/entropy_avg" } else { metric };
            let ours = outcome.metrics.iter().find(|metric| metric.name == ours).and_then(|metric| metric.value.mean());
            close(&format!("{name}, {metric}"), ours.unwrap(), theirs.as_f64().unwrap());
        }
    }
}
