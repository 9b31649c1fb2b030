//! The reference's backward passes against finite differences of its forward passes, in `f64` from end to end.
//!
//! The loss is half the sum of squares of the outputs, whose cotangents are the outputs themselves; neither leaves the
//! backend, where a host copy would be rounded to `f32`.

use camelid_kernels::{
    Activation, AttentionShape, Backend, DType, Directions, HeadCotangents, HeadOutputs, HeadTargets, Product,
    Reference, RopeShape, Shape, Weight,
};

use crate::attention::forest;
use crate::harness::{REFERENCE, host, values};

type Buffer = <Reference as Backend>::Buffer;

fn half_square(outputs: &[Buffer]) -> f64 {
    outputs.iter().map(|output| 0.5 * REFERENCE.sum_of_squares(output, REFERENCE.len(output))).sum()
}

fn zeros(len: usize) -> Buffer {
    REFERENCE.zeros(DType::F32, len)
}

/// Compares the gradients of all inputs. `forward` answers the outputs; `backward` answers, from inputs and outputs,
/// a gradient for each input.
#[track_caller]
fn check(
    inputs: &[Vec<f32>],
    forward: impl Fn(&[Buffer]) -> Vec<Buffer>,
    backward: impl Fn(&[Buffer], &[Buffer]) -> Vec<Buffer>,
) {
    /// A power of two, so that moved inputs are exact in `f32`; small enough for the fourth-order formula.
    const STEP: f32 = 1.0 / 256.0;
    let upload = |inputs: &[Vec<f32>]| inputs.iter().map(|input| REFERENCE.upload(input)).collect::<Vec<Buffer>>();
    let buffers = upload(inputs);
    let gradients = backward(&buffers, &forward(&buffers));
    assert_eq!(gradients.len(), inputs.len());
    for (input, gradient) in gradients.iter().enumerate() {
        for (element, got) in host(&*REFERENCE, gradient).into_iter().enumerate() {
            let loss = |steps: f32| {
                let mut moved = inputs.to_vec();
                moved[input][element] += steps * STEP;
                half_square(&forward(&upload(&moved)))
            };
            let near = loss(1.0) - loss(-1.0);
            let far = loss(2.0) - loss(-2.0);
            let wanted = (8.0 * near - far) / (12.0 * f64::from(STEP));
            assert!(
                (f64::from(got) - wanted).abs() <= 1e-6 * (1.0 + wanted.abs()),
                "input {input}, element {element}: {got}, by differences {wanted}"
            );
        }
    }
}

fn inputs(lengths: &[usize]) -> Vec<Vec<f32>> {
    lengths.iter().zip(50..).map(|(&len, seed)| values(len, seed)).collect()
}

#[test]
fn linear_layer() {
    let (rows, out, input) = (3, 4, 5);
    check(
        &inputs(&[rows * input, out * input, out]),
        |inputs| {
            let weight = REFERENCE.prepare(&inputs[1], out, input, Directions::Both);
            let mut y = zeros(rows * out);
            REFERENCE.linear(&inputs[0], rows, Weight::Prepared(&weight), Some(&inputs[2]), None, &mut y, false);
            vec![y]
        },
        |inputs, outputs| {
            let weight = REFERENCE.prepare(&inputs[1], out, input, Directions::Both);
            let (mut dx, mut dweight, mut dbias) = (zeros(rows * input), zeros(out * input), zeros(out));
            REFERENCE.linear_input_gradient(&outputs[0], rows, Weight::Prepared(&weight), None, &mut dx, false);
            let shape = Shape { m: out, n: input, k: rows };
            REFERENCE.matmul(Product::Tn, shape, 1.0, &outputs[0], &inputs[0], &mut dweight, false);
            REFERENCE.sum_rows(&outputs[0], rows, out, &mut dbias);
            vec![dx, dweight, dbias]
        },
    );
}

#[test]
fn rms_norm() {
    let (rows, width) = (3, 6);
    for offset in [0.0, 1.0] {
        check(
            &inputs(&[rows * width, width]),
            |inputs| {
                let (mut y, mut inverse) = (zeros(rows * width), zeros(rows));
                REFERENCE.rms_norm(&inputs[0], rows, width, &inputs[1], offset, 0.1, &mut y, &mut inverse);
                vec![y]
            },
            |inputs, outputs| {
                let (mut y, mut inverse) = (zeros(rows * width), zeros(rows));
                REFERENCE.rms_norm(&inputs[0], rows, width, &inputs[1], offset, 0.1, &mut y, &mut inverse);
                let (mut dx, mut dweight) = (zeros(rows * width), zeros(width));
                let [x, weight] = inputs else { unreachable!() };
                let dy = &outputs[0];
                REFERENCE.rms_norm_backward(
                    dy,
                    x,
                    rows,
                    width,
                    weight,
                    offset,
                    &inverse,
                    &mut dx,
                    false,
                    Some(&mut dweight),
                );
                vec![dx, dweight]
            },
        );
    }
}

