//! Losses and derivatives against those of TRL's own code, recorded by `tools/golden_objectives.py`.

use camelid_objectives::Outcome;
use camelid_objectives::preference::{
    Group, Method, PairLoss, Response, Sequence,
    apo::{self, Apo},
    cpo::Cpo,
    discopop::DiscoPop,
    dpo::{Dpo, Smoothing},
    exo::Exo,
    f_dpo::{Divergence, FDpo},
    ipo::Ipo,
    kto::{Kto, kl_estimate},
    loss,
    nca::Nca,
    orpo::Orpo,
    rso::{self, Rso},
    simpo::SimPo,
    sppo::Sppo,
    unpaired_loss,
};
use camelid_objectives::reward::bradley_terry::{self, BradleyTerry, Ranked};
use serde_json::Value;

/// TRL computes some of these in f32.
const TOLERANCE: f64 = 2e-6;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/trl.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[track_caller]
fn close(name: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1.0), "{name}: {ours}, TRL has {theirs}");
}

/// The responses of one side, in the order of the pairs.
fn responses(golden: &Value, side: &str) -> Vec<Response> {
    let references = numbers(&golden[format!("reference_{side}")]);
    let rows = golden[side].as_array().unwrap().iter().zip(references);
    rows.map(|(row, reference)| {
        let log_probs: Vec<f32> = numbers(row).into_iter().map(|log_prob| log_prob as f32).collect();
        Response { weights: vec![1.0; log_probs.len()], log_probs, reference, score: None }
    })
    .collect()
}

/// Loss as a mean, and each token's derivative of it; `places` says which of TRL's rows each of our sequences is.
#[track_caller]
fn compare(name: &str, case: &Value, outcome: &Outcome, places: &[usize]) {
    let count = outcome.loss.count;
    close(name, outcome.loss.sum / count, case["loss"].as_f64().unwrap());
    let slopes: Vec<Vec<f64>> = case["slopes"].as_array().unwrap().iter().map(numbers).collect();
    let theirs = places.iter().flat_map(|&place| slopes[place].clone());
    let ours = outcome.d_log_probs.iter().map(|&slope| f64::from(slope) / count);
    assert_eq!(outcome.d_log_probs.len(), slopes.iter().map(Vec::len).sum::<usize>(), "{name}");
    for (ours, theirs) in ours.zip(theirs) {
        close(name, ours, theirs);
    }
}

fn pairs() -> Vec<(&'static str, Box<dyn PairLoss>)> {
    let f_dpo = |divergence| Box::new(FDpo { beta: 0.4, divergence });
    vec![
        ("dpo", Box::new(Dpo::new(0.1))),
        ("dpo beta 0.5", Box::new(Dpo::new(0.5))),
        ("dpo length-normalised", Box::new(Dpo { length_normalised: true, ..Dpo::new(5.0) })),
        ("robust-dpo", Box::new(Dpo { smoothing: Smoothing::Robust(0.1), ..Dpo::new(0.1) })),
        ("ipo length-normalised", Box::new(Ipo { tau: 0.1, length_normalised: true })),
        ("rso-hinge-norm", Box::new(Rso { form: rso::Form::HingeNorm, gamma: 0.05 })),
        ("exo", Box::new(Exo { beta: 0.1, label_smoothing: 0.001 })),
        ("nca", Box::new(Nca { beta: 0.1 })),
        ("sppo", Box::new(Sppo { beta: 0.1 })),
        ("apo-zero", Box::new(Apo { form: apo::Form::Zero, beta: 0.1 })),
        ("apo-down", Box::new(Apo { form: apo::Form::Down, beta: 0.1 })),
        ("discopop", Box::new(DiscoPop { beta: 0.05, tau: 0.05 })),
        ("f-dpo-forward-kl", f_dpo(Divergence::ForwardKl)),
        ("f-dpo-jensen-shannon", f_dpo(Divergence::JensenShannon)),
        ("f-dpo-alpha 0.3", f_dpo(Divergence::Alpha(0.3))),
        ("cpo", Box::new(Cpo { beta: 0.1, alpha: 1.0 })),
        ("simpo", Box::new(SimPo { beta: 2.0, gamma: 0.5 })),
        ("orpo", Box::new(Orpo { lambda: 0.1 })),
    ]
}

