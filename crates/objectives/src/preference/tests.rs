//! Hand-computed values, and the derivative of every method by finite differences.

use super::*;
use crate::preference::{
    apo::{self, Apo},
    bco::Bco,
    cpo::Cpo,
    discopop::DiscoPop,
    dpo::{Dpo, Smoothing},
    exo::Exo,
    f_dpo::{Divergence, FDpo},
    ipo::Ipo,
    kto::{Kto, kl_estimate},
    nca::Nca,
    orpo::Orpo,
    preferred::Preferred,
    pro::Pro,
    rrhf::Rrhf,
    rso::{self, Rso},
    simpo::SimPo,
    slic::{self, Slic},
    sppo::Sppo,
    unlikelihood::Unlikelihood,
};

const LN_2: f64 = std::f64::consts::LN_2;

fn response(log_probs: &[f32], reference: f64, score: Option<f64>) -> Response {
    Response { log_probs: log_probs.to_vec(), weights: vec![1.0; log_probs.len()], reference, score }
}

/// Sums -1 and -3 (better than the reference by 1 and 0.5), lengths 2 and 4.
fn pair() -> Pair {
    Pair {
        chosen: Sequence { log_prob: -1.0, reference: -2.0, length: 2.0 },
        rejected: Sequence { log_prob: -3.0, reference: -3.5, length: 4.0 },
        reference_answer: None,
        margin: 0.25,
    }
}

fn pair_methods() -> Vec<(&'static str, Box<dyn PairLoss>)> {
    let dpo = Dpo::new(0.3);
    let f_dpo = |divergence| FDpo { beta: 0.4, divergence };
    vec![
        ("dpo", Box::new(dpo)),
        ("conservative", Box::new(Dpo { smoothing: Smoothing::Conservative(0.1), ..dpo })),
        ("robust", Box::new(Dpo { smoothing: Smoothing::Robust(0.2), ..dpo })),
        ("length-normalised", Box::new(Dpo { length_normalised: true, ..dpo })),
        ("with likelihood and margin", Box::new(Dpo { sft_weight: 0.7, margin_weight: 1.0, ..dpo })),
        ("ipo", Box::new(Ipo { tau: 0.1, length_normalised: false })),
        ("ipo by tokens", Box::new(Ipo { tau: 0.1, length_normalised: true })),
        ("slic hinge", Box::new(Slic { form: slic::Form::Hinge, delta: 2.5, lambda: 0.1 })),
        ("slic sigmoid", Box::new(Slic { form: slic::Form::Sigmoid, delta: 0.5, lambda: 0.1 })),
        ("rso sigmoid-norm", Box::new(Rso { form: rso::Form::SigmoidNorm, gamma: 0.05 })),
        ("rso hinge", Box::new(Rso { form: rso::Form::Hinge, gamma: 0.05 })),
        ("rso hinge-norm", Box::new(Rso { form: rso::Form::HingeNorm, gamma: 0.05 })),
        ("simpo", Box::new(SimPo { beta: 2.0, gamma: 1.0 })),
        ("cpo", Box::new(Cpo { beta: 0.1, alpha: 1.0 })),
        ("orpo", Box::new(Orpo { lambda: 0.5 })),
        ("reverse kl", Box::new(f_dpo(Divergence::ReverseKl))),
        ("forward kl", Box::new(f_dpo(Divergence::ForwardKl))),
        ("jensen-shannon", Box::new(f_dpo(Divergence::JensenShannon))),
        ("alpha", Box::new(f_dpo(Divergence::Alpha(0.3)))),
        ("exo", Box::new(Exo { beta: 0.4, label_smoothing: 0.05 })),
        ("nca", Box::new(Nca { beta: 0.4 })),
        ("sppo", Box::new(Sppo { beta: 0.4 })),
        ("apo-zero", Box::new(Apo { form: apo::Form::Zero, beta: 0.4 })),
        ("apo-down", Box::new(Apo { form: apo::Form::Down, beta: 0.4 })),
        ("discopop", Box::new(DiscoPop { beta: 0.4, tau: 0.3 })),
    ]
}

