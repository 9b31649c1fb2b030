//! Who has which rows of the cache: blocks of rows, counted references, and full blocks of prompts kept for whoever begins alike.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use camelid_model::KeySpan;

/// Rows of a block.
pub(crate) const BLOCK: usize = 64;

pub(crate) type BlockHash = [u8; 32];

/// Hands out blocks of rows.
pub(crate) struct Blocks {
    /// Never used, or of no use to anybody.
    free: Vec<u32>,
    uses: Vec<u32>,
    /// What a full block of a prompt holds, with all before it.
    hashes: Vec<Option<BlockHash>>,
    by_hash: HashMap<BlockHash, u32>,
    /// When a block was last let go; the one let go first is taken first.
    released: Vec<u64>,
    clock: u64,
    /// Blocks promised to requests, whether they have them yet or not.
    promised: usize,
}

/// Blocks that so many tokens take.
pub(crate) fn blocks_of(tokens: usize) -> usize {
    tokens.div_ceil(BLOCK)
}

/// The hash of each full block of a prompt, each over all tokens up to its end.
pub(crate) fn hashes(prompt: &[u32]) -> Vec<BlockHash> {
    let mut hasher = blake3::Hasher::new();
    let full = prompt.chunks_exact(BLOCK).map(|block| {
        for token in block {
            hasher.update(&token.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    });
    full.collect()
}

impl Blocks {
    pub(crate) fn new(rows: usize) -> Self {
        let count = rows / BLOCK;
        Self {
            free: (0..count as u32).rev().collect(),
            uses: vec![0; count],
            hashes: vec![None; count],
            by_hash: HashMap::new(),
            released: vec![0; count],
            clock: 0,
            promised: 0,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.uses.len()
    }

    pub(crate) fn used(&self) -> usize {
        self.uses.iter().filter(|&&uses| uses > 0).count()
    }

    /// Promises blocks if there are enough beside those promised already.
    pub(crate) fn promise(&mut self, count: usize) -> bool {
        let enough = self.promised + count <= self.count();
        self.promised += if enough { count } else { 0 };
        enough
    }

    pub(crate) fn take_back_promise(&mut self, count: usize) {
        self.promised -= count;
    }

    /// A block that was promised. None is left only if more are taken than were promised.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let block = self.free.pop().or_else(|| {
            let idle = (0..self.count() as u32).filter(|&block| self.uses[block as usize] == 0);
            idle.min_by_key(|&block| self.released[block as usize])
        })?;
        if let Some(hash) = self.hashes[block as usize].take() {
            self.by_hash.remove(&hash);
        }
        self.uses[block as usize] = 1;
        Some(block)
    }

    /// The block that holds this, for one more user.
    pub(crate) fn share(&mut self, hash: &BlockHash) -> Option<u32> {
        let block = *self.by_hash.get(hash)?;
        self.uses[block as usize] += 1;
        Some(block)
    }

    /// Says what a block holds, so that others may share it.
    pub(crate) fn publish(&mut self, block: u32, hash: BlockHash) {
        if let Entry::Vacant(entry) = self.by_hash.entry(hash) {
            entry.insert(block);
            self.hashes[block as usize] = Some(hash);
        }
    }

    pub(crate) fn release(&mut self, block: u32) {
        let index = block as usize;
        self.uses[index] -= 1;
        if self.uses[index] == 0 {
            self.clock += 1;
            self.released[index] = self.clock;
            if self.hashes[index].is_none() {
                self.free.push(block);
            }
        }
    }

    /// Nothing that is kept may be shared any more: the weights have changed.
    pub(crate) fn forget(&mut self) {
        self.by_hash.clear();
        for block in 0..self.count() {
            if self.hashes[block].take().is_some() && self.uses[block] == 0 {
                self.free.push(block as u32);
            }
        }
    }
}

/// Rows of `tokens` tokens in these blocks, from `position` on; neighbours become one span.
pub(crate) fn spans(blocks: &[u32], tokens: usize, position: usize, to: &mut Vec<KeySpan>) {
    for (index, &block) in blocks.iter().enumerate() {
        let done = index * BLOCK;
        if done >= tokens {
            return;
        }
        let (row, len) = (block * BLOCK as u32, (tokens - done).min(BLOCK) as u32);
        match to.last_mut() {
            Some(last) if last.row + last.len == row && last.position + last.len == (position + done) as u32 => {
                last.len += len;
            }
            _ => to.push(KeySpan { row, len, position: (position + done) as u32 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_shared_by_what_they_hold_and_taken_back_when_nobody_needs_them() {
        let mut blocks = Blocks::new(3 * BLOCK + 5);
        assert_eq!(blocks.count(), 3);
        assert!(blocks.promise(2) && !blocks.promise(2) && blocks.promise(1));
        let prompt: Vec<u32> = (0..2 * BLOCK as u32 + 3).collect();
        let hashes = hashes(&prompt);
        assert_eq!(hashes.len(), 2);
        let first = blocks.take().unwrap();
        blocks.publish(first, hashes[0]);
        assert_eq!(blocks.share(&hashes[0]), Some(first));
        assert_eq!(blocks.share(&hashes[1]), None);
        blocks.release(first);
        blocks.release(first);
        assert_eq!(blocks.used(), 0);
        // It stays known until its rows are needed; the others go first.
        assert_eq!(blocks.share(&hashes[0]), Some(first));
        blocks.release(first);
        let (a, b) = (blocks.take().unwrap(), blocks.take().unwrap());
        assert!(a != first && b != first);
        assert_eq!(blocks.take(), Some(first));
        assert_eq!((blocks.share(&hashes[0]), blocks.take()), (None, None));
    }

    #[test]
    fn neighbouring_blocks_are_one_span() {
        let mut found = Vec::new();
        spans(&[4, 5, 9], 2 * BLOCK + 7, 10, &mut found);
        let expected = [
            KeySpan { row: 4 * BLOCK as u32, len: 2 * BLOCK as u32, position: 10 },
            KeySpan { row: 9 * BLOCK as u32, len: 7, position: 10 + 2 * BLOCK as u32 },
        ];
        assert_eq!(found, expected);
    }
}
