use camelid_kernels::{Backend, DType, Directions, LowRank, Product, Shape, Weight};
use proptest::prelude::*;

use crate::harness::{Tolerance, activation, agree, config, host, size, values};

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn linear_layers(
        rows in size(),
        out in size(),
        input in size(),
        rank in prop_oneof![Just(0_usize), Just(8), 1_usize..20],
        bias in any::<bool>(),
        prepared in any::<bool>(),
        accumulate in any::<bool>(),
        seed in 0..99_u64,
    ) {
        agree!(Tolerance::ROUNDING, |b| {
            let numbers = b.upload(&values(out * input, seed + 1));
            let matrix = b.prepare(&numbers, out, input, Directions::Both);
            let weight =
                if prepared { Weight::Prepared(&matrix) } else { Weight::Values { values: &numbers, out, input } };
            let x = activation(b, &values(rows * input, seed + 2));
            let bias = bias.then(|| b.upload(&values(out, seed + 3)));
            let left = activation(b, &values(rows * rank, seed + 4));
            let (up, down) = (b.upload(&values(out * rank, seed + 5)), b.upload(&values(rank * input, seed + 6)));
            let thin = |right| (rank > 0).then_some(LowRank { left: &left, right, rank });
            // Onto the f32 residual stream when adding, into an activation otherwise.
            let output = |b, len, seed| {
                if accumulate { Backend::upload(b, &values(len, seed)) } else { activation(b, &values(len, seed)) }
            };
            let mut y = output(b, rows * out, seed + 7);
            b.linear(&x, rows, weight, bias.as_ref(), thin(&up), &mut y, accumulate);
            let dy = activation(b, &values(rows * out, seed + 8));
            let mut dx = output(b, rows * input, seed + 9);
            b.linear_input_gradient(&dy, rows, weight, thin(&down), &mut dx, accumulate);
            vec![host(b, &y), host(b, &dx)]
        });
    }

    #[test]
    fn general_products(m in size(), n in size(), k in size(), accumulate in any::<bool>(), seed in 0..99_u64) {
        for product in [Product::Nt, Product::Nn, Product::Tn] {
            agree!(Tolerance { f32: 1e-5, bf16: 1e-5 }, |b| {
                let (a, right) = (activation(b, &values(m * k, seed)), activation(b, &values(k * n, seed + 1)));
                let mut c = b.upload(&values(m * n, seed + 2));
                b.matmul(product, Shape { m, n, k }, 0.5, &a, &right, &mut c, accumulate);
                vec![host(b, &c)]
            });
        }
    }
}

#[test]
fn a_product_of_several_cache_blocks() {
    let (rows, out, input) = (150, 700, 2500);
    agree!(Tolerance::ROUNDING, |b| {
        let matrix = b.prepare(&b.upload(&values(out * input, 1)), out, input, Directions::Both);
        let weight = Weight::Prepared(&matrix);
        let x = activation(b, &values(rows * input, 2));
        let mut y = activation(b, &values(rows * out, 3));
        b.linear(&x, rows, weight, None, None, &mut y, false);
        let mut dx = b.alloc(DType::F32, rows * input);
        let dy = activation(b, &values(rows * out, 4));
        b.linear_input_gradient(&dy, rows, weight, None, &mut dx, false);
        vec![host(b, &y), host(b, &dx)]
    });
}