#[test]
fn pair_losses_are_those_of_trl() {
    let golden = golden();
    let sides = [responses(&golden, "chosen"), responses(&golden, "rejected")];
    let groups: Vec<Group> = (0..3)
        .map(|pair| {
            let responses = sides.iter().map(|side| side[pair].clone()).collect();
            Group { responses, pairs: vec![(0, 1)], ..Group::default() }
        })
        .collect();
    for (name, method) in pairs() {
        let case = &golden["cases"][name];
        assert!(case.is_object(), "{name} is not recorded");
        let outcome = loss(&Method::Pairs(method), &groups);
        compare(name, case, &outcome, &[0, 3, 1, 4, 2, 5]);
        // TRL logs β times the log-ratio for all of these; ours is the method's own reward.
        if ["dpo", "dpo beta 0.5", "robust-dpo", "exo", "nca", "sppo", "discopop"].contains(&name) {
            for metric in outcome.metrics.iter().filter(|metric| case[metric.name.as_ref()].is_number()) {
                close(&metric.name, metric.value.mean().unwrap(), case[metric.name.as_ref()].as_f64().unwrap());
            }
        }
    }
}

#[test]
fn kto_is_that_of_trl() {
    let golden = golden();
    let mismatched: Vec<Sequence> = numbers(&golden["mismatched"])
        .into_iter()
        .zip(numbers(&golden["reference_mismatched"]))
        .map(|(log_prob, reference)| Sequence { log_prob, reference, length: 1.0 })
        .collect();
    let baseline = kl_estimate(&mismatched);
    let good = responses(&golden, "chosen").into_iter().map(|response| (response, true));
    let bad = responses(&golden, "rejected").into_iter().map(|response| (response, false));
    let all: Vec<(Response, bool)> = good.chain(bad).collect();
    for (name, beta, undesirable_weight) in [("kto", 0.1, 1.0), ("kto weighted", 0.5, 1.5)] {
        let case = &golden["cases"][name];
        close(name, baseline, case["kl"].as_f64().unwrap());
        let outcome = unpaired_loss(&Kto { beta, desirable_weight: 1.0, undesirable_weight }, &all, baseline);
        compare(name, case, &outcome, &[0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn bradley_terry_is_that_of_trl() {
    let golden = golden();
    let (rewards, margins) = (numbers(&golden["rewards"]), numbers(&golden["margins"]));
    let prompts: Vec<Ranked> = (0..3)
        .map(|pair| Ranked {
            rewards: vec![rewards[pair] as f32, rewards[3 + pair] as f32],
            pairs: vec![(0, 1)],
            margin: margins[pair],
        })
        .collect();
    let with = BradleyTerry { margin_weight: 1.0, label_smoothing: 0.0, centring: 0.01 };
    for (name, method) in [("bradley-terry", BradleyTerry::default()), ("bradley-terry margin and centring", with)] {
        let case = &golden["cases"][name];
        let outcome = bradley_terry::loss(&method, &prompts);
        close(name, outcome.loss.mean().unwrap(), case["loss"].as_f64().unwrap());
        let theirs = numbers(&case["slopes"]);
        for (place, slope) in [0, 3, 1, 4, 2, 5].into_iter().zip(&outcome.d_values) {
            close(name, f64::from(*slope) / 3.0, theirs[place]);
        }
        let accuracy = outcome.metrics.iter().find(|metric| metric.name == "accuracy").unwrap();
        close("accuracy", accuracy.value.mean().unwrap(), case["accuracy"].as_f64().unwrap());
    }
}
