//! Host memory of the CPU backend: 64-byte aligned, drawn from and returned to a pool.
//!
//! Fresh pages cost more than the arithmetic done on them, so a dropped buffer's pages stay with the backend and the
//! next buffer of a similar size takes them over.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use half::bf16;

use super::block::Block;
use crate::backend::{DType, Memory};

#[derive(Default)]
struct Shelf {
    /// Free blocks, the longest unused first; there are rarely more than a few dozen.
    free: VecDeque<Block>,
    memory: Memory,
    /// Most bytes ever in use at once.
    busiest: usize,
    /// Bytes in use when the pool was last emptied: what was loaded, which does not come and go.
    settled: usize,
}

/// Blocks of memory that outlive the buffers that use them.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    shelf: Arc<Mutex<Shelf>>,
}

/// Sizes are rounded up to eight steps an octave, so that batches of similar length find each other's blocks.
fn rounded(bytes: usize) -> usize {
    let bytes = bytes.max(64);
    let step = (bytes.next_power_of_two() / 16).max(64);
    bytes.next_multiple_of(step)
}

impl Pool {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // A panic while the lock is held leaves only accounting behind, never a block in two places.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The smallest free block that fits and wastes at most a quarter, else a new one. Says whether it is new, and
    /// therefore zero.
    fn take(&self, bytes: usize) -> (Block, bool) {
        let bytes = rounded(bytes);
        let mut shelf = self.shelf();
        let fit = (0..shelf.free.len())
            .filter(|&i| shelf.free[i].len() >= bytes && shelf.free[i].len() <= bytes + bytes / 4)
            .min_by_key(|&i| shelf.free[i].len());
        let (block, fresh, evicted) = if let Some(block) = fit.and_then(|index| shelf.free.remove(index)) {
            shelf.memory.pooled -= block.len();
            (block, false, Vec::new())
        } else {
            let evicted = shelf.make_room(bytes);
            (Block::zeroed(bytes), true, evicted)
        };
        shelf.memory.in_use += block.len();
        shelf.busiest = shelf.busiest.max(shelf.memory.in_use);
        shelf.memory.peak = shelf.memory.peak.max(shelf.memory.in_use + shelf.memory.pooled);
        drop(shelf);
        // Unmapping is slow; others need not wait for it.
        drop(evicted);
        (block, fresh)
    }

    fn give(&self, block: Block) {
        let mut shelf = self.shelf();
        shelf.memory.in_use -= block.len();
        shelf.memory.pooled += block.len();
        shelf.free.push_back(block);
    }

    pub(crate) fn memory(&self) -> Memory {
        self.shelf().memory
    }

    pub(crate) fn trim(&self) {
        let mut shelf = self.shelf();
        let free = std::mem::take(&mut shelf.free);
        shelf.memory.pooled = 0;
        shelf.settled = shelf.memory.in_use;
        drop(shelf);
        drop(free);
    }

    /// A buffer of `len` elements, contents unspecified.
    pub(crate) fn buffer(&self, dtype: DType, len: usize) -> Buffer {
        self.buffer_and_freshness(dtype, len).0
    }

    /// As [`Self::buffer`], and whether it is already all zeros.
    pub(crate) fn buffer_and_freshness(&self, dtype: DType, len: usize) -> (Buffer, bool) {
        let (block, fresh) = self.take(len * bytes_of(dtype));
        (Buffer { dtype, len, block, pool: self.clone() }, fresh)
    }
}

impl Shelf {
    /// Lets go of the longest unused blocks until one more of `bytes` keeps the whole little above what was ever needed at
    /// once, by half of what comes and goes: sizes that no longer occur must not pile up.
    fn make_room(&mut self, bytes: usize) -> Vec<Block> {
        let needed = self.memory.in_use + bytes;
        let most = self.busiest.max(needed);
        let mut evicted = Vec::new();
        let spare = most.saturating_sub(self.settled) / 2;
        while needed + self.memory.pooled > most + spare
            && let Some(block) = self.free.pop_front()
        {
            self.memory.pooled -= block.len();
            evicted.push(block);
        }
        evicted
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
    block: Block,
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
        &bytemuck::cast_slice(self.block.bytes())[..self.len]
    }

    fn elements_mut<T: bytemuck::Pod>(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(self.block.bytes_mut())[..self.len]
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

    /// As [`Self::values_mut`], a part of it.
    #[track_caller]
    pub(crate) fn values_part_mut(&mut self, range: Range<usize>) -> ValuesMut<'_> {
        match self.values_mut() {
            ValuesMut::F32(values) => ValuesMut::F32(&mut values[range]),
            ValuesMut::Bf16(values) => ValuesMut::Bf16(&mut values[range]),
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
