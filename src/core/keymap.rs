// SPDX-License-Identifier: GPL-2.0

//! The merged, sorted content of a leaf: extents that do not overlap.
//!
//! C reference: `drivers/md/bcache/bset.c`, `extents.c` (`bch_extent_insert_fixup`).

use crate::key::{
    Key,
    Pos, //
};

/// Keys of one chunk; a chunk is a slab object of 1 KiB.
pub const CHUNK_KEYS: usize = 42;

/// A piece of a [`KeyMap`]: some sorted keys.
#[derive(Clone, Debug)]
pub struct Chunk {
    len: usize,
    keys: [Key; CHUNK_KEYS],
}

impl Chunk {
    /// An empty chunk.
    pub const fn new() -> Self {
        Self {
            len: 0,
            keys: [Key::ZERO; CHUNK_KEYS],
        }
    }
    /// The keys.
    pub fn keys(&self) -> &[Key] {
        self.keys.get(..self.len).unwrap_or_default()
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self::new()
    }
}

/// Memory for a chunk could not be had; nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMem;

/// An ordered list of chunks, with fallible growth: `KVec<KBox<Chunk>>` in the driver.
pub trait Chunks {
    /// Number of chunks.
    fn len(&self) -> usize;
    /// Chunk `i`.
    fn get(&self, i: usize) -> Option<&Chunk>;
    /// Chunk `i`, to be changed.
    fn get_mut(&mut self, i: usize) -> Option<&mut Chunk>;
    /// Puts an empty chunk before chunk `i` (at the end if `i == len()`) and returns it.
    ///
    /// # Errors
    ///
    /// [`NoMem`], with nothing changed.
    fn insert(&mut self, i: usize) -> Result<&mut Chunk, NoMem>;
    /// Removes chunk `i`.
    fn remove(&mut self, i: usize);
    /// Makes sure that the next `n` calls of [`Self::insert`] succeed.
    ///
    /// # Errors
    ///
    /// [`NoMem`], with nothing lost.
    fn reserve(&mut self, n: usize) -> Result<(), NoMem>;
    /// Whether there is no chunk.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Sorted, non-overlapping keys.
pub struct KeyMap<C: Chunks> {
    chunks: C,
    len: usize,
    words: usize,
}

/// Keys in ascending order.
pub struct Iter<'a, C: Chunks> {
    map: &'a KeyMap<C>,
}

impl<'a, C: Chunks> Iterator for Iter<'a, C> {
    type Item = &'a Key;
    fn next(&mut self) -> Option<&'a Key> {
        self.map.first()
    }
}

impl<C: Chunks> KeyMap<C> {
    /// An empty map; `chunks` must be empty.
    pub fn new(chunks: C) -> Self {
        Self {
            chunks,
            len: 0,
            words: 0,
        }
    }
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }
    /// On-disk words of all keys.
    pub fn words(&self) -> usize {
        self.words
    }
    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Makes sure that the next `n` inserts, erases and replaces cannot fail for memory.
    pub fn reserve(&mut self, n: usize) -> Result<(), NoMem> {
        self.chunks.reserve(n.saturating_mul(2))
    }
    /// Puts `k` over what is there.
    pub fn insert(
        &mut self,
        k: &Key,
        bucket_sectors: u32,
        dropped: impl FnMut(&Key),
    ) -> Result<(), NoMem> {
        let _ = (k, bucket_sectors, dropped);
        Err(NoMem)
    }
    /// Removes `start..end` of `inode`.
    pub fn erase(
        &mut self,
        inode: u32,
        start: u64,
        end: u64,
        dropped: impl FnMut(&Key),
    ) -> Result<(), NoMem> {
        let _ = (inode, start, end, dropped);
        Err(NoMem)
    }
    /// Puts `k` over the sectors that are as `expected`.
    pub fn replace(
        &mut self,
        k: &Key,
        expected: &Key,
        bucket_sectors: u32,
        inserted: impl FnMut(&Key),
        dropped: impl FnMut(&Key),
    ) -> Result<u32, NoMem> {
        let _ = (k, expected, bucket_sectors, inserted, dropped);
        Err(NoMem)
    }
    /// Iterates from the first key whose position (end) is behind `p`.
    pub fn seek(&self, p: Pos) -> Iter<'_, C> {
        let _ = p;
        Iter { map: self }
    }
    /// First key.
    pub fn first(&self) -> Option<&Key> {
        self.chunks.get(0)?.keys().first()
    }
    /// Last key.
    pub fn last(&self) -> Option<&Key> {
        self.chunks
            .get(self.chunks.len().checked_sub(1)?)?
            .keys()
            .last()
    }
    /// End of the key where a full leaf is to be split.
    pub fn split_point(&self) -> Option<Pos> {
        None
    }
}