#[track_caller]
fn close(name: &str, a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{name}: {a} is not {b}");
}

#[test]
fn values_by_hand() {
    let value = |method: &dyn PairLoss| method.loss(&pair()).loss;
    // h = 0.3 (1 - 0.5) = 0.15.
    let softplus = |x: f64| (1.0 + (-x).exp()).ln();
    close("dpo", value(&Dpo::new(0.3)), softplus(0.15), 1e-12);
    let smooth = Dpo { smoothing: Smoothing::Conservative(0.1), ..Dpo::new(0.3) };
    close("conservative", value(&smooth), 0.9 * softplus(0.15) + 0.1 * softplus(-0.15), 1e-12);
    let robust = Dpo { smoothing: Smoothing::Robust(0.1), ..Dpo::new(0.3) };
    close("robust", value(&robust), (0.9 * softplus(0.15) - 0.1 * softplus(-0.15)) / 0.8, 1e-12);
    // Per token 0.5 and 0.125.
    let by_tokens = Dpo { length_normalised: true, ..Dpo::new(0.3) };
    close("length-normalised", value(&by_tokens), softplus(0.3 * 0.375), 1e-12);
    let extended = Dpo { sft_weight: 2.0, margin_weight: 1.0, ..Dpo::new(0.3) };
    close("likelihood and margin", value(&extended), softplus(0.15 - 0.25) + 2.0 * 0.5, 1e-12);
    // (0.5 - 5)² and (0.375 - 5)².
    close("ipo", value(&Ipo { tau: 0.1, length_normalised: false }), 20.25, 1e-12);
    close("ipo by tokens", value(&Ipo { tau: 0.1, length_normalised: true }), 4.625 * 4.625, 1e-12);
    // The gap is 2.
    close("slic", value(&Slic { form: slic::Form::Hinge, delta: 2.5, lambda: 0.1 }), 0.5 + 0.1, 1e-12);
    close("slic, far enough", value(&Slic { form: slic::Form::Hinge, delta: 1.0, lambda: 0.0 }), 0.0, 0.0);
    close("rso hinge", value(&Rso { form: rso::Form::Hinge, gamma: 0.05 }), 0.9, 1e-12);
    close("rso hinge-norm", value(&Rso { form: rso::Form::HingeNorm, gamma: 0.05 }), 0.975, 1e-12);
    close("simpo", value(&SimPo { beta: 2.0, gamma: 1.0 }), softplus(2.0 * (-0.5 + 0.75) - 1.0), 1e-12);
    close("cpo", value(&Cpo { beta: 0.1, alpha: 1.0 }), softplus(0.2) + 0.5, 1e-12);
    let log_odds = |mean: f64| mean - (1.0 - mean.exp()).ln();
    close("orpo", value(&Orpo { lambda: 0.5 }), 0.5 + 0.5 * softplus(log_odds(-0.5) - log_odds(-0.75)), 1e-12);
    let forward = FDpo { beta: 0.4, divergence: Divergence::ForwardKl };
    close("forward kl", value(&forward), softplus(0.4 * (-(-1.0_f64).exp() + (-0.5_f64).exp())), 1e-12);
    let middle = FDpo { beta: 0.4, divergence: Divergence::JensenShannon };
    let potential = |ratio: f64| (2.0 * ratio.exp() / (1.0 + ratio.exp())).ln();
    close("jensen-shannon", value(&middle), softplus(0.4 * (potential(1.0) - potential(0.5))), 1e-12);
}

#[test]
fn divergences_meet_at_their_limits() {
    let loss = |divergence| FDpo { beta: 0.4, divergence }.loss(&pair()).loss;
    close("α → 0", loss(Divergence::Alpha(1e-9)), loss(Divergence::ReverseKl), 1e-6);
    close("α → 1", loss(Divergence::Alpha(1.0 - 1e-12)), loss(Divergence::ForwardKl), 1e-9);
    close("reverse KL is DPO", loss(Divergence::ReverseKl), Dpo::new(0.4).loss(&pair()).loss, 1e-12);
}