#[test]
fn layer_norm() {
    let (rows, width) = (3, 6);
    let forward = |inputs: &[Buffer]| {
        let (mut y, mut statistics) = (zeros(rows * width), zeros(2 * rows));
        REFERENCE.layer_norm(&inputs[0], rows, width, &inputs[1], &inputs[2], 0.1, &mut y, &mut statistics);
        (y, statistics)
    };
    check(
        &inputs(&[rows * width, width, width]),
        |inputs| vec![forward(inputs).0],
        |inputs, outputs| {
            let (mut dx, mut dweight, mut dbias) = (zeros(rows * width), zeros(width), zeros(width));
            let statistics = forward(inputs).1;
            let parameters = Some((&mut dweight, &mut dbias));
            let (x, weight) = (&inputs[0], &inputs[1]);
            REFERENCE.layer_norm_backward(&outputs[0], x, rows, width, weight, &statistics, &mut dx, false, parameters);
            vec![dx, dweight, dbias]
        },
    );
}

#[test]
fn rotary_embedding() {
    // A turn keeps lengths, so a plain sum of squares could not see the angles: the outputs are weighted.
    let (rows, half) = (2, 3);
    let shape = RopeShape { heads: 2, head_dim: 8, rotary_dim: 2 * half };
    let len = rows * 16;
    let angles: Vec<f32> = values(5 * half, 3).iter().map(|angle| 3.0 * angle).collect();
    let part = |f: fn(f32) -> f32| REFERENCE.upload(&angles.iter().map(|&angle| f(angle)).collect::<Vec<f32>>());
    let turn = |x: &mut Buffer, inverse| {
        let positions = REFERENCE.upload_u32(&[4, 1]);
        REFERENCE.rope(x, rows, shape, &positions, &part(f32::cos), &part(f32::sin), inverse);
    };
    // The trait has no plain product of two buffers, but a gate beyond 40 is one: silu(x) is x there.
    let weight: Vec<f32> = values(len, 9).iter().map(|w| 40.0 * (1.0 + w.abs())).collect();
    let weighted = |x: &Buffer| {
        let mut y = zeros(len);
        REFERENCE.gated(Activation::Silu, &REFERENCE.upload(&weight), x, len, &mut y);
        y
    };
    check(
        &inputs(&[len]),
        |inputs| {
            let mut x = zeros(len);
            REFERENCE.copy(&inputs[0], &mut x, len);
            turn(&mut x, false);
            vec![weighted(&x)]
        },
        |_, outputs| {
            let mut dx = weighted(&outputs[0]);
            turn(&mut dx, true);
            vec![dx]
        },
    );
}

#[test]
fn activations_and_gated_units() {
    for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
        let spread = |mut inputs: Vec<Vec<f32>>| {
            inputs[0].iter_mut().for_each(|x| *x *= 4.0);
            inputs
        };
        check(
            &spread(inputs(&[40])),
            |inputs| {
                let mut out = zeros(40);
                REFERENCE.activate(activation, &inputs[0], 40, &mut out);
                vec![out]
            },
            |inputs, outputs| {
                let mut dx = zeros(40);
                REFERENCE.activate_backward(activation, &outputs[0], &inputs[0], 40, &mut dx);
                vec![dx]
            },
        );
        check(
            &spread(inputs(&[40, 40])),
            |inputs| {
                let mut out = zeros(40);
                REFERENCE.gated(activation, &inputs[0], &inputs[1], 40, &mut out);
                vec![out]
            },
            |inputs, outputs| {
                let (mut dgate, mut dup) = (zeros(40), zeros(40));
                let (gate, up) = (&inputs[0], &inputs[1]);
                REFERENCE.gated_backward(activation, &outputs[0], gate, up, 40, &mut dgate, &mut dup);
                vec![dgate, dup]
            },
        );
    }
}

