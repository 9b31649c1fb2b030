use camelid_kernels::*;
fn main() {
    let b = Cpu::new(CpuOptions { threads: Some(1), compute: Compute::F32 });
    let (rows, width) = (4096usize, 576usize);
    let n = rows * width;
    let h: Vec<f32> = (0..n).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    let x = b.upload(&h);
    let w = b.upload(&h[..width]);
    let mut y = b.zeros(DType::F32, n);
    let mut inv = b.zeros(DType::F32, rows);
    let mut dx = b.upload(&h);
    b.rms_norm(&x, rows, width, &w, 0.0, 1e-5, &mut y, &mut inv);
    for _ in 0..500 {
        b.rms_norm_backward(&y, &x, rows, width, &w, 0.0, &inv, &mut dx, true, None);
    }
}
