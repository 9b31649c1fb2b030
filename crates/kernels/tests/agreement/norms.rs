use camelid_kernels::{Backend, DType};
use proptest::prelude::*;

use crate::harness::{Tolerance, agree, config, dtype, host, size, typed, values};

const WIDE: Tolerance = Tolerance { f32: 5e-3, bf16: 5e-3 };

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn rms(
        rows in size(),
        // The gradient of a very narrow row is what two nearly equal terms leave over.
        width in size().prop_map(|size| size + 7),
        types in (dtype(), dtype(), dtype()),
        offset in prop_oneof![Just(0.0_f32), Just(1.0)],
        accumulate in any::<bool>(),
        seed in 0..99_u64,
    ) {
        let (of_x, of_y, of_weight) = types;
        let exact = [of_x, of_y, of_weight] == [DType::F32; 3];
        agree!(if exact { Tolerance { f32: 1e-5, bf16: 1e-5 } } else { WIDE }, |b| {
            let x = typed(b, of_x, &values(rows * width, seed));
            let weight = typed(b, of_weight, &values(width, seed + 1));
            let mut y = b.alloc(of_y, rows * width);
            let mut inverse_rms = b.alloc(DType::F32, rows);
            b.rms_norm(&x, rows, width, &weight, offset, 1e-3, &mut y, &mut inverse_rms);
            let dy = typed(b, of_y, &values(rows * width, seed + 2));
            let mut dx = typed(b, of_x, &values(rows * width, seed + 3));
            let mut dweight = b.upload(&values(width, seed + 4));
            b.rms_norm_backward(
                &dy, &x, rows, width, &weight, offset, &inverse_rms, &mut dx, accumulate, Some(&mut dweight),
            );
            let mut only_dx = b.alloc(DType::F32, rows * width);
            b.rms_norm_backward(&dy, &x, rows, width, &weight, offset, &inverse_rms, &mut only_dx, false, None);
            [&y, &inverse_rms, &dx, &dweight, &only_dx].map(|buffer| host(b, buffer)).to_vec()
        });
    }

    #[test]
    fn layer(
        rows in size(),
        width in size(),
        types in (dtype(), dtype(), dtype()),
        accumulate in any::<bool>(),
        seed in 0..99_u64,
    ) {
        let (of_x, of_y, of_weight) = types;
        let exact = [of_x, of_y, of_weight] == [DType::F32; 3];
        agree!(if exact { Tolerance { f32: 2e-5, bf16: 2e-5 } } else { WIDE }, |b| {
            let x = typed(b, of_x, &values(rows * width, seed));
            let weight = typed(b, of_weight, &values(width, seed + 1));
            let bias = typed(b, of_weight, &values(width, seed + 5));
            let mut y = b.alloc(of_y, rows * width);
            let mut statistics = b.alloc(DType::F32, 2 * rows);
            b.layer_norm(&x, rows, width, &weight, &bias, 1e-2, &mut y, &mut statistics);
            let dy = typed(b, of_y, &values(rows * width, seed + 2));
            let mut dx = typed(b, of_x, &values(rows * width, seed + 3));
            let (mut dweight, mut dbias) = (b.upload(&values(width, seed + 4)), b.upload(&values(width, seed + 6)));
            let parameters = Some((&mut dweight, &mut dbias));
            b.layer_norm_backward(&dy, &x, rows, width, &weight, &statistics, &mut dx, accumulate, parameters);
            let mut only_dx = b.alloc(DType::F32, rows * width);
            b.layer_norm_backward(&dy, &x, rows, width, &weight, &statistics, &mut only_dx, false, None);
            [&y, &statistics, &dx, &dweight, &dbias, &only_dx].map(|buffer| host(b, buffer)).to_vec()
        });
    }
}

#[test]
fn a_wide_row_and_many_rows() {
    for (rows, width) in [(2, 5000), (700, 96)] {
        agree!(Tolerance { f32: 2e-5, bf16: 2e-5 }, |b| {
            let x = b.upload(&values(rows * width, 1));
            let weight = b.upload(&values(width, 2));
            let mut y = b.alloc(DType::F32, rows * width);
            let mut inverse_rms = b.alloc(DType::F32, rows);
            b.rms_norm(&x, rows, width, &weight, 0.0, 1e-6, &mut y, &mut inverse_rms);
            let (mut dx, mut dweight) = (b.alloc(DType::F32, rows * width), b.zeros(DType::F32, width));
            b.rms_norm_backward(&y, &x, rows, width, &weight, 0.0, &inverse_rms, &mut dx, false, Some(&mut dweight));
            [&y, &dx, &dweight].map(|buffer| host(b, buffer)).to_vec()
        });
    }
}
