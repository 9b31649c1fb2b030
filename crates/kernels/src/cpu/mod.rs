//! The fast backend for CPUs: AVX-512 (with BF16), AVX2, NEON and portable code, chosen at run time.

mod buffer;
mod exponential;
mod gemm;
mod head;
mod simd;
#[cfg(test)]
mod testing;
mod threads;

pub use buffer::Buffer;
