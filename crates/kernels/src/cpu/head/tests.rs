//! The head against plain `f64` loops, its backward against finite differences of those loops.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::backend::Directions;
use crate::cpu::gemm::prepare;
use crate::cpu::simd::SimdLevel;
use crate::cpu::testing::{Machine, host, levels, values};

#[derive(Clone, Debug)]
struct Case {
    rows: usize,
    input: usize,
    vocabulary: usize,
    softcap: Option<f32>,
    /// Whether the weight is laid out before the calls.
    prepared: bool,
    hidden: Vec<f32>,
    weight: Vec<f32>,
    of_rows: Vec<u32>,
    tokens: Vec<u32>,
}

impl Case {
    /// Values are exact in bf16, so that both compute modes have the same mathematical result.
    fn new(rows: usize, input: usize, vocabulary: usize, targets: usize, softcap: Option<f32>, seed: u64) -> Self {
        let exact = |values: Vec<f32>, scale: f32| -> Vec<f32> {
            values.into_iter().map(|value| bf16::from_f32(scale * value).to_f32()).collect()
        };
        let picks = values(2 * targets, seed + 2);
        let pick =
            |value: f32, below: usize| ((f32::midpoint(value, 1.0) * below as f32) as usize).min(below - 1) as u32;
        let mut of_rows: Vec<u32> = picks[..targets].iter().map(|&value| pick(value, rows)).collect();
        of_rows.sort_unstable();
        Self {
            rows,
            input,
            vocabulary,
            softcap,
            prepared: true,
            hidden: exact(values(rows * input, seed), 2.0),
            weight: exact(values(vocabulary * input, seed + 1), 1.0),
            of_rows,
            tokens: picks[targets..].iter().map(|&value| pick(value, vocabulary)).collect(),
        }
    }

    fn logits(&self, hidden: &[f64], weight: &[f64], row: usize) -> Vec<f64> {
        let hidden = &hidden[row * self.input..][..self.input];
        (0..self.vocabulary)
            .map(|token| {
                let logit: f64 = hidden.iter().zip(&weight[token * self.input..]).map(|(a, b)| a * b).sum();
                self.softcap.map_or(logit, |cap| f64::from(cap) * (logit / f64::from(cap)).tanh())
            })
            .collect()
    }

    /// Log-probability, entropy and hit of every target, and the rows' log-normalisers.
    fn oracle(&self, hidden: &[f64], weight: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>) {
        let rows: Vec<(Vec<f64>, f64)> = (0..self.rows)
            .map(|row| {
                let logits = self.logits(hidden, weight, row);
                let normaliser = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
                (logits, normaliser)
            })
            .collect();
        let (mut log_probs, mut entropies, mut hits) = (Vec::new(), Vec::new(), Vec::new());
        for (&row, &token) in self.of_rows.iter().zip(&self.tokens) {
            let (logits, normaliser) = &rows[row as usize];
            let logit = logits[token as usize];
            log_probs.push(logit - normaliser);
            entropies.push(logits.iter().map(|logit| (normaliser - logit) * (logit - normaliser).exp()).sum());
            hits.push(if logits.iter().all(|&other| other <= logit) { 1.0 } else { 0.0 });
        }
        (log_probs, entropies, hits, rows.into_iter().map(|(_, normaliser)| normaliser).collect())
    }

    /// `Σ c log_prob + Σ e entropy`, the scalar that the backward differentiates.
    fn objective(&self, hidden: &[f64], weight: &[f64], c: &[f32], e: Option<&[f32]>) -> f64 {
        let (log_probs, entropies, ..) = self.oracle(hidden, weight);
        let dot = |a: &[f32], b: &[f64]| a.iter().zip(b).map(|(&a, b)| f64::from(a) * b).sum::<f64>();
        dot(c, &log_probs) + e.map_or(0.0, |e| dot(e, &entropies))
    }
}

/// Log-probabilities, entropies, hits, log-normalisers, gradient of hidden, gradient of the weight.
type Results = [Vec<f32>; 6];

