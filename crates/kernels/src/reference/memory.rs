//! Buffers of `f64` and an account of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::{DType, Memory};

#[derive(Clone, Default)]
pub(super) struct Account {
    in_use: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Account {
    pub(super) fn memory(&self) -> Memory {
        Memory { in_use: self.in_use.load(Ordering::Relaxed), pooled: 0, peak: self.peak.load(Ordering::Relaxed) }
    }

    pub(super) fn buffer(&self, dtype: DType, len: usize) -> ReferenceBuffer {
        let (numbers, indices) = if dtype == DType::U32 { (0, len) } else { (len, 0) };
        let bytes = 8 * numbers + 4 * indices;
        let in_use = self.in_use.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(in_use, Ordering::Relaxed);
        ReferenceBuffer { dtype, numbers: vec![0.0; numbers], indices: vec![0; indices], bytes, account: self.clone() }
    }
}

/// Memory of the reference backend.
pub struct ReferenceBuffer {
    pub(super) dtype: DType,
    pub(super) numbers: Vec<f64>,
    pub(super) indices: Vec<u32>,
    bytes: usize,
    account: Account,
}

impl Drop for ReferenceBuffer {
    fn drop(&mut self) {
        self.account.in_use.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