#[test]
fn at_step_0_policy_is_reference() {
    let same = |log_prob, length| Sequence { log_prob, reference: log_prob, length };
    let pair = Pair { chosen: same(-3.0, 5.0), rejected: same(-8.0, 7.0), reference_answer: None, margin: 0.0 };
    let dpo = Dpo::new(0.1);
    assert_eq!(dpo.loss(&pair).loss, LN_2);
    assert_eq!((dpo.reward(&pair.chosen), dpo.reward(&pair.rejected)), (0.0, 0.0));
    close("ipo", Ipo { tau: 0.1, length_normalised: false }.loss(&pair).loss, 25.0, 1e-12);
    for divergence in [Divergence::ForwardKl, Divergence::JensenShannon, Divergence::Alpha(0.5)] {
        close("f-dpo", FDpo { beta: 0.1, divergence }.loss(&pair).loss, LN_2, 1e-12);
    }
    let exo = Exo { beta: 0.1, label_smoothing: 0.001 };
    close("exo", exo.loss(&pair).loss, -LN_2 - f64::midpoint(0.999_f64.ln(), 0.001_f64.ln()), 1e-12);
    close("nca", Nca { beta: 0.1 }.loss(&pair).loss, 2.0 * LN_2, 1e-12);
    close("sppo", Sppo { beta: 0.1 }.loss(&pair).loss, 50.0, 1e-12);
    close("apo-zero", Apo { form: apo::Form::Zero, beta: 0.1 }.loss(&pair).loss, 1.0, 1e-12);
    close("apo-down", Apo { form: apo::Form::Down, beta: 0.1 }.loss(&pair).loss, 1.0, 1e-12);
    close("discopop", DiscoPop { beta: 0.05, tau: 0.05 }.loss(&pair).loss, f64::midpoint(LN_2, 1.0), 1e-12);
    let kto = Kto { beta: 0.1, desirable_weight: 1.0, undesirable_weight: 3.0 };
    assert_eq!((kto.loss(&pair.chosen, true, 0.0).0, kto.loss(&pair.chosen, false, 0.0).0), (0.5, 1.5));
    close("bco", Bco { beta: 0.1 }.loss(&pair.chosen, true, 0.0).0, LN_2, 1e-12);
}

#[test]
fn pair_derivatives() {
    const STEP: f64 = 1e-5;
    for (name, method) in pair_methods() {
        let slope = method.loss(&pair());
        let moved = |chosen: f64, rejected: f64| {
            let mut pair = pair();
            pair.chosen.log_prob += chosen;
            pair.rejected.log_prob += rejected;
            method.loss(&pair).loss
        };
        close(name, (moved(STEP, 0.0) - moved(-STEP, 0.0)) / (2.0 * STEP), slope.chosen, 1e-8);
        close(name, (moved(0.0, STEP) - moved(0.0, -STEP)) / (2.0 * STEP), slope.rejected, 1e-8);
    }
}

#[test]
fn extreme_ratios_stay_finite() {
    let far = Pair {
        chosen: Sequence { log_prob: -1e-14, reference: -900.0, length: 3.0 },
        rejected: Sequence { log_prob: -4000.0, reference: -10.0, length: 3.0 },
        reference_answer: None,
        margin: 0.0,
    };
    let near = Pair { chosen: far.rejected, rejected: far.chosen, ..far };
    for (name, method) in pair_methods() {
        for pair in [&far, &near] {
            let PairSlope { loss, chosen, rejected } = method.loss(pair);
            assert!(
                loss.is_finite() && chosen.is_finite() && rejected.is_finite(),
                "{name}: {loss} {chosen} {rejected}"
            );
        }
    }
}