fn run(machine: &Machine, case: &Case, c: &[f32], e: Option<&[f32]>, dtype: DType) -> Results {
    let ctx = machine.context();
    let count = case.tokens.len();
    let weight = machine.buffer(DType::F32, &case.weight);
    let matrix = prepare(&ctx, &weight, case.vocabulary, case.input, Directions::Both);
    let as_values = Weight::Values { values: &weight, out: case.vocabulary, input: case.input };
    let weight = if case.prepared { Weight::Prepared(&matrix) } else { as_values };
    let hidden = machine.buffer(dtype, &case.hidden);
    let (of_rows, tokens) = (machine.indices(&case.of_rows), machine.indices(&case.tokens));
    let targets = || HeadTargets { rows: &of_rows, tokens: &tokens, count };
    let empty = |len: usize| machine.buffer(DType::F32, &vec![f32::NAN; len]);
    let (mut log_probs, mut entropies, mut hits) = (empty(count), empty(count), empty(count));
    let mut log_normalisers = empty(case.rows);
    let outputs = HeadOutputs {
        log_probs: &mut log_probs,
        entropies: Some(&mut entropies),
        hits: &mut hits,
        log_normalisers: &mut log_normalisers,
    };
    head(&ctx, &hidden, case.rows, weight, case.softcap, targets(), outputs);
    let c = machine.buffer(DType::F32, c);
    let e = e.map(|e| machine.buffer(DType::F32, e));
    let mut dhidden = machine.buffer(dtype, &vec![f32::NAN; case.hidden.len()]);
    let mut dweight = machine.buffer(DType::F32, &vec![0.5; case.weight.len()]);
    head_backward(
        &ctx,
        &hidden,
        case.rows,
        weight,
        case.softcap,
        targets(),
        &log_normalisers,
        HeadCotangents { log_probs: &c, entropies: e.as_ref() },
        &mut dhidden,
        Some(&mut dweight),
    );
    [&log_probs, &entropies, &hits, &log_normalisers, &dhidden, &dweight].map(host)
}

fn assert_close(what: &str, got: &[f32], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (index, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        let error = (f64::from(got) - wanted).abs();
        assert!(error <= tolerance * wanted.abs().max(1.0), "{what}: element {index} is {got}, wanted {wanted}");
    }
}

