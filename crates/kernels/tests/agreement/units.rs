//! Rotary embedding, activations and gated units.

use camelid_kernels::{Activation, Backend, DType, RopeShape};
use proptest::prelude::*;

use crate::harness::{Tolerance, agree, config, dtype, host, indices, size, typed, values};

const ACTIVATIONS: [Activation; 3] = [Activation::Silu, Activation::Gelu, Activation::GeluTanh];

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn rope(
        rows in size(),
        heads in 1_usize..5,
        half in prop_oneof![Just(0_usize), Just(1), Just(8), Just(16), Just(32), 1_usize..40],
        unturned in prop_oneof![Just(0_usize), 0_usize..20],
        of in dtype(),
        inverse in any::<bool>(),
        seed in 0..99_u64,
    ) {
        let shape = RopeShape { heads, head_dim: (2 * half + unturned).max(1), rotary_dim: 2 * half };
        let len = rows * heads * shape.head_dim;
        let positions = indices(rows, 50, seed);
        agree!(if of == DType::F32 { Tolerance { f32: 1e-5, bf16: 1e-5 } } else { Tolerance::STORED }, |b| {
            let mut x = typed(b, of, &values(len, seed));
            let (cos, sin) = (b.upload(&values(50 * half, seed + 1)), b.upload(&values(50 * half, seed + 2)));
            b.rope(&mut x, rows, shape, &b.upload_u32(&positions), &cos, &sin, inverse);
            vec![host(b, &x)]
        });
    }

    #[test]
    fn activations(len in 1_usize..3000, of in dtype(), scale in 1.0_f32..12.0, seed in 0..99_u64) {
        let wide = |len, seed| values(len, seed).iter().map(|x| x * scale).collect::<Vec<f32>>();
        for activation in ACTIVATIONS {
            agree!(Tolerance::STORED, |b| {
                // Through bf16, so that all backends start from the same numbers.
                let rounded = |values: &[f32]| typed(b, of, &bf16_values(values));
                let (x, up, dout) = (rounded(&wide(len, seed)), rounded(&values(len, seed + 1)), rounded(&values(len, seed + 2)));
                let [mut plain, mut dx, mut out, mut dgate, mut dup] = [(); 5].map(|()| b.alloc(of, len));
                b.activate(activation, &x, len, &mut plain);
                b.activate_backward(activation, &dout, &x, len, &mut dx);
                b.gated(activation, &x, &up, len, &mut out);
                b.gated_backward(activation, &dout, &x, &up, len, &mut dgate, &mut dup);
                [&plain, &dx, &out, &dgate, &dup].map(|buffer| host(b, buffer)).to_vec()
            });
        }
    }
}

fn bf16_values(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&value| half::bf16::from_f32(value).to_f32()).collect()
}

#[test]
fn in_f32_activations_are_exact_to_a_few_units() {
    for activation in ACTIVATIONS {
        agree!(Tolerance { f32: 1e-6, bf16: 1e-6 }, |b| {
            let len = 40_000;
            let x: Vec<f32> = (0..len).map(|i| i as f32 * 1e-3 - 20.0).collect();
            let (x, up) = (b.upload(&x), b.upload(&values(len, 1)));
            let [mut out, mut dgate, mut dup] = [(); 3].map(|()| b.alloc(DType::F32, len));
            b.gated(activation, &x, &up, len, &mut out);
            b.gated_backward(activation, &up, &x, &up, len, &mut dgate, &mut dup);
            [&out, &dgate, &dup].map(|buffer| host(b, buffer)).to_vec()
        });
    }
}
