use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, DType, Directions, Reference};

use crate::harness::{MACHINES, host, values};

fn cpu() -> Cpu {
    Cpu::new(CpuOptions { threads: Some(2), compute: Compute::F32 })
}

#[test]
fn host_values_come_back() {
    for machine in &*MACHINES {
        let b = &machine.team;
        for dtype in [DType::F32, DType::Bf16] {
            let mut buffer = b.zeros(dtype, 50_000);
            b.write(&mut buffer, 7, &values(40_000, 1));
            assert_eq!(b.read(&buffer, 7, 40_000), values(40_000, 1));
            assert_eq!(b.read(&buffer, 0, 7), [0.0; 7]);
            assert_eq!((b.len(&buffer), b.dtype(&buffer)), (50_000, dtype));
        }
        let empty = b.upload(&[]);
        assert_eq!(host(b, &empty), Vec::<f32>::new());
    }
}

#[test]
fn zeros_are_zero_in_used_memory() {
    let b = cpu();
    for len in [100, 1 << 20] {
        drop(b.upload(&vec![1.0; len]));
        let zeros = b.zeros(DType::F32, len);
        assert!(host(&b, &zeros).iter().all(|&value| value == 0.0));
    }
}

#[test]
fn memory_is_accounted_and_used_again() {
    let b = cpu();
    let before = b.memory();
    let buffer = b.alloc(DType::F32, 1 << 20);
    let during = b.memory();
    assert_eq!(during.in_use - before.in_use, 4 << 20);
    drop(buffer);
    let after = b.memory();
    assert_eq!((after.in_use, after.pooled), (before.in_use, before.pooled + (4 << 20)));
    // A little shorter: the same block.
    let again = b.alloc(DType::F32, (1 << 20) - 1000);
    assert_eq!(b.memory().pooled, before.pooled);
    assert_eq!(b.memory().peak, during.peak);
    drop(again);
    b.trim();
    assert_eq!(b.memory().pooled, 0);
}

#[test]
fn prepared_weights_count() {
    let b = cpu();
    let weight = b.upload(&values(512 * 512, 1));
    let before = b.memory().in_use;
    let matrix = b.prepare(&weight, 512, 512, Directions::Both);
    assert!(b.memory().in_use - before >= 2 * 4 * 512 * 512);
    drop(matrix);
    assert_eq!(b.memory().in_use, before);
}

#[test]
fn sizes_that_no_longer_occur_do_not_pile_up() {
    let b = cpu();
    for megabytes in 1..40 {
        drop(b.alloc(DType::F32, megabytes << 18));
    }
    let memory = b.memory();
    assert!(memory.peak <= 39 * (5 << 18), "{memory:?}");
}

#[test]
fn a_backend_says_what_it_is() {
    let reference = Reference::new(Compute::Bf16);
    assert_eq!(reference.activation_dtype(), DType::Bf16);
    let b = cpu();
    assert_eq!(b.activation_dtype(), DType::F32);
    assert!(b.name().starts_with("cpu (") && b.name().ends_with(", 2 threads)"), "{}", b.name());
}