fn check(level: SimdLevel, compute: Compute, case: &Case, with_entropy: bool) {
    let machine = Machine::new(level, compute, 2);
    let count = case.tokens.len();
    let c = values(count, 11);
    let e = with_entropy.then(|| values(count, 12));
    let [log_probs, entropies, hits, log_normalisers, dhidden, dweight] =
        run(&machine, case, &c, e.as_deref(), DType::F32);
    let hidden: Vec<f64> = case.hidden.iter().copied().map(f64::from).collect();
    let weight: Vec<f64> = case.weight.iter().copied().map(f64::from).collect();
    let wanted = case.oracle(&hidden, &weight);
    assert_close("log-probabilities", &log_probs, &wanted.0, 1e-5);
    assert_close("entropies", &entropies, &wanted.1, 1e-5);
    assert_close("hits", &hits, &wanted.2, 0.0);
    assert_close("log-normalisers", &log_normalisers, &wanted.3, 1e-5);

    // Cotangents of logits are rounded to bf16 in that mode.
    let tolerance = if compute == Compute::Bf16 { 2e-2 } else { 1e-4 };
    let step = 1e-4;
    let slope = |values: &[f64], index: usize, objective: &dyn Fn(&[f64]) -> f64| {
        let mut moved = values.to_vec();
        moved[index] += step;
        let up = objective(&moved);
        moved[index] -= 2.0 * step;
        (up - objective(&moved)) / (2.0 * step)
    };
    for index in (0..hidden.len()).step_by(hidden.len() / 7 + 1) {
        let wanted = slope(&hidden, index, &|hidden| case.objective(hidden, &weight, &c, e.as_deref()));
        assert_close("gradient of hidden", &[dhidden[index]], &[wanted], tolerance);
    }
    for index in (0..weight.len()).step_by(weight.len() / 7 + 1) {
        let wanted = 0.5 + slope(&weight, index, &|weight| case.objective(&hidden, weight, &c, e.as_deref()));
        assert_close("gradient of the weight", &[dweight[index]], &[wanted], tolerance);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn agrees_with_loops_and_finite_differences(
        rows in 1..40_usize, input in 1..40_usize, vocabulary in 1..130_usize, targets in 0..60_usize,
        softcap in prop_oneof![Just(None), Just(Some(5.0_f32))], with_entropy: bool, seed in 0..1000_u64,
    ) {
        let case = Case::new(rows, input, vocabulary, targets, softcap, seed);
        for compute in [Compute::F32, Compute::Bf16] {
            for level in levels(compute) {
                check(level, compute, &case, with_entropy);
            }
        }
    }
}

/// Several tiles and blocks in both directions.
#[test]
fn agrees_with_loops_over_many_blocks() {
    let case = Case::new(TILE_ROWS + 3, 8, BLOCK_COLUMNS + TILE_COLUMNS + 33, 150, Some(20.0), 5);
    for compute in [Compute::F32, Compute::Bf16] {
        if let Some(&level) = levels(compute).first() {
            check(level, compute, &case, true);
        }
    }
    let case = Case::new(BLOCK_TILES * TILE_ROWS + 5, 4, 40, 900, None, 6);
    check(SimdLevel::detect(), Compute::F32, &case, true);
}

#[test]
fn bits_do_not_depend_on_the_team() {
    let case = Case::new(300, 24, 3000, 400, None, 7);
    let (c, e) = (values(400, 1), values(400, 2));
    for compute in [Compute::F32, Compute::Bf16] {
        for level in levels(compute) {
            let results: Vec<Results> = [1, 2, 3]
                .into_iter()
                .map(|threads| run(&Machine::new(level, compute, threads), &case, &c, Some(&e), DType::Bf16))
                .collect();
            assert!(results[0] == results[1] && results[0] == results[2], "{level:?} {compute:?}");
        }
    }
}

/// A row's log-probability has the same bits alone and among others.
#[test]
fn bits_do_not_depend_on_the_other_rows() {
    let case = Case::new(150, 24, 1500, 150, None, 8);
    let case = Case { of_rows: (0..150).collect(), ..case };
    for compute in [Compute::F32, Compute::Bf16] {
        for level in levels(compute) {
            let machine = Machine::new(level, compute, 2);
            let [together, ..] = run(&machine, &case, &[0.0; 150], None, DType::F32);
            for row in [0, 13, 14, 149] {
                let alone = Case {
                    rows: 1,
                    hidden: case.hidden[row * 24..][..24].to_vec(),
                    of_rows: vec![0],
                    tokens: vec![case.tokens[row]],
                    ..case.clone()
                };
                let [log_probs, ..] = run(&machine, &alone, &[0.0], None, DType::F32);
                assert!(log_probs[0].to_bits() == together[row].to_bits(), "{level:?} {compute:?}: row {row}");
            }
        }
    }
}

#[test]
fn a_weight_given_as_values_gives_the_bits_of_a_prepared_one() {
    // More rows than a block of the backward, a vocabulary that ends inside a second stretch.
    let (rows, vocabulary) = (BLOCK_TILES * TILE_ROWS + 5, STRETCH_GROUPS * TILE_COLUMNS + 700);
    let prepared = Case::new(rows, 12, vocabulary, rows, None, 6);
    let as_values = Case { prepared: false, ..prepared.clone() };
    for compute in [Compute::F32, Compute::Bf16] {
        let machine = Machine::new(SimdLevel::detect(), compute, 2);
        let [a, b] = [&prepared, &as_values].map(|case| run(&machine, case, &vec![0.5; rows], None, DType::F32));
        assert!(a == b, "{compute:?}");
    }
}

#[test]
fn without_targets_gradients_are_zero() {
    let case = Case::new(5, 6, 70, 0, None, 9);
    let machine = Machine::new(SimdLevel::detect(), Compute::F32, 2);
    let [log_probs, _, _, _, dhidden, dweight] = run(&machine, &case, &[], Some(&[]), DType::F32);
    assert!(log_probs.is_empty());
    assert!(dhidden.iter().all(|&value| value == 0.0));
    assert!(dweight.iter().all(|value| value.to_bits() == 0.5_f32.to_bits()));
}

#[test]
fn a_poisoned_row_stays_visible() {
    let mut case = Case::new(3, 4, 40, 3, None, 10);
    case.of_rows = vec![0, 1, 2];
    case.hidden[5] = f32::NAN;
    let machine = Machine::new(SimdLevel::detect(), Compute::F32, 1);
    let [log_probs, ..] = run(&machine, &case, &[1.0; 3], None, DType::F32);
    assert!(!log_probs[0].is_nan() && log_probs[1].is_nan() && !log_probs[2].is_nan());
}
