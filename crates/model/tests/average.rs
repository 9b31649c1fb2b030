//! The kept copy of the trained parameters as their exponential moving average.

mod support;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, Reference};
use camelid_model::{Engine, LowRank, StateTensor, Transformer, TransformerOptions, Tuning, Update, Want};
use support::{Golden, UPDATE, gradients_of};

const SHARE: f32 = 0.25;

fn state(engine: &dyn Engine) -> Vec<StateTensor> {
    let mut all = Vec::new();
    engine
        .visit_state(&mut |tensor| {
            all.push(tensor);
            Ok(())
        })
        .unwrap();
    all
}

/// Parameters only, and the kept copies only, in one order.
fn parameters(state: &[StateTensor]) -> Vec<f32> {
    let is_parameter =
        |name: &str| ![".first_moment", ".second_moment", ".reference"].iter().any(|s| name.ends_with(s));
    state.iter().filter(|tensor| is_parameter(&tensor.name)).flat_map(|tensor| tensor.values.clone()).collect()
}

fn copies(state: &[StateTensor]) -> Vec<f32> {
    state.iter().filter(|t| t.name.ends_with(".reference")).flat_map(|tensor| tensor.values.clone()).collect()
}

fn step<B: Backend>(engine: &mut Transformer<B>, golden: &Golden) {
    gradients_of(engine, &golden.forest());
    engine.update(&Update { learning_rate: 1e-2, denominator: 13.0, ..UPDATE }).unwrap();
    engine.update_reference(SHARE).unwrap();
}

/// `state` is what goes into a checkpoint, so values of the reference, which are wider, come back rounded to `f32`.
#[track_caller]
fn close(a: &[f32], b: impl IntoIterator<Item = f64>, tolerance: f64) {
    for (&a, b) in a.iter().zip(b) {
        assert!((f64::from(a) - b).abs() <= tolerance * b.abs().max(1.0), "{a}, {b}");
    }
}

fn check<B: Backend>(golden: &Golden, tuning: &Tuning, backend: impl Fn() -> B, tolerance: f64) {
    let options = TransformerOptions { keep_reference: true, ..TransformerOptions::default() };
    let engine = || golden.engine_with(backend(), tuning.clone(), options);
    let mut straight = engine();
    let mut average: Vec<f64> = parameters(&state(&straight)).into_iter().map(f64::from).collect();
    let mut saved = Vec::new();
    for index in 0..4 {
        step(&mut straight, golden);
        for (mean, now) in average.iter_mut().zip(parameters(&state(&straight))) {
            *mean = f64::from(1.0 - SHARE) * *mean + f64::from(SHARE) * f64::from(now);
        }
        if index == 1 {
            saved = state(&straight);
        }
    }
    // From the checkpoint after the second step, the same average comes out.
    let mut resumed = engine();
    let fetch = &mut |name: &str| Ok(saved.iter().find(|tensor| tensor.name == name).unwrap().values.clone());
    resumed.restore_state(2, fetch).unwrap();
    for _ in 2..4 {
        step(&mut resumed, golden);
    }
    let (before, expected) = (state(&resumed), state(&straight));
    for (a, b) in before.iter().zip(&expected) {
        close(&a.values, b.values.iter().map(|&x| f64::from(x)), tolerance);
    }

    assert!(parameters(&before) != copies(&before), "the average lags behind");
    resumed.take_reference().unwrap();
    let after = state(&resumed);
    assert_eq!(parameters(&after), copies(&before));
    assert_eq!(copies(&after), copies(&before));
    close(&parameters(&after), average, 1e-6);
    // What is scored is the average, too.
    let forest = golden.forest();
    let reference = straight.forward(&forest, Want { reference: true, ..Want::default() }).unwrap();
    let scores = resumed.forward(&forest, Want::default()).unwrap();
    close(&scores.log_probs, reference.log_probs.iter().map(|&x| f64::from(x)), tolerance);
}

#[test]
fn the_average_of_the_parameters_is_taken_up_and_survives_a_checkpoint() {
    let low_rank = LowRank { rank: 2, alpha: 4.0, rslora: false, dropout: 0.0, targets: vec!["all-linear".to_owned()] };
    let golden = Golden::read("llama");
    for tuning in [Tuning::Full, Tuning::LowRank(low_rank)] {
        check(&golden, &tuning, || Reference::new(Compute::F32), 1e-5);
        for compute in [Compute::F32, Compute::Bf16] {
            check(&golden, &tuning, || Cpu::new(CpuOptions { compute, threads: Some(2) }), 0.0);
        }
    }
}

#[test]
fn a_model_without_a_copy_has_none_to_take_up() {
    let mut engine = Golden::read("llama").engine(Reference::new(Compute::F32), Tuning::Full);
    let error = engine.take_reference().unwrap_err().to_string();
    assert!(error.contains("keep_reference"), "{error}");
}
