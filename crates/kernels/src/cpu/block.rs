//! Raw memory of the pool: small blocks from the allocator, large ones mapped so that they can use large pages.

use memmap2::MmapMut;

/// One cache line; also the width of an AVX-512 register.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

const LINE: usize = 64;

// SAFETY: a plain array of bytes, any bit pattern is valid and there is no padding.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Line {}

/// From this size on a block is a mapping of its own: the system's large page.
const MAPPED: usize = 2 << 20;

/// Bytes that start on a cache line.
pub(super) struct Block(Memory);

enum Memory {
    Lines(Vec<Line>),
    Mapped(MmapMut),
}

impl Block {
    /// At least `bytes` zeros.
    pub(super) fn zeroed(bytes: usize) -> Self {
        if bytes >= MAPPED
            && let Ok(mapping) = MmapMut::map_anon(bytes)
        {
            // A hint: without large pages everything works, page faults and address lookups cost more.
            #[cfg(target_os = "linux")]
            let _ = mapping.advise(memmap2::Advice::HugePage);
            return Self(Memory::Mapped(mapping));
        }
        Self(Memory::Lines(bytemuck::allocation::zeroed_vec(bytes.div_ceil(LINE))))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Memory::Lines(lines) => bytemuck::cast_slice(lines),
            Memory::Mapped(mapping) => mapping,
        }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Lines(lines) => bytemuck::cast_slice_mut(lines),
            Memory::Mapped(mapping) => mapping,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }
}

impl Default for Block {
    /// No memory at all.
    fn default() -> Self {
        Self(Memory::Lines(Vec::new()))
    }
}
