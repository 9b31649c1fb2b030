use camelid_kernels::{AttentionLayout, AttentionShape, Backend, Compute, Cpu, CpuOptions, DType, KeySpan, QueryRun};
use proptest::prelude::*;

use crate::harness::{Tolerance, activation, agree, config, host, values};

/// Trees of runs: each run but a tree's first continues a run before it, chosen by `parents`.
pub(crate) fn forest(trees: &[Vec<(u32, usize)>]) -> AttentionLayout {
    let mut layout = AttentionLayout::default();
    let mut row = 0;
    for tree in trees {
        let first = layout.runs.len();
        for (index, &(len, parent)) in tree.iter().enumerate() {
            let mut run = QueryRun { row, len, position: 0, context: Vec::new(), own_key_row: row };
            if index > 0 {
                let parent = &layout.runs[first + parent % index];
                run.position = parent.position + parent.len;
                run.context.clone_from(&parent.context);
                run.context.push(KeySpan { row: parent.row, len: parent.len, position: parent.position });
            }
            row += len;
            layout.runs.push(run);
        }
    }
    (layout.query_rows, layout.key_rows) = (row, row);
    layout
}

fn shapes() -> impl Strategy<Value = AttentionShape> {
    let heads = prop_oneof![Just((1, 1)), Just((2, 2)), Just((4, 2)), Just((3, 1)), Just((9, 3))];
    let head_dim = prop_oneof![Just(4_usize), Just(16), Just(20), Just(64), Just(65)];
    let softcap = prop_oneof![Just(None), Just(Some(2.0_f32))];
    let window = prop_oneof![Just(None), Just(Some(1_u32)), Just(Some(7)), Just(Some(70))];
    (heads, head_dim, softcap, window).prop_map(|((heads, kv_heads), head_dim, softcap, window)| AttentionShape {
        heads,
        kv_heads,
        head_dim,
        scale: 1.0 / (head_dim as f32).sqrt(),
        softcap,
        window,
    })
}

/// In bf16 the backward starts from rounded outputs, which shift every gradient of a row together, and the weights and
/// their cotangents are rounded before they are multiplied.
const TOLERANCE: Tolerance = Tolerance { f32: 2e-5, bf16: 0.2 };

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn over_a_forest(
        shape in shapes(),
        trees in prop::collection::vec(prop::collection::vec((prop_oneof![1_u32..10, 60_u32..70], 0_usize..9), 1..5), 1..4),
        seed in 0..99_u64,
    ) {
        let layout = forest(&trees);
        let rows = layout.query_rows as usize;
        let (width, kv_width) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        agree!(TOLERANCE, |b| {
            let plan = b.plan_attention(&layout);
            let q = activation(b, &values(rows * width, seed));
            let (k, v) = (activation(b, &values(rows * kv_width, seed + 1)), activation(b, &values(rows * kv_width, seed + 2)));
            let mut out = b.alloc(b.activation_dtype(), rows * width);
            let mut log_normalisers = b.alloc(DType::F32, rows * shape.heads);
            b.attention(shape, &plan, &q, &k, &v, &mut out, &mut log_normalisers);
            let dout = activation(b, &values(rows * width, seed + 3));
            let mut dq = b.alloc(b.activation_dtype(), rows * width);
            let [mut dk, mut dv] = [(); 2].map(|()| b.alloc(b.activation_dtype(), rows * kv_width));
            b.attention_backward(
                shape, &plan, &dout, &q, &k, &v, &out, &log_normalisers, &mut dq, &mut dk, &mut dv,
            );
            [&out, &log_normalisers, &dq, &dk, &dv].map(|buffer| host(b, buffer)).to_vec()
        });
    }

    #[test]
    fn from_a_cache(shape in shapes(), history in 1_u32..150, new in 1_u32..5, cut in 0_u32..150, seed in 0..99_u64) {
        // The history lies in two stretches of the cache, out of order, and the new tokens' keys between them.
        let cut = cut.min(history);
        let spans = [KeySpan { row: history - cut + new, len: cut, position: 0 }, KeySpan { row: 0, len: history - cut, position: cut }];
        let context = spans.into_iter().filter(|span| span.len > 0).collect();
        let run = QueryRun { row: 0, len: new, position: history, context, own_key_row: history - cut };
        let layout = AttentionLayout { runs: vec![run], query_rows: new, key_rows: history + new };
        let (rows, keys) = (new as usize, (history + new) as usize);
        let (width, kv_width) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        agree!(TOLERANCE, |b| {
            let q = activation(b, &values(rows * width, seed));
            let (k, v) = (activation(b, &values(keys * kv_width, seed + 1)), activation(b, &values(keys * kv_width, seed + 2)));
            let mut out = b.alloc(b.activation_dtype(), rows * width);
            let mut log_normalisers = b.alloc(DType::F32, rows * shape.heads);
            b.attention(shape, &b.plan_attention(&layout), &q, &k, &v, &mut out, &mut log_normalisers);
            vec![host(b, &out), host(b, &log_normalisers)]
        });
    }
}