/// Four ranked responses of which two tie, with all pairs that do not.
fn group() -> Group {
    Group {
        responses: vec![
            response(&[-0.5, -0.7, -1.1], -2.0, Some(3.0)),
            response(&[-0.2, -0.4], -0.9, Some(1.5)),
            response(&[-0.9, -0.1, -0.3, -0.6], -1.7, Some(1.5)),
            response(&[-0.05], -0.4, Some(-2.0)),
        ],
        pairs: vec![(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)],
        ..Group::default()
    }
}

fn list_methods() -> Vec<(&'static str, Method)> {
    vec![
        ("pairs of a list", Method::Pairs(Box::new(Dpo::new(0.3)))),
        ("rrhf", Method::List(Box::new(Rrhf { rank_weight: 1.0 }))),
        ("pro", Method::List(Box::new(Pro { sft_weight: 0.05 }))),
        ("preferred", Method::List(Box::new(Preferred))),
        ("unlikelihood", Method::List(Box::new(Unlikelihood { alpha: 0.5 }))),
    ]
}

#[test]
fn list_derivatives() {
    const STEP: f32 = 1.0 / 8192.0;
    for (name, method) in list_methods() {
        let analytic = loss(&method, &[group()]).d_log_probs;
        let mut place = 0;
        for index in 0..group().responses.len() {
            for token in 0..group().responses[index].log_probs.len() {
                let moved = |by: f32| {
                    let mut group = group();
                    group.responses[index].log_probs[token] += by;
                    loss(&method, &[group]).loss.sum
                };
                let difference = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
                close(name, f64::from(analytic[place]), difference, 1e-4);
                place += 1;
            }
        }
        assert_eq!(place, analytic.len());
    }
}

#[test]
fn weights_scale_tokens() {
    for (name, method) in list_methods() {
        let mut weighted = group();
        // A token of weight 0 is as good as absent, one of weight 2 counts twice.
        weighted.responses[0].weights = vec![1.0, 0.0, 2.0];
        let mut spelled = group();
        spelled.responses[0] = response(&[-0.5, -1.1, -1.1], -2.0, Some(3.0));
        close(name, loss(&method, &[weighted]).loss.sum, loss(&method, &[spelled]).loss.sum, 1e-6);
    }
}

#[test]
fn rrhf_by_hand() {
    // Means -0.2, -0.1, -0.3: only the second is out of order, by 0.1; the best one's sum is -0.4.
    let group = Group {
        responses: vec![
            response(&[-0.25, -0.15], 0.0, None),
            response(&[-0.1], 0.0, None),
            response(&[-0.3], 0.0, None),
        ],
        pairs: vec![(0, 1), (0, 2), (1, 2)],
        ..Group::default()
    };
    let outcome = loss(&Method::List(Box::new(Rrhf { rank_weight: 1.0 })), std::slice::from_ref(&group));
    close("rrhf", outcome.loss.sum, 0.1 + 0.4, 1e-6);
    assert_eq!(outcome.d_log_probs, [-1.5, -1.5, 1.0, 0.0]);
    let ordered = Group { responses: group.responses[..1].to_vec(), ..Group::default() };
    close("best alone", loss(&Method::List(Box::new(Rrhf { rank_weight: 1.0 })), &[ordered]).loss.sum, 0.4, 1e-6);
}

