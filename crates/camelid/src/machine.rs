//! The backend a command runs on.

use camelid_kernels::{Compute, Cpu, CpuOptions};

use crate::cli::ComputeChoice;

/// Opens the CPU with the precision asked for; `auto` takes bf16 where the processor multiplies it.
pub(crate) fn open(choice: ComputeChoice, threads: Option<usize>) -> Cpu {
    open_precision(precision(choice), threads)
}

/// As [`open`], the choice made.
pub(crate) fn open_precision(compute: Compute, threads: Option<usize>) -> Cpu {
    Cpu::new(CpuOptions { threads, compute })
}

/// What `choice` means on this processor.
pub(crate) fn precision(choice: ComputeChoice) -> Compute {
    match choice {
        ComputeChoice::Bf16 => Compute::Bf16,
        ComputeChoice::Auto if Cpu::supports_bf16() => Compute::Bf16,
        ComputeChoice::Auto | ComputeChoice::F32 => Compute::F32,
    }
}