#[test]
fn long_sequences() {
    let shape = AttentionShape { heads: 3, kv_heads: 1, head_dim: 64, scale: 0.125, softcap: None, window: None };
    let layout = forest(&[vec![(300, 0)], vec![(1, 0), (200, 0), (33, 0)]]);
    let rows = layout.query_rows as usize;
    let loud = |len, seed| values(len, seed).iter().map(|x| 4.0 * x).collect::<Vec<f32>>();
    agree!(TOLERANCE, |b| {
        let plan = b.plan_attention(&layout);
        let q = activation(b, &loud(rows * 192, 1));
        let (k, v) = (activation(b, &values(rows * 64, 2)), activation(b, &values(rows * 64, 3)));
        let mut out = b.alloc(b.activation_dtype(), rows * 192);
        let mut log_normalisers = b.alloc(DType::F32, rows * 3);
        b.attention(shape, &plan, &q, &k, &v, &mut out, &mut log_normalisers);
        vec![host(b, &out), host(b, &log_normalisers)]
    });
}

proptest! {
    #![proptest_config(config(48))]

    /// The last rows of a sequence alone, with what came before in a cache, and as a part of the whole.
    #[test]
    fn a_few_queries_have_the_bits_of_many(shape in shapes(), history in 1_u32..150, new in 1_u32..4, seed in 0..99_u64) {
        let all = (history + new) as usize;
        let (width, kv_width) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
        for compute in [Compute::Bf16, Compute::F32] {
            let cpu = Cpu::new(CpuOptions { threads: Some(1), compute });
            let run = |first: u32, len: u32| {
                let context = if first > 0 { vec![KeySpan { row: 0, len: first, position: 0 }] } else { Vec::new() };
                let runs = vec![QueryRun { row: 0, len, position: first, context, own_key_row: first }];
                let layout = AttentionLayout { runs, query_rows: len, key_rows: history + new };
                let q = values(all * width, seed);
                let q = activation(&cpu, &q[first as usize * width..(first + len) as usize * width]);
                let (k, v) = (activation(&cpu, &values(all * kv_width, seed + 1)), activation(&cpu, &values(all * kv_width, seed + 2)));
                let mut out = cpu.alloc(cpu.activation_dtype(), len as usize * width);
                let mut log_normalisers = cpu.alloc(DType::F32, len as usize * shape.heads);
                cpu.attention(shape, &cpu.plan_attention(&layout), &q, &k, &v, &mut out, &mut log_normalisers);
                (host(&cpu, &out), host(&cpu, &log_normalisers))
            };
            let (whole, alone) = (run(0, history + new), run(history, new));
            prop_assert_eq!(&whole.0[history as usize * width..], &alone.0[..]);
            prop_assert_eq!(&whole.1[history as usize * shape.heads..], &alone.1[..]);
        }
    }
}
