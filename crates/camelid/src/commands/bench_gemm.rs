//! `camelid bench gemm`: what this machine's matrix units reach.

use std::time::Instant;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, DType, Directions, Product, Shape, Weight};
use serde_json::json;

use crate::cli::{ComputeChoice, MachineArgs};

/// (rows, input, output): an MLP and the output projection of SmolLM2-135M at 1024 tokens, and a large square.
const SHAPES: [(usize, usize, usize); 3] = [(1024, 576, 1536), (1024, 576, 49152), (2048, 2048, 2048)];
/// Medians of this many timings, after two that are not counted.
const TIMINGS: usize = 7;
/// Each timing repeats the product until it has done about this much work.
const FLOPS_PER_TIMING: f64 = 3e10;

#[derive(Clone, Copy)]
enum Form {
    Forward,
    InputGradient,
    WeightGradient,
}

impl Form {
    const ALL: [Form; 3] = [Form::Forward, Form::InputGradient, Form::WeightGradient];

    fn name(self) -> &'static str {
        match self {
            Form::Forward => "forward",
            Form::InputGradient => "input_gradient",
            Form::WeightGradient => "weight_gradient",
        }
    }
}

pub(crate) fn run(json_wanted: bool, machine: &MachineArgs) {
    let precisions = match machine.compute {
        ComputeChoice::Bf16 => vec![Compute::Bf16],
        ComputeChoice::Auto if Cpu::supports_bf16() => vec![Compute::F32, Compute::Bf16],
        ComputeChoice::Auto | ComputeChoice::F32 => vec![Compute::F32],
    };
    let mut rates = serde_json::Map::new();
    for compute in precisions {
        let backend = Cpu::new(CpuOptions { threads: machine.threads, compute });
        if !json_wanted {
            println!("{}", backend.name());
        }
        for (rows, input, output) in SHAPES {
            for form in Form::ALL {
                let rate = gigaflops(&backend, form, rows, input, output);
                let precision = if backend.compute() == Compute::Bf16 { "bf16" } else { "f32" };
                let label = format!("{precision} {} {rows}x{input}x{output}", form.name());
                if !json_wanted {
                    println!("  {label:<44} {rate:>7.0} GFLOP/s");
                }
                rates.insert(label, json!(rate));
            }
        }
    }
    if json_wanted {
        println!("{}", json!({ "rates": rates }));
    }
}

/// Median rate of one product, billions of floating-point operations a second.
fn gigaflops<B: Backend>(backend: &B, form: Form, rows: usize, input: usize, output: usize) -> f64 {
    let activation = backend.activation_dtype();
    let numbers = |dtype: DType, len: usize| {
        let mut buffer = backend.zeros(dtype, len);
        backend.fill(&mut buffer, 0.5);
        buffer
    };
    let weight = numbers(activation, output * input);
    let x = numbers(activation, rows * input);
    let dy = numbers(activation, rows * output);
    match form {
        Form::Forward => {
            let matrix = backend.prepare(&weight, output, input, Directions::Forward);
            let mut y = backend.zeros(activation, rows * output);
            rate(rows, input, output, || backend.linear(&x, rows, Weight::Prepared(&matrix), None, None, &mut y, false))
        }
        Form::InputGradient => {
            let matrix = backend.prepare(&weight, output, input, Directions::Both);
            let mut dx = backend.zeros(activation, rows * input);
            rate(rows, input, output, || {
                backend.linear_input_gradient(&dy, rows, Weight::Prepared(&matrix), None, &mut dx, false);
            })
        }
        Form::WeightGradient => {
            let mut gradient = backend.zeros(DType::F32, output * input);
            let shape = Shape { m: output, n: input, k: rows };
            rate(rows, input, output, || backend.matmul(Product::Tn, shape, 1.0, &dy, &x, &mut gradient, false))
        }
    }
}

fn rate(rows: usize, input: usize, output: usize, mut product: impl FnMut()) -> f64 {
    let flops = 2.0 * rows as f64 * input as f64 * output as f64;
    let repeats = (FLOPS_PER_TIMING / flops).max(1.0) as u32;
    let mut seconds: Vec<f64> = (0..TIMINGS + 2)
        .map(|_| {
            let start = Instant::now();
            (0..repeats).for_each(|_| product());
            start.elapsed().as_secs_f64() / f64::from(repeats)
        })
        .skip(2)
        .collect();
    seconds.sort_by(f64::total_cmp);
    flops / seconds[TIMINGS / 2] / 1e9
}