/// Oracle O5: two responses give `log(1 + exp(-Δr (p1 - p2)))`, three are computed by hand; β = 0.05 (n - 1)².
#[test]
fn pro_by_hand() {
    let pro = |responses: Vec<Response>, sft_weight| {
        let group = Group { responses, ..Group::default() };
        loss(&Method::List(Box::new(Pro { sft_weight })), &[group]).loss.sum
    };
    let two = vec![response(&[-0.5, -0.25], 0.0, Some(2.0)), response(&[-1.0], 0.0, Some(0.5))];
    let contrast = (1.0 + (-1.5 * (-0.375 + 1.0_f64)).exp()).ln();
    close("n = 2", pro(two.clone(), 0.0), contrast, 1e-12);
    close("n = 2 with likelihood", pro(two.clone(), 0.05), contrast + 0.05 * 0.75, 1e-12);
    let three = [two, vec![response(&[-2.0], 0.0, Some(-1.0))]].concat();
    // First place: gaps 1.5 and 3 over means -1 and -2; own -0.375 · 3. Second: gap 1.5 over -2; own -1 · 1.5.
    let first = ((-1.125_f64).exp() + (-1.5_f64).exp() + (-6.0_f64).exp()).ln() + 1.125;
    let second = ((-1.5_f64).exp() + (-3.0_f64).exp()).ln() + 1.5;
    close("n = 3", pro(three.clone(), 0.0), first + second, 1e-12);
    close("n = 3 with likelihood", pro(three, 0.05), first + second + 0.05 * 4.0 * 0.75, 1e-12);
}

/// SLiC-HF, eq. 1: the regulariser is on the reference answer where there is one, once a prompt however many pairs it has,
/// and on the chosen answers otherwise.
#[test]
fn slic_keeps_the_reference_answer_likely() {
    let kept = Some(Sequence { log_prob: -6.0, reference: 0.0, length: 3.0 });
    let slic = |form, delta| Slic { form, delta, lambda: 0.1 };
    // The gap is 2; without a reference answer the last term is 0.1 · 1.
    let hinge = slic(slic::Form::Hinge, 2.5).loss(&Pair { reference_answer: kept, ..pair() });
    close("hinge", hinge.loss, 0.5 + 0.6, 1e-12);
    assert_eq!((hinge.chosen, hinge.rejected), (-1.0, 1.0));
    let sigmoid = slic(slic::Form::Sigmoid, 0.5).loss(&Pair { reference_answer: kept, ..pair() });
    close("sigmoid", sigmoid.loss, (1.0 + (-1.5_f64).exp()).ln() + 0.6, 1e-12);
    close("sigmoid's slope", sigmoid.chosen, -1.0 / (1.0 + 1.5_f64.exp()), 1e-12);

    let method = Method::Pairs(Box::new(slic(slic::Form::Sigmoid, 1.0)));
    assert!(method.reads_reference_answer() && !Method::Pairs(Box::new(Dpo::new(0.1))).reads_reference_answer());
    let mut answer = response(&[-0.3, -1.2], 0.0, None);
    answer.weights = vec![1.0, 0.5];
    let with = Group { reference_answer: Some(answer), ..group() };
    let outcome = loss(&method, std::slice::from_ref(&with));
    let contrast = Method::Pairs(Box::new(Slic { form: slic::Form::Sigmoid, delta: 1.0, lambda: 0.0 }));
    close("five pairs", outcome.loss.sum, loss(&contrast, &[group()]).loss.sum + 0.1 * 0.9, 1e-7);
    let metric = |outcome: &Outcome, name| outcome.metrics.iter().find(|m| m.name == name).unwrap().value;
    close("its log-probability", metric(&outcome, "logps/reference_answer").sum, -0.9, 1e-7);
    assert_eq!(metric(&loss(&method, &[with.clone(), group()]), "reference_answers"), Reduced::new(1.0, 2.0));

    // The reference answer's tokens come last; each derivative by finite differences.
    let step = 1.0_f32 / 8192.0;
    let responses = with.responses.len();
    let lengths: Vec<usize> = with.scored().map(|response| response.log_probs.len()).collect();
    let places = lengths.iter().enumerate().flat_map(|(index, &length)| (0..length).map(move |token| (index, token)));
    for ((index, token), slope) in places.zip(&outcome.d_log_probs) {
        let moved = |by: f32| {
            let mut group = with.clone();
            let moved =
                if index < responses { &mut group.responses[index] } else { group.reference_answer.as_mut().unwrap() };
            moved.log_probs[token] += by;
            loss(&method, &[group]).loss.sum
        };
        close("slic", f64::from(*slope), (moved(step) - moved(-step)) / f64::from(2.0 * step), 1e-4);
    }
    assert_eq!(outcome.d_log_probs.len(), lengths.iter().sum::<usize>());
    // Methods that do not read it leave it alone.
    for (name, method) in list_methods() {
        let outcome = loss(&method, std::slice::from_ref(&with));
        assert_eq!(outcome.loss, loss(&method, &[group()]).loss, "{name}");
        assert_eq!(outcome.d_log_probs[outcome.d_log_probs.len() - 2..], [0.0, 0.0], "{name}");
    }
}

