//! A quick look at what the machine does, so that predictions and shares of peak mean something.

use std::time::{Duration, Instant};

use camelid_kernels::{Backend, Directions, Weight};

/// Floating-point operations a second of matrix products, best of a tenth of a second.
pub(crate) fn product_rate<B: Backend>(backend: &B) -> f64 {
    const SIZE: usize = 1024;
    let mut weight = backend.zeros(backend.activation_dtype(), SIZE * SIZE);
    backend.fill(&mut weight, 0.5);
    let matrix = backend.prepare(&weight, SIZE, SIZE, Directions::Forward);
    let mut y = backend.zeros(backend.activation_dtype(), SIZE * SIZE);
    let mut product = || {
        let start = Instant::now();
        backend.linear(&weight, SIZE, Weight::Prepared(&matrix), None, None, &mut y, false);
        start.elapsed()
    };
    product();
    let started = Instant::now();
    let mut best = product();
    while started.elapsed() < Duration::from_millis(100) {
        best = best.min(product());
    }
    2.0 * (SIZE * SIZE * SIZE) as f64 / best.as_secs_f64()
}
