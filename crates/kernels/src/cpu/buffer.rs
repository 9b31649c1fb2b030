//! Host memory of the CPU backend: 64-byte aligned, drawn from and returned to a pool.
//!
//! Fresh pages cost more than the arithmetic done on them, so a dropped buffer's pages stay with the backend and the
//! next buffer of a similar size takes them over.

use std::sync::{Arc, Mutex};

use half::bf16;

use crate::backend::{DType, Memory};

/// One cache line; also the width of an AVX-512 register.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

// SAFETY: a plain array of bytes, any bit pattern is valid and there is no padding.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Line {}

#[derive(Default)]
struct Shelf {
    /// Free blocks, unsorted; there are rarely more than a few dozen.
    free: Vec<Vec<Line>>,
    memory: Memory,
}

/// Blocks of memory that outlive the buffers that use them.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    shelf: Arc<Mutex<Shelf>>,
}

impl Pool {
    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        // A panic while the lock is held leaves only accounting behind, never a block in two places.
        self.shelf.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The smallest free block that fits and wastes at most a quarter, else a new one. Contents are unspecified.
    fn take(&self, lines: usize) -> Vec<Line> {
        let mut shelf = self.shelf();
        let fit = (0..shelf.free.len())
            .filter(|&i| shelf.free[i].len() >= lines && shelf.free[i].len() <= lines + lines / 4 + 64)
            .min_by_key(|&i| shelf.free[i].len());
        let block = if let Some(index) = fit {
            let block = shelf.free.swap_remove(index);
            shelf.memory.pooled -= block.len() * 64;
            block
        } else {
            bytemuck::allocation::zeroed_vec(lines)
        };
        shelf.memory.in_use += block.len() * 64;
        shelf.memory.peak = shelf.memory.peak.max(shelf.memory.in_use + shelf.memory.pooled);
        block
    }

    fn give(&self, block: Vec<Line>) {
        let mut shelf = self.shelf();
        shelf.memory.in_use -= block.len() * 64;
        shelf.memory.pooled += block.len() * 64;
        shelf.free.push(block);
    }

    pub(crate) fn memory(&self) -> Memory {
        self.shelf().memory
    }

    pub(crate) fn trim(&self) {
        let mut shelf = self.shelf();
        shelf.free = Vec::new();
        shelf.memory.pooled = 0;
    }

    /// A buffer of `len` elements, contents unspecified.
    pub(crate) fn buffer(&self, dtype: DType, len: usize) -> Buffer {
        let block = self.take((len * bytes_of(dtype)).div_ceil(64));
        Buffer { dtype, len, block, pool: self.clone() }
    }
}

fn bytes_of(dtype: DType) -> usize {
    match dtype {
        DType::F32 | DType::U32 => 4,
        DType::Bf16 => 2,
    }
}

/// Typed memory of the CPU backend.
pub struct Buffer {
    dtype: DType,
    len: usize,
    block: Vec<Line>,
    pool: Pool,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.block));
    }
}

/// The elements of a buffer that holds numbers.
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// As [`Values`], to be written.
pub(crate) enum ValuesMut<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [bf16]),
}

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    fn elements<T: bytemuck::Pod>(&self) -> &[T] {
        &bytemuck::cast_slice(&self.block)[..self.len]
    }

    fn elements_mut<T: bytemuck::Pod>(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.block)[..self.len]
    }

    #[track_caller]
    fn expect_dtype(&self, wanted: DType) {
        assert_eq!(self.dtype, wanted, "a buffer of {:?} was used as {wanted:?}", self.dtype);
    }

    #[track_caller]
    pub(crate) fn f32(&self) -> &[f32] {
        self.expect_dtype(DType::F32);
        self.elements()
    }

    #[track_caller]
    pub(crate) fn f32_mut(&mut self) -> &mut [f32] {
        self.expect_dtype(DType::F32);
        self.elements_mut()
    }

    #[track_caller]
    pub(crate) fn u32(&self) -> &[u32] {
        self.expect_dtype(DType::U32);
        self.elements()
    }

    #[track_caller]
    pub(crate) fn u32_mut(&mut self) -> &mut [u32] {
        self.expect_dtype(DType::U32);
        self.elements_mut()
    }

    #[track_caller]
    pub(crate) fn values(&self) -> Values<'_> {
        match self.dtype {
            DType::F32 => Values::F32(self.elements()),
            DType::Bf16 => Values::Bf16(self.elements()),
            DType::U32 => panic!("a buffer of indices was used as numbers"),
        }
    }

    #[track_caller]
    pub(crate) fn values_mut(&mut self) -> ValuesMut<'_> {
        match self.dtype {
            DType::F32 => ValuesMut::F32(self.elements_mut()),
            DType::Bf16 => ValuesMut::Bf16(self.elements_mut()),
            DType::U32 => panic!("a buffer of indices was used as numbers"),
        }
    }
}