/// Oracle O6: no gradient of the comparison once the margin, or the order, is right; constant otherwise.
#[test]
fn hinges_are_flat_or_constant() {
    let slic = Slic { form: slic::Form::Hinge, delta: 1.0, lambda: 0.0 };
    let at = |gap: f64| {
        let sequence = |log_prob| Sequence { log_prob, reference: 0.0, length: 1.0 };
        slic.loss(&Pair { chosen: sequence(-2.0 + gap), rejected: sequence(-2.0), reference_answer: None, margin: 0.0 })
    };
    for gap in [1.0, 1.5, 8.0] {
        assert_eq!(at(gap), PairSlope::default());
    }
    for gap in [-9.0, 0.0, 0.999] {
        assert_eq!((at(gap).chosen, at(gap).rejected), (-1.0, 1.0));
    }
}

#[test]
fn a_list_counts_once_and_its_pairs_are_averaged() {
    let method = Method::Pairs(Box::new(Dpo::new(0.3)));
    let whole = loss(&method, &[group()]);
    assert_eq!(whole.loss.count, 1.0);
    let of_pair = |pair| loss(&method, &[Group { pairs: vec![pair], ..group() }]).loss.sum;
    let mean = group().pairs.into_iter().map(of_pair).sum::<f64>() / 5.0;
    close("mean over pairs", whole.loss.sum, mean, 1e-12);
    // Two groups add up.
    let both = loss(&method, &[group(), group()]);
    assert_eq!(both.loss, Reduced::new(2.0 * whole.loss.sum, 2.0));
    assert_eq!(both.d_log_probs, [whole.d_log_probs.clone(), whole.d_log_probs].concat());
    assert_eq!(both.metrics.iter().find(|m| m.name == "rewards/accuracies").unwrap().value.count, 10.0);
}

#[test]
fn unpaired_values_and_derivatives() {
    const STEP: f64 = 1e-5;
    let good = Sequence { log_prob: -1.0, reference: -2.0, length: 2.0 };
    let kto = Kto { beta: 0.5, desirable_weight: 1.0, undesirable_weight: 1.3 };
    close("kto good", kto.loss(&good, true, 0.4).0, 1.0 - sigmoid(0.5 * 0.6), 1e-12);
    close("kto bad", kto.loss(&good, false, 0.4).0, 1.3 * (1.0 - sigmoid(-0.5 * 0.6)), 1e-12);
    close("bco bad", Bco { beta: 0.5 }.loss(&good, false, 0.2).0, (1.0 + 0.3_f64.exp()).ln(), 1e-12);
    let methods: [(&str, &dyn UnpairedLoss); 2] = [("kto", &kto), ("bco", &Bco { beta: 0.5 })];
    for (name, method) in methods {
        for desirable in [true, false] {
            let moved = |by: f64| method.loss(&Sequence { log_prob: good.log_prob + by, ..good }, desirable, 0.4).0;
            let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            close(name, method.loss(&good, desirable, 0.4).1, difference, 1e-8);
        }
    }
    assert_eq!(kl_estimate(&[]), 0.0);
    assert_eq!(kl_estimate(&[good, Sequence { log_prob: -4.0, ..good }]), 0.0);
    assert_eq!(kl_estimate(&[good, Sequence { log_prob: 0.0, ..good }]), 1.5);
    assert_eq!(bco::shift(1.0, 0.9, &[2.0, 4.0], &[-1.0]), 0.9 + 0.1);
    assert_eq!(bco::shift(1.0, 0.9, &[], &[-1.0]), 1.0);
}

