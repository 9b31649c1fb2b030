use camelid_kernels::{AdamW, Backend, DType};
use proptest::prelude::*;

use crate::harness::{REFERENCE, Tolerance, agree, config, host, size, values};

const CONSTANTS: AdamW = AdamW {
    learning_rate: 1e-2,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.1,
    step: 1,
    gradient_scale: 1.0,
};

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn several_steps(len in size(), repeats in 1_usize..300, scale in 0.1_f32..2.0, decay in 0.0_f32..0.5) {
        let len = len * repeats;
        agree!(Tolerance { f32: 1e-5, bf16: 1e-5 }, |b| {
            let mut parameter = b.upload(&values(len, 1));
            let [mut first, mut second] = [(); 2].map(|()| b.zeros(DType::F32, len));
            for step in 1..=5 {
                let gradient = b.upload(&values(len, 10 + step));
                let constants = AdamW { step, gradient_scale: scale, weight_decay: decay, ..CONSTANTS };
                b.adamw(constants, &mut parameter, &gradient, &mut first, &mut second, len);
            }
            [&parameter, &first, &second].map(|buffer| host(b, buffer)).to_vec()
        });
    }
}

/// bf16 moments: the step itself is exact, what is kept is right in the mean, and threads change nothing.
#[test]
fn rounded_moments_are_right_in_the_mean() {
    let len = 5000;
    agree!(Tolerance { f32: 1e-2, bf16: 1e-2 }, |b| {
        let mut parameter = b.upload(&vec![1.0; len]);
        let [mut first, mut second] = [(); 2].map(|()| b.zeros(DType::Bf16, len));
        let gradient = b.upload(&vec![0.5; len]);
        b.adamw(CONSTANTS, &mut parameter, &gradient, &mut first, &mut second, len);
        let nothing = b.zeros(DType::F32, len);
        // Each of these steps changes a second moment by a thousandth, a quarter of what separates two bf16 numbers.
        for step in 2..=500 {
            b.adamw(AdamW { step, ..CONSTANTS }, &mut parameter, &nothing, &mut first, &mut second, len);
        }
        let second = host(b, &second);
        let mean = second.iter().sum::<f32>() / len as f32;
        vec![vec![mean], host(b, &parameter)]
    });
}

/// `torch.optim.AdamW` of `PyTorch` 2.15 in float64 on the same numbers: lr 1e-2, betas (0.9, 0.999), eps 1e-8,
/// weight decay 0.1, the gradient `[0.5, -0.25, 0.125]` three times.
#[test]
fn the_reference_is_pytorch() {
    let b = &*REFERENCE;
    let mut parameter = b.upload(&[1.0, -0.5, 0.25]);
    let gradient = b.upload(&[0.5, -0.25, 0.125]);
    let [mut first, mut second] = [(); 2].map(|()| b.zeros(DType::F32, 3));
    for step in 1..=3 {
        b.adamw(AdamW { step, ..CONSTANTS }, &mut parameter, &gradient, &mut first, &mut second, 3);
    }
    for (got, wanted) in host(b, &parameter).into_iter().zip(PYTORCH) {
        assert!((f64::from(got) - wanted).abs() < 1e-7, "{got} {wanted}");
    }
}

const PYTORCH: [f64; 3] = [0.967_032_989_599_400_3, -0.468_531_490_698_800_4, 0.219_280_742_147_600_68];