#[test]
fn attention() {
    let layout = forest(&[vec![(2, 0), (2, 0), (1, 1)], vec![(3, 0)]]);
    let rows = layout.query_rows as usize;
    for (softcap, window) in [(None, None), (Some(1.5), None), (None, Some(2)), (Some(1.5), Some(3))] {
        let shape = AttentionShape { heads: 2, kv_heads: 1, head_dim: 3, scale: 0.9, softcap, window };
        let forward = |inputs: &[Buffer]| {
            let (mut out, mut log_normalisers) = (zeros(rows * 6), zeros(rows * 2));
            let [q, k, v] = inputs else { unreachable!() };
            REFERENCE.attention(shape, &layout, q, k, v, &mut out, &mut log_normalisers);
            (out, log_normalisers)
        };
        check(
            &inputs(&[rows * 6, rows * 3, rows * 3]),
            |inputs| vec![forward(inputs).0],
            |inputs, outputs| {
                let (mut dq, mut dk, mut dv) = (zeros(rows * 6), zeros(rows * 3), zeros(rows * 3));
                let (out, log_normalisers) = forward(inputs);
                let [q, k, v] = inputs else { unreachable!() };
                let dout = &outputs[0];
                REFERENCE.attention_backward(
                    shape,
                    &layout,
                    dout,
                    q,
                    k,
                    v,
                    &out,
                    &log_normalisers,
                    &mut dq,
                    &mut dk,
                    &mut dv,
                );
                vec![dq, dk, dv]
            },
        );
    }
}

#[test]
fn head() {
    let (rows, input, vocabulary, count) = (3, 4, 6, 5);
    let of_rows = REFERENCE.upload_u32(&[0, 0, 1, 2, 2]);
    let tokens = REFERENCE.upload_u32(&[5, 1, 0, 3, 3]);
    let targets = HeadTargets { rows: &of_rows, tokens: &tokens, count };
    for softcap in [None, Some(1.5)] {
        let prepare = |inputs: &[Buffer]| REFERENCE.prepare(&inputs[1], vocabulary, input, Directions::Both);
        check(
            &inputs(&[rows * input, vocabulary * input]),
            |inputs| {
                let [mut log_probs, mut entropies, mut hits] = [(); 3].map(|()| zeros(count));
                let mut log_normalisers = zeros(rows);
                let outputs = HeadOutputs {
                    log_probs: &mut log_probs,
                    entropies: Some(&mut entropies),
                    hits: &mut hits,
                    log_normalisers: &mut log_normalisers,
                };
                REFERENCE.head(&inputs[0], rows, Weight::Prepared(&prepare(inputs)), softcap, targets, outputs);
                vec![log_probs, entropies]
            },
            |inputs, outputs| {
                let (mut dhidden, mut dweight) = (zeros(rows * input), zeros(vocabulary * input));
                let cotangents = HeadCotangents { log_probs: &outputs[0], entropies: Some(&outputs[1]) };
                REFERENCE.head_backward(
                    &inputs[0],
                    rows,
                    Weight::Prepared(&prepare(inputs)),
                    softcap,
                    targets,
                    &zeros(rows),
                    cotangents,
                    &mut dhidden,
                    Some(&mut dweight),
                );
                vec![dhidden, dweight]
            },
        );
    }
}

#[test]
fn embedding_and_rows() {
    let (rows, width, vocabulary) = (4, 3, 5);
    let ids = REFERENCE.upload_u32(&[2, 0, 2, 4]);
    check(
        &inputs(&[vocabulary * width]),
        |inputs| {
            let mut out = zeros(rows * width);
            REFERENCE.embed(&inputs[0], &ids, rows, width, 1.5, &mut out);
            vec![out]
        },
        |_, outputs| {
            let mut gradient = zeros(vocabulary * width);
            REFERENCE.embed_backward(&outputs[0], &ids, rows, width, 1.5, &mut gradient);
            vec![gradient]
        },
    );
    let picks = REFERENCE.upload_u32(&[3, 1]);
    check(
        &inputs(&[vocabulary * width]),
        |inputs| {
            let mut out = zeros(2 * width);
            REFERENCE.gather_rows(&inputs[0], &picks, 2, width, &mut out);
            let mut dropped = zeros(2 * width);
            REFERENCE.dropout(&out, &mut dropped, 2 * width, 0.3, 7);
            vec![dropped]
        },
        |_, outputs| {
            let mut dout = zeros(2 * width);
            REFERENCE.dropout(&outputs[0], &mut dout, 2 * width, 0.3, 7);
            let mut gradient = zeros(vocabulary * width);
            REFERENCE.scatter_rows(&dout, &picks, 2, width, &mut gradient, false);
            vec![gradient]
        },
    );
}