/// Oracle O2: over 32 responses with exact Bradley-Terry preferences of a known reward, the policy that minimises the
/// expected DPO loss is `π_ref exp(r/β) / Z`, for every β.
#[test]
fn the_tabular_optimum_of_dpo_is_the_closed_form() {
    const COUNT: usize = 32;
    // Fixed irregular numbers; any would do.
    let irregular = |index: usize, salt: f64| ((index as f64 + 1.0) * salt).sin();
    let log_normalised = |logits: &[f64]| {
        let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total = highest + logits.iter().map(|logit| (logit - highest).exp()).sum::<f64>().ln();
        logits.iter().map(|logit| logit - total).collect::<Vec<f64>>()
    };
    let reference = log_normalised(&(0..COUNT).map(|index| irregular(index, 1.7)).collect::<Vec<_>>());
    let reward: Vec<f64> = (0..COUNT).map(|index| 1.5 * irregular(index, 2.9)).collect();
    for beta in [0.05, 0.1, 0.5, 1.0, 5.0] {
        let tilted: Vec<f64> =
            reference.iter().zip(&reward).map(|(log_prob, reward)| log_prob + reward / beta).collect();
        let optimum = log_normalised(&tilted);
        let dpo = Dpo::new(beta);
        // Gradient with respect to log π (not normalised: the loss sees differences only) by fixed-step Newton-like
        // descent; the curvature of -log σ is at most β²/4 for each pair.
        let mut policy = reference.clone();
        let pull = |policy: &[f64]| {
            let sequence =
                |index: usize| Sequence { log_prob: policy[index], reference: reference[index], length: 1.0 };
            let mut gradient = vec![0.0; COUNT];
            for first in 0..COUNT {
                for second in 0..first {
                    let preferred = sigmoid(reward[first] - reward[second]);
                    for (share, chosen, rejected) in [(preferred, first, second), (1.0 - preferred, second, first)] {
                        let pair = Pair {
                            chosen: sequence(chosen),
                            rejected: sequence(rejected),
                            reference_answer: None,
                            margin: 0.0,
                        };
                        let slope = dpo.loss(&pair);
                        gradient[chosen] += share * slope.chosen;
                        gradient[rejected] += share * slope.rejected;
                    }
                }
            }
            gradient
        };
        let rate = 4.0 / (beta * beta * COUNT as f64);
        for _ in 0..600 {
            let gradient = pull(&policy);
            for (log_prob, slope) in policy.iter_mut().zip(gradient) {
                *log_prob -= rate * slope;
            }
        }
        for (found, wanted) in log_normalised(&policy).iter().zip(&optimum) {
            close(&format!("β = {beta}"), found.exp(), wanted.exp(), 1e-6);
        }
    }
}

/// The other half of O2, the critique that led to IPO: labels that are never contradicted drive the rejected response's
/// probability to 0 under DPO whatever β is, and to a finite ratio under IPO.
#[test]
fn deterministic_preferences_have_no_finite_optimum_under_dpo() {
    let descend = |method: &dyn PairLoss, rate: f64, steps: usize| {
        let mut gap = 0.0;
        for _ in 0..steps {
            let sequence = |log_prob| Sequence { log_prob, reference: 0.0, length: 1.0 };
            let slope = method.loss(&Pair {
                chosen: sequence(gap),
                rejected: sequence(0.0),
                reference_answer: None,
                margin: 0.0,
            });
            gap -= rate * slope.chosen;
        }
        gap
    };
    for beta in [0.1, 1.0] {
        let [early, late] = [1_000, 100_000].map(|steps| beta * descend(&Dpo::new(beta), 1.0 / (beta * beta), steps));
        assert!(late > early + 4.0, "β = {beta}: the implied margin went from {early} to {late}");
    }
    close("ipo", descend(&Ipo { tau: 0.1, length_normalised: false }, 0.1, 1_000), 5.0, 1e-9);
}
