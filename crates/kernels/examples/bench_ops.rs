use camelid_kernels::*;
use std::time::Instant;
fn time(name: &str, bytes: usize, mut f: impl FnMut()) {
    f();
    let mut best = f64::MAX;
    for _ in 0..7 {
        let t = Instant::now();
        f();
        best = best.min(t.elapsed().as_secs_f64());
    }
    println!("{name:28} {:9.3} ms  {:7.2} GB/s", best * 1e3, bytes as f64 / best / 1e9);
}
fn main() {
    for threads in [1, 2] {
        for compute in [Compute::F32, Compute::Bf16] {
            let b = Cpu::new(CpuOptions { threads: Some(threads), compute });
            println!("== {} {:?}", b.name(), compute);
            let dt = b.activation_dtype();
            let s = if dt == DType::F32 { 4 } else { 2 };
            let (rows, width, ff) = (4096usize, 576usize, 1536usize);
            let n = rows * width;
            let nf = rows * ff;
            let h: Vec<f32> = (0..nf).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
            let act = |len: usize| {
                let mut x = b.alloc(dt, len);
                b.write(&mut x, 0, &h[..len]);
                x
            };
            let x = b.upload(&h[..n]);
            let w = b.upload(&h[..width]);
            let mut y = act(n);
            let mut inv = b.zeros(DType::F32, rows * 2);
            let mut dx = b.upload(&h[..n]);
            let mut dw = b.zeros(DType::F32, width);
            let mut db = b.zeros(DType::F32, width);
            let big = 1 << 25;
            if compute == Compute::F32 {
                let (mut p, mut m, mut v) =
                    (b.zeros(DType::F32, big), b.zeros(DType::F32, big), b.zeros(DType::F32, big));
                let mut g = b.zeros(DType::F32, big);
                b.fill(&mut g, 0.1);
                time("adamw 33M", big * 28, || {
                    b.adamw(
                        AdamW {
                            learning_rate: 1e-3,
                            beta1: 0.9,
                            beta2: 0.999,
                            epsilon: 1e-8,
                            weight_decay: 0.1,
                            step: 3,
                            gradient_scale: 1.0,
                        },
                        &mut p,
                        &g,
                        &mut m,
                        &mut v,
                        big,
                    );
                });
                time("sum_of_squares 33M", big * 4, || {
                    std::hint::black_box(b.sum_of_squares(&g, big));
                });
                time("fill 33M", big * 4, || b.fill(&mut g, 0.1));
                time("copy 33M", big * 8, || b.copy(&p, &mut g, big));
                let mut q = b.alloc(DType::Bf16, big);
                time("copy f32->bf16 33M", big * 6, || b.copy(&p, &mut q, big));
            }
            time("rms_norm", n * (4 + s), || b.rms_norm(&x, rows, width, &w, 0.0, 1e-5, &mut y, &mut inv));
            time("rms_norm_backward dw", n * (4 * 3 + s), || {
                b.rms_norm_backward(&y, &x, rows, width, &w, 0.0, &inv, &mut dx, true, Some(&mut dw));
            });
            time("rms_norm_backward", n * (4 * 3 + s), || {
                b.rms_norm_backward(&y, &x, rows, width, &w, 0.0, &inv, &mut dx, true, None);
            });
            b.fill(&mut dx, 0.5);
            time("layer_norm", n * (4 + s), || b.layer_norm(&x, rows, width, &w, &w, 1e-5, &mut y, &mut inv));
            time("layer_norm_backward", n * (4 * 3 + s), || {
                b.layer_norm_backward(&y, &x, rows, width, &w, &inv, &mut dx, true, Some((&mut dw, &mut db)));
            });
            let (gate, up, mut out) = (act(nf), act(nf), act(nf));
            let (mut dg, mut du) = (act(nf), act(nf));
            for a in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
                time(&format!("gated {a:?}"), nf * 3 * s, || b.gated(a, &gate, &up, nf, &mut out));
                time(&format!("gated_backward {a:?}"), nf * 5 * s, || {
                    b.gated_backward(a, &out, &gate, &up, nf, &mut dg, &mut du);
                });
            }
            let pos = b.upload_u32(&(0..rows as u32).collect::<Vec<_>>());
            let cs = b.upload(&h[..rows * 32]);
            time("rope 9x64", n * 2 * s, || {
                b.rope(&mut y, rows, RopeShape { heads: 9, head_dim: 64, rotary_dim: 64 }, &pos, &cs, &cs, false);
            });
            let ids = b.upload_u32(&(0..rows as u32).map(|i| (i * i * 31) % 49152).collect::<Vec<_>>());
            let mut table = b.zeros(DType::F32, 49152 * width);
            time("embed", n * 8, || b.embed(&table, &ids, rows, width, 1.0, &mut dx));
            time("embed_backward", n * 12, || b.embed_backward(&dx, &ids, rows, width, 1.0, &mut table));
            time("dropout", n * 2 * s, || {
                let mut z = b.alloc(dt, n);
                b.dropout(&y, &mut z, n, 0.1, 7);
            });
            time("noise", n * 8, || b.add_uniform_noise(&mut dx, &inv, rows, width, 7));
            time("add_scaled", n * 12, || b.add_scaled(&mut dx, &x, 0.5, n));
            time("sum_rows", n * s, || b.sum_rows(&y, rows, width, &mut dw));
            time("gather", n * 8, || {
                let mut z = b.alloc(DType::F32, n);
                b.gather_rows(&x, &pos, rows, width, &mut z);
            });
            time("scatter", n * 8, || b.scatter_rows(&x, &pos, rows, width, &mut dx, false));
            time("fresh 32MB fill", 32 << 20, || {
                b.trim();
                let mut z = b.alloc(DType::F32, 8 << 20);
                b.fill(&mut z, 1.0);
            });
            let one = b.upload(&h[..width]);
            let mut o1 = act(width);
            time("1000x rms_norm row 1", 1000 * width * 8, || {
                for _ in 0..1000 {
                    b.rms_norm(&one, 1, width, &w, 0.0, 1e-5, &mut o1, &mut inv);
                }
            });
        }
    }
}
