//! GFLOP/s of the matrix products a linear layer needs, in both compute modes:
//! `cargo run --release -p camelid-kernels --example gemm_rates [THREADS]`.

use std::time::Instant;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, DType, Directions, LowRank, Product, Shape, Weight};

/// Rows, inputs, outputs.
const SHAPES: [(usize, usize, usize); 7] = [
    (1024, 576, 1536),
    (1024, 576, 49152),
    (2048, 2048, 2048),
    (1024, 576, 576),
    (1024, 576, 192),
    (1024, 1536, 576),
    (1, 576, 49152),
];
const RANK: usize = 16;
/// Floating-point operations of one timing.
const WORK: f64 = 1e10;
const TIMINGS: usize = 7;

/// GFLOP/s: the median of some timings.
fn rate(operations: f64, mut product: impl FnMut()) -> f64 {
    let repeats = ((WORK / operations) as usize).clamp(1, 1000);
    let mut seconds: Vec<f64> = (0..=TIMINGS)
        .map(|_| {
            let start = Instant::now();
            (0..repeats).for_each(|_| product());
            start.elapsed().as_secs_f64() / repeats as f64
        })
        .skip(1)
        .collect();
    seconds.sort_by(f64::total_cmp);
    operations / seconds[TIMINGS / 2] / 1e9
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|argument| argument.parse().ok());
    for compute in [Compute::Bf16, Compute::F32] {
        let cpu = Cpu::new(CpuOptions { threads, compute });
        if cpu.compute() != compute {
            println!("{compute:?}: not supported by this processor");
            continue;
        }
        println!("{}, {compute:?}, GFLOP/s", cpu.name());
        println!(
            "{:>18} {:>10} {:>10} {:>15} {:>15}",
            "shape", "forward", "with LoRA", "input gradient", "weight gradient"
        );
        for (rows, input, output) in SHAPES {
            measure(&cpu, rows, input, output);
        }
    }
}

fn measure(cpu: &Cpu, rows: usize, input: usize, output: usize) {
    let buffer = |dtype: DType, len: usize| {
        let mut buffer = cpu.alloc(dtype, len);
        let values: Vec<f32> = (0..len).map(|i| ((i * 7919) % 1013) as f32 / 506.0 - 1.0).collect();
        cpu.write(&mut buffer, 0, &values);
        buffer
    };
    let activation = cpu.activation_dtype();
    let matrix = cpu.prepare(&buffer(DType::F32, output * input), output, input, Directions::Both);
    let weight = Weight::Prepared(&matrix);
    let (x, dy) = (buffer(activation, rows * input), buffer(activation, rows * output));
    let (left, right) = (buffer(activation, rows * RANK), buffer(DType::F32, output * RANK));
    let (mut y, mut dx) = (cpu.alloc(activation, rows * output), cpu.alloc(activation, rows * input));
    let mut dweight = cpu.zeros(DType::F32, output * input);
    let operations = 2.0 * (rows * input * output) as f64;
    let forward = rate(operations, || cpu.linear(&x, rows, weight, None, None, &mut y, false));
    let adapted = rate(operations, || {
        let low_rank = LowRank { left: &left, right: &right, rank: RANK };
        cpu.linear(&x, rows, weight, None, Some(low_rank), &mut y, false);
    });
    let input_gradient = rate(operations, || cpu.linear_input_gradient(&dy, rows, weight, None, &mut dx, false));
    let shape = Shape { m: output, n: input, k: rows };
    let weight_gradient = rate(operations, || cpu.matmul(Product::Tn, shape, 1.0, &dy, &x, &mut dweight, true));
    let name = format!("{rows}x{input}x{output}");
    println!("{name:>18} {forward:>10.1} {adapted:>10.1} {input_gradient:>15.1} {weight_gradient:>15.1}");
}
